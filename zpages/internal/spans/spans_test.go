package spans_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

func TestRequestsThatAreKept(t *testing.T) {
	t.Parallel()
	var s *service
	call := func(r *http.Request, name string, inside func(context.Context, trace.Span)) {
		s.run(r.Context(), name, inside, trace.WithSpanKind(trace.SpanKindClient))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(http.ResponseWriter, *http.Request) { <-time.After(time.Second) })
	mux.HandleFunc("/500", func(w http.ResponseWriter, r *http.Request) {
		call(r, "query", nil)
		w.WriteHeader(http.StatusInternalServerError)
	})
	mux.HandleFunc("/told", func(w http.ResponseWriter, r *http.Request) {
		trace.SpanFromContext(r.Context()).RecordError(errors.New("out of stock"), trace.WithStackTrace(true))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/panic", func(_ http.ResponseWriter, r *http.Request) {
		call(r, "query", func(context.Context, trace.Span) { panic("no such table") })
	})
	mux.HandleFunc("/retried", func(_ http.ResponseWriter, r *http.Request) { call(r, "query", fail("deadlock")) })
	mux.HandleFunc("/llm", func(_ http.ResponseWriter, r *http.Request) {
		call(r, "chat deepseek-chat", func(ctx context.Context, span trace.Span) {
			span.SetAttributes(telemetry.GenAIOperation.String("chat"), telemetry.ErrorType.String("429"))
			fail("too many requests")(ctx, span)
		})
	})
	status := func(code int64) *int64 { return &code }
	tests := map[string]struct {
		path string
		list string
		want spans.Row
	}{
		"a success is slow when there are no others": {"/ok", "slow", spans.Row{Name: "GET /ok", Route: "/ok", Duration: 1, Status: status(200), Spans: 1}},
		"a status of the server's fault is an error": {"/500", "errors", spans.Row{Name: "GET /500", Route: "/500", Status: status(500), Error: "500", Spans: 2}},
		"what was recorded is the error's message":   {"/told", "errors", spans.Row{Name: "GET /told", Route: "/told", Status: status(503), Error: "out of stock", Spans: 1}},
		"a panic is none of the errors":              {"/panic", "panics", spans.Row{Name: "GET /panic", Route: "/panic", Status: status(500), Error: "no such table", Spans: 2}},
		"an error that was handled is none":          {"/retried", "slow", spans.Row{Name: "GET /retried", Route: "/retried", Status: status(200), Spans: 2}},
		"a failed call of an LLM is one in any case": {"/llm", "errors", spans.Row{Name: "GET /llm", Route: "/llm", Status: status(200), Error: "chat deepseek-chat: too many requests", Spans: 2}},
		"an unmatched request has the metrics' route": {
			"/favicon.ico", "slow",
			spans.Row{Name: "GET", Route: "_OTHER", Status: status(404), Spans: 1},
		},
	}
	for name, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			s = newService(sdktrace.AlwaysSample(), mux)
			s.get(t, tt.path)
			<-time.After(time.Minute)
			view := s.View(time.Now())
			lists := map[string][]spans.Row{"errors": view.Errors, "panics": view.Panics, "slow": view.Slow}
			for list, rows := range lists {
				var want []spans.Row
				if list == tt.list {
					tt.want.Age = 60
					want = []spans.Row{tt.want}
				}
				if diff := cmp.Diff(want, rows, cmpopts.IgnoreFields(spans.Row{}, "ID"), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: %s (- want, + got):\n%s", name, list, diff)
				}
			}
			if got := len(s.drawn(t, lists[tt.list][0]).Spans); got != tt.want.Spans {
				t.Errorf("%s: %d spans are drawn, want %d", name, got, tt.want.Spans)
			}
		})
	}
}

func TestRootsThatAreNoRequests(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		job  func(s *service, ctx context.Context)
		want map[string][]string
	}{
		"a job that fails": {
			func(s *service, ctx context.Context) { s.run(ctx, "job", fail("disk full")) },
			map[string][]string{"errors": {"job"}},
		},
		"a job that panics": {
			func(s *service, ctx context.Context) {
				defer func() { _ = recover() }()
				s.run(ctx, "job", func(context.Context, trace.Span) { panic("at the disco") })
			},
			map[string][]string{"panics": {"job"}},
		},
		"a job that records an error and goes on": {
			func(s *service, ctx context.Context) {
				s.run(ctx, "job", func(_ context.Context, span trace.Span) {
					span.RecordError(errors.New("skipped a line"))
					<-time.After(time.Second)
				})
			},
			map[string][]string{"slow": {"job"}},
		},
		"what a job leaves running is a root": {
			func(s *service, ctx context.Context) {
				s.run(ctx, "job", func(inside context.Context, _ trace.Span) { ctx = inside })
				s.run(ctx, "mail", fail("no such address"))
			},
			map[string][]string{"errors": {"mail"}},
		},
		"what a job leaves running does not take its row": {
			func(s *service, ctx context.Context) {
				s.run(ctx, "job", func(inside context.Context, span trace.Span) {
					ctx = inside
					fail("no")(ctx, span)
				})
				s.run(ctx, "mail", fail("no such address"))
			},
			map[string][]string{"errors": {"job"}},
		},
		"what calls itself is one trace, with the root around": {
			func(s *service, ctx context.Context) {
				s.run(ctx, "outer", func(ctx context.Context, span trace.Span) {
					remote := trace.ContextWithRemoteSpanContext(context.Background(), trace.SpanContextFromContext(ctx))
					s.run(remote, "inner", fail("no"))
					span.SetStatus(codes.Error, "inner failed")
				})
			},
			map[string][]string{"errors": {"outer"}},
		},
		"a root around that succeeds does not hide the one inside": {
			func(s *service, ctx context.Context) {
				s.run(ctx, "outer", func(ctx context.Context, _ trace.Span) {
					s.run(trace.ContextWithRemoteSpanContext(ctx, trace.SpanContextFromContext(ctx)), "inner", fail("no"))
				})
			},
			map[string][]string{"errors": {"inner"}},
		},
	}
	for name, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newService(sdktrace.AlwaysSample(), nil)
			tt.job(s, t.Context())
			if diff := cmp.Diff(tt.want, s.lists()); diff != "" {
				t.Errorf("%s (- want, + got):\n%s", name, diff)
			}
		})
	}
}

func TestRescuedRequestsAreMarked(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0)), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}))
	s.get(t, "/")
	rows := s.View(time.Now()).Errors
	if len(rows) != 1 || !rows[0].Rescued || rows[0].Spans != 1 {
		t.Errorf("got %+v, want one that is rescued", rows)
	}
}

func TestWhatFailsOftenDoesNotHideWhatFailsRarely(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), nil)
	s.run(t.Context(), "rare", fail("once"))
	for i := range 1000 {
		s.run(t.Context(), "often", func(ctx context.Context, span trace.Span) {
			span.SetAttributes(telemetry.ErrorType.String(fmt.Sprint(i % 100)))
			fail("again")(ctx, span)
		})
	}
	s.run(t.Context(), "last", fail("once"))
	got := s.lists()["errors"]
	if len(got) != 50 || got[0] != "last" || got[49] != "rare" {
		t.Errorf("got %d errors: %q; want 50, with rare ones at both ends", len(got), got)
	}

	s = newService(sdktrace.AlwaysSample(), nil)
	s.run(t.Context(), "first", fail("no"))
	for range 10 {
		s.run(t.Context(), "same", fail("no"))
	}
	if diff := cmp.Diff([]string{"same", "same", "same", "same", "same", "first"}, s.lists()["errors"]); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

// What fails a thousand times a second is kept once a second, and the last is seen
// after one.
func TestFailuresThatRepeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(sdktrace.AlwaysSample(), nil)
		var ids []string
		for range 10_000 {
			s.run(t.Context(), "same", func(ctx context.Context, span trace.Span) {
				ids = append(ids, span.SpanContext().TraceID().String())
				fail("no")(ctx, span)
			})
			<-time.After(time.Millisecond)
		}
		s.run(t.Context(), "same", func(_ context.Context, span trace.Span) {
			span.SetAttributes(telemetry.ErrorType.String("other"))
			span.SetStatus(codes.Error, "another type is not the same")
		})
		var got []string
		for _, row := range s.View(time.Now()).Errors[1:] {
			got = append(got, row.ID)
		}
		// The first five fill the list within 4 ms, then there is one a second.
		if diff := cmp.Diff([]string{ids[9004], ids[8004], ids[7004], ids[6004], ids[5004]}, got); diff != "" {
			t.Errorf("(- want, + got):\n%s", diff)
		}
	})
}

func TestSpansThatEndAfterTheirRoot(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), nil)
	late := func(name string, root func(context.Context, trace.Span)) {
		var child trace.Span
		s.run(t.Context(), name, func(ctx context.Context, span trace.Span) {
			_, child = s.tracer().Start(ctx, "late")
			root(ctx, span)
		})
		child.End()
	}
	late("kept", fail("no"))
	row := s.View(time.Now()).Errors[0]
	if got := s.drawn(t, row); row.Spans != 2 || len(got.Spans) != 2 || got.Spans[1].Name != "late" || got.Spans[1].Depth != 1 {
		t.Errorf("got %d spans, %+v; want the late one", row.Spans, got.Spans)
	}
	for range 10_000 {
		late("dropped", func(context.Context, trace.Span) {})
	}
	if got := s.View(time.Now()); got.Dropped != 0 || len(got.Slow) > 3 {
		t.Errorf("%d of the traces that ended are still in flight and made room, %d are slow", got.Dropped, len(got.Slow))
	}
}

// What begins beneath a span that has ended is a root by itself, of which there may
// be many.
func TestTheRequestHasAPlaceAmongManyRoots(t *testing.T) {
	t.Parallel()
	var s *service
	s = newService(sdktrace.AlwaysSample(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		for range 3000 {
			s.run(ctx, "step", func(inside context.Context, _ trace.Span) { ctx = inside })
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	s.get(t, "/")
	row := s.View(time.Now()).Errors[0]
	got := s.drawn(t, row)
	if row.Spans != 3001 || len(got.Spans) != 200 || got.Truncated != 2801 || got.Spans[0].Name != row.Name {
		t.Errorf("got %d of %d spans, the first is %q; want 200 of 3001 and %q first", len(got.Spans), row.Spans, got.Spans[0].Name, row.Name)
	}
}

func TestTracesThatNeverEnd(t *testing.T) {
	t.Parallel()
	const flying, most = 10_000, 4096
	s := newService(sdktrace.AlwaysSample(), nil)
	var roots []trace.Span
	for i := range flying {
		ctx, root := s.tracer().Start(t.Context(), fmt.Sprintf("root %d", i))
		s.run(ctx, "child", nil)
		roots = append(roots, root)
	}
	if got := s.View(time.Now()); got.Dropped != flying-most || len(got.Errors)+len(got.Panics)+len(got.Slow) > 0 {
		t.Errorf("got %+v, want %d dropped", got, flying-most)
	}
	for _, i := range []int{0, flying - 1} {
		roots[i].SetStatus(codes.Error, "at last")
		roots[i].End()
	}
	got := s.View(time.Now())
	if len(got.Errors) != 2 || got.Errors[0].Spans != 2 || got.Errors[1].Spans != 1 {
		t.Errorf("got %+v; want the last with its child, and the first without", got.Errors)
	}
}

func TestAfterShutdown(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), http.NotFoundHandler())
	s.run(t.Context(), "before", fail("no"))
	s.get(t, "/")
	id := s.View(time.Now()).Errors[0].ID
	_, open := s.tracer().Start(t.Context(), "open")
	if err := errors.Join(s.ForceFlush(t.Context()), s.Shutdown(t.Context()), s.Shutdown(t.Context())); err != nil {
		t.Error(err)
	}
	open.SetStatus(codes.Error, "no")
	open.End()
	s.run(t.Context(), "after", fail("no"))
	s.get(t, "/")
	if _, ok := s.Trace(id, time.Now()); ok || len(s.lists()) != 0 || len(s.Traced()) != 0 {
		t.Errorf("got %v, %v, and a trace: %v", s.lists(), s.Traced(), ok)
	}
}
