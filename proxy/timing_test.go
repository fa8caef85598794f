package proxy_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
)

func TestAClientThatWaitsIsToldToGoOnByTheUpstream(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan struct{}), make(chan struct{})
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-goOn
		_, _ = io.Copy(w, r.Body) // reading sends 100
	}))
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	receive(t, "the request", asked)
	close(goOn)
	same(t, "status", http.StatusContinue, c.head("POST").StatusCode)
	c.send("abc")
	response := c.head("POST")
	same(t, "status", http.StatusOK, response.StatusCode)
	same(t, "body", "abc", c.read(response.Body, 3))
}

func TestAClientThatWaitsIsRefused(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusExpectationFailed)
	}))
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	same(t, "status", http.StatusExpectationFailed, c.head("POST").StatusCode)
}

func TestAnswersThatComeBeforeTheRequestIsComplete(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"in chunks": "Transfer-Encoding: chunked", "of known length": "Content-Length: 1000000000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				_, _ = io.WriteString(w, "too large")
			}))
			p := newProxied(t, to(upstream.URL))
			c := dial(t, p.URL)
			c.send("POST / HTTP/1.1\r\nHost: a\r\n" + header + "\r\n\r\n3\r\nabc\r\n")
			response := c.head("POST")
			same(t, "status", http.StatusRequestEntityTooLarge, response.StatusCode)
			same(t, "body", "too large", c.read(response.Body, 9))
			_ = c.Close()
			p.eventually(t, telemetry.ServerDuration, "http.request.method=POST http.response.status_code=413 http.route=_OTHER = 1")
			same(t, "failures", nil, p.series(t, telemetry.ProxyUpstreamFailures))
		})
	}
}

// echo answers each part of the request as it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	p := make([]byte, 100)
	for {
		n, err := r.Body.Read(p)
		if n > 0 {
			_, _ = w.Write(p[:n])
			_ = http.NewResponseController(w).Flush()
		}
		if err != nil {
			return
		}
	}
}

func TestBothDirectionsAtOnce(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(echo))
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	response := c.head("POST")
	for i := range 5 {
		text := fmt.Sprint("part", i)
		c.send(fmt.Sprintf("%x\r\n%s\r\n", len(text), text))
		same(t, "answer", text, c.read(response.Body, len(text)))
	}
	c.send("0\r\n\r\n")
	rest, err := io.ReadAll(response.Body)
	if err != nil || len(rest) > 0 {
		t.Errorf("at the end: got %q, %v", rest, err)
	}
}

func TestBothDirectionsAtOnceByHTTP2(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(echo), withHTTP2)
	cfg := to(upstream.URL)
	cfg.Upstreams[0].TLS.CAFile = certificateFile(t, upstream)
	p := newProxied(t, cfg, withHTTP2)
	from, body := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL, from)
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.Client().Transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	same(t, "protocol", 2, response.ProtoMajor)
	part := make([]byte, 5)
	for i := range 5 {
		text := fmt.Sprint("part", i)
		if _, err := io.WriteString(body, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, part); err != nil {
			t.Fatal(err)
		}
		same(t, "answer", text, string(part))
	}
	_ = body.Close()
}

// A body of known length is not sent at once, but soon.
func TestPartsArriveWhileTheUpstreamPauses(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{
		"in chunks":          nil,
		"of known length":    {"Content-Length": {"4"}},
		"of an event stream": {"Content-Type": {"text/event-stream"}},
		"of an LLM":          {"Content-Type": {"application/json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goOn := make(chan struct{})
			upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), header)
				for _, part := range []string{"", "ab", "cd"} {
					_, _ = io.WriteString(w, part)
					_ = http.NewResponseController(w).Flush()
					<-goOn
				}
			}))
			c := dial(t, newProxied(t, to(upstream.URL)).URL)
			c.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
			response := c.head("POST")
			goOn <- struct{}{}
			same(t, "first part", "ab", c.read(response.Body, 2))
			goOn <- struct{}{}
			same(t, "second part", "cd", c.read(response.Body, 2))
			goOn <- struct{}{}
		})
	}
}

// held is an upstream that begins a response and then waits for its client to
// leave.
func held(t *testing.T, contentType, begin string) (upstream *httptest.Server, asked, left <-chan struct{}) {
	t.Helper()
	came, gone := make(chan struct{}), make(chan struct{})
	return newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if begin != "" {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, begin)
			_ = http.NewResponseController(w).Flush()
		}
		close(came)
		<-r.Context().Done()
		close(gone)
	})), came, gone
}

func TestAClientThatLeavesIsNoFailure(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ contentType, begin, metric, want string }{
		"before the response": {
			"", "", telemetry.ServerDuration,
			"error.type=client_disconnected http.request.method=GET http.route=_OTHER = 1",
		},
		"in the middle of it": {
			"text/plain", "abc", telemetry.ServerDuration,
			"error.type=client_disconnected http.request.method=GET http.route=_OTHER = 1",
		},
		"in the middle of a stream": {
			"text/event-stream", "data: a\n\n", telemetry.ServerStreamDuration,
			"http.request.method=GET http.response.status_code=200 http.route=_OTHER = 1",
		},
	} {
		for how, leave := range map[string]func(*conn) error{
			"closes":          func(c *conn) error { return c.Close() },
			"closes one side": func(c *conn) error { return c.CloseWrite() },
			"resets":          func(c *conn) error { _ = c.SetLinger(0); return c.Close() },
		} {
			t.Run(name+", it "+how, func(t *testing.T) {
				t.Parallel()
				upstream, asked, left := held(t, test.contentType, test.begin)
				p := newProxied(t, to(upstream.URL))
				c := dial(t, p.URL)
				c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				receive(t, "the request", asked)
				if test.begin != "" {
					c.read(c.head("GET").Body, len(test.begin))
				}
				if err := leave(c); err != nil {
					t.Fatal(err)
				}
				receive(t, "the upstream to be told", left)
				p.eventually(t, test.metric, test.want)
				same(t, "failures", nil, p.series(t, telemetry.ProxyUpstreamFailures))
				same(t, "log", "", p.logged.String())
			})
		}
	}
}

// What such a client has got must not look complete.
func TestAClientThatClosesOneSideSeesThatTheResponseIsCut(t *testing.T) {
	t.Parallel()
	upstream, _, left := held(t, "text/event-stream", "data: a\n\n")
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	response := c.head("GET")
	c.read(response.Body, len("data: a\n\n"))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	receive(t, "the upstream to be told", left)
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("got a complete response")
	}
}

func TestAResponseThatBreaksOffBreaksOffForTheClient(t *testing.T) {
	t.Parallel()
	for name, contentType := range map[string]string{"plain": "text/plain", "a stream": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				_, _ = io.WriteString(w, "abc")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}))
			p := newProxied(t, to(upstream.URL))
			c := dial(t, p.URL)
			c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			response := c.head("GET")
			body, err := io.ReadAll(response.Body)
			if string(body) != "abc" || err == nil {
				t.Errorf("got %q, %v, want abc and an error", body, err)
			}
			p.eventually(t, map[bool]string{false: telemetry.ServerDuration, true: telemetry.ServerStreamDuration}[name == "a stream"],
				"error.type=response_aborted http.request.method=GET http.response.status_code=200 http.route=_OTHER = 1")
			if logged := p.logged.String(); strings.Count(logged, "\n") != 1 || !strings.Contains(logged, "passed on to its end") {
				t.Errorf("got log %q", logged)
			}
		})
	}
}

func TestAnUpgradedConnection(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			r.Header.Get("Upgrade"), r.Header.Get("Sec-WebSocket-Key"))
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
		_, _ = io.WriteString(conn, "bye")
	}))
	p := newProxied(t, to(upstream.URL))
	c := dial(t, p.URL)
	c.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
	response := c.head("GET")
	response.Header.Del("Date")
	same(t, "status", http.StatusSwitchingProtocols, response.StatusCode)
	same(t, "header", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {"k"}}, response.Header)
	for _, text := range []string{"a", "\x00\xff", strings.Repeat("b", 1000)} {
		c.send(text)
		same(t, "echo", text, c.read(c.reader, len(text)))
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	same(t, "what comes after the client closed its side", "bye", c.read(c.reader, 3))
	if _, err := c.reader.ReadByte(); err != io.EOF {
		t.Errorf("at the end: got %v, want EOF", err)
	}
	p.eventually(t, telemetry.ServerStreamDuration, "http.request.method=GET http.response.status_code=101 http.route=_OTHER = 1")
}

func TestAnUpgradeThatIsRefused(t *testing.T) {
	t.Parallel()
	upstream, seen := newRecorder(t)
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	same(t, "status", http.StatusOK, c.head("GET").StatusCode)
	same(t, "header", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, receive(t, "the request", seen).Header)
}

// Java's client asks each server for it.
func TestAnUpgradeToHTTP2IsNotPassedOn(t *testing.T) {
	t.Parallel()
	upstream, seen := newRecorder(t)
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n\r\n")
	same(t, "status", http.StatusOK, c.head("GET").StatusCode)
	same(t, "header", http.Header{}, receive(t, "the request", seen).Header)
}

func TestRequestsInARow(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	c := dial(t, newProxied(t, to(upstream.URL)).URL)
	const all = 20
	for i := range all { // all before the first answer is read
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d", i))
	}
	for i := range all {
		same(t, "answer", fmt.Sprintf("%02d", i), c.read(c.head("POST").Body, 2))
	}
	if c.reader.Buffered() > 0 {
		t.Error("there is more")
	}
}

// An upstream that takes the connection and nothing more is as slow as one that
// does not answer.
func TestAnUpstreamThatDoesNotReadTheBody(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cfg := to("http://" + listener.Addr().String())
	cfg.Upstreams[0].Timeout = 50 * time.Millisecond
	p := newProxied(t, cfg)
	response, err := http.Post(p.URL+"/a", "text/plain", io.LimitReader(zeros{}, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	same(t, "status", http.StatusGatewayTimeout, response.StatusCode)
	p.eventually(t, telemetry.ProxyUpstreamFailures, "error.type=timeout otelmon.proxy.upstream=api = 1")
}

// Nobody can hurry a client, and what was answered may take its time.
func TestTheTimeoutIsTheUpstreams(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = http.NewResponseController(w).Flush()
		<-time.After(2 * timeout)
		_, _ = io.WriteString(w, "done")
	}))
	cfg := to(upstream.URL)
	cfg.Upstreams[0].Timeout = timeout
	c := dial(t, newProxied(t, cfg).URL)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
	<-time.After(2 * timeout)
	c.send("b")
	response := c.head("POST")
	same(t, "status", http.StatusOK, response.StatusCode)
	same(t, "body", "done", c.read(response.Body, 4))
}
