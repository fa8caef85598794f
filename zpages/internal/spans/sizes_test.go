package spans_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

func TestHostileSizes(t *testing.T) {
	t.Parallel()
	megabyte := strings.Repeat("é", 1<<19)
	s := newService(sdktrace.AlwaysSample(), nil)
	s.run(t.Context(), megabyte, func(ctx context.Context, span trace.Span) {
		for range 300 {
			s.run(ctx, "child", fail(megabyte))
		}
		for i := range 100 {
			span.SetAttributes(telemetry.URLPath.String(megabyte), attributeOf(i, megabyte))
		}
		span.AddEvent("exception", trace.WithAttributes(
			telemetry.ExceptionMessage.String(megabyte), telemetry.ExceptionStacktrace.String(megabyte)))
		span.SetStatus(codes.Error, megabyte)
	})
	row := s.View(time.Now()).Errors[0]
	if n := len(row.Name) + len(row.Error); n > 2*256 || row.Spans != 301 {
		t.Errorf("the row has texts of %d bytes and %d spans", n, row.Spans)
	}
	got := s.drawn(t, row)
	bytes := 0
	for _, span := range got.Spans {
		bytes += sizeOf(t, span)
	}
	root := got.Spans[0]
	if bytes > 256<<10 || got.Truncated != 301-len(got.Spans) || len(got.Spans) < 10 {
		t.Errorf("%d spans, %d left out, have texts of %d bytes", len(got.Spans), got.Truncated, bytes)
	}
	if len(root.Events) != 1 || len(root.Events[0].Attributes) != 2 || root.Dropped+len(root.Attributes) != 101 {
		t.Errorf("the root has %d events, %d attributes, %d are left out", len(root.Events), len(root.Attributes), root.Dropped)
	}
	if stack := root.Events[0].Attributes[1].Value; len(stack) < 32<<10-4 || !strings.HasSuffix(stack, "…") {
		t.Errorf("the stack has %d bytes, want 32 KiB", len(stack))
	}
}

func TestLargeTracesPushOutTheOldest(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), nil)
	text := strings.Repeat("x", 4096)
	for i := range 50 {
		s.run(t.Context(), fmt.Sprintf("job %d", i), func(ctx context.Context, span trace.Span) {
			for range 30 {
				s.run(ctx, "child", fail(text))
			}
			fail("no")(ctx, span)
		})
	}
	rows, bytes := s.View(time.Now()).Errors, 0
	for i, row := range rows {
		if want := fmt.Sprintf("job %d", 49-i); row.Name != want {
			t.Errorf("got %s, want %s", row.Name, want)
		}
		for _, span := range s.drawn(t, row).Spans {
			bytes += sizeOf(t, span)
		}
	}
	if bytes > 3<<20 || bytes < 5<<19 || len(rows) == 50 {
		t.Errorf("%d traces have texts of %d bytes, want 2.5 to 3 MiB", len(rows), bytes)
	}
}

// sizeOf returns the bytes of all texts, none of which may be too long.
func sizeOf(t *testing.T, s spans.Span) int {
	t.Helper()
	texts := []string{s.Name, s.Message}
	attributes := s.Attributes
	for _, e := range s.Events {
		texts = append(texts, e.Name)
		attributes = append(attributes, e.Attributes...)
	}
	for _, a := range attributes {
		texts = append(texts, a.Name)
		if a.Name != "exception.stacktrace" {
			texts = append(texts, a.Value)
		} else if len(a.Value) > 32<<10 {
			t.Errorf("a stack has %d bytes", len(a.Value))
		}
	}
	size := 0
	for _, text := range texts {
		size += len(text)
		if len(text) > 4096 || strings.ToValidUTF8(text, "") != text {
			t.Errorf("a text has %d bytes, or is cut within a character", len(text))
		}
	}
	return size
}
