package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
)

// newScripted returns the URL of a server that answers each request with the
// bytes and then closes the connection.
func newScripted(t testing.TB, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(c, answer)
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-served
	})
	return "http://" + listener.Addr().String()
}

// answered is what a client sees of a response, with those of 1xx before it.
type answered struct {
	Status       []int
	Headers      []http.Header
	Length       int64
	Body, Failed string
	Trailer      http.Header
}

// ask sends a request and reads all that is answered.
func ask(t testing.TB, url, method string) answered {
	t.Helper()
	c := dial(t, url)
	defer func() { _ = c.Close() }()
	c.send(method + " / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
	var got answered
	for {
		response := c.head(method)
		response.Header.Del("Date") // which a proxy has to add
		got.Status = append(got.Status, response.StatusCode)
		got.Headers = append(got.Headers, response.Header)
		if response.StatusCode >= http.StatusOK {
			body, err := io.ReadAll(response.Body)
			if err != nil {
				got.Failed = err.Error()
			}
			got.Body, got.Length, got.Trailer = string(body), response.ContentLength, maps.Clone(response.Trailer)
			return got
		}
	}
}

// Of a response 304, net/http leaves out Content-Type and Content-Length.
func TestResponsesArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	head := func(status string, header ...string) string {
		return "HTTP/1.1 " + status + "\r\n" + strings.Join(append(header, "\r\n"), "\r\n")
	}
	for name, answer := range map[string]string{
		"the simplest":                       head("200 OK", "Content-Length: 0"),
		"a body":                             head("200 OK", "Content-Length: 4") + "a\x00\xff\n",
		"a body without type, of HTML":       head("200 OK", "Content-Length: 6") + "<html>",
		"a body of chunks":                   head("200 OK", "Transfer-Encoding: chunked") + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		"a body until the end":               head("200 OK") + "abc",
		"trailers":                           head("200 OK", "Transfer-Encoding: chunked", "Trailer: A, B") + "3\r\nabc\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
		"trailers that were not announced":   head("200 OK", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\nA: 1\r\n\r\n",
		"trailers and no body":               head("200 OK", "Transfer-Encoding: chunked", "Trailer: A") + "0\r\nA: 1\r\n\r\n",
		"any headers":                        head("200 OK", "Content-Length: 0", "A: 1", "A: 2", "B:", "Set-Cookie: a=b", "Set-Cookie: c=d", "Server: s", "X: \xff\x80"),
		"a compressed body":                  head("200 OK", "Content-Encoding: gzip", "Content-Length: 3") + "\x1f\x8b\x00",
		"a date":                             head("200 OK", "Content-Length: 0", "Date: Thu, 01 Jan 1970 00:00:00 GMT"),
		"no content":                         head("204 No Content"),
		"not modified":                       head("304 Not Modified", "ETag: \"a\""),
		"a redirect":                         head("307 Temporary Redirect", "Location: http://elsewhere/a%2fb?c", "Content-Length: 0"),
		"a refusal":                          head("429 Too Many Requests", "Retry-After: 3", "Content-Length: 2") + "{}",
		"a failure":                          head("503 Service Unavailable", "Content-Length: 2") + "{}",
		"a failure of another gateway":       head("504 Gateway Timeout", "Content-Length: 1") + "a",
		"a code nobody knows":                head("799 What", "Content-Length: 0"),
		"early hints":                        head("103 Early Hints", "Link: </a>") + head("200 OK", "Content-Length: 1") + "a",
		"early hints, and HTML without type": head("103 Early Hints", "Link: </a>") + head("200 OK", "Content-Length: 6") + "<html>",
		"several informational responses":    head("103 Early Hints", "Link: </a>") + head("102 Processing") + head("103 Early Hints", "Link: </b>", "Link: </c>") + head("200 OK", "Content-Length: 0"),
		"an event stream":                    head("200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked") + "9\r\ndata: a\n\n\r\n0\r\n\r\n",
		"an event stream until the end":      head("200 OK", "Content-Type: text/event-stream") + ": keep-alive\n\ndata: a\n\n",
		"a body that ends too early":         head("200 OK", "Content-Length: 10") + "abc",
		"chunks that end too early":          head("200 OK", "Transfer-Encoding: chunked") + "3\r\nabc\r\n5\r\nde",
		"a malformed chunk":                  head("200 OK", "Transfer-Encoding: chunked") + "3\r\nabc\r\nx\r\n",
		"HTTP/1.0":                           "HTTP/1.0 200 OK\r\nA: 1\r\n\r\nabc",
		"a long header":                      head("200 OK", "A: "+strings.Repeat("a", 500_000), "Content-Length: 0"),
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if method == http.MethodHead && (!strings.HasSuffix(answer, "\r\n\r\n") || strings.Contains(answer, "chunked")) {
				continue // there must be no body
			}
			t.Run(fmt.Sprint(name, ", ", method), func(t *testing.T) {
				t.Parallel()
				url := newScripted(t, answer)
				p := newProxied(t, to(url))
				want, got := ask(t, url, method), ask(t, p.URL, method)
				if want.Length < 0 || got.Length < 0 { // a body until the end is sent in chunks
					want.Length, got.Length = 0, 0
				}
				if (want.Failed == "") == (got.Failed == "") { // a broken chunk is told by the end of the connection
					want.Failed, got.Failed = "", ""
				}
				for _, header := range want.Headers {
					header.Del("Connection")
				}
				for _, header := range got.Headers {
					header.Del("Connection")
				}
				same(t, "response", want, got)
			})
		}
	}
}
