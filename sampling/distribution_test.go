package sampling_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/sampling"
)

// What a sampler keeps is spread evenly over all trace IDs: over the bits that
// it does not look at, and over the randomness above the threshold.
func TestWhatIsKeptIsSpreadEvenly(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		sampler func() sdktrace.Sampler
		ratio   float64 // to be kept, 0 when it is not fixed
	}{
		"Ratio of a tenth":     {func() sdktrace.Sampler { return sampling.Ratio(0.1) }, 0.1},
		"Ratio of a half":      {func() sdktrace.Sampler { return sampling.Ratio(0.5) }, 0.5},
		"Ratio of nine tenths": {func() sdktrace.Sampler { return sampling.Ratio(0.9) }, 0.9},
		"Keep":                 {sampling.Keep, 1},
		"RateLimit":            {func() sdktrace.Sampler { return sampling.RateLimit(1000) }, 0},
		"Adaptive":             {func() sdktrace.Sampler { return sampling.Adaptive(1000) }, 0},
		"Rules":                {func() sdktrace.Sampler { return sampling.Rules(nil, sampling.Rule{Sampler: sampling.Ratio(0.2)}) }, 0.2},
		"ParentBased":          {func() sdktrace.Sampler { return sampling.ParentBased(sampling.Ratio(0.3)) }, 0.3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				checkSpread(t, row.sampler(), row.ratio)
			})
		})
	}
}

// checkSpread takes a million decisions in 100 simulated seconds.
func checkSpread(t *testing.T, sampler sdktrace.Sampler, ratio float64) {
	t.Helper()
	const arrivals = 1_000_000
	ids := newTraceIDs()
	byHead, byRandomness, keptCount := make([]int, 256), make([]int, 100), 0
	for i := range arrivals {
		if i%1000 == 0 {
			pass(100 * time.Millisecond)
		}
		id := ids.next()
		result := sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: id})
		if !kept(result) {
			continue
		}
		keptCount++
		least := threshold(t, result)
		if randomness(id) < least {
			t.Fatalf("%s was kept with threshold %x", id, least)
		}
		byHead[id[0]]++
		byRandomness[(randomness(id)-least)*100/(never-least)]++
	}
	for what, cells := range map[string][]int{"first byte": byHead, "randomness": byRandomness} {
		got, limit := chiSquare(cells), critical(len(cells))
		if t.Logf("by %s: chi-square %.1f of %d cells, limit %.1f", what, got, len(cells), limit); got > limit {
			t.Errorf("by %s: chi-square %.1f, want at most %.1f", what, got, limit)
		}
	}
	expected := ratio * arrivals
	if deviation := math.Sqrt(expected * (1 - ratio)); ratio > 0 && math.Abs(float64(keptCount)-expected) > 4*deviation+100 {
		t.Errorf("%d were kept, want %.0f", keptCount, expected)
	}
	if keptCount < arrivals/20 {
		t.Errorf("%d were kept, too few to tell", keptCount)
	}
}

// The statistic must tell an uneven distribution, or it proves nothing.
func TestTheStatisticTellsUnevenFromEven(t *testing.T) {
	t.Parallel()
	ids := newTraceIDs()
	even, uneven := make([]int, 100), make([]int, 100)
	for range 100_000 {
		even[ids.IntN(100)]++
		uneven[max(ids.IntN(100), ids.IntN(15))]++
	}
	if got := chiSquare(even); got > critical(100) {
		t.Errorf("even: got %.1f, want at most %.1f", got, critical(100))
	}
	if got := chiSquare(uneven); got < critical(100) {
		t.Errorf("uneven: got %.1f, want above %.1f", got, critical(100))
	}
	// The exact value for 99 degrees of freedom is 160.06.
	if got := critical(100); math.Abs(got-160.06) > 0.5 {
		t.Errorf("the limit is %.1f, want 160.06", got)
	}
}

func TestATraceKeptAtOneRatioIsKeptAtEveryHigherOne(t *testing.T) {
	t.Parallel()
	ids := newTraceIDs()
	for range 2000 {
		p := ids.Float64() * math.Pow(10, -6*ids.Float64())
		q := min(p*(1+ids.Float64()*ids.Float64()), 1)
		lower, higher := sampling.Ratio(p), sampling.ParentBased(sampling.Rules(sampling.Ratio(q)))
		// Close to the thresholds is where rounding could break the order.
		edge := threshold(t, lower.ShouldSample(sdktrace.SamplingParameters{TraceID: trace.TraceID{8: 0, 9: 255, 10: 255, 11: 255, 12: 255, 13: 255, 14: 255, 15: 255}}))
		for offset := -20; offset < 20; offset++ {
			var id trace.TraceID
			putRandomness(&id, edge+uint64(offset))
			parameters := sdktrace.SamplingParameters{TraceID: id}
			if kept(lower.ShouldSample(parameters)) && !kept(higher.ShouldSample(parameters)) {
				t.Fatalf("%s is kept at %v and not at %v", id, p, q)
			}
		}
	}
}

func putRandomness(id *trace.TraceID, r uint64) {
	for i := range 7 {
		id[15-i] = byte(r >> (8 * i))
	}
}

// Adaptive at any of its rates is consistent with a ratio in another service.
func TestAdaptiveAgreesWithRatiosElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		adaptive, ids, both := sampling.Adaptive(10), newTraceIDs(), 0
		elsewhere := sampling.Ratio(0.5)
		for i := range 20_000 {
			parameters := sdktrace.SamplingParameters{TraceID: ids.next()}
			here, there := adaptive.ShouldSample(parameters), elsewhere.ShouldSample(parameters)
			if i > 20 && kept(here) && !kept(there) {
				t.Fatalf("arrival %d is kept at %q and not at a half", i, here.Tracestate)
			}
			if kept(here) && kept(there) {
				both++
			}
		}
		if both < 30 {
			t.Errorf("%d were kept by both, too few to tell", both)
		}
	})
}

func TestConcurrentDecisionsCountEveryArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers, each, routes = 8, 20_000, 4
		adaptive, limited := sampling.Adaptive(100), sampling.RateLimit(100)
		counts := make(chan count, workers)
		passed := make(chan int, workers)
		for worker := range workers {
			go func() {
				ids := seeded(uint64(worker))
				var c count
				took := 0
				for i := range each {
					p := sdktrace.SamplingParameters{TraceID: ids.next(), ParentContext: serving(headsample.Request{Route: string(rune('a' + i%routes))})}
					c.add(t, adaptive.ShouldSample(p))
					if kept(limited.ShouldSample(p)) {
						took++
					}
				}
				counts <- c
				passed <- took
			}()
		}
		var sum count
		total := 0
		for range workers {
			c := <-counts
			sum.arrived += c.arrived
			sum.kept += c.kept
			sum.estimate += c.estimate
			sum.deviation += c.deviation
			total += <-passed
		}
		if got := sum.sigmas(); math.Abs(got) > 4 {
			t.Errorf("%d arrivals are estimated as %.0f, %.1f deviations away", sum.arrived, sum.estimate, got)
		}
		// Routes that lost arrivals to a race would keep more than this.
		most := routes * 100 * (1 + math.Log(workers*each/routes/100))
		if float64(sum.kept) > 1.2*most || float64(sum.kept) < 0.8*most {
			t.Errorf("%d were kept, want about %.0f", sum.kept, most)
		}
		if total != 10 {
			t.Errorf("the limit kept %d at one instant, want its burst of 10", total)
		}
	})
}
