package middleware

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/internal/headsample"
)

// Transport returns base with a client span and metrics for each request, and
// sends the trace context and baggage along, to the hosts of Config.PropagateTo.
// They replace those that the headers of the request have, which a reverse
// proxy copies from its client. A nil base means [http.DefaultTransport].
//
// Metrics, each switchable, follow the semantic conventions:
// http.client.request.duration, http.client.request.body.size and
// http.client.response.body.size, by method, server address and port, scheme,
// protocol version, status code and error.type. At most 200 servers are told
// apart, further ones count as _OTHER. Config.Routes does not apply.
//
// The duration, and the span, end with the response body: when it was read to
// its end, a read failed, or it was closed. A body that is neither read to its
// end nor closed, which leaks its connection too, is never recorded. Closing a
// body early is no error. Server-sent events and upgraded connections have
// metrics of their own instead of a duration: otelmon.http.client.stream.duration
// and otelmon.http.client.stream.time_to_first_byte, the time until the headers of
// the response were there.
//
// Sizes are recorded of requests that were answered. That of the request is
// its Content-Length, else what was sent until the response ended, and missing
// where there is no body. That of the response is what was read of it, and
// missing where [http.Transport] decompressed it, which hides the size that was
// transferred.
//
// What follows from status codes of 400 and above is error.type with the code;
// without a response it is timeout, canceled, name_resolution,
// connection_refused, connection_reset, tls, unexpected_eof or _OTHER. A panic
// of base counts as _OTHER and goes on. Query strings and user names of the URL
// are recorded nowhere; of errors the span has what net and crypto/tls say, else
// the type.
//
// Of otelmon's TracerProvider it asks the sampling decision first. Only a
// request that is sampled then pays for a span, which otelhttp makes. A request
// without span passes the IDs of its parent on.
//
// The request is never modified, and the response is as base gave it, but for
// a body that records its end. Requests that base makes with the context of
// the request belong to it: a Transport inside another passes them through.
// Safe for concurrent use, as far as base is.
func Transport(base http.RoundTripper, cfg Config) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{
		base:        base,
		cfg:         cfg,
		instruments: newClientInstruments(newMeter(cfg.MeterProvider)),
		endpoints:   newEndpoints(),
		allowed:     newAllowList(cfg.PropagateTo),
		spans: otelhttp.NewTransport(spanned{},
			otelhttp.WithTracerProvider(currentProvider{cfg.TracerProvider}),
			otelhttp.WithMeterProvider(noop.NewMeterProvider()),
			otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
			otelhttp.WithSpanNameFormatter(clientSpanName)),
	}
}

type transport struct {
	base        http.RoundTripper
	cfg         Config
	instruments instruments
	endpoints   *endpoints
	allowed     *allowList
	spans       http.RoundTripper // makes a span, then calls spanned

	traceHeaders traceHeaders
}

// CloseIdleConnections does what [http.Client.CloseIdleConnections] asks for.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		return t.base.RoundTrip(r)
	}
	if around := headsample.Client(r.Context()); around != nil {
		return t.passThrough(r, around)
	}
	c := &call{transport: t, original: r, start: time.Now(), endpoint: t.endpoints.of(r.URL)}
	c.Context.Context = r.Context()
	c.Kind = trace.SpanKindClient
	c.Request = headsample.Request{
		Method: methodOf(r.Method).String(),
		Path:   cmp.Or(r.URL.Path, "/"),
		Scheme: r.URL.Scheme,
		Header: r.Header,
	}
	if c.untraced() {
		c.send(c, c.Context.Context) // the latter is faster to look in
	} else {
		c.sendInSpan()
	}
	return c.received()
}

// passThrough sends a request that belongs to one which is measured already. If
// that was claimed, this Transport is the claimant's, and knows better which hosts
// are to have the trace.
func (t *transport) passThrough(r *http.Request, around *headsample.Context) (*http.Response, error) {
	if !around.Claimed() || t.allowed.contains(r.URL) {
		return t.base.RoundTrip(r)
	}
	headers := outgoingHeaders{header: r.Header}
	headers.remove(t.traceHeaders.of(t.cfg.propagator()))
	if !headers.copied {
		return t.base.RoundTrip(r)
	}
	out := r.WithContext(r.Context())
	out.Header = headers.header
	response, err := t.base.RoundTrip(out)
	if response != nil && response.Request == out {
		response.Request = r
	}
	return response, err
}

// untraced reports whether the request is to be sent without a span. Then its
// context is complete.
func (c *call) untraced() bool {
	if c.transport.cfg.Disable&Traces != 0 {
		return true
	}
	decider, ok := c.transport.cfg.provider().(headsample.Decider)
	if !ok {
		return false
	}
	decision, ok := decider.Decide(c, trace.SpanKindClient)
	if !ok {
		c.Ask()
		return false
	}
	if decision.Recording {
		c.Leave(decision)
		return false
	}
	c.Context.Context = decision.Without(c.Context.Context)
	return true
}

// sendInSpan has otelhttp make a span of what it is to know of the request,
// and send the request in it.
func (c *call) sendInSpan() {
	r := c.original
	host := r.URL.Host[strings.LastIndexByte(r.URL.Host, '@')+1:]
	visible := http.Request{
		Method: cmp.Or(validUTF8(r.Method), http.MethodGet),
		Proto:  r.Proto,
		URL:    &url.URL{Scheme: validUTF8(r.URL.Scheme), Host: validUTF8(host), Path: r.URL.Path, RawPath: r.URL.RawPath},
	}
	response, err := c.transport.spans.RoundTrip(visible.WithContext(c)) //nolint:bodyclose // closed by call.end
	if err == nil {
		c.spanEnd = response.Body
	}
}

// spanned stands below otelhttp and sends the request of the context.
type spanned struct{}

// RoundTrip returns what the span is to know of the outcome.
func (spanned) RoundTrip(r *http.Request) (*http.Response, error) {
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		return nil, errors.New("no request in the context")
	}
	c.Settle() // a provider that did not decide has started the span
	c.send(r.Context(), r.Context())
	if c.err != nil {
		return nil, failure.Of(c.original.Context(), c.err)
	}
	return &http.Response{StatusCode: c.response.StatusCode, Proto: c.response.Proto, Body: http.NoBody}, nil
}

// clientSpanName follows the conventions, which have no path in the name.
func clientSpanName(_ string, r *http.Request) string { return methodOf(r.Method).spanName() }
