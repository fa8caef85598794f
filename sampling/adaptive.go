package sampling

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// Adaptive returns a sampler that keeps about so many traces a second of each
// route: a busy route is thinned, a rare one is kept whole. Zero or less, or
// NaN, keeps none.
//
// The probability of a route follows its arrivals, second by second (for less
// than one trace a second, in correspondingly longer steps), and is written to
// what is kept as [Ratio] does, so that counts made from spans stay right
// through every change. The bound is soft for that reason: when the load grows
// f-fold from one second to the next, about 1+ln(f) times as many traces are
// kept in that second.
//
// The route is that of the toolkit's HTTP middleware, else the span's attribute
// http.route, else its name, which is the method for a request without a route:
// the unmatched ones that are served, and those that the middleware's Transport
// sends outside of any trace, count as one route for each method. At most 1,000
// routes are told apart; all further ones share one rate.
func Adaptive(perSecond float64) sdktrace.Sampler {
	description := fmt.Sprintf("Adaptive{%g}", perSecond)
	if !(perSecond > 0) { // NaN neither
		return ratio{newLevel(0), description}
	}
	a := &adaptive{
		description: description,
		start:       time.Now(),
		tick:        time.Second,
		others:      &route{},
	}
	if perSecond < 1 {
		a.tick = time.Duration(min(float64(time.Second)/perSecond, float64(longestTick)))
	}
	a.target = perSecond * a.tick.Seconds()
	return a
}

const (
	longestTick      = 24 * time.Hour
	maxRoutes        = 1000
	maxRouteLength   = 256 // bytes of a route that tell it apart
	levelsPerHalving = 32  // probabilities 2 % apart
	maxHalvings      = 40
)

type adaptive struct {
	description string
	start       time.Time
	tick        time.Duration
	target      float64 // traces of a route to keep in a tick

	routes bounded.Map[string, *route]
	others *route

	// levels are made when they are first used.
	levels [levelsPerHalving*maxHalvings + 1]atomic.Pointer[level]
}

func (*adaptive) IsRootSampler() {}

func (a *adaptive) Description() string { return a.description }

func (a *adaptive) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	tick := int64(time.Since(a.start) / a.tick)
	return a.route(routeOf(&p)).arrive(a, tick).decide(&p)
}

func routeOf(p *sdktrace.SamplingParameters) string {
	if known := measured(p); known != nil && known.Request.Route != "" {
		return known.Request.Route
	}
	for i := range p.Attributes {
		if p.Attributes[i].Key == telemetry.HTTPRoute {
			return p.Attributes[i].Value.AsString()
		}
	}
	return p.Name
}

func (a *adaptive) route(name string) *route {
	if len(name) > maxRouteLength {
		name = strings.Clone(name[:maxRouteLength]) // so that the rest is not remembered
	}
	if r, ok := a.routes.Get(name); ok {
		return r
	}
	if r, ok := a.routes.Add(name, maxRoutes, func() *route { return &route{} }); ok {
		return r
	}
	return a.others
}

// level returns the one nearest to the probability of keeping the target of so
// many arrivals, and up to how many arrivals it is the nearest.
func (a *adaptive) level(arrivals float64) (l *level, until float64) {
	halvings := math.Log2(arrivals / a.target)
	i := math.Round(min(max(halvings, 0), maxHalvings) * levelsPerHalving)
	l = a.levels[int(i)].Load()
	if l == nil {
		l = newLevel(math.Exp2(-i / levelsPerHalving))
		a.levels[int(i)].Store(l)
	}
	return l, a.target * math.Exp2((i+0.5)/levelsPerHalving)
}

// route is the load of one route.
type route struct {
	mu       sync.Mutex
	tick     int64
	arrivals float64 // in this tick, so far
	usual    float64 // in a tick, an average that halves with each
	level    *level  // for the arrivals until that many
	until    float64
}

// arrive counts an arrival and returns the level for it. That depends on
// arrivals only and not on what was kept of them, which would bias counts.
func (r *route) arrive(a *adaptive, tick int64) *level {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tick > r.tick {
		r.usual = math.Ldexp((r.usual+r.arrivals)/2, -int(min(tick-r.tick-1, math.MaxInt16)))
		r.arrivals, r.tick, r.level = 0, tick, nil
	}
	r.arrivals++
	if r.level == nil || r.arrivals > r.until {
		r.level, r.until = a.level(max(r.usual, r.arrivals))
	}
	return r.level
}
