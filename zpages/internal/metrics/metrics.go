// Package metrics keeps what the live page shows of the service's metrics: the
// last 15 minutes of its requests, and what else its last collection says.
package metrics

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Route is what requests are told apart by. Requests without a route have
// telemetry.Other.
type Route struct{ Method, Route string }

// Traced are the server spans of a route since the start.
type Traced struct {
	// Sampled counts those that were sampled when the request came.
	Sampled int64
	// Rescued counts those that were made after all, for a failure or slowness.
	Rescued int64
	// InFlight are those that have not ended.
	InFlight int
}

// Store keeps 15 minutes of a service's metrics in bounded memory: about 0.2 MiB for
// 10 routes, 2.5 MiB for 256, and 3.5 MiB for 2,000. Where each route has many
// requests of all durations, it is up to 3 MiB more. It is safe for concurrent use.
type Store struct {
	mu         sync.Mutex
	clock      clock
	routes     routes
	operations counts[modelKey] // of LLM APIs
	total      total
	points     points
	last       View // what the last collection says by itself
}

// New returns a Store that is empty.
func New() *Store {
	return &Store{
		routes: routes{known: map[Route]*route{}},
		last:   summary(readings{}, nil),
	}
}

// Add takes one collection: cumulative metrics of one reader, and the spans by
// route. It keeps no part of either.
//
// Collections may come at any time, from every 2 s to every 10 s best. One that is
// not later than the one before adds to it, and makes no point. What the first one
// says has happened since the metrics' own start. A counter that is less than it
// was has begun anew, and all that it says is new.
func (s *Store) Add(now time.Time, rm *metricdata.ResourceMetrics, traced map[Route]Traced) {
	r := read(rm)
	last := summary(r, traced)

	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.clock.begun {
		s.clock.begin(now, started(r, now))
		s.points.begin(now, s.clock.spans[0].from)
	}
	place := s.clock.advance(now, s.forget)
	s.routes.read(r, traced)
	added := s.routes.settle(place, s.clock.last)
	readOperations(r, &s.operations)
	s.total.requests += added.requests
	s.total.errors += added.errors
	s.total.operations += s.operations.settle(place)
	s.total.cpu = float64(numberOf(r.sum(telemetry.ProcessCPUTime)))
	s.last = last
	s.points.add(s.point(r), s.total)
}

// started returns when the metrics of requests began to count, or now.
func started(r readings, now time.Time) time.Time {
	start := now
	for _, name := range []string{telemetry.ServerDuration, telemetry.ServerStreamDuration} {
		for _, h := range r.histograms(name) {
			if !h.start.IsZero() && h.start.Before(start) {
				start = h.start
			}
		}
	}
	return start
}

// forget empties the slots at a place.
func (s *Store) forget(place int) {
	s.routes.forget(place)
	s.operations.forget(place)
}

// point returns what is known of a point without those before.
func (s *Store) point(r readings) point {
	minute := s.routes.total.sum(s.clock.within(time.Minute))
	percentile := func(q float64) Number { return s.routes.layout.quantile(q, minute.buckets[:]) }
	return point{
		at:         s.clock.last,
		p50:        percentile(0.50),
		p95:        percentile(0.95),
		p99:        percentile(0.99),
		inFlight:   s.last.Total.InFlight,
		memory:     numberOf(r.sum(telemetry.ProcessMemoryUsage)),
		goroutines: numberOf(r.sum(telemetry.Goroutines)),
		queued:     numberOf(r.sum(telemetry.SpanQueued, telemetry.LogQueued)),
	}
}
