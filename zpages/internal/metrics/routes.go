package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/text"
)

const (
	maxRoutes = 256  // routes with a place
	maxKnown  = 2048 // routes whose counters are known
)

// routes are the requests of the service by route. A route has a history of its
// own while it has a place; the requests of those without are added up in others.
//
// A route with requests takes a place as long as one is free, and gives it up
// after 15 minutes without requests. When none is free, the routes with most
// requests since the last collection take the places of those with fewest in 15
// minutes, if they have more in that short time than those in all of it. The
// history of who gives up a place goes to others. So a busy route keeps its
// place, and a row never loses requests.
type routes struct {
	layout  layout // nil until the first request that is no stream
	inexact bool   // a histogram of the last collection has other boundaries
	known   map[Route]*route
	rest    route // all beyond maxKnown, and beyond the limit of the instrument
	total   history
	others  history

	placed   int
	crowded  bool // known had no room for a route of the last collection
	refused  bool // and of the one being read
	failures counts[failure]
}

type route struct {
	Route

	before   packed        // counted until the last collection
	now      *tally        // counted until the one being read, nil for nothing
	inFlight int           // of those that leave spans
	traced   bool          // inFlight are all of them
	active   time.Duration // when there were requests, by the clock
	history  *history      // nil without a place
}

// failure is a way to fail of a route.
type failure struct {
	Route

	kind   string
	status int64 // 0 for none
}

func (r Route) key() string { return strings.TrimSpace(r.Method + " " + r.Route) }

// read takes what a collection says, which settle ends.
func (rs *routes) read(r readings, traced map[Route]Traced) {
	rs.inexact = false
	for attributes, h := range r.histograms(telemetry.ServerDuration) {
		if rs.layout == nil {
			rs.layout = layoutOf(telemetry.ServerDuration, h)
		}
		now := rs.count(attributes, h.count)
		rs.inexact = !rs.layout.add(now.buckets[:], h) || rs.inexact
	}
	for attributes, h := range r.histograms(telemetry.ServerStreamDuration) {
		now := rs.count(attributes, h.count)
		now.streams += h.count
	}
	rs.rest.inFlight, rs.rest.traced = 0, false
	for _, r := range rs.known {
		r.inFlight, r.traced = 0, false
	}
	for key, t := range traced {
		r := rs.get(key)
		r.traced = true
		now := r.counted()
		now.sampled += uint64(max(t.Sampled, 0))
		now.rescued += uint64(max(t.Rescued, 0))
		r.inFlight += max(t.InFlight, 0)
	}
}

// count counts the requests of a series and returns the tally they belong to.
func (rs *routes) count(attributes *attribute.Set, n uint64) *tally {
	if isOverflow(attributes) {
		now := rs.rest.counted()
		now.requests += n
		return now
	}
	r := rs.get(Route{textOf(attributes, telemetry.HTTPMethod), textOf(attributes, telemetry.HTTPRoute)})
	now := r.counted()
	now.requests += n
	if kind := textOf(attributes, telemetry.ErrorType); kind != "" {
		status, _ := attributes.Value(telemetry.HTTPStatusCode)
		now.errors += n
		rs.failures.add(failure{r.Route, kind, status.AsInt64()}, n)
	}
	return now
}

// counted returns what is counted until the collection that is being read.
func (r *route) counted() *tally {
	if r.now == nil {
		r.now = &tally{}
	}
	return r.now
}

// get returns the route, which is known from now on if there is room. While there
// was none at the last collection, a route that is not known may be an old one,
// and stays with the rest.
func (rs *routes) get(key Route) *route {
	key = Route{text.Cut(key.Method, maxText), cmp.Or(text.Cut(key.Route, maxText), telemetry.Other)}
	if r, ok := rs.known[key]; ok {
		return r
	}
	if rs.crowded || len(rs.known) >= maxKnown {
		rs.refused = true
		return &rs.rest
	}
	r := &route{Route: key}
	rs.known[key] = r
	return r
}

// settle ends the collection at a time of the clock and returns what was added.
func (rs *routes) settle(place int, at time.Duration) (added tally) {
	rs.failures.settle(place)
	rs.crowded, rs.refused = rs.refused, false
	var waiting []*route
	var others tally
	for key, r := range rs.known {
		r.traced = r.traced && r.now.whollySampled()
		switch {
		case r.busy():
			r.active = at
		case at-r.active > kept:
			rs.giveUp(r)
			if r.now == nil { // the collection does not have it
				delete(rs.known, key)
			}
		}
		if r.history == nil && r.busy() {
			waiting = append(waiting, r)
		} else {
			r.record(place, &added, &others)
		}
	}
	slices.SortFunc(waiting, func(a, b *route) int {
		return cmp.Or(cmp.Compare(b.grown(), a.grown()), cmp.Compare(a.Route.Route, b.Route.Route), cmp.Compare(a.Method, b.Method))
	})
	room := true
	for _, r := range waiting {
		room = room && rs.takePlace(r)
		r.record(place, &added, &others)
	}
	// Routes come and go in the rest. When it is less than before, nobody knows
	// what was added.
	if _, ok := rs.rest.counted().since(rs.rest.before); !ok {
		rs.rest.before = rs.rest.now.pack()
	}
	rs.rest.record(place, &added, &others)
	rs.total.add(place, &added)
	rs.others.add(place, &others)
	return added
}

// record adds what was added to the route to its history, or else to others, and
// to all.
func (r *route) record(place int, all, others *tally) {
	added, _ := r.counted().since(r.before)
	r.before, r.now = r.now.pack(), nil
	all.add(&added)
	if r.history != nil {
		r.history.add(place, &added)
	} else {
		others.add(&added)
	}
}

// takePlace reports whether there was a place for the route.
func (rs *routes) takePlace(r *route) bool {
	if rs.placed == maxRoutes {
		fewest, requests := rs.leastBusy()
		if r.grown() <= requests {
			return false
		}
		rs.giveUp(fewest)
	}
	r.history = &history{}
	rs.placed++
	return true
}

func (rs *routes) giveUp(r *route) {
	if r.history != nil {
		rs.others.merge(r.history)
		r.history = nil
		rs.placed--
	}
}

// leastBusy returns the route with fewest requests of those with a place.
func (rs *routes) leastBusy() (found *route, requests uint64) {
	for _, r := range rs.known {
		if r.history == nil {
			continue
		}
		if n := r.history.requests(); found == nil || n < requests {
			found, requests = r, n
		}
	}
	return found, requests
}

// forget empties the slots at a place.
func (rs *routes) forget(place int) {
	rs.failures.forget(place)
	rs.total[place], rs.others[place] = nil, nil
	for _, r := range rs.known {
		if r.history != nil {
			r.history[place] = nil
		}
	}
}

// busy tells whether the route has requests, in flight or since the last
// collection.
func (r *route) busy() bool {
	return r.inFlight > 0 && (r.now == nil || !r.now.unmeasured()) || r.grown() > 0
}

// grown returns the requests since the last collection.
func (r *route) grown() uint64 {
	before := r.before.requests()
	switch {
	case r.now == nil:
		return 0
	case r.now.requests < before: // it began anew
		return r.now.requests
	}
	return r.now.requests - before
}
