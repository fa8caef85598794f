package tracer_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/sampling"
)

// observe returns a function that collects otel.sdk.span.started: the count by origin of the parent and result.
func observe(t *testing.T, p *tracer.Provider) func() map[string]int64 {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	if err := p.Observe(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))); err != nil {
		t.Fatal(err)
	}
	return func() map[string]int64 {
		t.Helper()
		var data metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int64{}
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
					origin, _ := point.Attributes.Value(telemetry.ParentOrigin)
					result, _ := point.Attributes.Value(telemetry.SamplingResult)
					counts[m.Name+" "+m.Unit+" "+origin.AsString()+" "+result.AsString()] = point.Value
				}
			}
		}
		return counts
	}
}

func TestEveryDecisionIsCountedOnce(t *testing.T) {
	t.Parallel()
	root := headsample.Unsampled(trace.SpanContext{})
	parents := map[string]trace.SpanContext{"none": {}, "local": root, "remote": root.WithRemote(true)}
	samplers := map[string]sdktrace.Sampler{
		"DROP": sdktrace.NeverSample(), "RECORD_ONLY": sdktrace.AlwaysRecord(sdktrace.NeverSample()), "RECORD_AND_SAMPLE": sdktrace.AlwaysSample(),
	}
	for origin, parent := range parents {
		for result, sampler := range samplers {
			t.Run(origin+", "+result, func(t *testing.T) {
				t.Parallel()
				p := tracer.New(sampler, unlimited)
				counts := observe(t, p)
				if got := counts(); len(got) != 0 {
					t.Errorf("got %v before the first decision", got)
				}
				ctx := trace.ContextWithSpanContext(t.Context(), parent)

				// A request of the middleware that is asked about first.
				request(ctx, t, p)
				// One that the sampler is asked about when the span is started.
				asked := &headsample.Context{Context: ctx, Kind: trace.SpanKindServer}
				asked.Ask()
				_, span := p.Tracer("test").Start(asked, "asked")
				span.End()
				// A span of the service.
				_, span = p.Tracer("test").Start(ctx, "span")
				span.End()

				want := map[string]int64{telemetry.SpanStarted + " {span} " + origin + " " + result: 3}
				if diff := cmp.Diff(want, counts()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// request does as the middleware does with a request, and returns whether it has a span.
func request(parent context.Context, t testing.TB, p *tracer.Provider) bool {
	t.Helper()
	ctx := &headsample.Context{Context: parent, Kind: trace.SpanKindServer}
	decision, ok := p.Decide(ctx, trace.SpanKindServer)
	if !ok {
		t.Fatal("it does not decide")
	}
	if !decision.Recording {
		return false
	}
	ctx.Leave(decision)
	_, span := p.Tracer("test").Start(ctx, "request")
	span.End()
	return true
}

func TestWhatIsCountedOfARescueAndOfAParentAboveTheBound(t *testing.T) {
	t.Parallel()
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true)
	tests := map[string]struct {
		parent trace.SpanContext
		rescue bool
		want   map[string]int64
	}{
		"a request without a parent":            {trace.SpanContext{}, false, map[string]int64{"none DROP": 1}},
		"one that is rescued":                   {trace.SpanContext{}, true, map[string]int64{"none DROP": 1, "none RECORD_AND_SAMPLE": 1}},
		"one that is rescued in a remote trace": {remote, true, map[string]int64{"remote DROP": 1, "remote RECORD_AND_SAMPLE": 1}},
		"a sampled parent above the bound keeps its origin": {
			remote.WithTraceFlags(trace.FlagsSampled), false, map[string]int64{"remote DROP": 1, "remote RECORD_AND_SAMPLE": 1},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := tracer.Limits{ForcedPerSecond: 1e-9, RescuesPerSecond: 1, SlowerThan: time.Hour} // one parent is obeyed
			p := tracer.New(sampling.ParentBased(sampling.Ratio(1e-17)), limits)
			counts := observe(t, p)
			parent := trace.ContextWithSpanContext(t.Context(), tt.parent)
			if tt.parent.IsSampled() {
				request(parent, t, p)
			}
			if request(parent, t, p) {
				t.Fatal("it was sampled")
			}
			if tt.rescue {
				if !p.Rescue(true, 0) {
					t.Fatal("it is not rescued")
				}
				again := &headsample.Context{Context: parent, Kind: trace.SpanKindServer}
				sc := headsample.Unsampled(tt.parent).WithTraceFlags(trace.FlagsSampled)
				again.Leave(headsample.Decision{Recording: true, SpanContext: sc})
				_, span := p.Tracer("test").Start(again, "rescued")
				span.End()
			}
			want := map[string]int64{}
			for attributes, n := range tt.want {
				want[telemetry.SpanStarted+" {span} "+attributes] = n
			}
			if diff := cmp.Diff(want, counts()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Not parallel: allocations of other tests would count.
func TestCountingAllocatesNothing(t *testing.T) {
	p := tracer.New(sdktrace.NeverSample(), unlimited)
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true)
	ctx := trace.ContextWithSpanContext(context.Background(), remote)
	if got := testing.AllocsPerRun(1000, func() { p.Decide(ctx, trace.SpanKindServer) }); got != 0 {
		t.Errorf("got %v allocations for a decision", got)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := tracer.New(sdktrace.ParentBased(sdktrace.NeverSample()), unlimited)
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true)
	ctx := trace.ContextWithSpanContext(context.Background(), remote)
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(ctx, trace.SpanKindServer)
	}
}

func BenchmarkUnsampledSpan(b *testing.B) {
	p := tracer.New(sdktrace.ParentBased(sdktrace.NeverSample()), unlimited)
	t := p.Tracer("test")
	ctx := trace.ContextWithSpanContext(context.Background(), headsample.Unsampled(trace.SpanContext{}))
	b.ReportAllocs()
	for b.Loop() {
		t.Start(ctx, "span")
	}
}
