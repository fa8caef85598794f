package sampling_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/sampling"
)

// decision is one way to decide, with traces that come without a tracestate.
type decision struct {
	sampler    sdktrace.Sampler
	parameters sdktrace.SamplingParameters
}

func decisions() map[string]decision {
	request := sdktrace.SamplingParameters{Name: "GET /items/{id}", ParentContext: serving(headsample.Request{
		Method: http.MethodGet,
		Route:  "/items/{id}",
		Path:   "/items/17",
		Scheme: "https",
		Header: http.Header{"Accept": {"*/*"}, "User-Agent": {"test"}, "X-Request-Id": {"1"}},
	})}
	plain := request
	plain.ParentContext = context.Background()
	plain.Attributes = []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("url.scheme", "https"),
		attribute.String("url.path", "/items/17"),
		attribute.String("http.route", "/items/{id}"),
	}
	parent := request
	parent.ParentContext = trace.ContextWithRemoteSpanContext(request.ParentContext, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	}))
	unsampled := request
	unsampled.ParentContext = trace.ContextWithRemoteSpanContext(request.ParentContext, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1},
	}))
	return map[string]decision{
		"Keep":                            {sampling.Keep(), request},
		"Drop":                            {sampling.Drop(), request},
		"Ratio dropping":                  {sampling.Ratio(0), request},
		"Ratio of a half":                 {sampling.Ratio(0.5), request},
		"RateLimit keeping":               {sampling.RateLimit(1e8), request},
		"RateLimit dropping":              {sampling.RateLimit(1), request},
		"Adaptive with route":             {sampling.Adaptive(10), request},
		"Adaptive with attributes":        {sampling.Adaptive(10), plain},
		"Adaptive keeping":                {sampling.Adaptive(1e9), request},
		"Rules, 50 by route":              {sampling.Rules(sampling.Ratio(0.5), fifty(byRoute)...), request},
		"Rules, 50 by path":               {sampling.Rules(sampling.Ratio(0.5), fifty(byPath)...), request},
		"Rules, 50 by header":             {sampling.Rules(sampling.Ratio(0.5), fifty(byHeader)...), request},
		"Rules, 50 mixed, rest Adaptive":  {sampling.Rules(sampling.Adaptive(10), fifty(byRoute, byRoute, byRoute, byRoute, byPath)...), request},
		"Rules, 50 by route, attributes":  {sampling.Rules(sampling.Ratio(0.5), fifty(byRoute)...), plain},
		"ParentBased, root":               {sampling.ParentBased(sampling.Ratio(0.5)), request},
		"ParentBased, child":              {sampling.ParentBased(sampling.Ratio(0.5)), parent},
		"ParentBased, unsampled caller":   {sampling.ParentBased(sampling.Rules(nil, fifty(byRoute)...)), unsampled},
		"ParentBased, dropped caller":     {sampling.ParentBased(sampling.Rules(sampling.Drop(), fifty(byPath)...)), unsampled},
		"the SDK's ratio, for comparison": {sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.5)), request},
	}
}

// fifty returns rules of the kinds in turn, none of which matches.
func fifty(kinds ...func(i int) sampling.Rule) []sampling.Rule {
	rules := make([]sampling.Rule, 50)
	for i := range rules {
		rules[i] = kinds[i%len(kinds)](i)
	}
	return rules
}

// The other route is as long as the request's, which is the slowest to compare.
func byRoute(i int) sampling.Rule {
	return sampling.Rule{Method: http.MethodGet, Route: fmt.Sprintf("/items/{%02d", i)}
}

func byPath(i int) sampling.Rule {
	return sampling.Rule{PathPrefix: fmt.Sprintf("/items/%d", 20+i)}
}

func byHeader(i int) sampling.Rule {
	return sampling.Rule{Header: fmt.Sprintf("x-debug-%d", i)}
}

func serving(request headsample.Request) context.Context {
	return headsample.WithHeader(&headsample.Context{Context: context.Background(), Request: request, Kind: trace.SpanKindServer}, request.Header)
}

func BenchmarkDecision(b *testing.B) {
	ids := make([]trace.TraceID, 1024)
	source := newTraceIDs()
	for i := range ids {
		ids[i] = source.next()
	}
	for name, row := range decisions() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				row.parameters.TraceID = ids[i%len(ids)]
				row.sampler.ShouldSample(row.parameters)
			}
		})
	}
}

// Not parallel: counts allocations.
func TestADecisionAllocatesNothing(t *testing.T) {
	for name, row := range decisions() {
		source := newTraceIDs()
		decide := func() {
			row.parameters.TraceID = source.next()
			row.sampler.ShouldSample(row.parameters)
		}
		for range 10000 {
			decide() // makes the levels of a growing load
		}
		if got := testing.AllocsPerRun(1000, decide); got != 0 {
			t.Errorf("%s: got %v allocations for a decision, want none", name, got)
		}
	}
}
