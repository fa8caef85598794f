package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

var errNoConnection = errors.New("there is no connection")

// resettable is a ResponseWriter that can be used for the next request.
type resettable interface {
	http.ResponseWriter
	reset()
}

// recorderWriter discards what it gets. It offers what httptest.ResponseRecorder
// offers: flushing and strings.
type recorderWriter struct{ header http.Header }

func newRecorderWriter() resettable { return &recorderWriter{http.Header{}} }

func (w *recorderWriter) reset()                            { clear(w.header) }
func (w *recorderWriter) Header() http.Header               { return w.header }
func (w *recorderWriter) Write(p []byte) (int, error)       { return len(p), nil }
func (w *recorderWriter) WriteString(s string) (int, error) { return len(s), nil } //nolint:unparam // an io.StringWriter
func (w *recorderWriter) WriteHeader(int)                   {}
func (w *recorderWriter) Flush()                            {}

// serverWriter has what the writers of net/http's servers have in common, which
// is what middleware gets to wrap.
type serverWriter struct{ recorderWriter }

func (w *serverWriter) FlushError() error                { return nil }
func (w *serverWriter) CloseNotify() <-chan bool         { return nil }
func (w *serverWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *serverWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *serverWriter) EnableFullDuplex() error          { return nil }

// http1Writer is that of the server for HTTP/1.
type http1Writer struct{ serverWriter }

func newHTTP1Writer() resettable {
	return &http1Writer{serverWriter{recorderWriter{http.Header{}}}}
}

func (w *http1Writer) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

func (w *http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errNoConnection
}

// http2Writer is that of the server for HTTP/2.
type http2Writer struct{ serverWriter }

func newHTTP2Writer() resettable {
	return &http2Writer{serverWriter{recorderWriter{http.Header{}}}}
}

func (w *http2Writer) Push(string, *http.PushOptions) error { return http.ErrNotSupported }
