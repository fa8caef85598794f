package middleware

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/sse"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// call is one request that a transport sends, the context of it, and what is
// recorded of it.
type call struct {
	headsample.Context

	transport *transport
	original  *http.Request
	endpoint  *endpoint
	start     time.Time

	around   context.Context //nolint:containedctx // with the span that the metrics belong to
	headers  outgoingHeaders
	sent     atomic.Pointer[countedBody] // nil: the length was known
	returned bool                        // base did, neither by a panic nor by runtime.Goexit
	response *http.Response
	err      error

	// What is known with the headers; the response itself is the caller's then.
	status  int    // 0: there is no response
	version string // of the protocol
	stream  bool
	sized   bool // the body is as long as what was transferred
	body    responseBody
	spanEnd io.Closer // nil: there is no span, or it has ended
	ended   atomic.Bool
}

type callKey struct{}

// Value returns the call itself for its own key.
func (c *call) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// send has base send a copy of the request with ctx, and with headers that say
// what span is around.
func (c *call) send(ctx, around context.Context) {
	c.around = around
	defer c.abandoned()
	out := c.original.WithContext(ctx)
	c.headers.header = out.Header
	c.propagate(around)
	out.Header = c.headers.header
	c.countRequestBody(out)
	c.response, c.err = c.transport.base.RoundTrip(out) //nolint:bodyclose // the caller closes it
	c.returned = true
	if c.err != nil {
		return
	}
	c.err = checkResponse(c.transport.base, c.original, c.response)
	if c.err != nil {
		c.response = nil
		return
	}
	if c.response.Request == out {
		c.response.Request = c.original
	}
}

// propagate makes the headers say what ctx says of the trace, and nothing else:
// a reverse proxy copies those of its client. With nothing to say, those that
// the caller set by hand stay.
func (c *call) propagate(ctx context.Context) {
	t := c.transport
	propagator := t.cfg.propagator()
	names := t.traceHeaders.of(propagator)
	if !t.allowed.contains(c.original.URL) {
		c.headers.remove(names)
		return
	}
	if names.written && trace.SpanContextFromContext(ctx).IsValid() {
		c.headers.remove(names)
	}
	propagator.Inject(ctx, &c.headers)
}

// checkResponse repairs what [http.Client] repairs, and returns the error that
// it returns for the rest.
func checkResponse(base http.RoundTripper, r *http.Request, response *http.Response) error {
	switch {
	case response == nil:
		return fmt.Errorf("http: RoundTripper implementation (%T) returned a nil *Response with a nil error", base)
	case response.Body != nil:
	case response.ContentLength > 0 && r.Method != http.MethodHead:
		return fmt.Errorf("http: RoundTripper implementation (%T) returned a *Response with content length %d but a nil Body",
			base, response.ContentLength)
	default:
		response.Body = http.NoBody
	}
	return nil
}

// received records what is known with the headers, and puts a body into the
// response that records the rest.
func (c *call) received() (*http.Response, error) {
	if c.err != nil {
		c.end(c.err)
		return c.response, c.err
	}
	upgraded := c.response.StatusCode == http.StatusSwitchingProtocols
	c.status = c.response.StatusCode
	c.version = protocolVersion(c.response.ProtoMajor, c.response.ProtoMinor)
	c.sized = !upgraded && !c.response.Uncompressed
	c.stream = upgraded || sse.Is(c.response.Header.Get("Content-Type"))
	if c.stream {
		c.recordFirstByte()
	}
	if c.response.Body == http.NoBody {
		c.end(nil)
		return c.response, nil
	}
	c.body.ReadCloser, c.body.call = c.response.Body, c
	if both, ok := c.response.Body.(io.ReadWriteCloser); ok {
		c.response.Body = &upgradedBody{responseBody: &c.body, writer: both}
	} else {
		c.response.Body = &c.body
	}
	return c.response, nil
}

// end records the request, once: err is what ended it, or nil.
func (c *call) end(err error) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	var failed failure.Failure
	if err != nil {
		failed = failure.Of(c.original.Context(), err)
	}
	c.record(failed.ErrorType())
	if c.spanEnd == nil {
		return
	}
	if err != nil {
		span := trace.SpanFromContext(c.around)
		span.SetAttributes(telemetry.ErrorType.String(failed.ErrorType()))
		span.SetStatus(codes.Error, failed.Error())
	}
	c.spanEnd.Close()
}

// abandoned records a request whose base panicked, or ended its goroutine, and
// ends the span, which otelhttp then leaves as it is.
func (c *call) abandoned() {
	if c.returned {
		return
	}
	parent, span := trace.SpanContextFromContext(c.Context.Context), trace.SpanFromContext(c.around)
	if !span.SpanContext().Equal(parent) {
		c.spanEnd = endOf{span}
	}
	c.err = failure.ErrAbandoned
	c.end(c.err)
}

// endOf ends the span when it is closed.
type endOf struct{ trace.Span }

func (s endOf) Close() error {
	s.End()
	return nil
}
