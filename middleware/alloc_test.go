package middleware_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
)

// Not parallel: it counts what the process allocates.
func TestAnUnsampledRequestCostsFewAllocations(t *testing.T) {
	if rawRaceDetector {
		t.Skip("the race detector allocates too")
	}
	const mostAllocations, mostBytes = 8, 900
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	h := middleware.Handler(mux, middleware.Config{
		TracerProvider: tracer.New(sdktrace.ParentBased(sdktrace.NeverSample()),
			tracer.Limits{RescuesPerSecond: 10, SlowerThan: time.Second, ForcedPerSecond: math.Inf(1)}),
		MeterProvider: sdkmetric.NewMeterProvider(
			sdkmetric.WithReader(sdkmetric.NewManualReader()), sdkmetric.WithReader(sdkmetric.NewManualReader())),
		Propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	})
	bare, measured := rawBenchmark(mux), rawBenchmark(h)
	allocations, size := measured.AllocsPerOp()-bare.AllocsPerOp(), measured.AllocedBytesPerOp()-bare.AllocedBytesPerOp()
	t.Logf("a request costs %d allocations of %d bytes more, besides %d of %d", allocations, size,
		bare.AllocsPerOp(), bare.AllocedBytesPerOp())
	if allocations > mostAllocations || size > mostBytes {
		t.Errorf("a request costs %d allocations of %d bytes more, at most %d of %d are wanted",
			allocations, size, mostAllocations, mostBytes)
	}
}

func rawBenchmark(h http.Handler) testing.BenchmarkResult {
	return testing.Benchmark(func(b *testing.B) {
		w, r := &rawHTTP1{header: http.Header{}}, httptest.NewRequest(http.MethodGet, "/orders/7", http.NoBody)
		b.ReportAllocs()
		for b.Loop() {
			w.reset()
			h.ServeHTTP(w, r)
		}
	})
}
