package middleware

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// spanned is what otelhttp calls inside the span it made.
func (h *handler) spanned(w http.ResponseWriter, r *http.Request) {
	switch x := r.Context().Value(exchangeKey{}).(type) {
	case *exchange:
		x.spanned = true
		x.serve(w, r)
	case *rescue:
		x.describe(w, r)
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

// describe adds to the span what otelhttp leaves out. A response that is not
// what its status code says is described completely, and ends the span, so
// that otelhttp adds no more.
func (x *exchange) describe(span trace.Span, o outcome) {
	if !span.IsRecording() {
		return
	}
	if x.finished.label != "" {
		span.SetAttributes(telemetry.HTTPRoute.String(x.finished.label))
	}
	if x.finished != x.route {
		span.SetName(x.name())
	}
	if o.errorType != "" {
		span.SetAttributes(telemetry.ErrorType.String(o.errorType))
	}
	if x.request.ProtoMajor > 1 {
		span.SetAttributes(telemetry.ProtocolVersion.String(protocolVersion(x.request.ProtoMajor, x.request.ProtoMinor)))
	}
	if o.stack != nil {
		span.AddEvent(telemetry.Exception, trace.WithAttributes(
			telemetry.ExceptionType.String(fmt.Sprintf("%T", o.panicked)),
			telemetry.ExceptionMessage.String(fmt.Sprint(o.panicked)),
			telemetry.ExceptionStacktrace.String(string(o.stack)),
		))
	}
	if !o.broken {
		return
	}
	if o.failed {
		span.SetStatus(codes.Error, o.errorType)
	}
	span.SetAttributes(x.result(o)...)
	span.End()
}

// result returns what is known of the response, without what is zero.
func (x *exchange) result(o outcome) []attribute.KeyValue {
	var attributes []attribute.KeyValue
	if o.status != 0 {
		attributes = append(attributes, telemetry.HTTPStatusCode.Int(o.status))
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
			WithTraceState(headsample.WithoutThreshold(unsampled.TraceState())),
	})
	again := x.request.WithContext(otelhttp.ContextWithStartTime(c, x.start))
	again.Body = http.NoBody
	x.handler.spans.ServeHTTP(&discard{header: http.Header{}}, again)
	return c.spanned
}

// describe tells otelhttp how the request ended.
func (c *rescue) describe(w http.ResponseWriter, r *http.Request) {
	c.spanned = r.Context()
	span := trace.SpanFromContext(c.spanned)
	span.SetAttributes(telemetry.SamplingRescued.Bool(true))
	if !c.outcome.broken {
		span.SetAttributes(c.x.result(c.outcome)...)
		w.WriteHeader(max(c.outcome.status, http.StatusOK))
	}
	c.x.describe(span, c.outcome)
}

// discard is the ResponseWriter for an exchange that is over.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

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
