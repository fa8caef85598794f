package middleware

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/headsample"
)

// Handler returns next with a span and metrics for each request. Give it the
// router: it then knows the route before the request is handled.
//
// Metrics, each switchable, follow the semantic conventions:
// http.server.request.duration, http.server.active_requests,
// http.server.request.body.size and http.server.response.body.size, by method, route,
// status code, scheme, protocol version and error.type. Every request is
// counted, whatever is sampled. Streams have metrics of their own instead of a
// duration: otelmon.http.server.stream.duration and
// otelmon.http.server.stream.time_to_first_byte.
//
// A panic counts as status 500 with its type as error.type and goes on with
// the same value. A client that leaves before the response is complete, as
// net/http tells by canceling the request's context, counts as error.type
// client_disconnected, without a status code. net/http does the same when a read
// deadline passes. A service that cancels the contexts of its requests itself,
// as by [http.Server.BaseContext], is told apart if it gives a cause
// ([context.WithCancelCause], or [os/signal.NotifyContext]).
//
// Of otelmon's TracerProvider it asks the sampling decision first. Only a
// request that is sampled, or must leave a span because it failed or was slow,
// then pays for one, which otelhttp makes.
//
// Put it around all other middleware, so that it sees what the client gets: a
// timeout handler outside of it would answer what it never hears of. A Handler
// inside another passes requests through, whatever its Config; to name the
// route of such a part, call [SetRoute]. An otelhttp inside records no metrics,
// one outside counts every request again.
//
// The ResponseWriter that next gets has exactly the optional interfaces of the
// original. Only net/http's own way to close the connection when a body exceeds
// [http.MaxBytesReader] is lost behind any wrapper: the client is told by the
// status alone.
//
// Make a Handler once, not for each request: its metrics are observed for as
// long as the MeterProvider lives. Safe for concurrent use.
func Handler(next http.Handler, cfg Config) http.Handler {
	meter := newMeter(cfg.MeterProvider)
	h := &handler{
		next:        next,
		cfg:         cfg,
		instruments: newServerInstruments(meter),
		active:      newActiveRequests(meter),
		routes:      newRoutes(cfg, next),
	}
	h.spans = h.inSpan()
	return h
}

type handler struct {
	next        http.Handler
	cfg         Config
	instruments instruments
	active      *activeRequests
	routes      routes
	panics      bounded.Map[string, string] // types seen
	spans       http.Handler                // makes a span, then calls handler.spanned
}

// inSpan returns otelhttp around [handler.spanned]. It makes the span; parent
// and decision are in the context, and metrics are ours.
func (h *handler) inSpan() http.Handler {
	options := []otelhttp.Option{
		otelhttp.WithTracerProvider(currentProvider{h.cfg.TracerProvider}),
		otelhttp.WithMeterProvider(noop.NewMeterProvider()),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
		otelhttp.WithSpanNameFormatter(spanName),
	}
	if h.cfg.Public {
		options = append(options, otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }))
	}
	return otelhttp.NewHandler(http.HandlerFunc(h.spanned), "", options...)
}

// ServeHTTP decides how much is to be known of the request and passes it on.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if headsample.Server(r.Context()) != nil {
		h.next.ServeHTTP(w, r)
		return
	}
	x, provider := h.newExchange(w, r), h.cfg.provider()
	decider, decides := provider.(headsample.Decider)
	if h.routes.early || decides && decider.NeedsRoute() {
		x.findRoute()
	}
	x.options = h.routes.optionsOf(x.route, x.Request.Path)
	switch {
	case x.options.Disable&Traces != 0:
		x.untraced(provider)
	case decides:
		x.decided(decider, provider)
	default:
		x.traced(provider)
	}
}

func (h *handler) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{handler: h, start: time.Now(), writer: w, request: r, method: methodOf(r.Method)}
	x.Context.Context = h.extract(r)
	x.Kind = trace.SpanKindServer
	x.Request = headsample.Request{Method: x.method.String(), Scheme: scheme(r.TLS != nil), Header: r.Header}
	if r.URL != nil {
		x.Request.Path = r.URL.Path
	}
	return x
}

// extract returns the request's context with what its headers say of its
// trace, unless it is in a trace of this process already.
func (h *handler) extract(r *http.Request) context.Context {
	ctx := r.Context()
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && !sc.IsRemote() {
		return ctx
	}
	extracted := h.cfg.propagator().Extract(ctx, headers(r.Header))
	if h.cfg.Public && baggage.FromContext(extracted).Len() > 0 {
		extracted = baggage.ContextWithBaggage(extracted, baggage.FromContext(ctx))
	}
	return extracted
}
