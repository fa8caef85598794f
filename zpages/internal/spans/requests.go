package spans

import (
	"cmp"
	"context"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
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
	inFlight map[trace.SpanID]request
	routes   map[metrics.Route]*metrics.Traced
}

// request is one in flight. Traced is nil when its route is one too many.
type request struct {
	route  metrics.Route
	traced *metrics.Traced
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
		q.inFlight, q.routes = map[trace.SpanID]request{}, map[metrics.Route]*metrics.Traced{}
	}
	traced := q.of(route)
	q.inFlight[id] = request{route, traced}
	if traced != nil {
		traced.InFlight++
	}
}

// end counts the span, if start did, under the route that is known in the end.
func (q *requests) end(ended sdktrace.ReadOnlySpan) {
	attributes := ended.Attributes()
	named := text(attributes, telemetry.HTTPRoute)
	rescued, _ := find(attributes, telemetry.SamplingRescued)
	sc := ended.SpanContext()
	q.mu.Lock()
	defer q.mu.Unlock()
	r, ok := q.inFlight[sc.SpanID()]
	if !ok {
		return
	}
	delete(q.inFlight, sc.SpanID())
	if r.traced != nil {
		r.traced.InFlight--
	}
	if named != "" && named != r.route.Route && len(named) <= maxLabel {
		r.route.Route = named
		r.traced = q.of(r.route)
	}
	switch {
	case r.traced == nil:
	case rescued.AsBool():
		r.traced.Rescued++
	case sc.IsSampled():
		r.traced.Sampled++
	}
}

// of returns the counts of a route, or nil when that would be one too many.
func (q *requests) of(route metrics.Route) *metrics.Traced {
	t := q.routes[route]
	if t == nil && len(q.routes) < maxRoutes {
		t = &metrics.Traced{}
		q.routes[route] = t
	}
	return t
}

func (q *requests) traced() map[metrics.Route]metrics.Traced {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make(map[metrics.Route]metrics.Traced, len(q.routes))
	for route, t := range q.routes {
		all[route] = *t
	}
	return all
}

func (q *requests) shutdown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.inFlight, q.routes = true, nil, nil
}
