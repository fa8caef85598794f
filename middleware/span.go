package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/tracestate"
)

// spanned is what otelhttp calls inside the span it made.
func (h *handler) spanned(_ http.ResponseWriter, r *http.Request) {
	switch x := r.Context().Value(exchangeKey{}).(type) {
	case *exchange:
		x.spanned(r)
	case *rescue:
		x.describe(r.Context())
	}
}

// spanName is asked by otelhttp before the request is handled, and again where
// the router left its pattern.
func spanName(_ string, r *http.Request) string {
	switch x := r.Context().Value(exchangeKey{}).(type) {
	case *exchange:
		return x.name()
	case *rescue:
		return x.x.name()
	}
	return r.Method
}

func (x *exchange) name() string {
	if x.finished != nil {
		return x.finished.spanName(x.method)
	}
	return x.route.spanName(x.method)
}

// describe adds to the span what is known in the end, and ends it, so that
// otelhttp adds no more: it sees neither panics nor what is copied by ReadFrom.
func (x *exchange) describe(span trace.Span, o outcome) {
	if !span.IsRecording() {
		return
	}
	if x.finished != x.route {
		span.SetName(x.name())
	}
	if o.stack != nil {
		span.AddEvent(telemetry.Exception, trace.WithAttributes(
			telemetry.ExceptionType.String(fmt.Sprintf("%T", o.panicked)),
			telemetry.ExceptionMessage.String(message(o.panicked)),
			telemetry.ExceptionStacktrace.String(string(o.stack)),
		))
	}
	switch {
	case o.broken && o.failed:
		span.SetStatus(codes.Error, o.errorType)
	case o.failed:
		span.SetStatus(codes.Error, "") // the status code says it
	}
	span.SetAttributes(x.result(o)...)
	span.End()
}

// message returns what was panicked with, cut to a length that is no burden.
func message(panicked any) string {
	const most = 4 << 10
	text := fmt.Sprint(panicked)
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// result returns the attributes that are known in the end, without what is
// zero, and those that otelhttp names otherwise.
func (x *exchange) result(o outcome) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 4) // what most have
	switch method := x.method.String(); method {
	case "QUERY", telemetry.Other:
		attributes = append(attributes, telemetry.HTTPMethod.String(method))
	}
	if x.finished.label != "" {
		attributes = append(attributes, telemetry.HTTPRoute.String(x.finished.label))
	}
	if x.request.ProtoMajor == 2 || x.request.ProtoMajor == 3 {
		attributes = append(attributes, telemetry.ProtocolVersion.String(protocolVersion(x.request.ProtoMajor, 0)))
	}
	if o.errorType != "" {
		attributes = append(attributes, telemetry.ErrorType.String(o.errorType))
	}
	if o.status != 0 {
		attributes = append(attributes, telemetry.HTTPStatusCode.Int(int(o.status)))
	}
	if n := x.body.bytes.Load(); n > 0 {
		attributes = append(attributes, telemetry.HTTPRequestBodySize.Int64(n))
	}
	if o.written > 0 {
		attributes = append(attributes, telemetry.HTTPResponseBodySize.Int64(o.written))
	}
	return attributes
}

// rescue is the making of a span for an exchange that is over.
type rescue struct {
	headsample.Context

	x       *exchange
	outcome outcome
	spanned context.Context //nolint:containedctx // handed back
}

// Value returns the rescue for the key of an exchange.
func (c *rescue) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// rescue makes the span that the request would have had, with the IDs that its
// children and callees know already, and returns the context of that span.
func (x *exchange) rescue(o outcome) context.Context {
	unsampled := x.nospan.context
	c := &rescue{x: x, outcome: o, spanned: x.inner.Context()}
	c.Context.Context = x.Context.Context
	c.Kind = trace.SpanKindServer
	c.Request = x.Request
	c.Leave(headsample.Decision{
		Recording: true,
		SpanContext: unsampled.
			WithTraceFlags(unsampled.TraceFlags().WithSampled(true)).
			WithTraceState(tracestate.WithoutThreshold(unsampled.TraceState())),
	})
	// A goroutine of the service may still change URL and headers of the request.
	again := x.request.WithContext(otelhttp.ContextWithStartTime(c, x.start))
	again.Body = http.NoBody
	again.URL = &url.URL{Path: x.Request.Path}
	again.Header = http.Header{"User-Agent": {x.agent}, "X-Forwarded-For": {x.forwarded}}
	x.handler.spans.ServeHTTP(&discard{}, again)
	return c.spanned
}

// describe describes the span that otelhttp made.
func (c *rescue) describe(ctx context.Context) {
	c.spanned = ctx
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(telemetry.SamplingRescued.Bool(true))
	c.x.describe(span, c.outcome)
}

// discard is the ResponseWriter that otelhttp gets: it has no part in the
// response.
type discard struct{}

func (*discard) Header() http.Header         { return http.Header{} }
func (*discard) Write(p []byte) (int, error) { return len(p), nil }
func (*discard) WriteHeader(int)             {}

// currentProvider is the given provider, or the global one of the moment.
// otelhttp alone would take that of the span in the context, which for a remote
// parent makes no spans.
type currentProvider struct{ trace.TracerProvider }

// Tracer returns the provider's tracer, or one that follows the global.
func (p currentProvider) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	if p.TracerProvider != nil {
		return p.TracerProvider.Tracer(name, options...)
	}
	return &currentTracer{name: name, options: options}
}

type currentTracer struct {
	embedded.Tracer
	name    string
	options []trace.TracerOption
	last    atomic.Pointer[madeTracer]
}

type madeTracer struct {
	trace.Tracer
	provider trace.TracerProvider
}

// Start starts a span with the global provider.
func (t *currentTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	provider := otel.GetTracerProvider()
	last := t.last.Load()
	if last == nil || last.provider != provider {
		last = &madeTracer{provider.Tracer(t.name, t.options...), provider}
		if reflect.ValueOf(provider).Comparable() {
			t.last.Store(last)
		}
	}
	return last.Start(ctx, name, options...)
}
