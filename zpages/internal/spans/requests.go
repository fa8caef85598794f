package spans

import (
	"cmp"
	"context"

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
type requests struct {
	inFlight map[trace.SpanID]request
	routes   map[metrics.Route]*metrics.Traced
}

// request is one in flight. Traced is nil when its route is one too many.
type request struct {
	route  metrics.Route
	traced *metrics.Traced
}

// served returns the request of a server span that is started in ctx with the
// other around it, if the span is the one that the middleware makes for a request,
// directly beneath it, and none that is made inside of that. Otherwise it is nil.
func served(ctx context.Context, around trace.Span) *headsample.Request {
	c := headsample.Server(ctx)
	if c == nil || around.SpanContext().SpanID() != trace.SpanContextFromContext(c).SpanID() {
		return nil
	}
	return &c.Request
}

// start counts the span of a request.
func (q *requests) start(id trace.SpanID, r *headsample.Request) {
	if len(q.inFlight) >= maxRequests {
		return
	}
	route := metrics.Route{Method: r.Method, Route: cmp.Or(r.Route, telemetry.Other)}
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
	sc := ended.SpanContext()
	r, ok := q.inFlight[sc.SpanID()]
	if !ok {
		return
	}
	attributes := ended.Attributes()
	named := textOf(attributes, telemetry.HTTPRoute)
	rescued, _ := find(attributes, telemetry.SamplingRescued)
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
	all := make(map[metrics.Route]metrics.Traced, len(q.routes))
	for route, t := range q.routes {
		all[route] = *t
	}
	return all
}
