package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/proxy"
)

// arrived is what a server sees of a request.
type arrived struct {
	Method, URI, Host, Body string
	Length                  int64
	Encoding                []string
	Header, Trailer         http.Header
}

// newRecorder returns a server that tells what arrives.
func newRecorder(t testing.TB) (*httptest.Server, <-chan arrived) {
	t.Helper()
	seen := make(chan arrived, 1)
	return newServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		withoutOwnVia(r.Header)
		seen <- arrived{
			r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.TransferEncoding,
			maps.Clone(r.Header), maps.Clone(r.Trailer),
		}
	})), seen
}

// withoutOwnVia removes what upstreams on loopback get, see
// TestOnlyUpstreamsNearbyGetVia.
func withoutOwnVia(header http.Header) {
	header["Via"] = slices.DeleteFunc(header["Via"], func(via string) bool { return strings.HasPrefix(via, "1.1 otelmon-") })
	if len(header["Via"]) == 0 {
		header.Del("Via")
	}
}

// sendRaw sends a request and reads the response to its end.
func sendRaw(t testing.TB, url, request string) *http.Response {
	t.Helper()
	c := dial(t, url)
	defer func() { _ = c.Close() }()
	c.send(request)
	method, _, _ := strings.Cut(request, " ")
	response := c.head(method)
	for response.StatusCode < http.StatusOK {
		response = c.head(method)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Errorf("reading the response: %v", err)
	}
	return response
}

// checkRequest compares what arrives through the proxy with what arrives
// without.
func checkRequest(t testing.TB, p *proxied, upstream *httptest.Server, seen <-chan arrived, request string) {
	t.Helper()
	sendRaw(t, upstream.URL, request)
	want := receive(t, "the request", seen)
	if status := sendRaw(t, p.URL, request).StatusCode; status != http.StatusOK {
		t.Fatalf("got status %d for %q", status, request)
	}
	same(t, fmt.Sprintf("what arrives of %q", request), want, receive(t, "the request through the proxy", seen))
}

func TestRequestsArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	head := func(line string, header ...string) string {
		return line + " HTTP/1.1\r\nHost: %s\r\n" + strings.Join(append(header, "\r\n"), "\r\n")
	}
	for name, request := range map[string]string{
		"the simplest":                             head("GET /"),
		"a path with empty segments":               head("GET /a//b///c/"),
		"a path that begins with two slashes":      head("GET //a/b"),
		"dot segments":                             head("GET /a/../b/./c"),
		"an escaped slash":                         head("GET /a%2Fb%2fc"),
		"an escaped letter":                        head("GET /%61b%c3%a9"),
		"characters that URLs do not have":         head("GET /{id}/a|b\"<>^`\\"),
		"bytes that are not UTF-8":                 head("GET /\xff\xfe"),
		"a hash":                                   head("GET /a#b?c#d"),
		"an empty query":                           head("GET /a?"),
		"a query of a question mark":               head("GET /a??"),
		"a query that cannot be parsed":            head("GET /a?x=%zz&;y;z=%"),
		"a query with bytes that are not UTF-8":    head("GET /a?\xff=\x80"),
		"a long query":                             head("GET /a?" + strings.Repeat("a&", 20_000)),
		"a method nobody knows":                    head("BREW /pot"),
		"options":                                  head("OPTIONS /a"),
		"no user agent":                            head("GET /"),
		"a user agent":                             head("GET /", "User-Agent: a/1"),
		"a header of another proxy":                head("GET /", "Via: 1.1 other", "Via: 2.0 b, 1.0 c"),
		"forwarding headers":                       head("GET /", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8", "X-Forwarded-Host: a", "X-Forwarded-Proto: b", "Forwarded: for=1.2.3.4"),
		"any encoding":                             head("GET /", "Accept-Encoding: br;q=1, zstd, *;q=0"),
		"a key":                                    head("GET /", "Authorization: Bearer k", "X-Api-Key: k", "Cookie: a=b; c=d"),
		"headers with the same name":               head("GET /", "A: 1", "a: 2", "A: 1"),
		"an empty value":                           head("GET /", "A:"),
		"a value that is not UTF-8":                head("GET /", "A: \xff\x80"),
		"a range":                                  head("GET /", "Range: bytes=0-1", "If-None-Match: \"a\""),
		"a body":                                   head("POST /", "Content-Length: 5") + "a\x00\xff\r\n",
		"a body of a GET":                          head("GET /", "Content-Length: 2") + "ab",
		"an empty body":                            head("POST /", "Content-Length: 0"),
		"a body in chunks":                         head("POST /", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n",
		"an empty body in chunks":                  head("POST /", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		"trailers":                                 head("POST /", "Transfer-Encoding: chunked", "Trailer: A, B") + "3\r\nabc\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
		"trailers that do not come":                head("POST /", "Transfer-Encoding: chunked", "Trailer: A") + "0\r\n\r\n",
		"a compressed body":                        head("PUT /", "Content-Encoding: gzip", "Content-Length: 3") + "\x1f\x8b\x00",
		"a client that waits for 100, impatient":   head("POST /", "Expect: 100-continue", "Content-Length: 2") + "ab",
		"a client that would read trailers":        head("GET /", "TE: trailers"),
		"a long header":                            head("GET /", "A: "+strings.Repeat("a", 100_000)),
		"a call of an LLM API that is no JSON":     head("POST /v1/chat/completions", "Content-Type: text/plain", "Content-Length: 2") + "ab",
		"a call of an LLM API":                     head("POST /v1/chat/completions?a=%zz", "Content-Type: application/json", "Content-Length: 13") + `{"model":"m"}`,
		"a call of an LLM API of any kind of JSON": head("POST /v1/embeddings", "Transfer-Encoding: chunked") + "3\r\n[1,\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream, seen := newRecorder(t)
			host := upstream.Listener.Addr().String()
			checkRequest(t, newProxied(t, to(upstream.URL)), upstream, seen, strings.Replace(request, "%s", host, 1))
		})
	}
}

func TestTheAbsoluteFormBecomesTheUsualOne(t *testing.T) {
	t.Parallel()
	upstream, seen := newRecorder(t)
	p := newProxied(t, to(upstream.URL))
	sendRaw(t, p.URL, "GET http://user:password@elsewhere/a%2fb?c HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
	same(t, "request", arrived{
		Method: "GET", URI: "/a%2fb?c", Host: upstream.Listener.Addr().String(), Header: http.Header{},
	}, receive(t, "the request", seen))
}

func TestAnyRequestsArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	upstream, seen := newRecorder(t)
	p := newProxied(t, to(upstream.URL))
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		checkRequest(t, p, upstream, seen, randomRequest(random, upstream.Listener.Addr().String()))
	}
}

// randomRequest returns a request that net/http takes.
func randomRequest(random *rand.Rand, host string) string {
	text := func(from string, most int) string {
		var b strings.Builder
		for range random.IntN(most) {
			b.WriteByte(from[random.IntN(len(from))])
		}
		return b.String()
	}
	const plain = "abcXYZ019-._~!$&'()*+,;=:@/"
	path := "/a" // with a second slash here what no URL has is escaped
	for range random.IntN(6) {
		path += text(plain, 5) + fmt.Sprintf("%%%02X", random.IntN(256)) + text(plain+"{}|^\"<>\\\x80\xff", 3)
	}
	if random.IntN(2) == 0 {
		path += "?" + text(plain+"%?#[]{}\xff", 30)
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", []string{"GET", "POST", "DELETE", "PATCH"}[random.IntN(4)], path, host)
	for range random.IntN(10) {
		request += fmt.Sprintf("X-%s: %s\r\n", "A"+text("abcABC09-_", 10), text(plain+" \t\x80\xff\"{}[]", 40))
	}
	body := text("abc\x00\xff\r\n{}", 10_000)
	if random.IntN(2) == 0 {
		return request + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)+1, body+".")
	}
	request += "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
	for len(body) > 0 {
		n := 1 + random.IntN(len(body))
		request += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return request + "0\r\nX-T: " + text(plain, 20) + "\r\n\r\n"
}

func TestPrefixesAreReplaced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ prefix, base, sent, want string }{
		"none":                                {"", "", "/a", "/a"},
		"a slash":                             {"/", "/", "/a/", "/a/"},
		"removed":                             {"/x", "", "/x/a//b%2f?q", "/a//b%2f?q"},
		"nothing after it":                    {"/x", "", "/x", "/"},
		"nothing after it but a query":        {"/x", "", "/x?q", "/?q"},
		"nothing after it, with a base":       {"/x", "/v1", "/x", "/v1"},
		"a slash after it, with a base":       {"/x", "/v1", "/x/", "/v1/"},
		"a base that ends with a slash":       {"/x", "/v1/", "/x/a", "/v1/a"},
		"a base of several segments":          {"/x/y.z", "/api/v1", "/x/y.z/a", "/api/v1/a"},
		"a base that is escaped":              {"/x", "/a%2fb", "/x/c", "/a%2fb/c"},
		"a base that is escaped, and a brace": {"/x", "/a%2fb", "/x/{c}", "/a%2fb/{c}"},
		"a brace":                             {"/x", "/v1", "/x/{a}", "/v1/{a}"},
		"two slashes after it":                {"/x", "", "/x//a", "//a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream, seen := newRecorder(t)
			p := newProxied(t, proxy.Config{Upstreams: []proxy.Upstream{{Prefix: test.prefix, URL: upstream.URL + test.base}}})
			sendRaw(t, p.URL, "GET "+test.sent+" HTTP/1.1\r\nHost: proxy\r\n\r\n")
			got := receive(t, "the request", seen)
			same(t, "path", test.want, got.URI)
			same(t, "host", upstream.Listener.Addr().String(), got.Host)
		})
	}
}

func TestConnectionHeadersStayOnTheirSide(t *testing.T) {
	t.Parallel()
	upstream, seen := newRecorder(t)
	p := newProxied(t, to(upstream.URL))
	sendRaw(t, p.URL, "GET / HTTP/1.1\r\nHost: proxy\r\nConnection: keep-alive, X-Mine, X-Forwarded-For\r\nKeep-Alive: 5\r\n"+
		"X-Mine: 1\r\nX-Forwarded-For: 1.2.3.4\r\nProxy-Connection: a\r\nProxy-Authorization: b\r\nX-Yours: 2\r\n\r\n")
	same(t, "header", http.Header{"X-Yours": {"2"}}, receive(t, "the request", seen).Header)
}

func TestTraceContextGoesNowhereUnlessWanted(t *testing.T) {
	t.Parallel()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, test := range map[string]struct {
		propagateTo []string
		path        string
		want        bool
	}{
		"by default":                  {nil, "/", false},
		"by default, of an LLM call":  {nil, "/v1/chat/completions", false},
		"to the host":                 {[]string{"127.0.0.1"}, "/", true},
		"to the host, of an LLM call": {[]string{"127.0.0.1"}, "/v1/chat/completions", true},
		"to another host":             {[]string{"example.com"}, "/", false},
		"to another, of an LLM call":  {[]string{"example.com"}, "/v1/chat/completions", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream, seen := newRecorder(t)
			cfg := to(upstream.URL)
			cfg.PropagateTo = test.propagateTo
			p := newProxied(t, cfg)
			sendRaw(t, p.URL, "POST "+test.path+" HTTP/1.1\r\nHost: proxy\r\nTraceparent: "+trace+"\r\nBaggage: a=b\r\nContent-Length: 2\r\n\r\n{}")
			got := receive(t, "the request", seen).Header
			if sent := got.Get("Traceparent") != "" && got.Get("Baggage") != ""; sent != test.want {
				t.Errorf("got %v, want trace context: %t", got, test.want)
			}
		})
	}
}

// FuzzForward sends any path and query that net/http takes. What begins with
// two slashes is escaped where it is no URL, and is left out.
func FuzzForward(f *testing.F) {
	for _, target := range []string{
		"/", "/a%2fb", "/{}", "/?", "/a?%", "/\xff", "/%zz", "/a b", "/a;b?c;d", "/%00", "/a%25", "/:a", "/a#?#", "/a?b?", "/.//..", "/[",
	} {
		f.Add(target)
	}
	upstream, seen := newRecorder(f)
	p := newProxied(f, to(upstream.URL))
	f.Fuzz(func(t *testing.T, target string) {
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")))
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || request.RequestURI != target {
			return
		}
		w := httptest.NewRecorder()
		p.proxy.ServeHTTP(w, request)
		same(t, "status", http.StatusOK, w.Code)
		same(t, "target", target, receive(t, "the request", seen).URI)
	})
}
