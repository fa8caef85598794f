package exporters_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// Before a service starts, or when its telemetry is missed, an export without
// content says what the Collector thinks of it.
func ExampleTarget_Probe() {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the token has expired", http.StatusUnauthorized)
	}))
	defer collector.Close()
	config := exporters.OTLP{Endpoint: collector.URL, Protocol: "http/protobuf", DisableMetrics: true, DisableLogs: true}
	targets, err := config.Targets()
	if err != nil {
		fmt.Println(err)
	}
	for _, target := range targets {
		_, err := target.Probe(context.Background())
		fmt.Printf("%s over %s: %v\n", target.Signal, target.Protocol, err)
	}
	// Output: traces over http/protobuf: 401 Unauthorized the token has expired
}
