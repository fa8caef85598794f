package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/middleware"
)

var rawSamplers = map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.TraceIDRatioBased(0)}

func TestBadRequestsOverANetworkAreAnsweredAsBefore(t *testing.T) {
	t.Parallel()
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ok := "1 GET /x 200, 2 bytes"
	tests := map[string]struct{ request, want string }{
		"a path that is not UTF-8":         {rawGet("/\xff\xfe"), "1 GET _OTHER 404, 19 bytes"},
		"a path with escapes of no UTF-8":  {rawGet("/%ff%00"), "1 GET _OTHER 404, 19 bytes"},
		"a query that is not UTF-8":        {rawGet("/x?\xff=%zz"), ok},
		"a header that is not UTF-8":       {rawGet("/x", "User-Agent: \xff\xfe", "X-Forwarded-For: \xff"), ok},
		"a header of a megabyte":           {rawGet("/x", "User-Agent: "+strings.Repeat("a", 1<<20)), ok},
		"a traceparent of a megabyte":      {rawGet("/x", "Traceparent: "+strings.Repeat("0", 1<<20)), ok},
		"a tracestate of a megabyte":       {rawGet("/x", "Traceparent: "+trace, "Tracestate: "+strings.Repeat("a=b,", 1<<18)), ok},
		"a tracestate that is not UTF-8":   {rawGet("/x", "Traceparent: "+trace, "Tracestate: ot=th:\xff"), ok},
		"ten thousand members of baggage":  {rawGet("/x", "Baggage: "+strings.Repeat("a=b,", 10_000)), ok},
		"ten thousand headers of baggage":  {rawGet("/x", rawRepeat("Baggage: a=b", 10_000)...), ok},
		"ten thousand traceparents":        {rawGet("/x", rawRepeat("Traceparent: "+trace, 10_000)...), ok},
		"a method that nobody knows":       {rawRequest("BREW", "/x", ""), "1 _OTHER /x 200, 2 bytes"},
		"a method in small letters":        {rawRequest("get", "/x", ""), "1 _OTHER /x 200, 2 bytes"},
		"OPTIONS of the server":            {rawRequest("OPTIONS", "*", ""), "1 OPTIONS _OTHER 400, 0 bytes"},
		"CONNECT to a port that is none":   {rawRequest("CONNECT", "a.test:99999999", ""), "1 CONNECT _OTHER 404, 19 bytes"},
		"the address of another server":    {rawGet("http://b.test/x"), ok},
		"a path that is to be cleaned":     {rawGet("//x/../x"), "1 GET /x 307, 38 bytes"},
		"a body that is shorter than said": {rawRequest("POST", "/x", "a", "Content-Length: 1"), "1 POST /x 200, 2 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("/x", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
			configure := func(s *httptest.Server) {
				s.Config.MaxHeaderBytes = 4 << 20
				s.Config.DisableGeneralOptionsHandler = true
			}
			want := rawExchange(t, rawServer(t, mux, configure), test.request)
			for sampled, root := range rawSamplers {
				s := newRawSDK(root)
				address, wait := rawServerForOne(t, middleware.Handler(mux, s.Config), configure)
				got := rawExchange(t, address, test.request)
				wait()
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: the client got something else (-without middleware +with):\n%s", sampled, diff)
				}
				if diff := cmp.Diff([]string{test.want}, s.records(t)); diff != "" {
					t.Errorf("%s: recorded (-want +got):\n%s", sampled, diff)
				}
			}
		})
	}
}

func rawRepeat(text string, times int) []string {
	list := make([]string, times)
	for i := range list {
		list[i] = text
	}
	return list
}

func TestRequestsThatNoServerMakesAreServedAndCountedOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"a method that is not UTF-8": {func(r *http.Request) { r.Method = "\xff" }, "1 _OTHER /x 200, 2 bytes"},
		"no method":                  {func(r *http.Request) { r.Method = "" }, "1 GET /x 200, 2 bytes"},
		"a host that is not UTF-8":   {func(r *http.Request) { r.Host = "\xff:\xff" }, "1 GET /x 200, 2 bytes"},
		"no host":                    {func(r *http.Request) { r.Host = "" }, "1 GET /x 200, 2 bytes"},
		"no header":                  {func(r *http.Request) { r.Header = nil }, "1 GET /x 200, 2 bytes"},
		"no body":                    {func(r *http.Request) { r.Body = nil }, "1 GET /x 200, 2 bytes"},
		"no URL":                     {func(r *http.Request) { r.URL = nil }, "1 GET _OTHER 200, 2 bytes"},
		"an empty URL":               {func(r *http.Request) { r.URL = &url.URL{} }, "1 GET _OTHER 200, 2 bytes"},
		"a negative length":          {func(r *http.Request) { r.ContentLength = -7 }, "1 GET /x 200, 2 bytes"},
		"a version that is none":     {func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "\xff", -1, 1<<30 }, "1 GET /x 200, 2 bytes"},
		"no remote address":          {func(r *http.Request) { r.RemoteAddr = "\xff" }, "1 GET /x 200, 2 bytes"},
		"nothing at all":             {func(r *http.Request) { *r = http.Request{} }, "1 GET _OTHER 200, 2 bytes"},
		"a request that is over": {func(r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			*r = *r.WithContext(ctx)
		}, "1 GET /x client_disconnected, 2 bytes"},
	}
	for name, test := range tests {
		for sampled, root := range rawSamplers {
			t.Run(name+", "+sampled, func(t *testing.T) {
				t.Parallel()
				s := newRawSDK(root)
				s.TraceResponse = true
				s.Mux = http.NewServeMux()
				handler := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
				s.Mux.HandleFunc("/x", handler)
				w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", http.NoBody)
				test.change(r)
				if panicked := rawServe(middleware.Handler(http.HandlerFunc(handler), s.Config), w, r); panicked != nil {
					t.Errorf("panic: %v", panicked)
				}
				if w.Body.String() != "ok" {
					t.Errorf("the client got %q", w.Body)
				}
				if diff := cmp.Diff([]string{test.want}, s.records(t)); diff != "" {
					t.Errorf("recorded (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestWhatAHandlerPanicsWithGoesOnUnchanged(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value any
		want  string
	}{
		"nil":            {nil, "*runtime.PanicNilError"},
		"a slice":        {[]int{1}, "[]int"},
		"a map":          {map[string]int{"a": 1}, "map[string]int"},
		"a function":     {func() {}, "func()"},
		"an error":       {io.ErrUnexpectedEOF, "*errors.errorString"},
		"bad text":       {"\xff", "string"},
		"a bad Stringer": {rawBadStringer{}, "middleware_test.rawBadStringer"},
	}
	for name, test := range tests {
		for sampled, root := range rawSamplers {
			t.Run(name+", "+sampled, func(t *testing.T) {
				t.Parallel()
				s := newRawSDK(root)
				h := middleware.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(test.value) }), s.Config)
				panicked := rawServe(h, httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", http.NoBody))
				if got := fmt.Sprintf("%T", panicked); got != test.want {
					t.Errorf("got a panic with %s, want %s", got, test.want)
				}
				if diff := cmp.Diff([]string{"1 GET _OTHER 500 " + test.want + ", 0 bytes"}, s.records(t)); diff != "" {
					t.Errorf("recorded (-want +got):\n%s", diff)
				}
				if spans := s.spans.Ended(); len(spans) != 1 {
					t.Errorf("%d spans, want 1", len(spans))
				}
			})
		}
	}
}

type rawBadStringer struct{}

// String does what it should not.
func (rawBadStringer) String() string { panic("no text") }

func TestAHandlerThatEndsItsGoroutineIsCountedOnce(t *testing.T) {
	t.Parallel()
	for sampled, root := range rawSamplers {
		t.Run(sampled, func(t *testing.T) {
			t.Parallel()
			s := newRawSDK(root)
			h := middleware.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }), s.Config)
			var goroutine sync.WaitGroup
			goroutine.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", http.NoBody))
			})
			goroutine.Wait()
			if diff := cmp.Diff([]string{"1 GET _OTHER response_aborted, 0 bytes"}, s.records(t)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if n := s.active(t); n != 0 {
				t.Errorf("%d requests are active after the end", n)
			}
		})
	}
}

// rawLocked is a writer that several goroutines may use at a time.
type rawLocked struct {
	mu sync.Mutex
	w  rawHTTP1
}

func (l *rawLocked) Header() http.Header { return http.Header{} }

func (l *rawLocked) WriteHeader(code int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.WriteHeader(code)
}

func (l *rawLocked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestAHandlerMayWriteAndNameItsRouteAfterItReturned(t *testing.T) {
	t.Parallel()
	for sampled, root := range rawSamplers {
		t.Run(sampled, func(t *testing.T) {
			t.Parallel()
			s := newRawSDK(root)
			var late sync.WaitGroup
			var kept *http.Request
			h := middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				kept = r
				_, _ = io.WriteString(w, "hello")
				for range 2 {
					late.Go(func() {
						for range 5000 {
							_, _ = w.Write([]byte("late"))
							w.WriteHeader(http.StatusInternalServerError)
							middleware.SetRoute(r.Context(), "/late")
						}
					})
				}
			}), s.Config)
			w := &rawLocked{}
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/x", strings.NewReader("body")))
			late.Wait()
			middleware.SetRoute(kept.Context(), "/later")
			_, _ = io.ReadAll(kept.Body)
			if w.w.bytes != 5+40_000 {
				t.Errorf("the client got %d bytes", w.w.bytes)
			}
			if records := s.records(t); len(records) != 1 || !strings.HasPrefix(records[0], "1 POST ") || !strings.Contains(records[0], " 200, ") {
				t.Errorf("recorded %q, want one request with status 200", records)
			}
		})
	}
}

func TestAHandlerMayReplaceTheBody(t *testing.T) {
	t.Parallel()
	rawCompare(t, rawCase{
		request: rawRequest("POST", "/x", "hello", "Content-Length: 5"),
		handler: func(w http.ResponseWriter, r *http.Request, note rawNote) {
			r.Body = io.NopCloser(io.LimitReader(r.Body, 2))
			body, err := io.ReadAll(r.Body)
			note("%q %v", body, err)
			r.Body = nil
			rawSend(w, "thanks", note)
		},
		want: "1 POST /x 200, 6 bytes",
	})
}

func TestNamesOfRoutesThatAreNoneAreBounded(t *testing.T) {
	t.Parallel()
	s := newRawSDK(sdktrace.TraceIDRatioBased(0))
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { middleware.SetRoute(r.Context(), r.URL.Path) })
	h := middleware.Handler(mux, s.Config)
	for i := range 3000 {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.URL.Path = fmt.Sprintf("/%d/\xff%s", i, strings.Repeat("x", 300))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	records := s.records(t)
	if len(records) > 1001 {
		t.Errorf("%d series", len(records))
	}
	for _, line := range records {
		if !strings.Contains(line, "GET _OTHER") && (!strings.Contains(line, "\uFFFDx") || len(line) > 300) {
			t.Errorf("recorded %q", line)
		}
	}
}
