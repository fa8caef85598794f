package exporters

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The exporters of the OpenTelemetry project encode and retry. They parse the
// OTEL_EXPORTER_OTLP_* variables by themselves, whatever is given to them, and
// print what they cannot parse; the options below win over the result. What
// could print a secret is refused before they are made.

func newSpanExporter(ctx context.Context, s settings, t *transport) (sdktrace.SpanExporter, error) {
	if t.conn != nil {
		return otlptracegrpc.New(ctx,
			otlptracegrpc.WithGRPCConn(t.conn),
			otlptracegrpc.WithHeaders(s.headers),
			otlptracegrpc.WithTimeout(s.window),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: s.window}))
	}
	compression := otlptracehttp.NoCompression
	if s.gzip {
		compression = otlptracehttp.GzipCompression
	}
	return otlptracehttp.New(ctx,
		otlptracehttp.WithHTTPClient(t.client),
		otlptracehttp.WithEndpointURL(s.endpoint.url()),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithHeaders(s.headers),
		otlptracehttp.WithCompression(compression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: s.window}))
}

func newMetricExporter(ctx context.Context, s settings, t *transport) (sdkmetric.Exporter, error) {
	if t.conn != nil {
		return otlpmetricgrpc.New(ctx,
			otlpmetricgrpc.WithGRPCConn(t.conn),
			otlpmetricgrpc.WithHeaders(s.headers),
			otlpmetricgrpc.WithTimeout(s.window),
			otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: s.window}))
	}
	compression := otlpmetrichttp.NoCompression
	if s.gzip {
		compression = otlpmetrichttp.GzipCompression
	}
	return otlpmetrichttp.New(ctx,
		otlpmetrichttp.WithHTTPClient(t.client),
		otlpmetrichttp.WithEndpointURL(s.endpoint.url()),
		otlpmetrichttp.WithHeaders(s.headers),
		otlpmetrichttp.WithCompression(compression),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: s.window}))
}

func newLogExporter(ctx context.Context, s settings, t *transport) (sdklog.Exporter, error) {
	if t.conn != nil {
		return otlploggrpc.New(ctx,
			otlploggrpc.WithGRPCConn(t.conn),
			otlploggrpc.WithHeaders(s.headers),
			otlploggrpc.WithTimeout(s.window),
			otlploggrpc.WithRetry(otlploggrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: s.window}))
	}
	compression := otlploghttp.NoCompression
	if s.gzip {
		compression = otlploghttp.GzipCompression
	}
	return otlploghttp.New(ctx,
		otlploghttp.WithHTTPClient(t.client),
		otlploghttp.WithEndpointURL(s.endpoint.url()),
		otlploghttp.WithHeaders(s.headers),
		otlploghttp.WithCompression(compression),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: s.window}))
}
