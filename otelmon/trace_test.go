package otelmon_test

import (
	"cmp"
	"context"
	"math"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
)

// sampledOf returns how many of so many spans are sampled.
func sampledOf(ctx context.Context, s *service, spans int) (n int) {
	for range spans {
		_, span := s.TracerProvider().Tracer("test").Start(ctx, "span")
		if span.SpanContext().IsSampled() {
			n++
		}
		span.End()
	}
	return n
}

// parent is a remote one.
func parent(ctx context.Context, flags trace.TraceFlags) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags,
	}))
}

// Not parallel: sets environment variables.
func TestOwnSamplersKeepWhatTheirArgumentSays(t *testing.T) {
	for name, row := range map[string]struct {
		sampler, argument string
		least, most       int // of 1000 new traces at once
	}{
		"a ratio keeps all by default":       {"otelmon_ratio", "", 1000, 1000},
		"a ratio of a half":                  {"otelmon_ratio", "0.5", 400, 600},
		"a limit of 100 by default":          {"otelmon_ratelimit", "", 10, 200},
		"a limit of one in a thousand":       {"otelmon_ratelimit", "0.001", 1, 1},
		"ten a route by default":             {"OTELMON_ADAPTIVE", "", 10, 110}, // 10 (1 + ln 100)
		"one a route in a thousand seconds":  {"otelmon_adaptive", "0.001", 1, 25},
		"many a route":                       {"otelmon_adaptive", "1e6", 1000, 1000},
		"the greatest limit":                 {"otelmon_ratelimit", "1000000", 1000, 1000},
		"a ratio of nothing keeps no traces": {"otelmon_ratio", "0", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_TRACES_SAMPLER": row.sampler, "OTEL_TRACES_SAMPLER_ARG": row.argument})
			if s.setupErr != nil {
				t.Error(s.setupErr)
			}
			if got := sampledOf(t.Context(), s, 1000); got < row.least || got > row.most {
				t.Errorf("%d of 1000 new traces were kept, want %d to %d", got, row.least, row.most)
			}
			if got := sampledOf(parent(t.Context(), trace.FlagsSampled), s, 10); got != 10 {
				t.Errorf("%d of 10 children of a sampled parent were kept", got)
			}
			if got := sampledOf(parent(t.Context(), 0), s, 10); got != 0 {
				t.Errorf("%d of 10 children of an unsampled parent were kept", got)
			}
		})
	}
}

// Not parallel: sets environment variables.
func TestABadRateKeepsOnePercentNeverAll(t *testing.T) {
	for sampler, accepted := range map[string]string{
		"otelmon_ratio":     "accepted: a ratio from 0 to 1",
		"otelmon_ratelimit": "accepted: a number above 0, up to 1000000",
		"otelmon_adaptive":  "accepted: a number above 0, up to 1000000",
	} {
		for _, argument := range []string{"-1", "NaN", "Inf", "1e999", "1000001", "many", "10/s"} {
			t.Run(sampler+" "+argument, func(t *testing.T) {
				s := with(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
				wantError(t, s.setupErr, "OTEL_TRACES_SAMPLER_ARG", argument)
				if !strings.HasSuffix(errorText(s.setupErr), accepted) {
					t.Errorf("got %v, want an error that ends in %q", s.setupErr, accepted)
				}
				// 50 are expected; 5 and 150 are more than six deviations away.
				if got := sampledOf(t.Context(), s, 5000); got < 5 || got > 150 {
					t.Errorf("%d of 5000 new traces were kept, want about 50", got)
				}
				if got := sampledOf(parent(t.Context(), trace.FlagsSampled), s, 10); got != 10 {
					t.Errorf("%d of 10 children of a sampled parent were kept", got)
				}
			})
		}
	}
	for _, sampler := range []string{"otelmon_ratelimit", "otelmon_adaptive"} {
		s := with(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0"})
		wantError(t, s.setupErr, "OTEL_TRACES_SAMPLER_ARG", `"0"`)
	}
}

// Not parallel: sets environment variables.
func TestAnArgumentThatTheSamplerDoesNotUseIsReported(t *testing.T) {
	for sampler, roots := range map[string]int{
		"": 10, "always_on": 10, "always_off": 0, "parentbased_always_on": 10, "parentbased_always_off": 0, "Parentbased_Always_Off": 0,
	} {
		t.Run(cmp.Or(sampler, "the default"), func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.1"})
			used := cmp.Or(strings.ToLower(sampler), "parentbased_always_on")
			wantError(t, s.setupErr, `OTEL_TRACES_SAMPLER_ARG="0.1": not used by `+used, "no value")
			if got := sampledOf(t.Context(), s, 10); got != roots {
				t.Errorf("%d of 10 new traces were kept, want %d as without the argument", got, roots)
			}
		})
	}
	s := with(t, map[string]string{"OTEL_TRACES_SAMPLER": "dice", "OTEL_TRACES_SAMPLER_ARG": "0.1"})
	wantError(t, s.setupErr, `OTEL_TRACES_SAMPLER="dice"`)
	if strings.Contains(errorText(s.setupErr), "OTEL_TRACES_SAMPLER_ARG") {
		t.Errorf("the argument of an unknown sampler was judged: %v", s.setupErr)
	}
}

func TestASamplerForRootsIsMadeParentBased(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		sampler                     sdktrace.Sampler
		roots, ofSampled, unsampled int // kept of 10
	}{
		"a ratio of none":        {sampling.Ratio(0), 0, 10, 0},
		"Keep":                   {sampling.Keep(), 10, 10, 0},
		"rules":                  {sampling.Rules(sampling.Drop()), 0, 10, 0},
		"parent-based already":   {sampling.ParentBased(sampling.Keep()), 10, 10, 0},
		"the SDK's, as it is":    {sdktrace.NeverSample(), 0, 0, 0},
		"the SDK's always":       {sdktrace.AlwaysSample(), 10, 10, 10},
		"the SDK's parent-based": {sdktrace.ParentBased(sdktrace.AlwaysSample()), 10, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setUp(t, otelmon.Config{Sampler: row.sampler})
			roots := sampledOf(t.Context(), s, 10)
			ofSampled := sampledOf(parent(t.Context(), trace.FlagsSampled), s, 10)
			unsampled := sampledOf(parent(t.Context(), 0), s, 10)
			if roots != row.roots || ofSampled != row.ofSampled || unsampled != row.unsampled {
				t.Errorf("kept of 10 roots, children of sampled and of unsampled: got %d, %d, %d, want %d, %d, %d",
					roots, ofSampled, unsampled, row.roots, row.ofSampled, row.unsampled)
			}
		})
	}
}

// The threshold arrives at the Collector with the span.
func TestSpansCarryTheThreshold(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{Sampler: sampling.Ratio(math.Nextafter(1, 0))})
	spans := spansOf(s.deliver(t))
	if len(spans) != 1 || spans[0].GetTraceState() != "ot=th:0" {
		t.Errorf("got spans %v, want one with tracestate ot=th:0", spans)
	}
}
