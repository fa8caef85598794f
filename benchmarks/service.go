package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"go.opentelemetry.io/otel/trace"
)

const (
	endpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	// awayVariable says that nothing will be delivered.
	awayVariable = "OTELMON_BENCHMARKS_AWAY"
	// queued is more spans than the queue holds.
	queued = 70_000
)

// serveService is a service whose requests leave a span, a log record and
// metrics. It begins with its queue full if nothing can be delivered, which is
// how requests find it some time after that began, and otherwise with the same
// spans delivered.
func serveService() error {
	ctx := context.Background()
	sdk, err := otelmon.Setup(ctx, otelmon.Config{
		ServiceName: "benchmarks",
		Prometheus:  exporters.Prometheus{DisableListener: true},
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return fmt.Errorf("setting otelmon up: %w", err)
	}
	fill(ctx, sdk)
	mux := newMux()
	logger := slog.New(sdk.SlogHandler(nil))
	logged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r)
		logger.InfoContext(r.Context(), "the item was sold", "item", r.URL.Path)
	})
	all := http.NewServeMux()
	all.Handle("/metrics", sdk.MetricsHandler())
	all.Handle("/", middleware.Handler(logged, middleware.Config{Mux: mux}))
	return serve(ctx, all) // what is still queued is not of interest
}

func fill(ctx context.Context, sdk *otelmon.SDK) {
	tracer := sdk.TracerProvider().Tracer("benchmarks")
	for i := range queued {
		_, span := tracer.Start(ctx, "GET /items/{id}", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(serverSpan(i%variants)...))
		span.End()
		if i%waitEvery == 0 && os.Getenv(awayVariable) == "" {
			_ = sdk.ForceFlush(ctx) // the Collector says what it got
		}
	}
}
