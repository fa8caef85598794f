// Package headsample is what the HTTP middleware, the samplers and the
// TracerProvider tell each other about one request, so that the decision
// whether to sample it is taken before anything is built for its span.
//
// The middleware puts a [Context] around the request's context. Samplers read
// the [Request] from it. A TracerProvider that is a [Decider] takes the
// decision; for a request that is to be recorded it is left in the Context,
// where the sampler and the ID generator of the same provider find it, once,
// when the span is started.
package headsample

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracestate"
)

// Request is what is known of an HTTP request before it is handled.
type Request struct {
	// Method is one of the known methods, or _OTHER.
	Method string
	// Route is the pattern without method and host, such as /orders/{id}. Empty
	// when it is not known, not yet, or not needed.
	Route string
	// Path is the request's, not to be recorded.
	Path string
	// Scheme is http or https.
	Scheme string
	// Header is the request's. It is read by who decides, before others may
	// change it: see [Header].
	Header http.Header
}

// Decision is what is decided about a span before it is started.
type Decision struct {
	// SpanContext is that of the span to be, sampled or not.
	SpanContext trace.SpanContext
	// Recording tells that a span is to be started.
	Recording bool
	// Attributes are the sampler's, for the span.
	Attributes []attribute.KeyValue
	// Final tells that the request leaves no span even if it fails, because
	// traces are off or a rule drops it.
	Final bool
}

// Without returns ctx for what leaves no span by the decision. An unsampled parent
// stays as it is: its span is made after all if its own request fails, whereas
// that of the decision never is.
func (d Decision) Without(ctx context.Context) context.Context {
	parent := trace.SpanContextFromContext(ctx)
	if parent.IsValid() && !parent.IsSampled() || !d.SpanContext.IsValid() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, d.SpanContext)
}

// Decider is a TracerProvider that can tell what it would decide about a span
// before that is started. Safe for concurrent use.
type Decider interface {
	// Decide takes the decision for a span of the kind in ctx: child of the
	// span in ctx, or root when there is none. It reports false when it
	// cannot know, such as with a sampler made by others, which may look at
	// the attributes of the span.
	Decide(ctx context.Context, kind trace.SpanKind) (Decision, bool)
	// NeedsRoute tells that decisions depend on Request.Route. It is left empty
	// otherwise: to ask the router first costs a second look-up.
	NeedsRoute() bool
	// Rescue reports whether a request that was not sampled is to leave a span
	// after all, because it failed or took long. A true uses up the right to
	// one of a limited number a second.
	Rescue(failed bool, duration time.Duration) bool
}

// Context carries one request of one kind, server or client. It is to be
// embedded by value in what the middleware allocates for a request. But for
// Claim it is not changed once it was passed on to code of others.
type Context struct {
	context.Context //nolint:containedctx // it is a context

	// Request is the one that is handled or sent.
	Request Request
	// Kind is server or client.
	Kind trace.SpanKind
	// Final is that of the decision, which the sampler notes after Ask.
	Final bool

	asks    bool
	claimed atomic.Bool
	pending *Decision
}

type (
	serverKey  struct{}
	clientKey  struct{}
	pendingKey struct{}
)

// Value returns the Context itself for the keys of this package. It hides those
// around it: what a server calls, or a RoundTripper handles in the same
// process, is another request.
func (c *Context) Value(key any) any {
	switch key.(type) {
	case serverKey:
		if c.Kind != trace.SpanKindServer {
			return nil
		}
		return c
	case clientKey:
		if c.Kind != trace.SpanKindClient {
			return nil
		}
		return c
	case pendingKey:
		if c.asks || c.pending != nil {
			return c
		}
	}
	return c.Context.Value(key)
}

// Server returns the Context of the server request that ctx belongs to, which
// the middleware measures, or nil.
func Server(ctx context.Context) *Context {
	c, _ := ctx.Value(serverKey{}).(*Context)
	return c
}

// Client returns the Context of the client request that ctx belongs to, which
// the middleware measures, or nil.
func Client(ctx context.Context) *Context {
	c, _ := ctx.Value(clientKey{}).(*Context)
	return c
}

// Of returns the Context of the request that ctx belongs to, server or client,
// or nil.
func Of(ctx context.Context) *Context {
	if c := Server(ctx); c != nil {
		return c
	}
	return Client(ctx)
}

// Claim tells the Transport around that what it sends is measured under other
// names, such as those of calls of LLM APIs, and is not to be counted twice.
func (c *Context) Claim() { c.claimed.Store(true) }

// Claimed reports whether somebody claimed the request.
func (c *Context) Claimed() bool { return c.claimed.Load() }

// Leave leaves the decision for the next span that is started with c. It is
// called before c is passed on.
func (c *Context) Leave(d Decision) { c.pending = &d }

// Ask leaves it to the sampler to decide about the next span that is started
// with c, and to set Final. It is called before c is passed on.
func (c *Context) Ask() { c.asks = true }

// Settle takes back what Leave and Ask left, so that no other span finds it.
func (c *Context) Settle() {
	if c.asks || c.pending != nil { // others may read it already
		c.asks, c.pending = false, nil
	}
}

// Pending returns the Context that waits for the span being started in ctx, and
// the decision left in it. That is nil when the sampler is asked. The Context is
// nil for any other span.
func Pending(ctx context.Context) (*Context, *Decision) {
	c, ok := ctx.Value(pendingKey{}).(*Context)
	if !ok {
		return nil, nil
	}
	return c, c.pending
}

type headerKey struct{}

// WithHeader returns a context for one decision, in which the sampler may read
// the headers.
func WithHeader(ctx context.Context, header http.Header) context.Context {
	return context.WithValue(ctx, headerKey{}, header)
}

// Header returns the headers of the request that is being decided about, or nil.
func Header(ctx context.Context) http.Header {
	header, _ := ctx.Value(headerKey{}).(http.Header)
	return header
}

// SplitPattern returns the method and the route of a pattern of ServeMux that
// begins with a method. Anything else is a route as it is.
func SplitPattern(pattern string) (method, route string) {
	method, rest, _ := strings.Cut(pattern, " ")
	slash := strings.IndexByte(rest, '/')
	if method == "" || slash < 0 || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", pattern
	}
	return method, rest[slash:]
}

// NewIDs returns the IDs of a new span: in the trace of its parent, or in a new
// trace when the parent is not valid.
func NewIDs(parent trace.SpanContext) (trace.TraceID, trace.SpanID) {
	traceID := parent.TraceID()
	for !traceID.IsValid() {
		binary.NativeEndian.PutUint64(traceID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(traceID[8:], rand.Uint64())
	}
	var spanID trace.SpanID
	for !spanID.IsValid() {
		binary.NativeEndian.PutUint64(spanID[:], rand.Uint64())
	}
	return traceID, spanID
}

// Unsampled returns the SpanContext of a new span that is not sampled.
func Unsampled(parent trace.SpanContext) trace.SpanContext {
	traceID, spanID := NewIDs(parent)
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    traceID,
		SpanID:     spanID,
		TraceFlags: parent.TraceFlags() &^ trace.FlagsSampled,
		TraceState: tracestate.WithoutThreshold(parent.TraceState()),
	})
}

// RootSampler is implemented by the samplers of package sampling. They decide
// about roots only, so that Setup wraps them: children follow their parents.
type RootSampler interface{ IsRootSampler() }

// FinalKey marks a result of a sampler that drops: with this attribute in it
// the request leaves no span even if it fails. The SDK ignores the attributes
// of what is dropped.
const FinalKey = attribute.Key("otelmon.sampling.final")
