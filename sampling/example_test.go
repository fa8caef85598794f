package sampling_test

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/sampling"
)

// show prints what a sampler decides about a new trace whose randomness is in
// the middle.
func show(sampler sdktrace.Sampler, attributes ...attribute.KeyValue) {
	result := sampler.ShouldSample(sdktrace.SamplingParameters{
		TraceID:    trace.TraceID{1, 9: 0x80},
		Attributes: attributes,
	})
	if result.Decision == sdktrace.Drop {
		fmt.Println("dropped")
	} else {
		fmt.Println(strings.TrimSpace("kept " + result.Tracestate.String()))
	}
}

func ExampleRatio() {
	// Kept from 8, half of all randomness, on: each trace stands for two.
	show(sampling.Ratio(0.5))
	show(sampling.Ratio(0.1))
	// Output:
	// kept ot=th:8
	// dropped
}

func ExampleRateLimit() {
	sampler := sampling.RateLimit(0.1) // one in ten seconds
	show(sampler)
	show(sampler)
	// Output:
	// kept
	// dropped
}

func ExampleAdaptive() {
	sampler := sampling.Adaptive(10)
	search, invoices := attribute.String("http.route", "/search"), attribute.String("http.route", "/invoices")
	for range 1000 {
		sampler.ShouldSample(sdktrace.SamplingParameters{Attributes: []attribute.KeyValue{search}})
	}
	show(sampler, search) // one in a hundred is kept by now, and this is not one
	show(sampler, invoices)
	// Output:
	// dropped
	// kept ot=th:0
}

// Health checks are dropped, also when they fail; each order that is placed is
// kept; of everything else ten traces a second of each route.
func ExampleRules() {
	sampler := sampling.Rules(sampling.Adaptive(10),
		sampling.Rule{Route: "/healthz"},
		sampling.Rule{Method: "POST", Route: "/orders", Sampler: sampling.Keep()},
	)
	show(sampler, attribute.String("http.request.method", "GET"), attribute.String("http.route", "/healthz"))
	show(sampler, attribute.String("http.request.method", "POST"), attribute.String("http.route", "/orders"))
	show(sampler, attribute.String("http.request.method", "GET"), attribute.String("http.route", "/orders"))
	fmt.Println(sampler.Description())
	// Output:
	// dropped
	// kept ot=th:0
	// kept ot=th:0
	// Rules{Drop,Keep,fallback:Adaptive{10}}
}

func ExampleKeep() {
	show(sampling.Keep())
	// Output: kept ot=th:0
}

func ExampleDrop() {
	show(sampling.Drop())
	// Output: dropped
}

// With an SDK that otelmon.Setup did not make.
func ExampleParentBased() {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sampling.ParentBased(sampling.Ratio(1))),
	)
	defer func() { _ = provider.Shutdown(context.Background()) }()
	ctx, root := provider.Tracer("shop").Start(context.Background(), "order")
	_, child := provider.Tracer("shop").Start(ctx, "charge")
	fmt.Println(root.SpanContext().TraceState(), child.SpanContext().TraceState())
	// Output: ot=th:0 ot=th:0
}
