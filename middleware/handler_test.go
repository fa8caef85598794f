package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/delegate"
	"github.com/otelmon/toolkit/middleware"
)

func serverOK(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

func TestMetricsAreThoseOfTheConventions(t *testing.T) {
	t.Parallel()
	sdk := newServerSDK(serverUnsampled)
	h := sdk.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	serverGet(h, "/")
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("hello")))

	units := map[string]string{}
	var attributes []string
	for name, m := range sdk.collect(t) {
		units[name] = m.Unit
		if m.Description == "" {
			t.Errorf("%s has no description", name)
		}
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok && name == "http.server.request.duration" {
			for _, kv := range h.DataPoints[0].Attributes.ToSlice() {
				attributes = append(attributes, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
			}
		}
	}
	serverDiff(t, "units differ", map[string]string{
		"http.server.request.duration":                  "s",
		"http.server.active_requests":                   "{request}",
		"http.server.request.body.size":                 "By",
		"http.server.response.body.size":                "By",
		"otelmon.http.server.stream.duration":           "s",
		"otelmon.http.server.stream.time_to_first_byte": "s",
	}, units)
	serverDiff(t, "attributes differ", []string{
		"error.type=502", "http.request.method=POST", "http.response.status_code=502", "http.route=_OTHER",
		"network.protocol.version=1.1", "url.scheme=http",
	}, attributes)
}

// serverActive returns the line of active requests.
func serverActive(t *testing.T, sdk *serverSDK) []string {
	t.Helper()
	return slices.DeleteFunc(sdk.metrics(t), func(line string) bool { return !strings.HasPrefix(line, "active_requests") })
}

func TestActiveRequestsAreCountedWhileTheyLast(t *testing.T) {
	t.Parallel()
	ends := map[string]func(){
		"by returning":                  func() {},
		"by a panic":                    func() { panic("oh") },
		"by an abort":                   func() { panic(http.ErrAbortHandler) },
		"by the end of their goroutine": runtime.Goexit,
	}
	for name, end := range ends {
		for path, tracers := range serverPaths() {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				entered, leave := make(chan struct{}), make(chan struct{})
				h := sdk.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					entered <- struct{}{}
					<-leave
					end()
				}))
				var running sync.WaitGroup
				for range 3 {
					running.Go(func() {
						defer func() { _ = recover() }()
						serverGet(h, "/")
					})
				}
				for range 3 {
					<-entered
				}
				serverDiff(t, "during", []string{"active_requests: GET http = 3"}, serverActive(t, sdk))
				close(leave)
				running.Wait()
				serverDiff(t, "after", []string{"active_requests: GET http = 0"}, serverActive(t, sdk))
			})
		}
	}
}

func TestNestedInstrumentationCountsOnce(t *testing.T) {
	t.Parallel()
	leaf := http.HandlerFunc(serverOK)
	tests := map[string]struct {
		handler func(*serverSDK) http.Handler
		spans   int // of a sampled request
	}{
		"a Handler in a Handler": {func(s *serverSDK) http.Handler { return s.handler(s.handler(leaf)) }, 1},
		"otelhttp in a Handler": {func(s *serverSDK) http.Handler {
			return s.handler(otelhttp.NewHandler(leaf, "inner", otelhttp.WithTracerProvider(s.TracerProvider), otelhttp.WithMeterProvider(s.MeterProvider)))
		}, 2},
	}
	for name, tt := range tests {
		for path, tracers := range serverPaths() {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				serverGet(tt.handler(sdk), "/")
				serverDiff(t, "metrics differ", []string{
					"active_requests: GET http = 0",
					"request.duration: GET _OTHER 200 1.1 http = 1",
					"response.body.size: GET _OTHER 200 1.1 http = 1, 2 bytes",
				}, sdk.metrics(t))
				want := map[string]int{"sampled": tt.spans, "with spans of another SDK": tt.spans, "rescued": 1}
				if got := len(sdk.spans.Ended()); got != want[path] {
					t.Errorf("got %d spans, want %d", got, want[path])
				}
			})
		}
	}
}

func TestOtelhttpAloneKeepsItsMetrics(t *testing.T) {
	t.Parallel()
	sdk := newServerSDK(serverSampled)
	sdk.handler(http.HandlerFunc(serverOK)) // is there, but has no part in the request
	serverGet(otelhttp.NewHandler(http.HandlerFunc(serverOK), "alone",
		otelhttp.WithTracerProvider(sdk.TracerProvider), otelhttp.WithMeterProvider(sdk.MeterProvider)), "/")
	serverDiff(t, "requests differ", []string{"GET 200 1.1 http network.protocol.name=http = 1"}, sdk.durations(t))
}

func TestPartsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	const all = middleware.Traces | middleware.Duration | middleware.ActiveRequests | middleware.RequestBodySize | middleware.ResponseBodySize
	metrics := map[middleware.Part]string{
		middleware.Duration:         "request.duration: POST / 200 1.1 http = 1",
		middleware.ActiveRequests:   "active_requests: POST http = 0",
		middleware.RequestBodySize:  "request.body.size: POST / 200 1.1 http = 1, 5 bytes",
		middleware.ResponseBodySize: "response.body.size: POST / 200 1.1 http = 1, 5 bytes",
	}
	parts := map[string]middleware.Part{
		"nothing": 0, "traces": middleware.Traces, "the duration": middleware.Duration,
		"active requests": middleware.ActiveRequests, "the size of requests": middleware.RequestBodySize,
		"the size of responses": middleware.ResponseBodySize, "two parts": middleware.Duration | middleware.Traces, "all": all,
	}
	places := map[string]func(*middleware.Config, middleware.Part){
		"everywhere": func(cfg *middleware.Config, p middleware.Part) { cfg.Disable = p },
		"for the route": func(cfg *middleware.Config, p middleware.Part) {
			cfg.Routes = map[string]middleware.RouteOptions{"/": {Disable: p}}
		},
	}
	for name, part := range parts {
		for place, disable := range places {
			for path, tracers := range serverPaths() {
				t.Run(name+" "+place+", "+path, func(t *testing.T) {
					t.Parallel()
					var want []string
					for p, line := range metrics {
						if part&p == 0 {
							want = append(want, line)
						}
					}
					slices.Sort(want)
					sdk, mux := newServerSDK(tracers), http.NewServeMux()
					mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
					sdk.handler(mux, func(cfg *middleware.Config) { disable(cfg, part) }).
						ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("hello")))
					serverDiff(t, "metrics differ", want, sdk.metrics(t))
					spans := 1
					if part&middleware.Traces != 0 || path == "not sampled" {
						spans = 0
					}
					if got := len(sdk.spans.Ended()); got != spans {
						t.Errorf("got %d spans, want %d", got, spans)
					}
				})
			}
		}
	}
}

func TestStreamsAreDurationsToo(t *testing.T) {
	t.Parallel()
	sdk := newServerSDK(serverUnsampled)
	serverGet(sdk.handler(http.HandlerFunc(serverEventStream), func(cfg *middleware.Config) { cfg.Disable = middleware.Duration }), "/")
	for name := range sdk.collect(t) {
		if strings.Contains(name, "stream") {
			t.Errorf("%s is recorded although durations are off", name)
		}
	}
}

// serverParents are traceparents of a client that samples, or does not.
const (
	serverTrace           = "0af7651916cd43dd8448eb211c80319c"
	serverSampledParent   = "00-" + serverTrace + "-b7ad6b7169203331-01"
	serverUnsampledParent = "00-" + serverTrace + "-b7ad6b7169203331-00"
)

func TestHealthChecksAreCountedButLeaveNoSpan(t *testing.T) {
	t.Parallel()
	paths := []string{"/health", "/healthz", "/live", "/livez", "/ready", "/readyz", "/-/healthy", "/-/ready", "/metrics"}
	for path, tracers := range serverPaths() {
		for _, health := range paths {
			t.Run(health+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk, mux := newServerSDK(tracers), http.NewServeMux()
				mux.HandleFunc("GET /-/{what}", serverFails)
				mux.HandleFunc("GET /{what}", serverFails)
				w := serverGet(sdk.handler(mux), health, "traceparent", serverSampledParent)
				if len(sdk.spans.Ended()) != 0 {
					t.Errorf("got the span %v, want none", sdk.spans.Ended()[0].Name())
				}
				if !strings.HasPrefix(w.Body.String(), serverTrace) || !strings.HasSuffix(w.Body.String(), "-00") {
					t.Errorf("the handler sees %q, want the unsampled trace", w.Body)
				}
				route := health[:strings.LastIndex(health, "/")] + "/{what}"
				serverDiff(t, "requests differ", []string{"GET " + route + " 500 500 1.1 http = 1"}, sdk.durations(t))
			})
		}
		t.Run("switched on, "+path, func(t *testing.T) {
			t.Parallel()
			sdk, mux := newServerSDK(tracers), http.NewServeMux()
			mux.HandleFunc("/healthz", serverFails)
			serverGet(sdk.handler(mux, func(cfg *middleware.Config) {
				cfg.Routes = map[string]middleware.RouteOptions{"/healthz": {}}
			}), "/healthz", "traceparent", serverSampledParent)
			sdk.serverSpan(t)
		})
	}
}

// serverFails answers 500 with the IDs of the span that the request is in.
func serverFails(w http.ResponseWriter, r *http.Request) {
	_, child := trace.SpanFromContext(r.Context()).TracerProvider().Tracer("test").Start(r.Context(), "child")
	child.End()
	sc := trace.SpanContextFromContext(r.Context())
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(w, "%s-%s-%s", sc.TraceID(), sc.SpanID(), sc.TraceFlags())
}

type serverUncomparable []int

func TestPanicsGoOnWithTheSameValue(t *testing.T) {
	t.Parallel()
	values := map[string]any{
		"an error":              errors.New("oh"),
		"a pointer":             new(int),
		"what is like an abort": fmt.Errorf("oh: %w", http.ErrAbortHandler),
		"an abort":              http.ErrAbortHandler,
	}
	uncomparable := map[string]any{
		"a list":                        []int{1},
		"a map":                         map[string]int{"a": 1},
		"a list with a type of its own": serverUncomparable{1},
		"a struct with a function":      struct{ f func() }{},
	}
	for path, tracers := range serverPaths() {
		for name, value := range values {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				if got := serverPanic(func() { serverGet(sdk.handler(serverPanics(value)), "/") }); got != value {
					t.Errorf("got %v, want %v", got, value)
				}
			})
		}
		for name, value := range uncomparable {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				got := serverPanic(func() { serverGet(sdk.handler(serverPanics(value)), "/") })
				if want := fmt.Sprintf("%T %v", value, value); fmt.Sprintf("%T %v", got, got) != want {
					t.Errorf("got %T %v, want %s", got, got, want)
				}
				serverDiff(t, "requests differ", []string{fmt.Sprintf("GET _OTHER 500 %T 1.1 http = 1", value)}, sdk.durations(t))
			})
		}
	}
}

func TestTypesOfPanicsAreBounded(t *testing.T) {
	t.Parallel()
	const types, known = 30, 20
	sdk := newServerSDK(serverUnsampled)
	var value any
	h := sdk.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(value) }))
	want := []string{fmt.Sprintf("GET _OTHER 500 _OTHER 1.1 http = %d", types-known+1)}
	for i := range types {
		value = reflect.New(reflect.ArrayOf(i, reflect.TypeFor[int]())).Elem().Interface()
		serverPanic(func() { serverGet(h, "/") })
		if i < known {
			want = append(want, fmt.Sprintf("GET _OTHER 500 [%d]int 1.1 http = 1", i))
		}
	}
	value = [0]int{} // one that is known keeps its name
	serverPanic(func() { serverGet(h, "/") })
	value = [types]int{}
	serverPanic(func() { serverGet(h, "/") })
	want[1] = "GET _OTHER 500 [0]int 1.1 http = 2"
	slices.Sort(want)
	got := sdk.durations(t)
	slices.Sort(got)
	serverDiff(t, "requests differ", want, got)
}

func TestLogOfThePanicNamesItsOrigin(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			var log serverLog
			serverRequest{serve: serverOrigin, log: &log}.do(t, newServerSDK(tracers))
			if text := log.String(); !strings.Contains(text, "serverOrigin") || !strings.Contains(text, "panic serving") {
				t.Errorf("the log does not name the function:\n%s", text)
			}
		})
	}
}

func serverOrigin(http.ResponseWriter, *http.Request) { panic("oh") }

// serverLog is safe for concurrent use.
type serverLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestGlobalProvidersAreThoseOfTheMoment(t *testing.T) { // not parallel: it sets globals
	tracers, meters, propagator := otel.GetTracerProvider(), otel.GetMeterProvider(), otel.GetTextMapPropagator()
	t.Cleanup(func() {
		otel.SetTracerProvider(tracers)
		otel.SetMeterProvider(meters)
		otel.SetTextMapPropagator(propagator)
	})
	own := newServerSDK(serverSampled)
	otel.SetMeterProvider(own.MeterProvider)
	otel.SetTextMapPropagator(own.Propagator)
	h := middleware.Handler(http.HandlerFunc(serverOK), middleware.Config{})
	expect := func(what string, spans *tracetest.SpanRecorder, want int) {
		t.Helper()
		serverGet(h, "/", "traceparent", serverSampledParent)
		if got := len(spans.Ended()); got != want {
			t.Errorf("%s: got %d spans, want %d", what, got, want)
		}
		for _, span := range spans.Ended() {
			if got := span.SpanContext().TraceID().String(); got != serverTrace {
				t.Errorf("%s: got trace %s, want that of the header", what, got)
			}
		}
	}

	foreign := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(foreign)))
	expect("the provider of another SDK", foreign, 1)
	expect("the same once more", foreign, 2)

	swappable := delegate.NewTracerProvider()
	otel.SetTracerProvider(swappable)
	expect("a provider without target", foreign, 2)
	swappable.Set(own.TracerProvider)
	expect("otelmon's", own.spans, 1)
	second := tracetest.NewSpanRecorder()
	swappable.Set(serverSampled(second))
	expect("another target", second, 1)
	expect("the same target", second, 2)
	swappable.Set(nil)
	expect("no target again", second, 2)
	serverDiff(t, "requests differ", []string{"GET _OTHER 200 1.1 http = 7"}, own.durations(t))
}
