package sampling_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/sampling"
)

// service is a program with an SDK of its own.
type service struct {
	tracer   trace.Tracer
	exported *tracetest.InMemoryExporter
}

func newService(t testing.TB, sampler sdktrace.Sampler) service {
	t.Helper()
	exported := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSyncer(exported))
	t.Cleanup(func() { _ = provider.Shutdown(context.WithoutCancel(t.Context())) })
	return service{provider.Tracer("test"), exported}
}

// call starts a span in the service and returns what it sends to the next.
func (s service) call(ctx context.Context, received propagation.MapCarrier) (sent propagation.MapCarrier, span trace.SpanContext) {
	propagator := propagation.TraceContext{}
	ctx, started := s.tracer.Start(propagator.Extract(ctx, received), "operation")
	defer started.End()
	sent = propagation.MapCarrier{}
	propagator.Inject(ctx, sent)
	return sent, started.SpanContext()
}

func TestThresholdsTravelThroughServices(t *testing.T) {
	t.Parallel()
	first := newService(t, sampling.ParentBased(sampling.Ratio(0.25)))
	follower := newService(t, sampling.ParentBased(sampling.Drop()))
	sdk := newService(t, sdktrace.ParentBased(sdktrace.NeverSample()))
	higher, lower := newService(t, sampling.Ratio(0.5)), newService(t, sampling.Ratio(0.125))
	var keptCount, keptByLower int
	for range 2000 {
		sent, root := first.call(t.Context(), nil)
		_, followed := follower.call(t.Context(), sent)
		_, bySDK := sdk.call(t.Context(), sent)
		_, above := higher.call(t.Context(), sent)
		_, below := lower.call(t.Context(), sent)
		if followed.IsSampled() != root.IsSampled() || bySDK.IsSampled() != root.IsSampled() {
			t.Fatalf("%s: a follower decided differently", root.TraceID())
		}
		if root.IsSampled() && !above.IsSampled() || below.IsSampled() && !root.IsSampled() {
			t.Fatalf("%s: ratios of 1/2, 1/4 and 1/8 are not consistent: %v, %v, %v", root.TraceID(), above.IsSampled(), root.IsSampled(), below.IsSampled())
		}
		if root.IsSampled() {
			keptCount++
		}
		if below.IsSampled() {
			keptByLower++
		}
	}
	// 500 and 250 are expected, with deviations below 20.
	if keptCount < 400 || keptCount > 600 || keptByLower < 175 || keptByLower > 325 {
		t.Errorf("of 2000, %d were kept at 1/4 and %d at 1/8", keptCount, keptByLower)
	}
	for _, row := range []struct {
		name string
		service
		want string
	}{{"root", first, "ot=th:c"}, {"follower", follower, "ot=th:c"}, {"SDK", sdk, "ot=th:c"}, {"half", higher, "ot=th:8"}, {"eighth", lower, "ot=th:e"}} {
		for _, span := range row.exported.GetSpans() {
			if got := span.SpanContext.TraceState().String(); got != row.want {
				t.Fatalf("%s: got %q, want %q", row.name, got, row.want)
			}
		}
		if len(row.exported.GetSpans()) == 0 {
			t.Errorf("%s: no span", row.name)
		}
	}
}

// A fleet that changes over from the SDK's ratio: its traces are followed and
// nothing is claimed of them.
func TestTracesOfTheSDKsRatioAreFollowedWithoutAThreshold(t *testing.T) {
	t.Parallel()
	first := newService(t, sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.5)))
	follower := newService(t, sampling.ParentBased(sampling.Ratio(0.1)))
	sampled := 0
	for range 200 {
		sent, root := first.call(t.Context(), nil)
		_, followed := follower.call(t.Context(), sent)
		if followed.IsSampled() != root.IsSampled() {
			t.Fatalf("%s: got %v, want the parent's decision", root.TraceID(), followed.IsSampled())
		}
		if got := followed.TraceState().String(); got != "" {
			t.Fatalf("%s: got tracestate %q, want none", root.TraceID(), got)
		}
		if root.IsSampled() {
			sampled++
		}
	}
	if sampled < 50 || sampled > 150 {
		t.Errorf("%d of 200 were sampled, want about 100", sampled)
	}
}

func TestLocalChildrenFollowTheirParent(t *testing.T) {
	t.Parallel()
	for name, sampler := range map[string]sdktrace.Sampler{"kept": sampling.Ratio(1), "dropped": sampling.Drop(), "kept by a limit": sampling.RateLimit(1e6)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, sampling.ParentBased(sampler))
			ctx, root := s.tracer.Start(t.Context(), "root")
			_, inner := s.tracer.Start(ctx, "inner")
			if got, want := inner.SpanContext().IsSampled(), root.SpanContext().IsSampled(); got != want || want == (name == "dropped") {
				t.Errorf("child sampled: %v, root sampled: %v", got, want)
			}
			if got, want := inner.SpanContext().TraceState().String(), root.SpanContext().TraceState().String(); got != want {
				t.Errorf("child: got tracestate %q, want the root's %q", got, want)
			}
		})
	}
}
