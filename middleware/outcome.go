package middleware

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// outcome is how a request ended.
type outcome struct {
	response
	errorType string
	failed    bool // the service is at fault
	broken    bool // the response is not what the status code says
	began     bool // something of it was sent
	panicked  any
	stack     []byte
	elapsed   time.Duration
}

// finish tells metrics and span how the request ended.
func (x *exchange) finish(panicked any, stack []byte) {
	elapsed := time.Since(x.start)
	if form := x.inner.MultipartForm; form != nil {
		x.request.MultipartForm = form // net/http removes its files
	}
	x.mu.Lock()
	seen, named, streams := x.seen, x.named, x.options.Stream
	x.mu.Unlock()
	o := x.outcome(seen, elapsed, panicked, stack)
	o.stream = seen.stream || streams
	x.finished = x.routeAfter(named)

	ctx := x.inner.Context()
	switch {
	case x.recorded:
		x.describe(trace.SpanFromContext(ctx), o)
	case x.rescuable && x.nospan.provider.(headsample.Decider).Rescue(o.failed, o.patience()): //nolint:forcetypeassert // it has decided
		ctx = x.rescue(o)
	}
	x.record(ctx, o)
	if x.inner.Pattern != "" {
		x.request.Pattern = x.inner.Pattern // for middleware around the Handler
	}
}

func (x *exchange) outcome(seen response, elapsed time.Duration, panicked any, stack []byte) outcome {
	o := outcome{response: seen, elapsed: elapsed, panicked: panicked, stack: stack}
	o.began = seen.status != 0 || seen.hijacked
	switch {
	case stack != nil:
		o.status, o.errorType = http.StatusInternalServerError, x.handler.panicType(panicked)
		o.failed, o.broken = true, true
	case x.clientLeft(seen):
		o.status, o.errorType, o.broken = 0, telemetry.ClientDisconnected, true
	case !x.returned: // by http.ErrAbortHandler or runtime.Goexit
		o.errorType, o.failed, o.broken = telemetry.ResponseAborted, true, true
	case !o.began:
		o.status = http.StatusOK // what net/http sends for a handler that writes nothing
		o.began, o.firstByte = true, elapsed
	case seen.status >= http.StatusInternalServerError:
		o.errorType, o.failed = strconv.Itoa(int(seen.status)), true
	}
	if x.Request.Method == http.MethodHead {
		o.written = 0 // net/http does not send it
	}
	return o
}

// patience is how long the client had to wait for what it wanted.
func (o *outcome) patience() time.Duration {
	if o.stream {
		return o.firstByte
	}
	return o.elapsed
}

// clientLeft tells whether the client was gone before it had a complete
// response. For a stream to end so is not unusual. Who cancels the context for
// another reason, such as the end of the service, says so in its cause.
func (x *exchange) clientLeft(seen response) bool {
	cause := context.Cause(x.request.Context())
	if seen.stream || cause != context.Canceled { //nolint:errorlint // the cause of signal.NotifyContext says that it is this one too
		return false
	}
	return seen.length == 0 || seen.written < seen.length
}

// panicType returns the type of the value as error.type, of which a Handler
// tells 20 apart.
func (h *handler) panicType(value any) string {
	const most = 20
	name := fmt.Sprintf("%T", value)
	if known, ok := h.panics.Add(name, most, func() string { return name }); ok {
		return known
	}
	return telemetry.Other
}

// routeAfter returns what is known of the route in the end: what the service
// said; else what was known before; else the pattern that a router left in the
// request; else what the router says when asked now. A router that has no route
// for the request is believed, whatever stands around the Handler.
func (x *exchange) routeAfter(named *route) *route {
	t := &x.handler.routes
	switch {
	case named != nil:
		return named
	case t.hook == nil && (t.direct || x.inner.Pattern != x.request.Pattern) && patternIsBounded(x.inner):
		return t.matched(x.inner.Pattern)
	case x.route == nil:
		x.route = t.of(x.request)
	}
	if x.route == t.other && t.mux == nil && t.hook == nil && patternIsBounded(x.inner) {
		return t.matched(x.inner.Pattern)
	}
	return x.route
}

// record records the metrics of the request.
func (x *exchange) record(ctx context.Context, o outcome) {
	in, disabled := &x.handler.instruments, x.options.Disable|x.finished.options.Disable
	attributes := x.finished.attributes(routeSeriesKey{
		method:    x.method,
		https:     x.request.TLS != nil,
		major:     uint8(x.request.ProtoMajor),
		minor:     uint8(x.request.ProtoMinor),
		status:    o.status,
		errorType: o.errorType,
	})
	switch {
	case disabled&Duration != 0:
	case o.stream:
		in.streamDuration.Record(ctx, o.elapsed.Seconds(), attributes...)
		if o.began {
			in.firstByte.Record(ctx, o.firstByte.Seconds(), attributes...)
		}
	default:
		in.duration.Record(ctx, o.elapsed.Seconds(), attributes...)
	}
	if x.body.ReadCloser != nil && disabled&RequestBodySize == 0 {
		in.requestSize.Record(ctx, x.body.bytes.Load(), attributes...)
	}
	if !o.hijacked && disabled&ResponseBodySize == 0 { // what a hijacked one has is not known
		in.responseSize.Record(ctx, o.written, attributes...)
	}
}
