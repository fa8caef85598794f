package middleware

import (
	"context"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/otelmon/toolkit/internal/headsample"
)

// exchange is one request and its response. It is allocated once for each
// request and never reused: a handler's goroutine may write late.
type exchange struct {
	headsample.Context // of the request; its parent has the inbound trace

	handler *handler
	request *http.Request // as it came
	inner   *http.Request // as it is passed on
	start   time.Time
	method  method
	route   *route       // what is known before; nil when nobody asked
	options RouteOptions // SetRoute may set Stream, under mu

	nospan    unsampledSpan // the current span of an unsampled request
	rescuable bool          // which may leave a span after all
	agent     string        // what that would say of the client
	forwarded string
	upgrades  bool // the client asks for another protocol
	recorded  bool // there is a span
	returned  bool // the handler did, neither by a panic nor by runtime.Goexit
	body      countedBody
	writer    http.ResponseWriter // of the server
	observed  observed            // around it, if it is known
	finished  *route              // what is known in the end

	mu    sync.Mutex // guards what follows
	seen  response
	named *route // by SetRoute
}

type exchangeKey struct{}

// Value returns the exchange for its key.
func (x *exchange) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return x
	}
	return x.Context.Value(key)
}

// SetRoute names the route of the request that ctx belongs to, for routers
// that know it only while they handle the request: call it from their
// middleware, with the pattern and never the path; an empty one says nothing.
// The last call counts, and goes before what Config knows. The sampler has
// decided by then. Without a [Handler] around, or after its return, it does
// nothing. Safe for concurrent use.
func SetRoute(ctx context.Context, pattern string) {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok && pattern != "" {
		named := x.handler.routes.named(pattern)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.named = named
		x.options.Stream = x.options.Stream || named.options.Stream
	}
}

// parent returns the context in which the sampler decides.
func (x *exchange) parent() context.Context {
	if x.handler.cfg.Public {
		return trace.ContextWithSpanContext(x, trace.SpanContext{})
	}
	return x
}

// findRoute finds out the route before the request is handled.
func (x *exchange) findRoute() {
	x.route = x.handler.routes.of(x.request)
	x.Request.Route = x.route.label
}

// decided passes the request on as otelmon's provider decides.
func (x *exchange) decided(decider headsample.Decider, provider trace.TracerProvider) {
	decision, ok := decider.Decide(x.parent(), trace.SpanKindServer)
	switch {
	case !ok:
		x.Ask()
		x.traced(provider)
	case decision.Recording:
		x.Leave(decision)
		x.traced(provider)
	default:
		x.rescuable = !decision.Final
		x.unsampled(decision.SpanContext, provider)
	}
}

// traced passes the request on in a span of the provider's.
func (x *exchange) traced(provider trace.TracerProvider) {
	if x.route == nil {
		x.findRoute()
	}
	x.nospan.provider = provider
	// The response goes past otelhttp, whose writer would hide errors of Flush.
	x.handler.spans.ServeHTTP(&discard{}, x.request.WithContext(x))
}

// spanned is what otelhttp calls inside the span it made. Where the sampler was
// asked only now, that may be none.
func (x *exchange) spanned(r *http.Request) {
	x.Settle()
	span := trace.SpanFromContext(r.Context())
	x.recorded = span.IsRecording()
	if _, ok := x.nospan.provider.(headsample.Decider); ok && !x.recorded {
		x.nospan.context, x.rescuable = span.SpanContext(), !x.Final
	}
	x.serve(r)
}

// unsampled passes the request on in a trace that is not sampled.
func (x *exchange) unsampled(sc trace.SpanContext, provider trace.TracerProvider) {
	x.nospan = unsampledSpan{context: sc, provider: provider}
	x.serve(x.request.WithContext(trace.ContextWithSpan(x, &x.nospan)))
}

// untraced passes the request on in a trace that is not sampled, unless there
// is a span around it, which is not ours to hide.
func (x *exchange) untraced(provider trace.TracerProvider) {
	if around := trace.SpanContextFromContext(x); around.IsValid() && !around.IsRemote() {
		x.serve(x.request.WithContext(x))
		return
	}
	x.unsampled(headsample.Unsampled(trace.SpanContextFromContext(x.parent())), provider)
}

// serve calls the service's handler with what belongs to x.
func (x *exchange) serve(r *http.Request) {
	x.inner = r
	x.upgrades = len(r.Header["Upgrade"]) > 0
	if x.rescuable {
		x.agent, x.forwarded = first(r.Header["User-Agent"]), first(r.Header["X-Forwarded-For"])
	}
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 { // with HTTP/2 there is a reader in any case
		x.body.ReadCloser = r.Body
		r.Body = &x.body
	}
	if x.handler.cfg.TraceResponse {
		setTraceResponse(x.writer, trace.SpanContextFromContext(r.Context()))
	}
	if x.options.Disable&ActiveRequests == 0 {
		defer x.handler.active.begin(x.method, r.TLS != nil).Add(-1)
	}
	defer x.end()
	x.handler.next.ServeHTTP(x.wrap(x.writer), r)
	x.returned = true
}

// end finishes the exchange, and lets a panic go on: it is the service's, and
// net/http prints the stack of where it began.
func (x *exchange) end() {
	panicked := recover()
	var stack []byte
	if panicked != nil && panicked != any(http.ErrAbortHandler) { // as net/http does it
		stack = debug.Stack()
	}
	x.finish(panicked, stack)
	if panicked != nil {
		panic(panicked) //nolint:forbidigo // the service's own, with the same value
	}
}

// countedBody counts what is read of a body.
type countedBody struct {
	io.ReadCloser
	bytes atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}

// unsampledSpan is the span of a request that is not sampled.
type unsampledSpan struct {
	noop.Span
	context  trace.SpanContext
	provider trace.TracerProvider
}

// SpanContext returns the IDs that children and callees get.
func (s *unsampledSpan) SpanContext() trace.SpanContext { return s.context }

// TracerProvider returns the one that was asked.
func (s *unsampledSpan) TracerProvider() trace.TracerProvider { return s.provider }
