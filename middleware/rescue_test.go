package middleware_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/sampling"
)

func TestRescuedSpanIsTheOneTheHandlerSaw(t *testing.T) {
	t.Parallel()
	tests := map[string]func(http.ResponseWriter, *http.Request){
		"a status of 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a panic":         func(http.ResponseWriter, *http.Request) { panic("oh") },
		"an abort":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a slow response": func(http.ResponseWriter, *http.Request) { <-time.After(time.Second) },
	}
	for name, serve := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sdk := newServerSDK(otelmonTracers(sampling.Ratio(0), tracer.Limits{RescuesPerSecond: 10, SlowerThan: time.Second}))
				start := time.Now()
				var seen serverSeen
				h := sdk.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					seen.look(httptest.NewRecorder(), r)
					_, child := sdk.TracerProvider.Tracer("test").Start(r.Context(), "child")
					child.End()
					<-time.After(100 * time.Millisecond)
					serve(w, r)
				}))
				serverPanic(func() {
					serverGet(h, "/", "traceparent", serverUnsampledParent, "tracestate", "ot=th:8;rv:00000000000001,vendor=1")
				})
				if n := len(sdk.spans.Ended()); n != 1 {
					t.Fatalf("got %d spans, want 1", n)
				}
				span := sdk.serverSpan(t)
				sc := span.SpanContext()
				if seen.IsSampled() || sc.TraceID() != seen.TraceID() || sc.SpanID() != seen.SpanID() || !sc.IsSampled() {
					t.Errorf("the span is %v, the handler saw %v", sc, seen.SpanContext)
				}
				if span.Parent().SpanID() != serverParent(serverUnsampledParent).SpanID() || !span.Parent().IsRemote() {
					t.Errorf("the parent is %v", span.Parent())
				}
				if got := sc.TraceState().String(); got != "ot=rv:00000000000001,vendor=1" {
					t.Errorf("the tracestate is %q", got)
				}
				if !span.StartTime().Equal(start) || !span.EndTime().Equal(time.Now()) {
					t.Errorf("it lasted from %v to %v, want %v to %v", span.StartTime(), span.EndTime(), start, time.Now())
				}
				if got := serverAttributes(span.Attributes())["otelmon.sampling.rescued"]; got != "true" {
					t.Errorf("it is marked %q", got)
				}
				points := sdk.collect(t)["http.server.request.duration"].Data.(metricdata.Histogram[float64]).DataPoints
				if len(points[0].Exemplars) != 1 || trace.SpanID(points[0].Exemplars[0].SpanID) != sc.SpanID() {
					t.Errorf("the exemplars are %v, want one of span %s", points[0].Exemplars, sc.SpanID())
				}
			})
		})
	}
}

func TestWhatIsNotRescued(t *testing.T) {
	t.Parallel()
	none := tracer.Limits{SlowerThan: time.Second}
	tests := map[string]struct {
		sampler   sdktrace.Sampler
		limits    tracer.Limits
		handler   http.HandlerFunc
		configure func(*middleware.Config)
	}{
		"a success in time":                     {sampling.Ratio(0), serverNoSlower, serverWrites(404, ""), nil},
		"a client that is at fault":             {sampling.Ratio(0), serverNoSlower, serverWrites(499, ""), nil},
		"a failure, when none is to be rescued": {sampling.Ratio(0), none, serverFails, nil},
		"a failure, when tracing is off":        {sdktrace.NeverSample(), serverAll, serverFails, nil},
		"a failure that a rule dropped":         {sampling.Drop(), serverAll, serverFails, nil},
		"a failure of a route without traces":   {sampling.Ratio(0), serverAll, serverFails, func(cfg *middleware.Config) { cfg.Disable = middleware.Traces }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(otelmonTracers(tt.sampler, tt.limits))
			if tt.configure == nil {
				tt.configure = func(*middleware.Config) {}
			}
			serverGet(sdk.handler(tt.handler, tt.configure), "/")
			if n := len(sdk.spans.Ended()); n != 0 {
				t.Errorf("got %d spans, want none", n)
			}
			if n := len(sdk.durations(t)); n != 1 {
				t.Errorf("got %d series, want 1", n)
			}
		})
	}
}

func TestRescuesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sdk := newServerSDK(otelmonTracers(sampling.Ratio(0), tracer.Limits{RescuesPerSecond: 3, SlowerThan: math.MaxInt64}))
		h := sdk.handler(http.HandlerFunc(serverFails))
		for range 10 {
			serverGet(h, "/")
		}
		if n := len(sdk.spans.Ended()); n != 3 {
			t.Errorf("got %d spans at once, want 3", n)
		}
		<-time.After(time.Second)
		for range 10 {
			serverGet(h, "/")
		}
		if n := len(sdk.spans.Ended()); n != 6 {
			t.Errorf("got %d spans a second later, want 6", n)
		}
		serverDiff(t, "requests differ", []string{"GET _OTHER 500 500 1.1 http = 20"}, sdk.durations(t))
	})
}

// http.TimeoutHandler answers while the service still works on the request.
func TestARescueLooksAtNothingThatTheServiceMayStillChange(t *testing.T) {
	t.Parallel()
	sdk := newServerSDK(serverRescued)
	for range 20 {
		started, ended := make(chan struct{}), make(chan struct{})
		busy := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			defer close(ended)
			close(started)
			for range 2000 {
				r.Header.Set("X-User", "otter") // as authentication does
				r.URL.Path += "x"
			}
		})
		h := sdk.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			go busy.ServeHTTP(nil, r)
			<-started
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		serverGet(h, "/items", "User-Agent", "curl", "X-Forwarded-For", "192.0.2.1")
		<-ended
	}
	for _, span := range sdk.spans.Ended() {
		attributes := serverAttributes(span.Attributes())
		if attributes["user_agent.original"] != "curl" || attributes["url.path"] != "/items" {
			t.Fatalf("got %v, want what the client sent", attributes)
		}
	}
	if got := len(sdk.spans.Ended()); got != 20 {
		t.Errorf("got %d spans, want 20", got)
	}
}

// A stream is not slow because it lasts.
func TestAStreamIsRescuedForItsFirstByteOnly(t *testing.T) {
	t.Parallel()
	wait := func(d time.Duration) { <-time.After(d) }
	tests := map[string]struct {
		before, after time.Duration // of the first byte
		spans         int
	}{
		"that begins in time and lasts": {0, time.Minute, 0},
		"that begins late":              {2 * time.Second, 0, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sdk := newServerSDK(otelmonTracers(sdktrace.TraceIDRatioBased(0), tracer.Limits{RescuesPerSecond: 10, SlowerThan: time.Second}))
				serverGet(sdk.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					wait(tt.before)
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, "data: 1\n\n")
					wait(tt.after)
				})), "/")
				if got := len(sdk.spans.Ended()); got != tt.spans {
					t.Errorf("got %d spans, want %d", got, tt.spans)
				}
			})
		})
	}
}

// Samplers that need the attributes of the span are asked by otelhttp.
func TestRescueWithASamplerThatIsAskedLate(t *testing.T) {
	t.Parallel()
	byAttribute := sampling.Rule{Attribute: attribute.String("server.address", "shop.example"), Sampler: sampling.Keep()}
	tests := map[string]struct {
		sampler sdktrace.Sampler
		spans   int
	}{
		"that drops":          {sampling.Rules(sampling.Ratio(0), byAttribute), 1},
		"that drops for ever": {sampling.Rules(sampling.Drop(), byAttribute), 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(otelmonTracers(tt.sampler, serverAll))
			w := serverGet(sdk.handler(http.HandlerFunc(serverFails)), "/", "traceparent", "")
			if got := len(sdk.spans.Ended()); got != tt.spans {
				t.Fatalf("got %d spans, want %d", got, tt.spans)
			}
			if tt.spans == 1 && !strings.Contains(w.Body.String(), sdk.serverSpan(t).SpanContext().SpanID().String()) {
				t.Errorf("the span is %v, the handler saw %s", sdk.serverSpan(t).SpanContext(), w.Body)
			}
		})
	}
}
