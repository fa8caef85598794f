package exporters_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// pipes listens in memory.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

// serveInMemory runs a server in memory until the test ends, with TLS when there is a
// configuration.
func serveInMemory(t *testing.T, config *tls.Config, handler http.HandlerFunc) *pipes {
	t.Helper()
	p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, TLSConfig: config, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var serving sync.WaitGroup
	serving.Go(func() {
		if config == nil {
			_ = server.Serve(p)
			return
		}
		_ = server.ServeTLS(p, "", "")
	})
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return p
}

// What web servers answer that are no Collector.
func TestAnswersOfWebServers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		reason  string
		line    string
	}{
		"a page": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = w.Write([]byte("<html>Welcome</html>"))
			}, "invalid_response", "is it an OTLP endpoint?",
		},
		"moved for good": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://elsewhere.example/v1/traces")
				w.WriteHeader(http.StatusMovedPermanently)
			}, "301", "redirects are not followed",
		},
		"an endless page about an error": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				for page := []byte(strings.Repeat("not found ", 1000)); ; {
					if _, err := w.Write(page); err != nil {
						return
					}
				}
			}, "404", "404 Not Found",
		},
		"an answer without an end": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-protobuf")
				for page := make([]byte, 1000); ; {
					if _, err := w.Write(page); err != nil {
						return
					}
				}
			}, "invalid_response", "the answer is too long",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32
				web := serveInMemory(t, nil, func(w http.ResponseWriter, request *http.Request) {
					requests.Add(1)
					test.handler(w, request)
				})
				r := startRig(t, faultcollector.StartInMemory(t), protocolHTTP, exporters.OTLP{Endpoint: "127.0.0.9:4318", DisableLogs: true})
				r.through.Store(&dialer{web.dial})
				for range 3 {
					r.span(t)
				}
				_ = r.flush(t.Context())
				if got := r.accounts(t)["traces"]; got.failed[test.reason] != 3 || got.lost() != 3 || requests.Load() != 1 {
					t.Errorf("got %+v of %d requests, want all lost in one, as %s", got, requests.Load(), test.reason)
				}
				r.checkLines(t, map[string]int{test.line: 1})
				r.checkAccounts(t)
			})
		})
	}
}

// A date is as good as a number of seconds.
func TestRetryAfterADate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		web := serveInMemory(t, nil, func(w http.ResponseWriter, _ *http.Request) {
			if times = append(times, time.Now()); len(times) == 1 {
				w.Header().Set("Retry-After", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		r := startRig(t, faultcollector.StartInMemory(t), protocolHTTP, exporters.OTLP{DisableLogs: true})
		r.through.Store(&dialer{web.dial})
		r.span(t)
		if err := r.flush(t.Context()); err != nil {
			t.Error(err)
		}
		if got := times[1].Sub(times[0]); len(times) != 2 || got < 24*time.Second || got > 36*time.Second {
			t.Errorf("got attempts at %v, want the second 30 s after the first", times)
		}
	})
}

// Over HTTP/2 one connection serves all attempts, so that one that is half-open
// has to be noticed.
func TestHalfOpenConnectionOverHTTP2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		authority := newAuthority(t) // whose certificates are of this time
		config := authority.server(t, false)
		var arrived, second atomic.Int32
		web := serveInMemory(t, config, func(_ http.ResponseWriter, request *http.Request) {
			arrived.Add(1)
			second.Store(int32(request.ProtoMajor))
		})
		r := startRig(t, faultcollector.StartInMemory(t), protocolHTTP, exporters.OTLP{
			Endpoint: "https://127.0.0.1:4318", DisableLogs: true, TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()},
		})
		var frozen atomic.Bool
		r.through.Store(&dialer{func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := web.dial(ctx, network, address)
			return &halfOpen{Conn: conn, frozen: &frozen, closed: make(chan struct{})}, err
		}})
		r.span(t)
		if err := r.flush(t.Context()); err != nil || second.Load() != 2 {
			t.Fatalf("got HTTP/%d and error %v", second.Load(), err)
		}
		frozen.Store(true)
		r.through.Store(&dialer{web.dial})
		r.span(t)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := r.flush(ctx); err != nil || arrived.Load() != 2 {
			t.Errorf("got %d requests and error %v, want two", arrived.Load(), err)
		}
	})
}

// halfOpen swallows what is written once it is frozen, and reads nothing.
type halfOpen struct {
	net.Conn
	frozen *atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (h *halfOpen) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if h.frozen.Load() {
		<-h.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (h *halfOpen) Write(b []byte) (int, error) {
	if h.frozen.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func (h *halfOpen) Close() error {
	h.once.Do(func() { close(h.closed) })
	return h.Conn.Close()
}
