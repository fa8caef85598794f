package spans_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

var queried = []attribute.KeyValue{
	attribute.String("db.system.name", "postgresql"), attribute.String("db.query.text", "SELECT * FROM orders WHERE id = ?"),
	attribute.String("db.namespace", "shop"), attribute.Int("server.port", 5432), attribute.String("server.address", "localhost"),
}

// ignoring is a span processor that does nothing.
type ignoring struct{ sdktrace.SpanProcessor }

func (ignoring) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (ignoring) OnEnd(sdktrace.ReadOnlySpan)                     {}

// BenchmarkRequest is a request of three spans. What the Store costs is the
// difference to the one without.
func BenchmarkRequest(b *testing.B) {
	for name, tt := range map[string]struct {
		processor sdktrace.SpanProcessor
		status    int
	}{
		"without": {ignoring{}, http.StatusInternalServerError},
		"dropped": {spans.New(), http.StatusOK},
		"kept":    {spans.New(), http.StatusInternalServerError},
	} {
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(tt.processor))
		tracer := provider.Tracer("shop")
		mux := http.NewServeMux()
		mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
			for range 2 {
				_, span := tracer.Start(r.Context(), "query", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(queried...))
				span.End()
			}
			w.WriteHeader(tt.status)
		})
		handler := middleware.Handler(mux, middleware.Config{TracerProvider: provider})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(discard{}, newRequest(b, http.MethodGet, "/orders/7"))
			}
		})
	}
}

// BenchmarkStore is what the Store alone costs for a request to one of 20 routes,
// with so many spans inside.
func BenchmarkStore(b *testing.B) {
	for name, tt := range map[string]struct{ inside, status int }{
		"one span":              {0, http.StatusOK},
		"three spans":           {2, http.StatusOK},
		"one span that fails":   {0, http.StatusInternalServerError},
		"three spans that fail": {2, http.StatusInternalServerError},
	} {
		b.Run(name, func(b *testing.B) {
			const traces = 1000
			calls := recorded(b, traces, tt.inside, tt.status)
			var store *spans.Store
			next := 0
			b.ReportAllocs()
			for b.Loop() {
				if next == 0 { // no trace is to come twice
					b.StopTimer()
					store = withSlow()
					b.StartTimer()
				}
				for range len(calls) / traces {
					calls[next](store)
					next = (next + 1) % len(calls)
				}
			}
		})
	}
}

// withSlow returns a Store that has slower traces than any that follow.
func withSlow() *spans.Store {
	store := spans.New()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(store)).Tracer("shop")
	for i := range 10 {
		_, span := tracer.Start(context.Background(), fmt.Sprint("slow ", i))
		span.End(trace.WithTimestamp(time.Now().Add(time.Hour)))
	}
	return store
}

// recorder remembers what a span processor is called with.
type recorder struct {
	sdktrace.SpanProcessor

	calls []func(sdktrace.SpanProcessor)
}

func (r *recorder) OnStart(ctx context.Context, started sdktrace.ReadWriteSpan) {
	r.calls = append(r.calls, func(p sdktrace.SpanProcessor) { p.OnStart(ctx, started) })
}

func (r *recorder) OnEnd(ended sdktrace.ReadOnlySpan) {
	r.calls = append(r.calls, func(p sdktrace.SpanProcessor) { p.OnEnd(ended) })
}

// recorded returns the calls of a span processor for so many requests.
func recorded(b *testing.B, requests, inside, status int) []func(sdktrace.SpanProcessor) {
	b.Helper()
	to := &recorder{}
	provider := tracer.New(sdktrace.AlwaysSample(), tracer.Limits{}, sdktrace.WithSpanProcessor(to))
	mux := http.NewServeMux()
	for i := range 20 {
		mux.HandleFunc(fmt.Sprintf("GET /items-%d/{id}", i), func(w http.ResponseWriter, r *http.Request) {
			for range inside {
				_, span := provider.Tracer("shop").Start(r.Context(), "query", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(queried...))
				span.End()
			}
			w.WriteHeader(status)
		})
	}
	handler := middleware.Handler(mux, middleware.Config{TracerProvider: provider})
	for i := range requests {
		handler.ServeHTTP(discard{}, newRequest(b, http.MethodGet, fmt.Sprintf("/items-%d/7", i%20)))
	}
	return to.calls
}
