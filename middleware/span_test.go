package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/sampling"
)

// serverSeen is the handler's view of the trace.
type serverSeen struct {
	trace.SpanContext
	recording bool
	provider  trace.TracerProvider
	baggage   string
}

// look returns a handler that notes what it sees.
func (s *serverSeen) look(w http.ResponseWriter, r *http.Request) {
	span := trace.SpanFromContext(r.Context())
	*s = serverSeen{span.SpanContext(), span.IsRecording(), span.TracerProvider(), baggage.FromContext(r.Context()).String()}
	serverOK(w, r)
}

func serverParent(ids string) trace.SpanContext {
	traceID, _ := trace.TraceIDFromHex(ids[3:35])
	spanID, _ := trace.SpanIDFromHex(ids[36:52])
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(ids[54] - '0'), Remote: true})
}

func TestTraceOfTheClientGoesOn(t *testing.T) {
	t.Parallel()
	const state = "ot=th:8;rv:00000000000001,vendor=1"
	tests := map[string]struct {
		parent  string
		sampled map[string]bool // by path; the rest as the parent
		child   bool            // of the parent
	}{
		"a parent that is sampled":                      {serverSampledParent, nil, true},
		"a parent that is not sampled":                  {serverUnsampledParent, map[string]bool{"sampled": false, "not sampled": false}, true},
		"no parent":                                     {"", map[string]bool{"sampled": true, "not sampled": false, "with spans of another SDK": true}, false},
		"a parent that is no text of the specification": {"00-xyz", map[string]bool{"sampled": true, "not sampled": false, "with spans of another SDK": true}, false},
		"a parent without IDs":                          {"00-00000000000000000000000000000000-0000000000000000-01", map[string]bool{"sampled": true, "not sampled": false, "with spans of another SDK": true}, false},
	}
	for name, tt := range tests {
		for path, tracers := range serverPaths() {
			if path == "rescued" {
				continue
			}
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				var seen serverSeen
				serverGet(sdk.handler(http.HandlerFunc(seen.look)), "/", "traceparent", tt.parent, "tracestate", state, "baggage", "user=1")
				want, told := tt.sampled[path]
				if !told {
					want = strings.HasSuffix(tt.parent, "-01")
				}
				if seen.IsSampled() != want || seen.recording != want || !seen.IsValid() || seen.IsRemote() {
					t.Errorf("the handler sees %+v, want sampled %v", seen, want)
				}
				if seen.baggage != "user=1" {
					t.Errorf("the handler sees the baggage %q", seen.baggage)
				}
				wantState := state
				if !tt.child {
					wantState = ""
				}
				if got := seen.TraceState().String(); got != wantState {
					t.Errorf("the handler sees the tracestate %q, want %q", got, wantState)
				}
				if got := seen.TraceID().String() == serverTrace; got != tt.child {
					t.Errorf("the handler is in trace %s", seen.TraceID())
				}
				if !want {
					if ended := sdk.spans.Ended(); len(ended) != 0 {
						t.Errorf("got the span %s, want none", ended[0].Name())
					}
					return
				}
				span := sdk.serverSpan(t)
				if !span.SpanContext().Equal(seen.SpanContext) {
					t.Errorf("the span is %v, the handler saw %v", span.SpanContext(), seen.SpanContext)
				}
				if tt.child && !span.Parent().Equal(serverParent(tt.parent).WithTraceState(seen.TraceState())) {
					t.Errorf("the parent is %v", span.Parent())
				}
				if span.Parent().IsValid() != tt.child {
					t.Errorf("the parent is %v", span.Parent())
				}
			})
		}
	}
}

func TestSpanInTheContextIsTheParent(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		if path == "rescued" {
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			ctx, local := sdk.TracerProvider.Tracer("test").Start(t.Context(), "local")
			var seen serverSeen
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
			r.Header.Set("traceparent", serverSampledParent)
			sdk.handler(http.HandlerFunc(seen.look)).ServeHTTP(httptest.NewRecorder(), r)
			if seen.TraceID() != local.SpanContext().TraceID() || seen.SpanID() == local.SpanContext().SpanID() || seen.IsSampled() != local.SpanContext().IsSampled() {
				t.Errorf("the handler sees %v, want a child of %v", seen.SpanContext, local.SpanContext())
			}
			if path != "not sampled" && sdk.serverSpan(t).Parent().SpanID() != local.SpanContext().SpanID() {
				t.Errorf("the parent is %v, want %v", sdk.serverSpan(t).Parent(), local.SpanContext())
			}
		})
	}
}

func TestSpanKnowsItsProvider(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			var seen serverSeen
			serverGet(sdk.handler(http.HandlerFunc(seen.look)), "/")
			// The SDK's provider is embedded in otelmon's.
			want := sdk.TracerProvider
			if own, ok := want.(*tracer.Provider); ok && seen.recording {
				want = own.TracerProvider
			}
			if seen.provider != want {
				t.Errorf("got %T, want %T", seen.provider, want)
			}
		})
	}
}

// The decision about a request is for its span alone.
func TestSpansOfTheHandlerAreChildren(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			var seen serverSeen
			serverGet(sdk.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen.look(w, r)
				tracer := sdk.TracerProvider.Tracer("test")
				for _, name := range []string{"first", "second"} {
					ctx, child := tracer.Start(r.Context(), name)
					_, grandchild := tracer.Start(ctx, name+" of")
					grandchild.End()
					child.End()
				}
				_, root := tracer.Start(r.Context(), "root", trace.WithNewRoot())
				root.End()
			})), "/")
			parents, ids := map[string]trace.SpanID{}, map[trace.SpanID]string{}
			for _, span := range sdk.spans.Ended() {
				parents[span.Name()] = span.Parent().SpanID()
				ids[span.SpanContext().SpanID()] = span.Name()
				if same := span.SpanContext().TraceID() == seen.TraceID(); same != (span.Name() != "root") {
					t.Errorf("%s is in trace %s, the request in %s", span.Name(), span.SpanContext().TraceID(), seen.TraceID())
				}
			}
			got := map[string]string{}
			for name, parent := range parents {
				got[name] = ids[parent]
			}
			want := map[string]string{"GET": "", "first": "GET", "second": "GET", "first of": "first", "second of": "second", "root": ""}
			switch path {
			case "not sampled":
				want = map[string]string{}
			case "rescued": // what it did is not known
				want = map[string]string{"GET": ""}
			}
			serverDiff(t, "parents differ", want, got)
			if len(ids) != len(parents) {
				t.Errorf("%d spans have %d IDs", len(parents), len(ids))
			}
		})
	}
}

func TestPanicIsOnTheSpan(t *testing.T) {
	t.Parallel()
	values := map[string]struct {
		value     any
		errorType string
		message   string
	}{
		"an error":                    {errors.New("oh"), "*errors.errorString", "oh"},
		"a text":                      {"oh", "string", "oh"},
		"a list":                      {[]int{1}, "[]int", "[1]"},
		"a pointer whose text panics": {(*serverBadText)(nil), "*middleware_test.serverBadText", "<nil>"},
	}
	for name, tt := range values {
		for path, tracers := range serverPaths() {
			if path == "not sampled" {
				continue
			}
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				serverPanic(func() {
					serverGet(sdk.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { serverBlows(tt.value) })), "/")
				})
				span := sdk.serverSpan(t)
				serverDiff(t, "status differs", sdktrace.Status{Code: codes.Error, Description: tt.errorType}, span.Status())
				if n := len(span.Events()); n != 1 {
					t.Fatalf("got %d events, want 1", n)
				}
				event := span.Events()[0]
				serverDiff(t, "event differs", map[string]string{"exception.type": tt.errorType, "exception.message": tt.message}, serverAttributes(event.Attributes))
				var stack string
				for _, kv := range event.Attributes {
					if kv.Key == telemetry.ExceptionStacktrace {
						stack = kv.Value.AsString()
					}
				}
				if event.Name != "exception" || !strings.Contains(stack, "serverBlows") {
					t.Errorf("%s does not name the function:\n%s", event.Name, stack)
				}
				if got := serverAttributes(span.Attributes()); got["error.type"] != tt.errorType || got["http.response.status_code"] != "500" {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

func serverBlows(value any) { panic(value) }

type serverBadText struct{ text string }

func (b *serverBadText) Error() string { return b.text }

func TestAbortIsNoException(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		if path == "not sampled" {
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			serverPanic(func() { serverGet(sdk.handler(serverPanics(http.ErrAbortHandler)), "/") })
			span := sdk.serverSpan(t)
			serverDiff(t, "status differs", sdktrace.Status{Code: codes.Error, Description: "response_aborted"}, span.Status())
			if len(span.Events()) != 0 {
				t.Errorf("got the event %s", span.Events()[0].Name)
			}
		})
	}
}

func serverPublic(cfg *middleware.Config) { cfg.Public = true }

func TestPublicTakesNothingFromTheClient(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		for parent, link := range map[string]bool{serverSampledParent: true, serverUnsampledParent: true, "": false} {
			t.Run(path+", "+parent, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				var seen serverSeen
				serverGet(sdk.handler(http.HandlerFunc(seen.look), serverPublic), "/", "traceparent", parent, "tracestate", "ot=th:0", "baggage", "user=1")
				if seen.TraceID().String() == serverTrace || !seen.IsValid() || seen.baggage != "" || seen.TraceState().Len() != 0 {
					t.Errorf("the handler sees %+v", seen)
				}
				if want := path == "sampled" || path == "with spans of another SDK"; seen.IsSampled() != want {
					t.Errorf("it is sampled: %v, want %v", seen.IsSampled(), want)
				}
				if path == "not sampled" {
					if n := len(sdk.spans.Ended()); n != 0 {
						t.Errorf("got %d spans, want none", n)
					}
					return
				}
				span := sdk.serverSpan(t)
				if span.Parent().IsValid() || span.SpanContext().TraceID() != seen.TraceID() || span.SpanContext().SpanID() != seen.SpanID() {
					t.Errorf("the span is %v below %v, the handler saw %v", span.SpanContext(), span.Parent(), seen.SpanContext)
				}
				var linked []string
				for _, l := range span.Links() {
					linked = append(linked, l.SpanContext.TraceID().String())
				}
				var want []string
				if link {
					want = []string{serverTrace}
				}
				serverDiff(t, "links differ", want, linked)
			})
		}
	}
}

func TestForcedSamplesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sdk := newServerSDK(otelmonTracers(sampling.Ratio(0), tracer.Limits{ForcedPerSecond: 2}))
		var seen serverSeen
		h := sdk.handler(http.HandlerFunc(seen.look))
		get := func() {
			serverGet(h, "/", "traceparent", serverSampledParent, "tracestate", "ot=th:8;rv:00000000000001,vendor=1")
		}
		for i := range 4 {
			get()
			sampled := i < 2
			if seen.IsSampled() != sampled || seen.TraceID().String() != serverTrace {
				t.Errorf("request %d: the handler sees %v, want sampled %v", i, seen.SpanContext, sampled)
			}
			state := "ot=th:8;rv:00000000000001,vendor=1"
			if !sampled {
				state = "ot=rv:00000000000001,vendor=1"
			}
			if got := seen.TraceState().String(); got != state {
				t.Errorf("request %d: the tracestate is %q, want %q", i, got, state)
			}
		}
		<-time.After(time.Second)
		if get(); !seen.IsSampled() {
			t.Error("a second later no request is forced")
		}
		serverGet(h, "/", "traceparent", serverUnsampledParent)
		if seen.IsSampled() {
			t.Error("a parent that is not sampled forces a sample")
		}
	})
}

func TestTraceResponse(t *testing.T) {
	t.Parallel()
	answers := func(cfg *middleware.Config) { cfg.TraceResponse = true }
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			var seen serverSeen
			w := serverGet(sdk.handler(http.HandlerFunc(seen.look), answers), "/")
			want := fmt.Sprintf(`traceparent;desc="00-%s-%s-%s"`, seen.TraceID(), seen.SpanID(), seen.TraceFlags())
			if got := w.Header().Get("Server-Timing"); got != want || !regexp.MustCompile(`"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]"$`).MatchString(got) {
				t.Errorf("got %q, want %q", got, want)
			}
			if w := serverGet(sdk.handler(http.HandlerFunc(seen.look)), "/"); w.Header().Get("Server-Timing") != "" {
				t.Errorf("got %q without being asked", w.Header().Get("Server-Timing"))
			}
		})
	}
}

func TestASpanAroundAHandlerWithoutTracesIsKept(t *testing.T) {
	t.Parallel()
	sdk := newServerSDK(serverSampled)
	ctx, outer := sdk.TracerProvider.Tracer("test").Start(t.Context(), "outer")
	var inside trace.SpanContext
	sdk.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inside = trace.SpanContextFromContext(r.Context())
	}), func(cfg *middleware.Config) { cfg.Disable = middleware.Traces }).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
	outer.End()
	if !inside.Equal(outer.SpanContext()) {
		t.Errorf("the handler is in the span %v, want that around it, %v", inside, outer.SpanContext())
	}
	if got := len(sdk.spans.Ended()); got != 1 {
		t.Errorf("got %d spans, want that around the Handler only", got)
	}
}
