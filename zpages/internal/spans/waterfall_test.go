package spans_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

func TestWaterfall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := spans.New()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(store), sdktrace.WithIDGenerator(&counting{}))
		s := &service{Store: store}
		tracer := provider.Tracer("shop")
		later := func(ms int) { <-time.After(time.Duration(ms) * time.Millisecond) }

		ctx, root := tracer.Start(t.Context(), "GET /orders/{id}", trace.WithSpanKind(trace.SpanKindServer),
			trace.WithLinks(trace.Link{SpanContext: trace.SpanContextFromContext(linked())}))
		later(1)
		inQuery, query := tracer.Start(ctx, "query", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.Int("rows", 3), attribute.StringSlice("tables", []string{"orders", "items"}), attribute.Bool("cached", false)))
		_, unended := tracer.Start(inQuery, "never ends")
		_, orphan := tracer.Start(trace.ContextWithSpan(ctx, unended), "parent not here")
		later(2)
		_, sibling := tracer.Start(inQuery, "decode")
		later(3)
		sibling.SetStatus(codes.Ok, "")
		sibling.End()
		query.RecordError(errors.New("<script>"))
		query.End()
		orphan.End()
		later(4)
		root.SetStatus(codes.Error, "no such order")
		root.End()
		later(5000)

		drawn, err := json.MarshalIndent(s.drawn(t, store.View(time.Now()).Errors[0]), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/waterfall.json", append(drawn, '\n'))
	})
}

func linked() context.Context {
	return trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{15: 9}, SpanID: trace.SpanID{7: 9},
	}))
}

func TestListsAreNeverNull(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), nil)
	empty, err := json.Marshal(s.View(time.Now()))
	if err != nil || string(empty) != `{"errors":[],"panics":[],"slow":[],"dropped":0}` {
		t.Errorf("got %s, %v", empty, err)
	}
	s.run(t.Context(), "job", fail("no"))
	for name, v := range map[string]any{"view": s.View(time.Now()), "trace": s.drawn(t, s.View(time.Now()).Errors[0])} {
		text, err := json.Marshal(v)
		if err != nil || bytes.Contains(text, []byte("[null")) || name == "trace" && bytes.Contains(text, []byte("null")) {
			t.Errorf("got %s, %v", text, err)
		}
	}
}

func TestTracesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), nil)
	_, open := s.tracer().Start(t.Context(), "in flight")
	defer open.End()
	for _, id := range []string{"", "x", "00000000000000000000000000000000", "0123456789abcdef0123456789abcdef", open.SpanContext().TraceID().String()} {
		if got, ok := s.Trace(id, time.Now()); ok {
			t.Errorf("%q is %+v", id, got)
		}
	}
}

// Clocks are set while spans last, and services tell times that cannot be.
func TestImpossibleTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	times := []time.Time{now, now.Add(-time.Hour), now.Add(time.Hour), now.Round(0), now.Round(0).Add(-time.Hour), time.Unix(0, 0), time.Unix(1<<40, 0), {}}
	for i, start := range times {
		for j, end := range times {
			s := newService(sdktrace.AlwaysSample(), nil)
			ctx, root := s.tracer().Start(t.Context(), "job")
			_, child := s.tracer().Start(ctx, "child", trace.WithTimestamp(start))
			child.AddEvent("event", trace.WithTimestamp(end))
			child.End(trace.WithTimestamp(end))
			root.SetStatus(codes.Error, "")
			root.End()
			view := s.View(now.Add(-time.Minute))
			got := s.drawn(t, view.Errors[0])
			if view.Errors[0].Age < 0 || view.Errors[0].Duration < 0 || got.Age < 0 || got.Duration < 0 || len(got.Spans) != 2 {
				t.Errorf("from %d to %d: got %+v, %+v", i, j, view.Errors[0], got)
			}
			for _, span := range got.Spans {
				if span.Start < 0 || span.Duration < 0 || span.Start+span.Duration > got.Duration {
					t.Errorf("from %d to %d: got %+v in %v s", i, j, span, got.Duration)
				}
				for _, e := range span.Events {
					if e.At < 0 {
						t.Errorf("from %d to %d: got %+v", i, j, e)
					}
				}
			}
		}
	}
}

// fixed makes spans of one trace with the IDs that it is told.
type fixed struct{ next byte }

func (f *fixed) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return trace.TraceID{15: 1}, trace.SpanID{7: f.next}
}

func (f *fixed) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	return trace.SpanID{7: f.next}
}

// Whoever calls the service chooses the IDs of parents.
func FuzzWaterfall(f *testing.F) {
	f.Add([]byte{1, 0, 0, 2, 1, 1, 3, 2, 2})
	f.Add([]byte{1, 1, 0, 2, 3, 0, 3, 2, 0})
	f.Add([]byte{1, 2, 9, 2, 1, 8, 1, 2, 7, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		ids := &fixed{}
		store := spans.New()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(store), sdktrace.WithIDGenerator(ids)).Tracer("shop")
		started, n := time.Now(), 0
		for ; len(data) >= 3; data = data[3:] {
			parent := trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{15: 1}, SpanID: trace.SpanID{7: data[1]}, TraceFlags: trace.FlagsSampled, Remote: data[2]&1 == 0,
			})
			ids.next = data[0]
			_, span := tracer.Start(trace.ContextWithSpanContext(t.Context(), parent), "span",
				trace.WithTimestamp(started.Add(time.Duration(data[2])*time.Millisecond)))
			span.SetStatus(codes.Error, "no")
			span.End()
			n++
		}
		rows := store.View(time.Now()).Errors
		if len(rows) != min(n, 1) {
			t.Fatalf("got %d traces of %d spans", len(rows), n)
		}
		if n == 0 {
			return
		}
		drawn, ok := store.Trace(rows[0].ID, time.Now())
		if !ok || len(drawn.Spans)+drawn.Truncated != n {
			t.Fatalf("drawn are %d spans, left out %d, of %d", len(drawn.Spans), drawn.Truncated, n)
		}
		checkOrder(t, drawn.Spans)
	})
}

// checkOrder checks that each span below another comes after its parent.
func checkOrder(t *testing.T, drawn []spans.Span) {
	t.Helper()
	var above []string
	for i, span := range drawn {
		if span.Depth > len(above) || span.Depth > 0 && above[span.Depth-1] != span.Parent {
			t.Fatalf("span %d, at depth %d, is not below its parent %s but below %v", i, span.Depth, span.Parent, above)
		}
		above = append(above[:span.Depth], span.ID)
		if id, err := trace.SpanIDFromHex(span.ID); err == nil && binary.BigEndian.Uint64(id[:]) > 255 {
			t.Fatalf("span %d is %s", i, span.ID)
		}
	}
}
