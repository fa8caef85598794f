package middleware_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/middleware"
)

// clientStub answers at once, as a server in no time would.
type clientStub struct{}

func (clientStub) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2,
	}, nil
}

// BenchmarkTransport compares the stub alone with otelhttp's and with this Transport around it.
func BenchmarkTransport(b *testing.B) {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracers := clientProvider(sdktrace.AlwaysSample())
	propagator := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	transports := []struct {
		name      string
		transport http.RoundTripper
	}{
		{"bare", clientStub{}},
		{"otelhttp", otelhttp.NewTransport(clientStub{}, otelhttp.WithTracerProvider(tracers),
			otelhttp.WithMeterProvider(meters), otelhttp.WithPropagators(propagator))},
		{"otelmon", middleware.Transport(clientStub{}, middleware.Config{TracerProvider: tracers, MeterProvider: meters, Propagator: propagator})},
	}
	for _, parent := range []string{"unsampled", "sampled"} {
		for _, tr := range transports {
			b.Run("parent="+parent+"/"+tr.name, func(b *testing.B) {
				ctx := clientParent(b.Context(), parent == "sampled")
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example.com/orders/7", http.NoBody)
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Accept", "application/json")
				r.Header.Set("Authorization", "Bearer x")
				buffer := make([]byte, 64)
				b.ReportAllocs()
				for b.Loop() {
					response, err := tr.transport.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					for err == nil {
						_, err = response.Body.Read(buffer)
					}
					response.Body.Close()
				}
			})
		}
	}
}

// clientParent returns ctx with a span of another process in it.
func clientParent(ctx context.Context, sampled bool) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		SpanID:     trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8},
		TraceFlags: trace.TraceFlags(0).WithSampled(sampled),
	}))
}
