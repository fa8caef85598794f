package otelmon_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

// The quick start: one call, then the OpenTelemetry API as ever.
func ExampleSetup() {
	ctx := context.Background()
	sdk, err := otelmon.Setup(ctx, otelmon.Config{
		ServiceName: "shop",
		Prometheus:  exporters.Prometheus{Address: "localhost:0"}, // the default is port 9464
		Logger:      slog.New(slog.DiscardHandler),                // the default is slog.Default()
	})
	if err != nil {
		slog.Error("telemetry is not complete", "error", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = sdk.Shutdown(ctx)
	}()

	duration, _ := otel.Meter("shop").Float64Histogram("shop.order.duration", metric.WithUnit("s"))
	ctx, span := otel.Tracer("shop").Start(ctx, "order")
	duration.Record(ctx, 0.2)
	span.End()

	response, err := http.Get(sdk.MetricsURL()) // what Prometheus does
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, labels, _ := strings.Cut(lines.Text(), "{")
		if strings.HasPrefix(name, "shop_") && (strings.Contains(labels, `le="0.25"`) || strings.HasSuffix(name, "_count")) {
			fmt.Println(name, labels[strings.LastIndex(labels, " ")+1:])
		}
	}
	// Output:
	// shop_order_duration_seconds_bucket 1
	// shop_order_duration_seconds_count 1
}

// A short job delivers before Run returns, however briefly it lived.
func ExampleRun() {
	cfg := otelmon.Config{ServiceName: "nightly", Logger: slog.New(slog.DiscardHandler), DisableOTLP: true}
	err := otelmon.Run(context.Background(), cfg, func(ctx context.Context) error {
		_, span := otel.Tracer("nightly").Start(ctx, "cleanup")
		defer span.End()
		fmt.Println("recording:", span.IsRecording())
		return nil
	})
	fmt.Println("error:", err)
	// Output:
	// recording: true
	// error: <nil>
}

// The service's own log lines carry the span that they were written in.
func ExampleSDK_SlogHandler() {
	ctx := context.Background()
	sdk, _ := otelmon.Setup(ctx, otelmon.Config{ServiceName: "shop", Logger: slog.New(slog.DiscardHandler), DisableOTLP: true})
	defer func() { _ = sdk.Shutdown(ctx) }()

	var out strings.Builder
	logger := slog.New(sdk.SlogHandler(slog.NewTextHandler(&out, nil)))
	ctx, span := otel.Tracer("shop").Start(ctx, "order")
	logger.InfoContext(ctx, "paid", "order", 7)
	span.End()

	fmt.Println(strings.Contains(out.String(), "trace_id="+span.SpanContext().TraceID().String()))
	// Output: true
}
