package middleware_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/middleware"
)

// rawHijack takes the connection over, says the text and hangs up.
func rawHijack(w http.ResponseWriter, text string, note rawNote) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		note("hijacked: %v", err)
		return
	}
	_, err = rw.WriteString(text)
	note("said: %v, flushed: %v", err, rw.Flush())
	_ = conn.Close()
}

func TestAConnectionThatTheHandlerTakesOverIsAStream(t *testing.T) {
	t.Parallel()
	tests := map[string]rawCase{
		"to speak another protocol": {
			request: rawGet("/x", "Upgrade: echo"),
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawHijack(w, "HTTP/1.1 101 Switching Protocols\r\n\r\n", note)
			},
			want: "1 stream GET /x 101, 0 bytes",
		},
		"to write the response by hand": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawHijack(w, "HTTP/1.1 200 OK\r\n\r\n", note)
			},
			want: "1 stream GET /x, 0 bytes",
		},
		"after its header was sent": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.WriteHeader(http.StatusAccepted)
				rawSend(w, "hello", note)
				note("flushed: %v", http.NewResponseController(w).Flush())
				rawHijack(w, "0\r\n\r\n", note)
			},
			want: "1 stream GET /x 202, 0 bytes",
		},
		"and then writes as before": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawHijack(w, "HTTP/1.1 200 OK\r\n\r\n", note)
				w.WriteHeader(http.StatusInternalServerError)
				rawSend(w, "hello", note)
				n, err := io.Copy(w, strings.NewReader("hello"))
				note("copied %d: %v", n, err)
			},
			want: "1 stream GET /x, 0 bytes",
		},
		"twice": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawHijack(w, "HTTP/1.1 200 OK\r\n\r\n", note)
				rawHijack(w, "again", note)
			},
			want: "1 stream GET /x, 0 bytes",
		},
		"and panics": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawHijack(w, "HTTP/1.1 200 OK\r\n\r\n", note)
				panic("late")
			},
			want: "1 stream GET /x 500 string, 0 bytes",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rawCompare(t, test)
		})
	}
}

func TestAResponseControllerReachesTheServer(t *testing.T) {
	t.Parallel()
	tests := map[string]rawCase{
		"SetReadDeadline": {
			request: rawRequest("POST", "/x", "", "Content-Length: 5"),
			handler: func(w http.ResponseWriter, r *http.Request, note rawNote) {
				note("set: %v", http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)))
				_, err := io.ReadAll(r.Body)
				note("read: %v", errors.Is(err, os.ErrDeadlineExceeded))
				w.Header().Set("Content-Length", "4") // complete: the deadline also ends the context
				rawSend(w, "late", note)
			},
			want: "1 POST /x 200, 4 bytes",
		},
		"SetWriteDeadline": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				note("set: %v", http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)))
				rawSend(w, "hello", note)
				w.(http.Flusher).Flush()
			},
			want: "1 GET /x client_disconnected, 5 bytes",
		},
		"EnableFullDuplex": {
			request: rawRequest("POST", "/x", "hello", "Content-Length: 5"),
			handler: func(w http.ResponseWriter, r *http.Request, note rawNote) {
				note("set: %v", http.NewResponseController(w).EnableFullDuplex())
				rawSend(w, "first", note)
				note("flushed: %v", http.NewResponseController(w).Flush())
				body, err := io.ReadAll(r.Body)
				note("%q %v", body, err)
			},
			want: "1 POST /x 200, 5 bytes",
		},
		"CloseNotify": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				notifier, ok := w.(http.CloseNotifier) //nolint:staticcheck // deprecated, yet services use it
				note("%v %v", ok, notifier.CloseNotify() != nil)
			},
			want: "1 GET /x 200, 0 bytes",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rawCompare(t, test)
		})
	}
}

// rawListener counts the bytes that its connections copy from a reader themselves, as they do
// to send a file without reading it.
type rawListener struct {
	net.Listener

	copied *atomic.Int64
}

type rawConn struct {
	net.Conn

	copied *atomic.Int64
}

func (l rawListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return rawConn{conn, l.copied}, err
}

func (c rawConn) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(c.Conn, src)
	c.copied.Add(n)
	return n, err
}

func TestAFileIsSentByTheConnectionItself(t *testing.T) {
	t.Parallel()
	file := rawFile(t, strings.Repeat("0123456789", 10_000))
	for name, root := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, copied := newRawSDK(root), &atomic.Int64{}
			mux := http.NewServeMux()
			mux.HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
			address := rawServer(t, middleware.Handler(mux, s.Config), func(server *httptest.Server) {
				server.Listener = rawListener{server.Listener, copied}
			})
			rawExchange(t, address, rawGet("/x"))
			// net/http itself reads the first 512 bytes, to know that there are some.
			if got := copied.Load(); got != 100_000-512 {
				t.Errorf("the connection copied %d of 100000 bytes itself", got)
			}
		})
	}
}

func TestAReverseProxyUpgradesAConnection(t *testing.T) {
	t.Parallel()
	backend := rawServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	}))
	for name, root := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRawSDK(root)
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			proxy.Transport = transport
			address, wait := rawServerForOne(t, middleware.Handler(proxy, s.Config))
			rawEcho(t, address)
			wait()
			if diff := cmp.Diff([]string{"1 stream GET _OTHER 101, 0 bytes"}, s.records(t)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// rawEcho upgrades a connection and expects its line back.
func rawEcho(t *testing.T, address string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: raw.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v %v, want 101", response, err)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := reader.ReadString('\n'); line != "hello\n" {
		t.Errorf("got %q %v, want the echo", line, err)
	}
}

func TestAReverseProxyPassesABodyOn(t *testing.T) {
	t.Parallel()
	backend := rawServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", "5")
	}))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	rawCompare(t, rawCase{
		request: rawRequest("POST", "/x", "hello", "Content-Length: 5"),
		handler: func(w http.ResponseWriter, r *http.Request, _ rawNote) {
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
			proxy.Transport = transport
			proxy.ServeHTTP(w, r)
		},
		want: "1 POST /x 202, 5 bytes",
	})
}

func TestTheErrorOfAFlushReachesTheHandler(t *testing.T) {
	t.Parallel()
	rawCompare(t, rawCase{
		handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
			controller := http.NewResponseController(w)
			note("set: %v", controller.SetWriteDeadline(time.Unix(1, 0)))
			rawSend(w, "hello", note)
			note("flushed: %v", controller.Flush() != nil)
		},
		want: "1 GET /x client_disconnected, 5 bytes",
	})
}
