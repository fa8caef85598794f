package spans_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

// service has a Store and what feeds it.
type service struct {
	*spans.Store
	provider *tracer.Provider
	reader   *sdkmetric.ManualReader
	handler  http.Handler
}

// newService returns a service around the handler, which may be nil.
func newService(sampler sdktrace.Sampler, next http.Handler) *service {
	s := &service{Store: spans.New(), reader: sdkmetric.NewManualReader()}
	s.provider = tracer.New(sampler, tracer.Limits{ForcedPerSecond: math.Inf(1), RescuesPerSecond: math.Inf(1), SlowerThan: time.Hour},
		sdktrace.WithSpanProcessor(s.Store))
	s.handler = middleware.Handler(next, middleware.Config{
		TracerProvider: s.provider,
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)),
		Propagator:     propagation.TraceContext{},
	})
	return s
}

func (s *service) tracer() trace.Tracer { return s.provider.Tracer("shop") }

// get requests the path, and survives a panic as net/http does.
func (s *service) get(t testing.TB, path string) {
	t.Helper()
	defer func() { _ = recover() }()
	s.handler.ServeHTTP(discard{}, newRequest(t, http.MethodGet, path))
}

func newRequest(t testing.TB, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// discard is a ResponseWriter.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// run starts a span, calls the function in it, if any, and ends it.
func (s *service) run(ctx context.Context, name string, inside func(context.Context, trace.Span), options ...trace.SpanStartOption) {
	ctx, span := s.tracer().Start(ctx, name, options...)
	defer span.End()
	if inside != nil {
		inside(ctx, span)
	}
}

// fail makes a span fail with the message.
func fail(message string) func(context.Context, trace.Span) {
	return func(_ context.Context, span trace.Span) {
		span.RecordError(errors.New(message))
		span.SetStatus(codes.Error, message)
	}
}

// lists returns the names in each list.
func (s *service) lists() map[string][]string {
	lists := map[string][]string{}
	view := s.View(time.Now())
	for name, rows := range map[string][]spans.Row{"errors": view.Errors, "panics": view.Panics, "slow": view.Slow} {
		for _, row := range rows {
			lists[name] = append(lists[name], row.Name)
		}
	}
	return lists
}

// drawn returns the trace of the row.
func (s *service) drawn(t testing.TB, row spans.Row) spans.Trace {
	t.Helper()
	drawn, ok := s.Trace(row.ID, time.Now())
	if !ok {
		t.Fatalf("the trace %s of %q is not there", row.ID, row.Name)
	}
	return drawn
}

// counting makes IDs 1, 2, 3, and so on.
type counting struct{ traces, spans atomic.Uint64 }

func (c *counting) NewIDs(ctx context.Context) (id trace.TraceID, _ trace.SpanID) {
	binary.BigEndian.PutUint64(id[8:], c.traces.Add(1))
	return id, c.NewSpanID(ctx, id)
}

func (c *counting) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], c.spans.Add(1))
	return id
}
