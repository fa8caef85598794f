package sampling_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/sampling"
)

// onRoute is a request of a route.
func onRoute(route string) sdktrace.SamplingParameters {
	return sdktrace.SamplingParameters{ParentContext: serving(headsample.Request{Method: "GET", Route: route})}
}

// probability returns the rate of the next decision, by an ID that no
// threshold rejects.
func probability(t *testing.T, sampler sdktrace.Sampler, p sdktrace.SamplingParameters) float64 {
	t.Helper()
	p.TraceID = idWith(t, "ffffffffffffff")
	result := sampler.ShouldSample(p)
	if !kept(result) {
		t.Fatal("the trace of the greatest randomness was dropped")
	}
	return float64(never-threshold(t, result)) / never
}

// The sum over kept spans of what each stands for is the number of arrivals,
// whatever the load does.
func TestAdaptiveCountsStayRightUnderChangingLoad(t *testing.T) {
	t.Parallel()
	loads := map[string]func(second float64) float64{
		"constant":         func(float64) float64 { return 500 },
		"growing":          func(s float64) float64 { return 20 * math.Exp(s/10) },
		"falling":          func(s float64) float64 { return 8000 * math.Exp(-s/10) },
		"in bursts":        func(s float64) float64 { return 8000 * math.Floor(math.Mod(s, 7)/6) },
		"within a second":  func(s float64) float64 { return 4000 * math.Floor(2*math.Mod(s, 1)) },
		"rare":             func(float64) float64 { return 3 },
		"around the limit": func(float64) float64 { return 12 },
	}
	for name, load := range loads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sampler, ids := sampling.Adaptive(10), newTraceIDs()
				var c count
				for step := range 6000 {
					second := float64(step) / 100
					for range ids.poisson(load(second) / 100) {
						p := onRoute("/")
						p.TraceID = ids.next()
						c.add(t, sampler.ShouldSample(p))
					}
					pass(10 * time.Millisecond)
				}
				t.Logf("%d arrived, %d kept, estimate %.0f, %.2f deviations", c.arrived, c.kept, c.estimate, c.sigmas())
				if c.kept == c.arrived {
					if c.estimate != float64(c.arrived) {
						t.Errorf("all %d were kept, estimate %v", c.arrived, c.estimate)
					}
				} else if got := c.sigmas(); math.Abs(got) > 3.5 {
					t.Errorf("%d arrived, estimate %.0f is %.1f deviations away", c.arrived, c.estimate, got)
				}
			})
		})
	}
}

// 1,000 routes, 900 of them busy with 15 to 90 arrivals a second, which swing by
// 40 % within 20 s, each at its own phase, and are all doubled or halved at
// some moment of the first 25 s; 100 with two arrivals a second. After 30 s,
// over ten more, the busy ones together keep 10 traces a second each, to within
// 10 %; each of them by itself keeps 100 in ten seconds to within five
// deviations; the rare ones keep everything.
func TestAdaptiveHoldsItsTargetForAThousandRoutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const busy, rare, target, settled, end = 900, 100, 10, 30, 40
		sampler, ids := sampling.Adaptive(target), newTraceIDs()
		routes := make([]sdktrace.SamplingParameters, busy+rare)
		for i := range routes {
			routes[i] = onRoute(fmt.Sprintf("/route/%d", i))
		}
		load := func(i int, second float64) float64 {
			swing := 1 + 0.4*math.Sin(2*math.Pi*(second/20+float64(i)/busy))
			if second > float64(i%25) {
				swing *= []float64{2, 0.5}[i%2]
			}
			return (30 + float64(i)/60) * swing
		}
		kept := make([]int, len(routes))
		arrive := func(i int, second float64) {
			routes[i].TraceID = ids.next()
			if sampler.ShouldSample(routes[i]).Decision == sdktrace.RecordAndSample && second >= settled {
				kept[i]++
			}
		}
		for step := range end * 20 {
			second := float64(step) / 20
			for i := range busy {
				for range ids.poisson(load(i, second) / 20) {
					arrive(i, second)
				}
			}
			for i := busy; i < len(routes) && step%10 == 0; i++ {
				arrive(i, second)
			}
			pass(50 * time.Millisecond)
		}
		checkTarget(t, kept[:busy], target*(end-settled))
		for i, n := range kept[busy:] {
			if n != 2*(end-settled) {
				t.Errorf("rare route %d: %d were kept, want all %d", i, n, 2*(end-settled))
			}
		}
	})
}

func checkTarget(t *testing.T, kept []int, each float64) {
	t.Helper()
	total := 0
	for i, n := range kept {
		total += n
		if math.Abs(float64(n)-each) > 5*math.Sqrt(each) {
			t.Errorf("route %d: %d were kept, want %.0f to within five deviations", i, n, each)
		}
	}
	want := each * float64(len(kept))
	t.Logf("%d were kept of all busy routes, %.1f %% of the target", total, 100*float64(total)/want)
	if math.Abs(float64(total)-want) > 0.1*want {
		t.Errorf("%d were kept of all busy routes, want %.0f to within 10 %%", total, want)
	}
}

func TestAdaptiveThinsABurstWithinItsSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sampler, ids, n := sampling.Adaptive(10), newTraceIDs(), 0
		for range 100_000 {
			p := onRoute("/")
			p.TraceID = ids.next()
			if kept(sampler.ShouldSample(p)) {
				n++
			}
		}
		// About 10 (1 + ln 10,000) = 102, with a deviation of less than 10.
		if n < 60 || n > 145 {
			t.Errorf("%d of 100,000 were kept, want about 102", n)
		}
	})
}

func TestAdaptiveForgetsABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sampler := sampling.Adaptive(10)
		for range 10_000 {
			sampler.ShouldSample(onRoute("/"))
		}
		if got := probability(t, sampler, onRoute("/")); math.Abs(got-0.001) > 0.00003 {
			t.Errorf("after 10,000 arrivals: got probability %v, want 0.001", got)
		}
		for _, row := range []struct {
			quiet time.Duration
			want  float64
		}{{time.Second, 0.002}, {time.Second, 0.004}, {3 * time.Second, 0.032}, {time.Hour, 1}, {1000 * 24 * time.Hour, 1}} {
			pass(row.quiet)
			if got := probability(t, sampler, onRoute("/")); math.Abs(got/row.want-1) > 0.04 {
				t.Errorf("after %v more: got probability %v, want %v", row.quiet, got, row.want)
			}
		}
	})
}

// Less than one trace a second: a step lasts until one is due.
func TestAdaptiveBelowOneASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sampler := sampling.Adaptive(0.1)
		for range 5 {
			if got := probability(t, sampler, onRoute("/rare")); got != 1 {
				t.Errorf("one in 30 s: got probability %v, want 1", got)
			}
			pass(30 * time.Second)
		}
		for range 200 {
			sampler.ShouldSample(onRoute("/busy"))
			pass(time.Second)
		}
		if got := probability(t, sampler, onRoute("/busy")); math.Abs(got-0.1) > 0.003 {
			t.Errorf("one a second: got probability %v, want 0.1", got)
		}
	})
}

func TestAdaptiveAtItsEdges(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		perSecond float64
		want      bool
	}{
		"zero keeps none":           {0, false},
		"below zero keeps none":     {-1, false},
		"not a number keeps none":   {nan, false},
		"without limit it keeps":    {math.Inf(1), true},
		"the least rate keeps some": {math.SmallestNonzeroFloat64, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sampler := sampling.Adaptive(row.perSecond)
			p := onRoute("/")
			p.TraceID = idWith(t, "ffffffffffffff")
			for range 3 {
				if got := kept(sampler.ShouldSample(p)); got != row.want {
					t.Errorf("kept: got %v, want %v", got, row.want)
				}
			}
		})
	}
}

// A route is busy when others of the same one have arrived.
func TestWhatAdaptiveTakesForTheRoute(t *testing.T) {
	t.Parallel()
	attributed := func(name, route string) sdktrace.SamplingParameters {
		return sdktrace.SamplingParameters{Name: name, Attributes: []attribute.KeyValue{attribute.Int("n", 1), attribute.String("http.route", route)}}
	}
	unrouted := onRoute("")
	unrouted.Name = "/a"
	both := onRoute("/a")
	both.Attributes = attributed("", "/b").Attributes
	sent := func(name string) sdktrace.SamplingParameters {
		p := sending(serving(headsample.Request{Route: "/a"}), headsample.Request{Method: name, Path: "/b"})
		p.Name = name
		return p
	}
	long := string(make([]byte, 300))
	for name, row := range map[string]struct {
		busy, next sdktrace.SamplingParameters
		same       bool
	}{
		"the middleware's route":               {onRoute("/a"), onRoute("/a"), true},
		"another of the middleware's":          {onRoute("/a"), onRoute("/b"), false},
		"the attribute":                        {attributed("x", "/a"), attributed("y", "/a"), true},
		"another attribute":                    {attributed("x", "/a"), attributed("x", "/b"), false},
		"the name":                             {sdktrace.SamplingParameters{Name: "x"}, sdktrace.SamplingParameters{Name: "x"}, true},
		"another name":                         {sdktrace.SamplingParameters{Name: "x"}, sdktrace.SamplingParameters{Name: "y"}, false},
		"the middleware before the attribute":  {both, onRoute("/a"), true},
		"the name while the route is unknown":  {unrouted, onRoute("/a"), true},
		"the name of a request sent":           {sent("GET"), sent("GET"), true},
		"another name of a request sent":       {sent("GET"), sent("PUT"), false},
		"not the route of the one served":      {sent("GET"), onRoute("/a"), false},
		"all that differs late in a long text": {onRoute(long + "a"), onRoute(long + "b"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sampler := sampling.Adaptive(1)
				for range 100 {
					sampler.ShouldSample(row.busy)
				}
				if got := probability(t, sampler, row.next) < 1; got != row.same {
					t.Errorf("the same route: got %v, want %v", got, row.same)
				}
			})
		})
	}
}

func TestAdaptiveTellsAThousandRoutesApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sampler := sampling.Adaptive(1)
		route := func(i int) sdktrace.SamplingParameters { return onRoute(fmt.Sprintf("/%d", i)) }
		for i := range 1000 {
			if got := probability(t, sampler, route(i)); got != 1 {
				t.Fatalf("route %d: got probability %v, want 1 for the first of its own", i, got)
			}
		}
		if got := probability(t, sampler, route(1000)); got != 1 {
			t.Errorf("first of the others: got probability %v, want 1", got)
		}
		for i := 1001; i < 1010; i++ {
			if got := probability(t, sampler, route(i)); got > 0.6 {
				t.Errorf("route %d: got probability %v, want one shared with the others", i, got)
			}
		}
		pass(time.Minute)
		if got := probability(t, sampler, route(0)); got != 1 {
			t.Errorf("the first route: got probability %v, want 1", got)
		}
	})
}
