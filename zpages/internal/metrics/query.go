package metrics

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	maxErrors  = 50
	maxColumns = 90
)

// Query is what one page wants to know.
type Query struct {
	// Since is the number of the last point that the page has. 0, or the number
	// of a point that is not kept, means that it has none.
	Since int64
	// Window is the time that rows and errors are about, from a minute to 15
	// minutes; beyond that it is the nearest of the two.
	Window time.Duration
	// Route is the key of the route whose points are asked for, "" for none.
	Route string
}

// View returns what there is for the page. The window ends with the last
// collection. Since slots are not divided, it is up to 10 s longer than asked for,
// which rates take into account; when it is longer than the life of the service,
// it is all since the start.
func (s *Store) View(now time.Time, q Query) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	window := min(max(q.Window, time.Minute), kept)
	places := s.clock.within(window)
	covered := s.clock.covered(places)

	v := s.last
	v.Seq = s.points.seq
	v.Points = columns(s.points.after(q.Since), func(at time.Duration) Number { return s.clock.age(now, at) })
	v.Window = window.Seconds()
	total := s.routes.total.sum(places)
	inFlight := v.Total.InFlight
	v.Total = s.routes.row(&total, covered)
	v.Total.InFlight, v.Total.Approximate = inFlight, s.routes.inexact
	v.Routes, v.Others = s.routes.rows(places, covered, s.clock.last)
	v.RoutePoints = s.routePoints(now, q.Route)
	v.Heatmap = s.heatmap(now)
	v.Errors = s.routes.errors(places)
	v.LLM = slices.Clone(v.LLM)
	operations := s.operations.sum(places)
	for i, m := range v.LLM {
		v.LLM[i].Rate = rate(operations[modelKey{m.Model, m.Provider}], covered)
	}
	return v
}

// rows returns those of the routes with a place and of the others, and how many
// these are.
func (rs *routes) rows(places []int, covered, now time.Duration) (rows []Row, others int) {
	rows = make([]Row, 0, rs.placed+1)
	inFlight, traced, partly := rs.rest.inFlight, rs.rest.traced, false
	for _, r := range rs.known {
		if r.before.unmeasured() {
			continue
		}
		if r.history == nil {
			inFlight += r.inFlight
			traced, partly = traced || r.traced, partly || r.inFlight > 0 && !r.traced
			if r.before.requests() > 0 && now-r.active <= kept {
				others++
			}
			continue
		}
		sum := r.history.sum(places)
		row := rs.row(&sum, covered)
		row.Key, row.Method, row.Route = r.key(), r.Method, r.Route.Route
		row.InFlight = numberOf(float64(r.inFlight), r.traced)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Key, b.Key))
	})
	if sum := rs.others.sum(places); sum.requests > 0 || inFlight > 0 {
		row := rs.row(&sum, covered)
		row.InFlight, row.Others = numberOf(float64(inFlight), traced && !partly), true
		rows = append(rows, row)
	}
	return rows, others
}

// row returns the numbers of a row.
func (rs *routes) row(sum *tally, covered time.Duration) Row {
	return Row{
		Requests: sum.requests,
		Rate:     rate(sum.requests, covered),
		Errors:   sum.errors,
		Share:    share(sum.errors, sum.requests),
		P50:      rs.layout.quantile(0.50, sum.buckets[:]),
		P95:      rs.layout.quantile(0.95, sum.buckets[:]),
		P99:      rs.layout.quantile(0.99, sum.buckets[:]),
		Streams:  sum.streams,
		Sampled:  share(sum.sampled, sum.requests),
		Rescued:  sum.rescued,
	}
}

// errors returns the failures in the places, most first.
func (rs *routes) errors(places []int) []ErrorCount {
	sum := rs.failures.sum(places)
	most := slices.SortedFunc(maps.Keys(sum), func(a, b failure) int {
		return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a.Route.Route, b.Route.Route), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.kind, b.kind), cmp.Compare(a.status, b.status))
	})
	errors := []ErrorCount{}
	for _, f := range most[:min(len(most), maxErrors)] {
		status := numberOf(float64(f.status), f.status != 0)
		errors = append(errors, ErrorCount{f.kind, f.key(), sum[f], status})
	}
	return errors
}

// routePoints returns those of the route that has the key, if it has a place.
func (s *Store) routePoints(now time.Time, key string) *RoutePoints {
	for _, r := range s.routes.known {
		if r.history != nil && r.key() == key {
			return s.pointsOf(r, now)
		}
	}
	return nil
}

func (s *Store) pointsOf(r *route, now time.Time) *RoutePoints {
	places := s.clock.within(kept)
	var all []point
	for _, place := range places {
		span := s.clock.spans[place]
		sum := r.history.sum([]int{place})
		row := s.routes.row(&sum, span.to-span.from)
		all = append(all, point{at: span.to, rate: row.Rate, errors: row.Share, p50: row.P50, p95: row.P95, p99: row.P99})
	}
	c := columns(all, func(at time.Duration) Number { return s.clock.age(now, at) })
	return &RoutePoints{r.key(), c.Age, c.Rate, c.Errors, c.P50, c.P95, c.P99}
}

// heatmap has no columns before there is a layout.
func (s *Store) heatmap(now time.Time) Heatmap {
	layout := s.routes.layout
	h := Heatmap{Bounds: append([]float64{}, layout...), Age: []Number{}, Every: slotWidth.Seconds(), Counts: [][]uint64{}}
	if layout == nil {
		return h
	}
	places := s.clock.within(kept)
	for _, place := range places[max(len(places)-maxColumns, 0):] {
		sum := s.routes.total.sum([]int{place})
		h.Age = append(h.Age, s.clock.age(now, s.clock.spans[place].begin))
		h.Counts = append(h.Counts, slices.Clone(sum.buckets[:len(layout)+1]))
	}
	return h
}
