package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

// serverOutcome is how a request is to be counted.
type serverOutcome struct {
	request serverRequest
	series  string
	stream  bool
	silent  bool  // a stream that did not begin
	read    int64 // bytes of the request's body; -1 for a body of none
	written int64 // -1 when nobody knows
}

// lines are those of [serverSDK.metrics].
func (o serverOutcome) lines() []string {
	words := strings.Fields(o.series)
	lines := []string{
		fmt.Sprintf("active_requests: %s %s = 0", words[0], words[len(words)-1]),
	}
	if o.written >= 0 {
		lines = append(lines, fmt.Sprintf("response.body.size: %s = 1, %d bytes", o.series, o.written))
	}
	switch {
	case o.stream:
		lines = append(lines, telemetry.ServerStreamDuration+": "+o.series+" = 1")
		if !o.silent {
			lines = append(lines, telemetry.ServerStreamFirstByte+": "+o.series+" = 1")
		}
	default:
		lines = append(lines, "request.duration: "+o.series+" = 1")
	}
	if o.read != 0 {
		lines = append(lines, fmt.Sprintf("request.body.size: %s = 1, %d bytes", o.series, max(o.read, 0)))
	}
	slices.Sort(lines)
	return lines
}

func serverWrites(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}
}

func serverPanics(value any) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) { panic(value) }
}

// serverRaw sends text over a connection and reads until the text is there.
func serverRaw(text, until string) func(*testing.T, *httptest.Server) {
	return func(t *testing.T, server *httptest.Server) {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for r := bufio.NewReader(conn); !strings.Contains(got.String(), until); {
			c, err := r.ReadByte()
			if err != nil {
				t.Fatalf("got %q: %v", got.String(), err)
			}
			got.WriteByte(c)
		}
	}
}

const (
	serverPlain   = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
	serverUpgrade = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
)

func serverEventStream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_, _ = io.WriteString(w, "data: 1\n\n")
	_ = http.NewResponseController(w).Flush()
}

// serverHijack answers with the text over the connection itself.
func serverHijack(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, text)
	}
}

// serverAwaits calls write and returns when the client is gone.
func serverAwaits(write func(http.ResponseWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		write(w)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// serverLeaves is a client that leaves when the handler has begun. Nothing is
// sent to it.
func serverLeaves(configure func(*middleware.Config)) serverRequest {
	entered := make(chan struct{})
	return serverRequest{
		serve:     func(_ http.ResponseWriter, r *http.Request) { close(entered); <-r.Context().Done() },
		configure: configure,
		send: func(t *testing.T, server *httptest.Server) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-entered; cancel() }()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := server.Client().Do(request); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the cancellation", err)
			}
		},
	}
}

func serverStreams(cfg *middleware.Config) {
	cfg.Routes = map[string]middleware.RouteOptions{"/": {Stream: true}}
}

func TestEachOutcomeIsCountedOnce(t *testing.T) {
	t.Parallel()
	// Functions, since some requests can be made only once.
	tests := map[string]func() serverOutcome{
		"a response with a body": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, "hello")}, series: "GET / 200 1.1 http", written: 5}
		},
		"a response without content": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }}, series: "GET / 204 1.1 http"}
		},
		"a redirect": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(301) }}, series: "GET / 301 1.1 http"}
		},
		"a client's mistake is no error": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(404, "no")}, series: "GET / 404 1.1 http", written: 2}
		},
		"a service's failure is an error by its status code": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(500, "oh")}, series: "GET / 500 500 1.1 http", written: 2}
		},
		"a status code that no specification knows is an error": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(799, "oh")}, series: "GET / 799 799 1.1 http", written: 2}
		},
		"a handler that writes nothing": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(http.ResponseWriter, *http.Request) {}}, series: "GET / 200 1.1 http"}
		},
		"the first status code counts": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "ok")
				w.WriteHeader(500)
			}}, series: "GET / 200 1.1 http", written: 2}
		},
		"early hints before the response": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(103)
				w.WriteHeader(201)
			}}, series: "GET / 201 1.1 http"}
		},
		"a panic with an error": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverPanics(errors.New("oh"))}, series: "GET / 500 *errors.errorString 1.1 http"}
		},
		"a panic with a text": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverPanics("oh")}, series: "GET / 500 string 1.1 http"}
		},
		"a panic of the runtime": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(_ http.ResponseWriter, r *http.Request) {
				_ = r.URL.Path[len(r.URL.Path)]
			}}, series: "GET / 500 runtime.boundsError 1.1 http"}
		},
		"a panic with nil": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverPanics(nil)}, series: "GET / 500 *runtime.PanicNilError 1.1 http"}
		},
		"a panic after the response began": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic("oh")
			}}, series: "GET / 500 string 1.1 http", written: 4}
		},
		"an abort before the response": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverPanics(http.ErrAbortHandler)}, series: "GET / response_aborted 1.1 http"}
		},
		"an abort in the middle of the response": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "half")
				panic(http.ErrAbortHandler)
			}}, series: "GET / 200 response_aborted 1.1 http", written: 4}
		},
		"a handler that ends its goroutine": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(http.ResponseWriter, *http.Request) { runtime.Goexit() }}, series: "GET / response_aborted 1.1 http"}
		},
		"a client that leaves before the response": func() serverOutcome {
			return serverOutcome{request: serverLeaves(nil), series: "GET / client_disconnected 1.1 http"}
		},
		"a client that leaves a stream before it begins": func() serverOutcome {
			return serverOutcome{request: serverLeaves(serverStreams), series: "GET / client_disconnected 1.1 http", stream: true, silent: true}
		},
		"a client that leaves in the middle of the response": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverAwaits(func(w http.ResponseWriter) { _, _ = io.WriteString(w, "half") }),
				send:  serverRaw(serverPlain, "half"),
			}, series: "GET / client_disconnected 1.1 http", written: 4}
		},
		"a client that leaves in the middle of the declared length": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverAwaits(func(w http.ResponseWriter) {
					w.Header().Set("Content-Length", "8")
					_, _ = io.WriteString(w, "half")
				}),
				send: serverRaw(serverPlain, "half"),
			}, series: "GET / client_disconnected 1.1 http", written: 4}
		},
		"a client that leaves after the declared length had all": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverAwaits(func(w http.ResponseWriter) {
					w.Header().Set("Content-Length", "5")
					_, _ = io.WriteString(w, "whole")
				}),
				send: serverRaw(serverPlain, "whole"),
			}, series: "GET / 200 1.1 http", written: 5}
		},
		"a client that leaves a stream, as they do": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverAwaits(func(w http.ResponseWriter) { serverEventStream(w, nil) }),
				send:  serverRaw(serverPlain, "data: 1\n\n"),
			}, series: "GET / 200 1.1 http", stream: true, written: 9}
		},
		"server-sent events": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverEventStream}, series: "GET / 200 1.1 http", stream: true, written: 9}
		},
		"a route that is marked as a stream": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, "hello"), configure: serverStreams}, series: "GET / 200 1.1 http", stream: true, written: 5}
		},
		"a route marked as a stream that writes nothing": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(http.ResponseWriter, *http.Request) {}, configure: serverStreams}, series: "GET / 200 1.1 http", stream: true}
		},
		"a route that is found to be a stream while it is handled": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, r *http.Request) {
				middleware.SetRoute(r.Context(), "/events/{id}")
				_, _ = io.WriteString(w, "hello")
			}, configure: func(cfg *middleware.Config) {
				cfg.Routes = map[string]middleware.RouteOptions{"/events/{id}": {Stream: true}}
			}}, series: "GET /events/{id} 200 1.1 http", stream: true, written: 5}
		},
		"an upgraded connection": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverHijack("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"),
				send:  serverRaw(serverUpgrade, "\r\n\r\n"),
			}, series: "GET / 101 1.1 http", stream: true, written: -1}
		},
		"switching protocols by the writer": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Upgrade", "echo")
				w.WriteHeader(101)
			}, send: serverRaw(serverUpgrade, "\r\n\r\n")}, series: "GET / 101 1.1 http", stream: true}
		},
		"a connection that is taken over": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverHijack("HTTP/1.1 418 Teapot\r\n\r\n"), send: serverRaw(serverPlain, "\r\n\r\n"),
			}, series: "GET / 1.1 http", stream: true, written: -1}
		},
		"HEAD, whose body is not sent": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, "hello"), method: "HEAD"}, series: "HEAD / 200 1.1 http"}
		},
		"a body that is read": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			}, method: "POST", body: "hello"}, series: "POST / 200 1.1 http", read: 5}
		},
		"a body that is half read": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 3))
			}, method: "POST", body: "hello"}, series: "POST / 200 1.1 http", read: 3}
		},
		"a body that is not read": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(http.ResponseWriter, *http.Request) {}, method: "PUT", body: "hello"}, series: "PUT / 200 1.1 http", read: -1}
		},
		"a body written as a text": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "hello")
			}}, series: "GET / 200 1.1 http", written: 5}
		},
		"a body copied from a reader": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("hello"))
			}}, series: "GET / 200 1.1 http", written: 5}
		},
		"a body written in all ways": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte("1"))
				_, _ = io.WriteString(w, "22")
				_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("333"))
			}}, series: "GET / 200 1.1 http", written: 6}
		},
		"HTTP/1.0": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverWrites(200, "hello"), send: serverRaw("GET / HTTP/1.0\r\n\r\n", "hello"),
			}, series: "GET / 200 1.0 http", written: 5}
		},
		"a version of HTTP that there is not": func() serverOutcome {
			return serverOutcome{request: serverRequest{
				serve: serverWrites(200, "hello"), send: serverRaw("GET / HTTP/1.7\r\nHost: shop\r\n\r\n", "hello"),
			}, series: "GET / 200 http", written: 5}
		},
		"HTTP/1.1 over TLS": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, "hello"), tls: true}, series: "GET / 200 1.1 https", written: 5}
		},
		"HTTP/2": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, "hello"), tls: true, h2: true}, series: "GET / 200 2 https", written: 5}
		},
		"HTTP/2 and a panic": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverPanics("oh"), tls: true, h2: true}, series: "GET / 500 string 2 https"}
		},
		"the method QUERY": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, ""), method: "QUERY"}, series: "QUERY / 200 1.1 http"}
		},
		"an unknown method": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, ""), method: "BREW"}, series: "_OTHER / 200 1.1 http"}
		},
		"a method in lower case is not the one": func() serverOutcome {
			return serverOutcome{request: serverRequest{serve: serverWrites(200, ""), method: "get"}, series: "_OTHER / 200 1.1 http"}
		},
	}
	for name, test := range tests {
		for path, tracers := range serverPaths() {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk, tt := newServerSDK(tracers), test()
				tt.request.do(t, sdk)
				serverDiff(t, "metrics differ", tt.lines(), sdk.metrics(t))
			})
		}
	}
}

func TestTheEndOfTheServiceIsNotTheClients(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			ctx, end := context.WithCancelCause(t.Context())
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
			sdk.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				end(serverSignal{})
				_, _ = io.WriteString(w, "done")
			})).ServeHTTP(httptest.NewRecorder(), r)
			serverDiff(t, "requests differ", []string{"GET _OTHER 200 1.1 http = 1"}, sdk.durations(t))
		})
	}
}

// serverSignal is a cause as that of signal.NotifyContext.
type serverSignal struct{}

func (serverSignal) Error() string { return "interrupt signal received" }

func (serverSignal) Is(target error) bool { return target == context.Canceled }
