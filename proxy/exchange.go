package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// exchange is one request on its way to an upstream, and the ResponseWriter of
// what comes back.
type exchange struct {
	http.ResponseWriter

	body   requestBody
	duplex bool // the connection carries both directions at once
	began  bool // the header was sent
}

// requestBody notes how the body of a request ended.
type requestBody struct {
	io.ReadCloser // nil: there is none

	complete, failed, answered atomic.Bool

	timeout time.Duration
	stalled *time.Timer // stopped while the client is waited for; nil: none is needed
	cancel  context.CancelCauseFunc
}

// errStalled is the cause of a request whose upstream did not go on taking it.
var errStalled = context.DeadlineExceeded

// Read implements [io.Reader].
func (b *requestBody) Read(p []byte) (int, error) {
	if b.stalled != nil {
		b.stalled.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	if b.stalled != nil && !b.answered.Load() {
		b.stalled.Reset(b.timeout)
	}
	switch err {
	case nil:
	case io.EOF:
		b.complete.Store(true)
	default:
		b.failed.Store(true)
	}
	return n, err //nolint:wrapcheck // as any reader
}

// giveUp ends the exchange unless the upstream has answered.
func (b *requestBody) giveUp() {
	if !b.answered.Load() {
		b.cancel(errStalled)
	}
}

// end is called when nothing is to be read any more.
func (b *requestBody) end() {
	b.answered.Store(true)
	if b.stalled != nil {
		b.stalled.Stop()
		b.cancel(nil)
	}
}

// fits is what a connection takes without that the peer reads, so that waiting for
// the header of the response begins at once, and that has its own timeout.
const fits = 16 << 10

// takeBody returns the request with its body noted, and read while the response
// is written: an upstream may answer before it has all. It may not take longer
// than the timeout for what was read.
func (x *exchange) takeBody(r *http.Request, timeout time.Duration) *http.Request {
	if r.Body == nil || r.ContentLength == 0 {
		return r
	}
	ctx := r.Context()
	if r.ContentLength < 0 || r.ContentLength > fits {
		ctx, x.body.cancel = context.WithCancelCause(ctx)
		x.body.timeout = timeout
		x.body.stalled = time.AfterFunc(timeout, x.body.giveUp)
	}
	if r.ProtoMajor == 1 {
		x.duplex = http.NewResponseController(x.ResponseWriter).EnableFullDuplex() == nil
	}
	x.body.ReadCloser = r.Body
	r = r.WithContext(ctx)
	r.Body = &x.body
	return r
}

// Hijack is called for a response that upgrades the connection.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x.body.answered.Store(true)
	return http.NewResponseController(x.ResponseWriter).Hijack() //nolint:wrapcheck // as any Hijacker
}

// Unwrap is for [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader sends the header, without the Content-Type that net/http guesses
// where there is none.
func (x *exchange) WriteHeader(code int) {
	const contentType = "Content-Type"
	if code >= http.StatusOK {
		x.began = true
		x.body.answered.Store(true)
		header := x.Header()
		if len(header[contentType]) == 0 {
			header[contentType] = nil
		}
		if x.duplex && !x.body.complete.Load() {
			header.Set("Connection", "close") // net/http panics at the next request, https://go.dev/issue/68560
		}
	}
	x.ResponseWriter.WriteHeader(code)
}

// end sends what came of a response that broke off. It is to be deferred.
//
// That the client left is no failure, so the panic that tells of it ends here.
// But a client that only closed its direction must not take what it got for a
// complete response.
func (x *exchange) end(r *http.Request) {
	panicked := recover()
	x.body.end()
	if panicked == nil {
		return
	}
	connection := http.NewResponseController(x.ResponseWriter)
	if panicked == any(http.ErrAbortHandler) && errors.Is(context.Cause(r.Context()), context.Canceled) {
		_ = connection.SetWriteDeadline(time.Unix(1, 0)) // nothing more is sent
		return
	}
	if x.began {
		_ = connection.Flush() // the client may be gone
	}
	panic(panicked) //nolint:forbidigo // it goes on
}
