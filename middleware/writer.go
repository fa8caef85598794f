package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/felixge/httpsnoop"
)

// response is what the ResponseWriter saw.
type response struct {
	status    int   // 0 when nothing was sent
	length    int64 // of the body, as declared; 0 when it was not
	written   int64 // of it, in bytes
	stream    bool
	hijacked  bool
	firstByte time.Duration // of a stream, since the request came
}

// sends notes that the response begins with the status code. The first call
// counts, as for the client.
func (x *exchange) sends(code int, header http.Header) {
	if code >= 100 && code <= 199 && code != http.StatusSwitchingProtocols {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen.status != 0 || x.seen.hijacked {
		return
	}
	x.seen.status = code
	if declared := header["Content-Length"]; len(declared) > 0 {
		x.seen.length, _ = strconv.ParseInt(declared[0], 10, 64)
	}
	if code == http.StatusSwitchingProtocols || x.options.Stream || isEventStream(first(header["Content-Type"])) {
		x.seen.stream, x.seen.firstByte = true, time.Since(x.start)
	}
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
	if x.seen.status == 0 && x.Request.Header.Get("Upgrade") != "" {
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
// interfaces of w. That of net/http's server for HTTP/1 is known here, since
// it then takes no allocation where httpsnoop takes twenty.
func (x *exchange) wrap(w http.ResponseWriter) http.ResponseWriter {
	if known, ok := w.(http1Writer); ok {
		if _, more := w.(http.Pusher); !more {
			x.http1 = http1{known, x}
			return &x.http1
		}
	}
	return httpsnoop.Wrap(w, x.hooks(w))
}

func (x *exchange) hooks(w http.ResponseWriter) httpsnoop.Hooks {
	sends := func(code int) { x.sends(code, w.Header()) }
	return httpsnoop.Hooks{
		WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return func(code int) { sends(code); next(code) }
		},
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(p []byte) (int, error) {
				sends(http.StatusOK)
				n, err := next(p)
				x.wrote(int64(n))
				return n, err
			}
		},
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) {
				sends(http.StatusOK)
				n, err := next(s)
				x.wrote(int64(n))
				return n, err
			}
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) {
				sends(http.StatusOK)
				n, err := next(src)
				x.wrote(n)
				return n, err
			}
		},
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { sends(http.StatusOK); next() }
		},
		FlushError: func(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
			return func() error { sends(http.StatusOK); return next() }
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

// http1Writer has the methods of the writer of net/http's server for HTTP/1.
type http1Writer interface {
	http.ResponseWriter
	http.Flusher
	http.Hijacker
	io.ReaderFrom
	io.StringWriter
	CloseNotify() <-chan bool
	FlushError() error
	SetReadDeadline(deadline time.Time) error
	SetWriteDeadline(deadline time.Time) error
	EnableFullDuplex() error
}

// http1 does with an http1Writer what [exchange.hooks] do with any.
type http1 struct {
	http1Writer
	x *exchange
}

func (w *http1) Unwrap() http.ResponseWriter { return w.http1Writer }

func (w *http1) sends(code int) { w.x.sends(code, w.Header()) }

func (w *http1) WriteHeader(code int) {
	w.sends(code)
	w.http1Writer.WriteHeader(code)
}

func (w *http1) Write(p []byte) (int, error) {
	w.sends(http.StatusOK)
	n, err := w.http1Writer.Write(p)
	w.x.wrote(int64(n))
	return n, err
}

func (w *http1) WriteString(s string) (int, error) {
	w.sends(http.StatusOK)
	n, err := w.http1Writer.WriteString(s)
	w.x.wrote(int64(n))
	return n, err
}

func (w *http1) ReadFrom(src io.Reader) (int64, error) {
	w.sends(http.StatusOK)
	n, err := w.http1Writer.ReadFrom(src)
	w.x.wrote(n)
	return n, err
}

func (w *http1) Flush() {
	w.sends(http.StatusOK)
	w.http1Writer.Flush()
}

func (w *http1) FlushError() error {
	w.sends(http.StatusOK)
	return w.http1Writer.FlushError()
}

func (w *http1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.http1Writer.Hijack()
	w.x.hijacks(err)
	return conn, rw, err
}
