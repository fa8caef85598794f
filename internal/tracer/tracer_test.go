package tracer_test

import (
	"context"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/sampling"
)

// foreign is a sampler of a service's own.
type foreign struct{ sdktrace.Sampler }

func (foreign) Description() string { return "ShopSampler" }

// inheriting is one that does not say so.
type inheriting struct{ sdktrace.Sampler }

var unlimited = tracer.Limits{ForcedPerSecond: math.Inf(1), RescuesPerSecond: math.Inf(1), SlowerThan: time.Second}

func TestSamplersThatCanBeAsked(t *testing.T) {
	t.Parallel()
	rules := sampling.Rules(sampling.Ratio(0.1), sampling.Rule{Route: "/orders/{id}", Sampler: sampling.Keep()})
	tests := map[string]struct {
		sampler          sdktrace.Sampler
		decides, byRoute bool
		final            bool // nothing is rescued
	}{
		"always on":                 {sdktrace.AlwaysSample(), true, false, false},
		"always off":                {sdktrace.NeverSample(), true, false, true},
		"parent-based, off":         {sdktrace.ParentBased(sdktrace.NeverSample()), true, false, true},
		"a ratio of the SDK":        {sdktrace.TraceIDRatioBased(1e-9), true, false, false},
		"parent-based ratio":        {sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.25)), true, false, false},
		"parents otherwise":         {sdktrace.ParentBased(sdktrace.AlwaysSample(), sdktrace.WithRemoteParentSampled(sdktrace.NeverSample())), true, false, false},
		"all recorded":              {sdktrace.AlwaysRecord(sdktrace.NeverSample()), true, false, false},
		"a ratio of ours":           {sampling.Ratio(1e-9), true, false, false},
		"a rate":                    {sampling.RateLimit(10), true, false, false},
		"an adaptive rate":          {sdktrace.ParentBased(sampling.Adaptive(10)), true, true, false},
		"rules":                     {sdktrace.ParentBased(rules), true, true, false},
		"what is dropped":           {sampling.Drop(), true, false, true},
		"a service's own":           {foreign{sdktrace.AlwaysSample()}, false, false, false},
		"one that says it is ours":  {inheriting{sdktrace.AlwaysSample()}, false, false, false},
		"that one inside ours":      {sampling.ParentBased(inheriting{sdktrace.AlwaysSample()}), false, false, false},
		"that one inside the SDK's": {sdktrace.ParentBased(&inheriting{sdktrace.NeverSample()}), false, false, false},
		"that one inside rules":     {sampling.Rules(inheriting{sdktrace.AlwaysSample()}), false, true, false},
		"that one inside a rule":    {sampling.Rules(nil, sampling.Rule{Sampler: inheriting{sdktrace.AlwaysSample()}}), false, true, false},
		"a rule about headers":      {sampling.Rules(nil, sampling.Rule{Header: "X-Debug"}), true, true, false},
		"a service's own inside":    {sdktrace.ParentBased(foreign{sdktrace.AlwaysSample()}), false, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tracer.New(tt.sampler, unlimited)
			decision, decides := p.Decide(t.Context(), trace.SpanKindServer)
			if decides != tt.decides || p.NeedsRoute() != tt.byRoute || decision.Final != tt.final {
				t.Errorf("%s: decides %v, by route %v, final %v; want %v, %v, %v",
					tt.sampler.Description(), decides, p.NeedsRoute(), decision.Final, tt.decides, tt.byRoute, tt.final)
			}
		})
	}
}

// Asking first and then starting the span gives the span that was told of.
func TestDecisionIsThatOfTheSpan(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("ot=rv:ffffffffffffff,vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true).WithTraceState(state)
	parents := map[string]trace.SpanContext{
		"no parent":               {},
		"a sampled parent":        remote.WithTraceFlags(trace.FlagsSampled),
		"an unsampled parent":     remote,
		"a sampled local parent":  remote.WithTraceFlags(trace.FlagsSampled).WithRemote(false),
		"an unsampled one":        remote.WithRemote(false),
		"a parent of random bits": remote.WithTraceFlags(3),
	}
	samplers := map[string]sdktrace.Sampler{
		"all": sdktrace.AlwaysSample(), "none": sdktrace.NeverSample(), "by parent": sdktrace.ParentBased(sdktrace.AlwaysSample()),
		"half": sampling.Ratio(0.5), "recorded": sdktrace.AlwaysRecord(sdktrace.NeverSample()),
	}
	for parentName, parent := range parents {
		for samplerName, sampler := range samplers {
			t.Run(parentName+", "+samplerName, func(t *testing.T) {
				t.Parallel()
				spans := tracetest.NewSpanRecorder()
				p := tracer.New(sampler, unlimited, sdktrace.WithSpanProcessor(spans))
				ctx := &headsample.Context{Context: trace.ContextWithSpanContext(t.Context(), parent), Kind: trace.SpanKindServer}
				decision, _ := p.Decide(ctx, trace.SpanKindServer)
				if decision.SpanContext.TraceID() != parent.TraceID() && parent.IsValid() || decision.SpanContext.SpanID() == parent.SpanID() {
					t.Errorf("got %v of %v", decision.SpanContext, parent)
				}
				if !decision.Recording {
					if decision.SpanContext.IsSampled() || !decision.SpanContext.IsValid() || decision.SpanContext.TraceState().String() != parent.TraceState().String() {
						t.Errorf("got %+v of %v", decision, parent)
					}
					return // no span is started
				}
				ctx.Leave(decision)
				inSpan, span := p.Tracer("test").Start(ctx, "request")
				if !span.SpanContext().Equal(decision.SpanContext) || !span.IsRecording() {
					t.Errorf("the span is %v, recording %v; told was %+v", span.SpanContext(), span.IsRecording(), decision)
				}
				_, child := p.Tracer("test").Start(inSpan, "child")
				if child.SpanContext().SpanID() == decision.SpanContext.SpanID() || child.SpanContext().TraceID() != decision.SpanContext.TraceID() {
					t.Errorf("the child is %v", child.SpanContext())
				}
				_, other := p.Tracer("test").Start(ctx, "sibling", trace.WithNewRoot())
				if other.SpanContext().TraceID() == decision.SpanContext.TraceID() || other.SpanContext().SpanID() == decision.SpanContext.SpanID() {
					t.Errorf("a second span is %v, as the first", other.SpanContext())
				}
			})
		}
	}
}

func TestAttributesOfTheSamplerAreOnTheSpan(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	p := tracer.New(sdktrace.NeverSample(), unlimited, sdktrace.WithSpanProcessor(spans))
	_, ids := headsample.NewIDs(trace.SpanContext{})
	ctx := &headsample.Context{Context: t.Context(), Kind: trace.SpanKindServer}
	ctx.Leave(headsample.Decision{
		Recording:   true,
		SpanContext: headsample.Unsampled(trace.SpanContext{}).WithSpanID(ids).WithTraceFlags(trace.FlagsSampled),
		Attributes:  []attribute.KeyValue{attribute.String("rule", "orders")},
	})
	_, span := p.Tracer("test").Start(ctx, "request")
	span.End()
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].SpanContext().SpanID() != ids || len(ended[0].Attributes()) != 1 {
		t.Errorf("got %v", ended)
	}
}

func TestForcedSamplesAreBounded(t *testing.T) {
	t.Parallel()
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true).WithTraceFlags(trace.FlagsSampled)
	tests := map[string]struct {
		perSecond float64
		parent    trace.SpanContext
		sampled   int // of 10 at once, and as many a second later
		later     int
	}{
		"none":                     {0, remote, 0, 0},
		"three a second":           {3, remote, 3, 3},
		"one in two seconds":       {0.5, remote, 1, 0},
		"without bound":            {math.Inf(1), remote, 10, 10},
		"not of a local parent":    {0, remote.WithRemote(false), 10, 10},
		"not of an unsampled one":  {math.Inf(1), remote.WithTraceFlags(0), 0, 0},
		"not of what has no trace": {math.Inf(1), trace.SpanContext{}, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := tracer.New(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0)), tracer.Limits{ForcedPerSecond: tt.perSecond})
				count := func() (n int) {
					for range 10 {
						d, _ := p.Decide(trace.ContextWithSpanContext(t.Context(), tt.parent), trace.SpanKindServer)
						if d.SpanContext.IsSampled() {
							n++
						}
						if tt.parent.IsValid() && d.SpanContext.TraceID() != tt.parent.TraceID() {
							t.Errorf("the trace is %s, want that of the parent", d.SpanContext.TraceID())
						}
					}
					return n
				}
				if n := count(); n != tt.sampled {
					t.Errorf("got %d samples at once, want %d", n, tt.sampled)
				}
				<-time.After(time.Second)
				if n := count(); n != tt.later {
					t.Errorf("got %d samples a second later, want %d", n, tt.later)
				}
			})
		})
	}
}

func TestWhatIsRescued(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limits   tracer.Limits
		failed   bool
		duration time.Duration
		rescued  int // of 10 at once
	}{
		"failures":                  {tracer.Limits{RescuesPerSecond: 4, SlowerThan: time.Second}, true, 0, 4},
		"what is slow, by half":     {tracer.Limits{RescuesPerSecond: 4, SlowerThan: time.Second}, false, time.Second, 2},
		"nothing that is in time":   {tracer.Limits{RescuesPerSecond: 4, SlowerThan: time.Second}, false, time.Second - 1, 0},
		"nothing when switched off": {tracer.Limits{SlowerThan: time.Second}, true, time.Hour, 0},
		"everything without bound":  {unlimited, true, 0, 10},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, n := tracer.New(sdktrace.AlwaysSample(), tt.limits), 0
				for range 10 {
					if p.Rescue(tt.failed, tt.duration) {
						n++
					}
				}
				if n != tt.rescued {
					t.Errorf("got %d, want %d", n, tt.rescued)
				}
			})
		})
	}
}

func TestSlowRequestsLeaveRoomForThoseThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, failed := tracer.New(sdktrace.AlwaysSample(), tracer.Limits{RescuesPerSecond: 10, SlowerThan: time.Second}), 0
		for range 100 {
			p.Rescue(false, time.Minute)
		}
		for range 100 {
			if p.Rescue(true, 0) {
				failed++
			}
		}
		if failed != 5 {
			t.Errorf("%d failures are rescued after many slow requests, want 5 of 10", failed)
		}
	})
}

// Above the bound nobody knows how probable it was that a span is kept, unless
// the sampler keeps all.
// A service's own sampler is bounded whatever it is called.
func TestBoundOfASamplerWhoseNameBeginsAsOurs(t *testing.T) {
	t.Parallel()
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true).WithTraceFlags(trace.FlagsSampled)
	for name, sampler := range map[string]sdktrace.Sampler{
		"inherited": sdktrace.ParentBased(inheriting{sdktrace.NeverSample()}), "own": sdktrace.ParentBased(keepPayments{sdktrace.NeverSample()}),
	} {
		c := &headsample.Context{Context: trace.ContextWithSpanContext(t.Context(), remote), Kind: trace.SpanKindServer}
		c.Ask()
		_, span := tracer.New(sampler, tracer.Limits{}).Tracer("test").Start(c, "request")
		if span.SpanContext().IsSampled() || c.Final {
			t.Errorf("%s: got sampled %v, final %v; want neither", name, span.SpanContext().IsSampled(), c.Final)
		}
	}
}

type keepPayments struct{ sdktrace.Sampler }

func (keepPayments) Description() string { return "KeepPayments" }

// Samplers see headers while they decide, and never after.
func TestHeadersAreThereForTheDecision(t *testing.T) {
	t.Parallel()
	byHeader := sampling.Rules(sampling.Drop(), sampling.Rule{Header: "X-Debug", Sampler: sampling.Keep()})
	byBoth := sampling.Rules(sampling.Drop(), sampling.Rule{Header: "X-Debug", Sampler: sampling.Keep()},
		sampling.Rule{Attribute: attribute.String("tenant", "acme"), Sampler: sampling.Keep()})
	for name, sampler := range map[string]sdktrace.Sampler{"asked first": byHeader, "asked late": byBoth} {
		p := tracer.New(sampler, unlimited)
		c := &headsample.Context{Context: t.Context(), Kind: trace.SpanKindServer}
		c.Request.Header = http.Header{"X-Debug": {"1"}}
		if d, ok := p.Decide(c, trace.SpanKindServer); ok {
			c.Leave(d)
		} else {
			c.Ask()
		}
		inSpan, span := p.Tracer("test").Start(c, "request")
		_, later := p.Tracer("test").Start(inSpan, "later", trace.WithNewRoot())
		if !span.SpanContext().IsSampled() || later.SpanContext().IsSampled() {
			t.Errorf("%s: got sampled %v, and later %v; want true, false", name, span.SpanContext().IsSampled(), later.SpanContext().IsSampled())
		}
	}
}

func TestThresholdAboveTheBound(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("ot=th:8;rv:ffffffffffffff,vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	parent := headsample.Unsampled(trace.SpanContext{}).WithRemote(true).WithTraceFlags(trace.FlagsSampled).WithTraceState(state)
	const without, with = "ot=rv:ffffffffffffff,vendor=1", "ot=th:8;rv:ffffffffffffff,vendor=1"
	tests := map[string]struct {
		root    sdktrace.Sampler
		sampled bool
		want    string
	}{
		"a sampler that keeps all":        {sdktrace.AlwaysSample(), true, with},
		"ours that keeps all":             {sampling.Keep(), true, with},
		"a ratio that keeps this one":     {sampling.Ratio(0.25), true, without},
		"the SDK's ratio that keeps this": {sdktrace.TraceIDRatioBased(1 - 1e-15), true, without},
		"a ratio that drops":              {sdktrace.TraceIDRatioBased(0), false, without},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tracer.New(sdktrace.ParentBased(tt.root), tracer.Limits{})
			d, _ := p.Decide(trace.ContextWithSpanContext(t.Context(), parent), trace.SpanKindServer)
			if d.SpanContext.IsSampled() != tt.sampled || d.SpanContext.TraceState().String() != tt.want {
				t.Errorf("got sampled %v with %q, want %v with %q",
					d.SpanContext.IsSampled(), d.SpanContext.TraceState(), tt.sampled, tt.want)
			}
		})
	}
}

// A sampler that is only asked when the span is started obeys the same bound,
// and it is known afterwards whether what it dropped may be rescued.
func TestSamplerThatIsAskedLate(t *testing.T) {
	t.Parallel()
	remote := headsample.Unsampled(trace.SpanContext{}).WithRemote(true).WithTraceFlags(trace.FlagsSampled)
	attributes := sampling.Rule{Attribute: attribute.String("tenant", "acme"), Sampler: sampling.Keep()}
	tests := map[string]struct {
		sampler sdktrace.Sampler
		parent  trace.SpanContext
		final   bool
	}{
		"a drop that is final":   {sampling.Rules(sampling.Drop(), attributes), trace.SpanContext{}, true},
		"a drop that is not":     {sampling.Rules(sampling.Ratio(0), attributes), trace.SpanContext{}, false},
		"a parent above a bound": {sdktrace.ParentBased(foreign{sdktrace.TraceIDRatioBased(0)}), remote, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tracer.New(tt.sampler, tracer.Limits{})
			c := &headsample.Context{Context: trace.ContextWithSpanContext(t.Context(), tt.parent), Kind: trace.SpanKindServer}
			if _, ok := p.Decide(c, trace.SpanKindServer); ok {
				t.Fatal("the sampler was asked before there are attributes")
			}
			c.Ask()
			_, span := p.Tracer("test").Start(c, "request")
			if span.SpanContext().IsSampled() || c.Final != tt.final {
				t.Errorf("got sampled %v, final %v; want false, %v", span.SpanContext().IsSampled(), c.Final, tt.final)
			}
			if c, _ := headsample.Pending(c); c != nil {
				t.Error("the sampler would be asked again")
			}
		})
	}
}

func TestOptionsAreNotOverwritten(t *testing.T) {
	t.Parallel()
	first, second := tracetest.NewSpanRecorder(), tracetest.NewSpanRecorder()
	options := append(make([]sdktrace.TracerProviderOption, 0, 10), sdktrace.WithSpanProcessor(first))
	on := tracer.New(sdktrace.AlwaysSample(), unlimited, options...)
	tracer.New(sdktrace.NeverSample(), unlimited, append(options, sdktrace.WithSpanProcessor(second))...)
	_, span := on.Tracer("test").Start(context.Background(), "request")
	span.End()
	if len(first.Ended()) != 1 || len(second.Ended()) != 0 {
		t.Errorf("got %d and %d spans, want 1 and 0", len(first.Ended()), len(second.Ended()))
	}
}
