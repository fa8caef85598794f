package sampling_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/sampling"
)

// What is kept in any period is at most the rate times its length, and a burst
// of a tenth of a second's worth.
func TestRateLimitIsNeverExceeded(t *testing.T) {
	t.Parallel()
	ids := newTraceIDs()
	for name, row := range map[string]struct {
		perSecond, burst float64
		arrivals         func(step int) int // in steps of a millisecond
	}{
		"constant load":            {100, 10, func(int) int { return 2 }},
		"a burst each two seconds": {100, 10, func(step int) int { return 1000 * (1 - min(step%2000, 1)) }},
		"random load":              {100, 10, func(int) int { return ids.poisson(0.3) }},
		"one a second":             {1, 1, func(int) int { return 1 }},
		"one in ten seconds":       {0.1, 1, func(int) int { return 1 }},
		"many a second":            {50_000, 5000, func(int) int { return 70 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const steps = 20_000
				sampler := sampling.RateLimit(row.perSecond)
				ahead, total := 0.0, 0
				for step := range steps {
					for range row.arrivals(step) {
						if kept(sampler.ShouldSample(sdktrace.SamplingParameters{})) {
							ahead++
							total++
						}
					}
					if ahead > row.burst+1e-3 {
						t.Fatalf("step %d: %v ahead of the rate, want at most %v", step, ahead, row.burst)
					}
					ahead = max(0, ahead-row.perSecond/1000)
					pass(time.Millisecond)
				}
				if name == "a burst each two seconds" {
					if total != steps/2000*10 {
						t.Errorf("%d were kept, want 10 of each burst", total)
					}
				} else if want := row.perSecond * steps / 1000; float64(total) < 0.98*want {
					t.Errorf("%d were kept, want about %.0f", total, want)
				}
			})
		})
	}
}

func TestRateLimitIsFairOverTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sampler := sampling.RateLimit(100)
		for tenth := range 100 {
			n := 0
			for range 100 {
				if kept(sampler.ShouldSample(sdktrace.SamplingParameters{})) {
					n++
				}
				pass(time.Millisecond)
			}
			if tenth > 0 && (n < 9 || n > 11) {
				t.Errorf("%d were kept in tenth %d, want 10", n, tenth)
			}
		}
	})
}

func TestRateLimitDropsNothingBelowHalfOfIt(t *testing.T) {
	t.Parallel()
	ids := newTraceIDs()
	for name, pause := range map[string]func() time.Duration{
		"regular arrivals": func() time.Duration { return 20 * time.Millisecond },
		"random arrivals":  func() time.Duration { return time.Duration(ids.ExpFloat64() * float64(20*time.Millisecond)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sampler := sampling.RateLimit(100)
				for i := range 3000 {
					if !kept(sampler.ShouldSample(sdktrace.SamplingParameters{})) {
						t.Fatalf("arrival %d was dropped", i)
					}
					pass(pause())
				}
			})
		})
	}
}

func TestRateLimitAtItsEdges(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		perSecond float64
		want      int
	}{
		"zero keeps none":         {0, 0},
		"below zero keeps none":   {-1, 0},
		"not a number keeps none": {nan, 0},
		"little keeps one":        {math.SmallestNonzeroFloat64, 1},
		"without limit all":       {math.Inf(1), 100},
		"with a great limit all":  {math.MaxFloat64, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sampler, n := sampling.RateLimit(row.perSecond), 0
				for range 100 {
					if kept(sampler.ShouldSample(sdktrace.SamplingParameters{})) {
						n++
					}
				}
				if n != row.want {
					t.Errorf("%d of 100 were kept, want %d", n, row.want)
				}
			})
		})
	}
}
