package spans_test

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Not parallel: it looks at the memory of the process.
func TestMemoryIsBounded(t *testing.T) {
	const most = 5 << 20
	s := newService(sdktrace.AlwaysSample(), nil)
	before := heap()
	var open []context.Context
	for i := range 2000 {
		// Texts are parts of what is much longer, as a path is of its URL.
		path := strings.Repeat("x", 1<<20)[:100]
		large := strings.Repeat("y", 1<<18)
		name := "job " + string(rune('A'+i%60))
		ctx, _ := s.tracer().Start(t.Context(), "never ends")
		s.run(ctx, "child", fail(large))
		if i < 10 {
			open = append(open, ctx)
		}
		s.run(t.Context(), name, func(ctx context.Context, span trace.Span) {
			span.SetAttributes(telemetry.URLPath.String(path), telemetry.HTTPRoute.String(path))
			s.run(ctx, "child", fail(large))
			fail(large)(ctx, span)
		})
	}
	if grown := heap() - before; grown > most {
		t.Errorf("the heap has grown by %d bytes, at most %d are wanted", grown, most)
	}
	if rows := s.View(time.Now()).Errors; len(rows) != 50 || rows[0].Spans != 2 {
		t.Errorf("got %d errors, want 50 with their children", len(rows))
	}
	runtime.KeepAlive(open)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	var s *service
	var looking, working sync.WaitGroup
	s = newService(sdktrace.AlwaysSample(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.run(r.Context(), "query", nil)
		working.Go(func() { s.run(r.Context(), "left running", fail("no")) })
		w.WriteHeader(http.StatusInternalServerError)
	}))
	done := make(chan struct{})
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			view := s.View(time.Now())
			for _, row := range view.Errors {
				s.Trace(row.ID, time.Now())
			}
			s.Traced()
		}
	})
	for range 8 {
		working.Go(func() {
			for range 200 {
				s.get(t, "/")
			}
		})
	}
	working.Wait()
	requests := slices.DeleteFunc(s.lists()["errors"], func(name string) bool { return name == "left running" })
	if len(requests) != 5 {
		t.Errorf("got the requests %q, want 5", requests)
	}
	working.Go(func() {
		for range 200 {
			s.get(t, "/")
		}
	})
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	working.Wait()
	close(done)
	looking.Wait()
	if got := s.lists(); len(got) != 0 {
		t.Errorf("got %v after Shutdown", got)
	}
}
