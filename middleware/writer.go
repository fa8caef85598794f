package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/felixge/httpsnoop"

	"github.com/otelmon/toolkit/internal/sse"
)

// response is what the ResponseWriter saw.
type response struct {
	length    int64         // of the body, as declared; 0 when it was not
	written   int64         // of it, in bytes
	firstByte time.Duration // of a stream, since the request came
	status    int32         // 0 when nothing was sent
	stream    bool
	hijacked  bool
}

// sends notes that the response begins with the status code. The first call
// counts, as for the client.
func (x *exchange) sends(code int, w http.ResponseWriter) {
	if code >= 100 && code <= 199 && code != http.StatusSwitchingProtocols {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen.status != 0 || x.seen.hijacked {
		return
	}
	x.seen.status = int32(code)
	header := w.Header()
	if declared := first(header["Content-Length"]); declared != "" {
		x.seen.length = length(declared)
	}
	if code == http.StatusSwitchingProtocols || x.options.Stream || sse.Is(first(header["Content-Type"])) {
		x.seen.stream, x.seen.firstByte = true, time.Since(x.start)
	}
}

// length returns a Content-Length, 0 for what net/http does not send.
func length(declared string) int64 {
	n, err := strconv.ParseInt(declared, 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// sendsHeader calls next before it notes the code, which next may refuse with a panic.
func (x *exchange) sendsHeader(w http.ResponseWriter, code int, next func(int)) {
	next(code)
	x.sends(code, w)
}

// sendsFrom copies src by next. The response only begins if src has a byte:
// when reading it fails at once, the status code is still open.
func (x *exchange) sendsFrom(w http.ResponseWriter, src io.Reader, next func(io.Reader) (int64, error)) (int64, error) {
	x.mu.Lock()
	streams := x.options.Stream
	x.mu.Unlock()
	if streams || sse.Is(first(w.Header()["Content-Type"])) {
		src = &beginning{src, func() { x.sends(http.StatusOK, w) }}
	}
	n, err := next(src)
	if n > 0 {
		x.sends(http.StatusOK, w)
		x.wrote(n)
	}
	return n, err
}

// beginning calls begin before it hands on its first byte. It hides what else
// src can do, such as to be sent by the kernel.
type beginning struct {
	io.Reader
	begin func()
}

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n > 0 && b.begin != nil {
		b.begin()
		b.begin = nil
	}
	return n, err
}

func (x *exchange) wrote(bytes int64) {
	x.mu.Lock()
	x.seen.written += bytes
	x.mu.Unlock()
}

// hijacks notes that the handler talks to the client itself from now on.
func (x *exchange) hijacks(err error) {
	if err != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen.status == 0 && x.upgrades {
		x.seen.status = http.StatusSwitchingProtocols
	}
	x.seen.hijacked, x.seen.stream = true, true
	if x.seen.firstByte == 0 {
		x.seen.firstByte = time.Since(x.start)
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// wrap returns a writer that notes what is sent, with exactly the optional
// interfaces of w. Those of net/http's servers are known here, since they then
// take no allocation where httpsnoop takes twenty.
func (x *exchange) wrap(w http.ResponseWriter) http.ResponseWriter {
	if known, ok := w.(serverWriter); ok {
		_, hijacks := w.(http.Hijacker)
		_, reads := w.(io.ReaderFrom)
		_, pushes := w.(http.Pusher)
		x.observed = observed{known, x}
		switch {
		case hijacks && reads && !pushes:
			return http1{&x.observed}
		case pushes && !hijacks && !reads:
			return http2{&x.observed}
		}
	}
	return httpsnoop.Wrap(w, x.hooks(w))
}

func (x *exchange) hooks(w http.ResponseWriter) httpsnoop.Hooks {
	sends := func() { x.sends(http.StatusOK, w) }
	return httpsnoop.Hooks{
		WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return func(code int) { x.sendsHeader(w, code, next) }
		},
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(p []byte) (int, error) {
				sends()
				n, err := next(p)
				x.wrote(int64(n))
				return n, err
			}
		},
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) {
				sends()
				n, err := next(s)
				x.wrote(int64(n))
				return n, err
			}
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) {
				return x.sendsFrom(w, src, next)
			}
		},
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { sends(); next() }
		},
		FlushError: func(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
			return func() error { sends(); return next() }
		},
		Hijack: func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) {
				conn, rw, err := next()
				x.hijacks(err)
				return conn, rw, err
			}
		},
	}
}

// serverWriter has the methods that the writers of net/http's servers for
// HTTP/1 and HTTP/2 share.
type serverWriter interface {
	http.ResponseWriter
	http.Flusher
	io.StringWriter
	CloseNotify() <-chan bool
	FlushError() error
	SetReadDeadline(deadline time.Time) error
	SetWriteDeadline(deadline time.Time) error
	EnableFullDuplex() error
}

// observed does with a serverWriter what [exchange.hooks] do with any.
type observed struct {
	serverWriter
	x *exchange
}

func (w *observed) Unwrap() http.ResponseWriter { return w.serverWriter }

func (w *observed) sends() { w.x.sends(http.StatusOK, w.serverWriter) }

func (w *observed) WriteHeader(code int) {
	w.x.sendsHeader(w.serverWriter, code, w.serverWriter.WriteHeader)
}

func (w *observed) Write(p []byte) (int, error) {
	w.sends()
	n, err := w.serverWriter.Write(p)
	w.x.wrote(int64(n))
	return n, err
}

func (w *observed) WriteString(s string) (int, error) {
	w.sends()
	n, err := w.serverWriter.WriteString(s)
	w.x.wrote(int64(n))
	return n, err
}

func (w *observed) Flush() {
	w.sends()
	w.serverWriter.Flush()
}

func (w *observed) FlushError() error {
	w.sends()
	return w.serverWriter.FlushError()
}

// http1 is the writer of an HTTP/1 server.
type http1 struct{ *observed }

func (w http1) ReadFrom(src io.Reader) (int64, error) {
	next := w.serverWriter.(io.ReaderFrom) //nolint:forcetypeassert // wrap has looked
	return w.x.sendsFrom(w.serverWriter, src, next.ReadFrom)
}

func (w http1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.serverWriter.(http.Hijacker).Hijack() //nolint:forcetypeassert // wrap has looked
	w.x.hijacks(err)
	return conn, rw, err
}

// http2 is the writer of an HTTP/2 server.
type http2 struct{ *observed }

func (w http2) Push(target string, options *http.PushOptions) error {
	return w.serverWriter.(http.Pusher).Push(target, options) //nolint:forcetypeassert // wrap has looked
}
