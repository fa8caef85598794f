package exporters_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
)

// Traces go to a Collector, which need not run yet.
func ExampleOTLP() {
	ctx := context.Background()
	push, err := exporters.OTLP{
		Endpoint:       "127.0.0.1:4317",
		DisableMetrics: true,
		DisableLogs:    true,
		Logger:         slog.New(slog.DiscardHandler),
	}.Start(ctx)
	if err != nil {
		fmt.Println(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(push.Spans))

	fmt.Println("traces go to", push.Endpoint())

	if err := provider.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println("not delivered:", push.Shutdown(ctx))
	// Output:
	// traces go to 127.0.0.1:4317
	// not delivered: <nil>
}

// Metrics are served on a free port.
func ExamplePrometheus() {
	ctx := context.Background()
	server, err := exporters.Prometheus{Address: "127.0.0.1:0"}.Start(ctx)
	if err != nil {
		fmt.Println(err)
	}
	defer func() { _ = server.Shutdown(ctx) }()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(server.Reader))
	defer func() { _ = provider.Shutdown(ctx) }()
	orders, err := provider.Meter("shop").Int64Counter("orders")
	if err != nil {
		fmt.Println(err)
	}
	orders.Add(ctx, 3)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(server.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		fmt.Println(err)
	}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "orders_total") {
			fmt.Print(line[:len("orders_total")], line[strings.LastIndex(line, " "):])
		}
	}
	// Output:
	// orders_total 3
}
