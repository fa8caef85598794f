package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/proxy"
)

// closedAddress returns an address where nobody listens.
func closedAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestUpstreamsThatFail(t *testing.T) {
	t.Parallel()
	never := func(t *testing.T) string {
		t.Helper()
		return newServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else net/http does not see that the client left
			<-r.Context().Done()
		})).URL
	}
	scripted := func(answer string) func(*testing.T) string {
		return func(t *testing.T) string { t.Helper(); return newScripted(t, answer) }
	}
	for name, test := range map[string]struct {
		url                      func(*testing.T) string
		status                   int
		kind, message, errorType string
	}{
		"is down": {
			func(t *testing.T) string { t.Helper(); return "http://" + closedAddress(t) },
			502, "otelmon_upstream_connection_refused", "the upstream refuses connections", "connection_refused",
		},
		"has no address": {
			func(*testing.T) string { return "http://upstream.invalid" },
			502, "otelmon_upstream_name_resolution", "the name of the upstream cannot be resolved", "name_resolution",
		},
		"is slow": {
			never, 504, "otelmon_upstream_timeout", "the upstream did not answer in time", "timeout",
		},
		"closes the connection": {
			scripted(""), 502, "otelmon_upstream_unexpected_eof", "the upstream closed the connection before it answered", "unexpected_eof",
		},
		"breaks off in the header": {
			scripted("HTTP/1.1 200 OK\r\nA: "), 502, "otelmon_upstream_unexpected_eof",
			"the upstream closed the connection before it answered", "unexpected_eof",
		},
		"does not speak HTTP": {
			scripted("SSH-2.0-OpenSSH\r\n"), 502, "otelmon_upstream_failed", "the request to the upstream failed", telemetry.Other,
		},
		"has a status that is none": {
			scripted("HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n"), 502, "otelmon_upstream_failed",
			"the request to the upstream failed", telemetry.Other,
		},
		"sends a header without end": {
			scripted("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 2<<20)), 502, "otelmon_upstream_failed",
			"the request to the upstream failed", telemetry.Other,
		},
		"changes to a protocol that nobody asked for": {
			scripted("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n"), 502, "otelmon_upstream_failed",
			"the request to the upstream failed", telemetry.Other,
		},
	} {
		for _, path := range []string{"/v1/chat/completions?key=secret", "/a?key=secret"} {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				url := test.url(t)
				cfg := to(url)
				if name == "is slow" {
					cfg.Upstreams[0].Timeout = time.Millisecond
				}
				p := newProxied(t, cfg)
				response, err := http.Post(p.URL+path, "application/json", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				same(t, "status", test.status, response.StatusCode)
				same(t, "content type", "application/json", response.Header.Get("Content-Type"))
				var body struct {
					Error struct{ Message, Type, Upstream string }
				}
				if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
					t.Fatal(err)
				}
				same(t, "message", test.message, body.Error.Message)
				same(t, "type", test.kind, body.Error.Type)
				same(t, "upstream", "api", body.Error.Upstream)
				p.eventually(t, telemetry.ProxyUpstreamFailures, fmt.Sprintf("error.type=%s otelmon.proxy.upstream=api = 1", test.errorType))
				if logged := p.logged.String(); strings.Count(logged, "\n") != 1 || strings.Contains(logged, "secret") {
					t.Errorf("got log %q", logged)
				}
			})
		}
	}
}

func TestAnUpstreamThatIsTheProxyItself(t *testing.T) {
	t.Parallel()
	var p *proxied
	front := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.proxy.ServeHTTP(w, r) }))
	p = newProxied(t, proxy.Config{Upstreams: []proxy.Upstream{{URL: front.URL, Prefix: "/a", Name: "me"}, {URL: front.URL + "/a", Prefix: "/b", Name: "also me"}}})
	for range 3 { // by the same connection too
		for _, path := range []string{"/a/a/a", "/b"} {
			status, body := get(t, front.URL+path)
			same(t, "status", http.StatusLoopDetected, status)
			same(t, "body", `{"error":{"message":"the upstream leads back to this proxy","type":"otelmon_upstream_loop","upstream":"me"}}`+"\n", body)
		}
	}
	p.eventually(t, telemetry.ProxyUpstreamFailures, "error.type=loop otelmon.proxy.upstream=me = 6")
}

// loopOfTwo returns a proxy whose upstream is a proxy whose upstream is the
// first one.
func loopOfTwo(t *testing.T) *proxied {
	t.Helper()
	var first *proxied
	front := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { first.proxy.ServeHTTP(w, r) }))
	first = newProxied(t, to(newProxied(t, to(front.URL)).URL))
	return first
}

func TestAnUpstreamThatLeadsBackToTheProxy(t *testing.T) {
	t.Parallel()
	p := loopOfTwo(t)
	for _, path := range []string{"/a", "/v1/chat/completions"} {
		response, err := http.Post(p.URL+path, "application/json", strings.NewReader(`{"model":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		same(t, "status", http.StatusLoopDetected, response.StatusCode)
	}
	p.eventually(t, telemetry.ProxyUpstreamFailures, "error.type=loop otelmon.proxy.upstream=api = 2")
	if logged := p.logged.String(); strings.Count(logged, "\n") != 1 || !strings.Contains(logged, "a request came back to this proxy") {
		t.Errorf("got log %q", logged)
	}
}

func TestOnlyUpstreamsNearbyGetVia(t *testing.T) { // not parallel: it takes what TestMain's forward proxy sees
	for host, nearby := range map[string]bool{
		"api.example.com": false, "API.EXAMPLE.COM": false, "203.0.113.9": false, "[2001:db8::9]": false, "api.example.com.": false,
		"llm.internal.example.com": false, "llm": true, "llm.default.svc": true, "llm.default.svc.cluster.local": true, "LLM.Internal": true,
		"10.1.2.3": true, "192.168.0.1": true, "169.254.1.1": true, "[fd00::1]": true, "[::ffff:10.1.2.3]": true,
	} {
		p := newProxied(t, to("http://"+host))
		if status, _ := get(t, p.URL); status != http.StatusOK {
			t.Fatalf("%s: got status %d", host, status)
		}
		r := receive(t, "the request", forwarded)
		same(t, "host", strings.ToLower(host), strings.ToLower(r.Host))
		same(t, host+": Via", nearby, strings.HasPrefix(r.Header.Get("Via"), "1.1 otelmon-"))
		same(t, host+": values of Via", nearby, len(r.Header["Via"]) == 1)
	}
}

// An address of ours may be that of a client later, and even at the same time.
func TestClientsMayHaveAddressesOfConnectionsToUpstreams(t *testing.T) {
	t.Parallel()
	addresses := make(chan string, 1)
	upstream := newServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { addresses <- r.RemoteAddr }))
	p := newProxied(t, to(upstream.URL))
	get(t, p.URL)
	own := receive(t, "the request", addresses)
	between := func(remote string, local net.Addr) int {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		p.proxy.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			<-addresses
		}
		return w.Code
	}
	to, elsewhere := upstream.Listener.Addr(), p.Listener.Addr()
	same(t, "status from another address", http.StatusOK, between("192.0.2.1:1", to))
	same(t, "status from the same address, of a client", http.StatusOK, between(own, elsewhere))
	same(t, "status from an address of the proxy", http.StatusLoopDetected, between(own, to))
	p.proxy.Close()
	same(t, "status from an address that was the proxy's", http.StatusOK, between(own, to))
}

func TestRequestsThatNobodyIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request, kind string
		status        int
	}{
		"a path without upstream":         {"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", "otelmon_no_upstream", 404},
		"a path that begins alike":        {"GET /apiary HTTP/1.1\r\nHost: a\r\n\r\n", "otelmon_no_upstream", 404},
		"a prefix that is escaped":        {"GET /%61pi HTTP/1.1\r\nHost: a\r\n\r\n", "otelmon_no_upstream", 404},
		"a URL that is no path":           {"GET a:b HTTP/1.1\r\nHost: a\r\n\r\n", "otelmon_no_upstream", 404},
		"a tunnel":                        {"CONNECT api.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", "otelmon_no_tunnel", 405},
		"a body that cannot be read":      {"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "otelmon_request_unreadable", 400},
		"a body that breaks off later on": {"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n", "otelmon_request_unreadable", 400},
		"a call whose body cannot be read": {
			"POST /api/v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nx\r\n", "otelmon_request_unreadable", 400,
		},
		"a header that is too long": {"GET /api HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 2<<20) + "\r\n\r\n", "", 431},
		"two lengths":               {"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := newServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err == nil {
					t.Error("the upstream got a complete request")
				}
			}))
			p := newProxied(t, proxy.Config{Upstreams: []proxy.Upstream{{URL: upstream.URL, Prefix: "/api"}}})
			c := dial(t, p.URL)
			go func() { _, _ = io.WriteString(c.TCPConn, test.request) }() // the server may stop reading
			response := c.head("GET")
			same(t, "status", test.status, response.StatusCode)
			if test.kind != "" {
				var body struct {
					Error struct{ Message, Type string }
				}
				if err := json.NewDecoder(response.Body).Decode(&body); err != nil || body.Error.Message == "" {
					t.Errorf("got %v, %v", body, err)
				}
				same(t, "type", test.kind, body.Error.Type)
			}
			same(t, "failures", nil, p.series(t, telemetry.ProxyUpstreamFailures))
		})
	}
}

func TestFailuresAreLoggedAtABoundedRate(t *testing.T) {
	t.Parallel()
	p := newProxied(t, to("http://"+closedAddress(t)))
	const requests = 50
	for range requests {
		get(t, p.URL)
	}
	p.eventually(t, telemetry.ProxyUpstreamFailures, fmt.Sprintf("error.type=connection_refused otelmon.proxy.upstream=api = %d", requests))
	if lines := strings.Count(p.logged.String(), "\n"); lines != 1 {
		t.Errorf("got %d lines, want 1: %s", lines, p.logged)
	}
}

func TestRequestsGoOnAfterClose(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan struct{}), make(chan struct{})
	closed := make(chan struct{}, 10)
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-goOn
		_, _ = io.WriteString(w, "abc")
	}), func(server *httptest.Server) {
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		}
	})
	p := newProxied(t, to(upstream.URL))
	c := dial(t, p.URL)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, "the request", asked)
	p.proxy.Close()
	close(goOn)
	same(t, "body", "abc", c.read(c.head("GET").Body, 3))
	receive(t, "the connection to be closed", closed)
}
