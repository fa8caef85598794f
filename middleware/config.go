package middleware

import (
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Config says what [Handler] and [Transport] do. The zero value is a complete
// configuration. It is not to be changed once it was passed on.
type Config struct {
	// TracerProvider makes the spans. Default: the global one of the moment,
	// resolved with every request. With any other than otelmon's each request
	// goes through otelhttp, and otelmon.Config's Rescue and ForcedPerSecond do
	// not apply.
	TracerProvider trace.TracerProvider

	// MeterProvider makes the instruments. Default: the global one.
	MeterProvider metric.MeterProvider

	// Propagator reads and writes the headers of the trace context and of
	// baggage. Default: the global one of the moment.
	Propagator propagation.TextMapPropagator

	// Disable switches off what is not wanted anywhere.
	Disable Part

	// Mux is the router of a Handler, where it is not the handler itself:
	// when middleware of the service's own stands between them. It names the
	// route before the request is handled, also if that middleware copies the
	// request. A Handler around a ServeMux needs nothing.
	Mux *http.ServeMux

	// Route names the route for other routers than [http.ServeMux]: the
	// pattern, never the path, or "" when there is none. It is asked before
	// the request is handled and must not change the request. A router that
	// knows the route only later calls [SetRoute]. It must be safe for
	// concurrent use. At most 1,000 routes are told apart; the rest counts as
	// _OTHER, and so does a request for which it panics.
	Route func(*http.Request) string

	// Routes are options of single routes, by pattern, such as "/orders/{id}".
	// Options are for all methods: those of patterns that differ in the method
	// add up. What is given here replaces
	// the defaults, which switch Traces off for health checks and for metrics:
	// /health, /healthz, /live, /livez, /ready, /readyz, /-/healthy, /-/ready and
	// /metrics. Such a request is still counted.
	Routes map[string]RouteOptions

	// Public is for a Handler at the edge, whose clients are not trusted:
	// their trace becomes a link and has no say in sampling, and their baggage
	// is not taken.
	Public bool

	// TraceResponse tells the client the trace of its request in the header
	// Server-Timing, as traceparent;desc="00-...", where the tools of a
	// browser find it. A Transport ignores it.
	TraceResponse bool

	// PropagateTo are the hosts that a Transport sends trace context and
	// baggage to, such as "api.example.com" or, with all its subdomains,
	// ".example.com", without port and in any case. Nil means all, an empty list
	// none. To other hosts the headers of all propagators of OTEL_PROPAGATORS and
	// of this one are removed, also those that the request came with, as through
	// a reverse proxy. To these hosts they are replaced, and kept as they came
	// only when there is no trace or no Propagator to write them. A Handler
	// ignores it.
	PropagateTo []string
}

func (c *Config) provider() trace.TracerProvider {
	if c.TracerProvider != nil {
		return c.TracerProvider
	}
	return otel.GetTracerProvider()
}

func (c *Config) propagator() propagation.TextMapPropagator {
	if c.Propagator != nil {
		return c.Propagator
	}
	return otel.GetTextMapPropagator()
}

// RouteOptions are the options of one route.
type RouteOptions struct {
	// Disable switches parts off for this route, besides Config.Disable.
	Disable Part
	// Stream tells that responses are streams, such as long polling or
	// downloads without end: they are kept out of the latency histogram.
	// Server-sent events and upgraded connections are recognised without it.
	Stream bool
}

// Part is something that can be switched off. Several are combined by |.
type Part uint8

// The parts. A request whose route is only known after it was handled is part
// of ActiveRequests in any case, and is traced.
const (
	// Traces are the spans; children are not recorded either, unless there is a
	// span around the Handler or the sampler does not heed parents.
	Traces Part = 1 << iota
	// Duration is http.server.request.duration, or http.client.request.duration,
	// and their counterparts for streams.
	Duration
	// ActiveRequests is http.server.active_requests.
	ActiveRequests
	// RequestBodySize is http.server.request.body.size, or http.client.request.body.size.
	RequestBodySize
	// ResponseBodySize is http.server.response.body.size, or http.client.response.body.size.
	ResponseBodySize
)
