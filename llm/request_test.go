package llm_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// arrived is what a server sees of a request.
type arrived struct {
	Method, Path, Proto, Host string
	Header, Trailer           http.Header
	ContentLength             int64
	TransferEncoding          []string
	Body                      string
}

// arrivals answers all requests and keeps them.
func arrivals(t *testing.T, http2 bool) (server *httptest.Server, last func() arrived) {
	t.Helper()
	requests := make(chan arrived, 100)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the caller broke off, or fails by it
		}
		requests <- arrived{r.Method, r.RequestURI, r.Proto, r.Host, r.Header, r.Trailer, r.ContentLength, r.TransferEncoding, string(content)}
		if r.URL.RawQuery == "redirect" {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, message(`"content":"Hi"`))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that nobody waits for
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, func() arrived { return <-requests }
}

func TestRequestsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	large := chatBody(strings.Repeat("m", 20<<20), true)
	ask := func(body io.Reader, change func(*http.Request)) func(url string) *http.Request {
		return func(url string) *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+chat, body)
			if err != nil {
				t.Fatal(err)
			}
			if change != nil {
				change(r)
			}
			return r
		}
	}
	for name, c := range map[string]func() func(url string) *http.Request{
		"with a length": func() func(string) *http.Request { return ask(strings.NewReader(streamBody), nil) },
		"in chunks": func() func(string) *http.Request {
			return ask(iotest.OneByteReader(strings.NewReader(streamBody)), nil)
		},
		"of 20 MiB":          func() func(string) *http.Request { return ask(strings.NewReader(large), nil) },
		"of 20 MiB, chunked": func() func(string) *http.Request { return ask(io.MultiReader(strings.NewReader(large)), nil) },
		"without a body":     func() func(string) *http.Request { return ask(nil, nil) },
		"with no body":       func() func(string) *http.Request { return ask(http.NoBody, nil) },
		"that is no JSON":    func() func(string) *http.Request { return ask(strings.NewReader("{{{"), nil) },
		"that is binary":     func() func(string) *http.Request { return ask(strings.NewReader("\x00\xff\xfe"), nil) },
		"nested too deeply":  func() func(string) *http.Request { return ask(strings.NewReader(strings.Repeat(`{"a":`, 5000)), nil) },
		"with more headers": func() func(string) *http.Request {
			return ask(strings.NewReader(streamBody), func(r *http.Request) {
				r.Header["X-Several"] = []string{"a", "b"}
				r.Header.Set("Authorization", "Bearer secret")
				r.Header.Set("User-Agent", "mine")
				r.Host = "example.com"
			})
		},
		"with trailers": func() func(string) *http.Request {
			return ask(io.MultiReader(strings.NewReader(streamBody)), func(r *http.Request) { r.Trailer = http.Header{"X-Sum": {"1"}} })
		},
		"that says to expect": func() func(string) *http.Request {
			return ask(strings.NewReader(streamBody), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
		},
		"that is redirected": func() func(string) *http.Request {
			return ask(strings.NewReader(streamBody), func(r *http.Request) { r.URL.RawQuery = "redirect" })
		},
	} {
		for version, http2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
			t.Run(name+" over "+version, func(t *testing.T) {
				t.Parallel()
				server, last := arrivals(t, http2)
				s := newSDK()
				var got [2]arrived
				for i, client := range []*http.Client{server.Client(), s.over(server.Client().Transport)} {
					r := c()(server.URL)
					header, length := r.Header.Clone(), r.ContentLength
					response, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					response.Body.Close()
					if r.URL.RawQuery == "redirect" {
						last()
					}
					if got[i] = last(); !maps.EqualFunc(r.Header, header, func(a, b []string) bool { return cmp.Equal(a, b) }) || r.ContentLength != length {
						t.Errorf("the caller's request was changed: %v", r.Header)
					}
				}
				if !cmp.Equal(got[0], got[1]) {
					got[0].Body, got[1].Body = got[0].Body[:min(len(got[0].Body), 99)], got[1].Body[:min(len(got[1].Body), 99)]
					t.Errorf("(-without +with)\n%s", cmp.Diff(got[0], got[1]))
				}
			})
		}
	}
}

func TestErrorsOfTheRequestsBodyPass(t *testing.T) {
	t.Parallel()
	for name, includes := range map[string]bool{"as it is": false, "asking for usage": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := errors.New("broken")
			server, _ := arrivals(t, true)
			s := newSDK()
			s.IncludeUsage = includes
			body := io.MultiReader(strings.NewReader(streamBody[:20]), iotest.ErrReader(broken))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+chat, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := s.over(server.Client().Transport).Do(r)
			if err == nil {
				response.Body.Close()
			}
			if !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			want := seen{Outcome: "aborted", ErrorType: telemetry.ErrorCanceled, Status: "*errors.errorString"}
			if diff := cmp.Diff(want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A base may read a body, fail, and read it once more, as net/http does when a
// connection turns out to be closed.
func TestABodyThatIsReadTwice(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int64{"after nothing": 0, "after a part": 30, "after all": 1 << 20} {
		for version, includes := range map[string]bool{"": false, ", asking for usage": true} {
			t.Run(name+version, func(t *testing.T) {
				t.Parallel()
				s := newSDK()
				s.IncludeUsage = includes
				base := roundTripper(func(r *http.Request) (*http.Response, error) {
					first, _ := io.ReadAll(io.LimitReader(r.Body, before))
					r.Body.Close()
					again, err := r.GetBody()
					if err != nil {
						return nil, err
					}
					r.Body = again
					var second bytes.Buffer
					r.Body = io.NopCloser(io.TeeReader(r.Body, &second))
					response, err := answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
					if !bytes.HasPrefix(second.Bytes(), first) || r.ContentLength != int64(second.Len()) {
						t.Errorf("got %q, then %q, of %d bytes", first, second.String(), r.ContentLength)
					}
					return response, err
				})
				post(t, s.over(base), "http://127.0.0.1"+chat, `{"model":"deepseek-flash","stream":true,"temperature":0.5}`)
				attributes := spanAttributes(s)
				if attributes["gen_ai.request.model"] != "deepseek-flash" || attributes["gen_ai.request.stream"] != "true" ||
					attributes["gen_ai.request.temperature"] != "0.5" {
					t.Errorf("got %v", attributes)
				}
			})
		}
	}
}

// spanAttributes are those of the last span.
func spanAttributes(s *testSDK) map[string]string {
	spans, attributes := s.spans.Ended(), map[string]string{}
	if len(spans) == 0 {
		return attributes
	}
	for _, a := range spans[len(spans)-1].Attributes() {
		attributes[string(a.Key)] = a.Value.String()
	}
	return attributes
}

func TestAcceptEncodingIsNarrowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		accept, want []string
	}{
		"none is left to net/http":           {nil, nil},
		"gzip stays":                         {[]string{"gzip"}, []string{"gzip"}},
		"identity stays":                     {[]string{"identity"}, []string{"identity"}},
		"what cannot be read goes":           {[]string{"gzip, deflate, br, zstd"}, []string{"gzip"}},
		"with nothing left there is none":    {[]string{"br, zstd"}, []string{"identity"}},
		"weights stay":                       {[]string{"br;q=1.0, gzip;q=0.8, *;q=0.1"}, []string{"gzip;q=0.8"}},
		"case does not matter":               {[]string{"GZIP, BR"}, []string{"GZIP"}},
		"anything is as good as nothing":     {[]string{"*"}, []string{"identity"}},
		"several headers are one":            {[]string{"br", "gzip"}, []string{"gzip"}},
		"gzip that is refused stays refused": {[]string{"gzip;q=0, br"}, []string{"gzip;q=0"}},
		"an empty one is none":               {[]string{""}, []string{"identity"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			var got []string
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				got = r.Header["Accept-Encoding"]
				return answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
			})
			r := newRequest(t, t.Context(), "http://127.0.0.1"+chat, objectBody)
			if c.accept != nil {
				r.Header["Accept-Encoding"] = c.accept
			}
			response, err := s.over(base).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.accept, r.Header["Accept-Encoding"]); diff != "" {
				t.Errorf("the caller's header was changed: %s", diff)
			}
		})
	}
}

func TestAnEncodingThatIsNotKnownIsUnreadable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		encoding, body string
		want           seen
	}{
		"brotli":                 {"br", "\x0b\x02\x80Hi\x03", seen{Outcome: "ok", Missing: "unreadable"}},
		"two encodings":          {"gzip, br", "xyz", seen{Outcome: "ok", Missing: "unreadable"}},
		"gzip that is none":      {"gzip", message(`"content":"Hi"`), seen{Outcome: "ok", Missing: "unreadable"}},
		"identity is readable":   {"identity", message(`"content":"Hi"`), seen{Outcome: "ok"}},
		"gzip of nothing at all": {"gzip", "", unknown("incomplete", "unexpected_eof", "incomplete")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			base := replay([]byte(c.body), http.Header{"Content-Type": {jsonType}, "Content-Encoding": {c.encoding}})
			if got := post(t, s.over(base), "http://127.0.0.1"+chat, objectBody); got != c.body {
				t.Errorf("got %q", got)
			}
			if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTraceContextGoesOnlyWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to   []string
		want bool
	}{
		"nowhere by default": {nil, false},
		"to the hosts named": {[]string{"127.0.0.1"}, true},
		"to no other host":   {[]string{"example.com"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			s.HTTP.PropagateTo, s.HTTP.Propagator = c.to, propagation.TraceContext{}
			var got string
			client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
				got = r.Header.Get("Traceparent")
				return answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
			}))
			post(t, client, "http://127.0.0.1"+chat, objectBody)
			if (got != "") != c.want {
				t.Errorf("the trace context was %q", got)
			}
			if id := s.spans.Ended()[0].SpanContext().SpanID().String(); c.want && !strings.Contains(got, id) {
				t.Errorf("the trace context %q is not that of the span %s", got, id)
			}
		})
	}
}
