package spans

import (
	"cmp"
	"context"
	"maps"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

const (
	maxRoutes   = 2000
	maxRequests = 10_000 // in flight
	maxLabel    = 1 << 10
)

// requests counts the server spans of the middleware. The zero value is empty.
// Safe for concurrent use.
type requests struct {
	mu       sync.Mutex
	closed   bool
	inFlight map[trace.SpanID]metrics.Route
	routes   map[metrics.Route]metrics.Traced
}

// start counts the span if it is the one that the middleware makes for a
// request, directly beneath it, and none that is made inside of that.
func (q *requests) start(ctx context.Context, id trace.SpanID) {
	c := headsample.Server(ctx)
	if c == nil || trace.SpanContextFromContext(ctx).SpanID() != trace.SpanContextFromContext(c).SpanID() {
		return
	}
	route := metrics.Route{Method: c.Request.Method, Route: cmp.Or(c.Request.Route, telemetry.Other)}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.inFlight) >= maxRequests {
		return
	}
	if q.inFlight == nil {
		q.inFlight, q.routes = map[trace.SpanID]metrics.Route{}, map[metrics.Route]metrics.Traced{}
	}
	q.inFlight[id] = route
	q.count(route, metrics.Traced{InFlight: 1})
}

// end counts the span, if start did, under the route that is known in the end.
func (q *requests) end(s *span, sampled bool) {
	named := text(s.attributes, telemetry.HTTPRoute)
	rescued := s.rescued()
	q.mu.Lock()
	defer q.mu.Unlock()
	route, ok := q.inFlight[s.id]
	if !ok {
		return
	}
	delete(q.inFlight, s.id)
	q.count(route, metrics.Traced{InFlight: -1})
	if named != "" && len(named) <= maxLabel {
		route.Route = named
	}
	switch {
	case rescued:
		q.count(route, metrics.Traced{Rescued: 1})
	case sampled:
		q.count(route, metrics.Traced{Sampled: 1})
	}
}

func (q *requests) count(route metrics.Route, more metrics.Traced) {
	t, ok := q.routes[route]
	if !ok && len(q.routes) >= maxRoutes {
		return
	}
	t.Sampled += more.Sampled
	t.Rescued += more.Rescued
	t.InFlight += more.InFlight
	q.routes[route] = t
}

func (q *requests) traced() map[metrics.Route]metrics.Traced {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.routes)
}

func (q *requests) shutdown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.inFlight, q.routes = true, nil, nil
}
