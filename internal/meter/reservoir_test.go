package meter_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/meter"
)

// sampled returns a context with a sampled span, whose ID is made of n.
func sampled(n int) context.Context {
	return trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    trace.TraceID{1, byte(n >> 16), byte(n >> 8), byte(n)},
		SpanID:     trace.SpanID{2, byte(n >> 16), byte(n >> 8), byte(n)},
		TraceFlags: trace.FlagsSampled,
	}))
}

func histogramExemplars(t *testing.T, data metricdata.Aggregation) []metricdata.Exemplar[float64] {
	t.Helper()
	switch data := data.(type) {
	case metricdata.Histogram[float64]:
		return data.DataPoints[0].Exemplars
	case metricdata.ExponentialHistogram[float64]:
		return data.DataPoints[0].Exemplars
	default:
		t.Fatalf("got %T, want a histogram", data)
		return nil
	}
}

func TestExemplarsKeepTheSlowest(t *testing.T) {
	t.Parallel()
	readers := map[string]sdkmetric.Reader{
		"with explicit buckets":    sdkmetric.NewManualReader(),
		"with exponential buckets": exponentialReader(),
	}
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := meter.Rules{AttributeFilter: func(sdkmetric.Instrument) attribute.Filter {
				return attribute.NewDenyKeysFilter("user")
			}}
			h, err := newSDK(t, rules, reader).Meter("m").Float64Histogram("d", metric.WithUnit("s"))
			if err != nil {
				t.Fatal(err)
			}
			for cycle, slowest := range []float64{90, 9} {
				for i := range 1000 {
					value := float64(i%10) / 10
					if i == 500 {
						value = slowest
					}
					h.Record(sampled(i), value, metric.WithAttributes(attribute.String("user", "someone")))
				}
				h.Record(t.Context(), 1000) // without a sampled span
				for range 2 {               // a collection takes nothing away
					requireExemplars(t, histogramExemplars(t, collect(t, reader)["d"].Data), cycle, slowest)
				}
			}
		})
	}
}

func requireExemplars(t *testing.T, exemplars []metricdata.Exemplar[float64], cycle int, slowest float64) {
	t.Helper()
	if len(exemplars) != 4 {
		t.Fatalf("cycle %d: got %d exemplars, want 4", cycle, len(exemplars))
	}
	last := exemplars[3]
	if last.Value != slowest {
		t.Errorf("cycle %d: got %v as the last exemplar, want the slowest, %v", cycle, last.Value, slowest)
	}
	want := sampled(500)
	if got := fmt.Sprintf("%x", last.TraceID); got != trace.SpanContextFromContext(want).TraceID().String() {
		t.Errorf("cycle %d: got trace ID %s", cycle, got)
	}
	for _, e := range exemplars {
		if len(e.FilteredAttributes) > 0 {
			t.Errorf("cycle %d: got dropped attributes %v on an exemplar, want none", cycle, e.FilteredAttributes)
		}
		if e.Time.IsZero() || len(e.SpanID) != 8 {
			t.Errorf("cycle %d: got exemplar %+v, want a time and a span", cycle, e)
		}
	}
}

func TestExemplarsAreNotOnlyTheSlowest(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	h, err := newSDK(t, meter.Rules{}, reader).Meter("m").Float64Histogram("d", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	// Each is slower than all before: those that are pushed from the first place have to compete as the others do.
	for i := range 10_000 {
		h.Record(sampled(i), float64(i))
	}
	exemplars := histogramExemplars(t, collect(t, reader)["d"].Data)
	if got := exemplars[3].Value; got != 9999 {
		t.Errorf("got %v as the last exemplar, want 9999", got)
	}
	if others := exemplars[:3]; min(others[0].Value, others[1].Value, others[2].Value) > 9990 {
		t.Errorf("got only the latest, %v, want a random choice", others)
	}
}

func TestCountersKeepTheLatestOfTheLargest(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	c, err := newSDK(t, meter.Rules{}, reader).Meter("m").Int64Counter("c")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		c.Add(sampled(i), 1)
	}
	exemplars := collect(t, reader)["c"].Data.(metricdata.Sum[int64]).DataPoints[0].Exemplars
	if len(exemplars) != 1 || exemplars[0].TraceID[3] != 99 {
		t.Errorf("got %v, want the last one", exemplars)
	}
}

// Not parallel: it measures the heap.
func TestMemoryOfADurationSeriesWithExemplars(t *testing.T) {
	const values = 20
	never := func(int) context.Context { return context.Background() }
	tests := map[string]struct {
		reader           func() sdkmetric.Reader
		limit, exemplars uint64 // bytes; the exemplars' are part of the limit
	}{
		"explicit buckets":    {func() sdkmetric.Reader { return sdkmetric.NewManualReader() }, 2048, 512},
		"exponential buckets": {exponentialReader, 4096, 512}, // the SDK's buckets alone take more than 2 KiB
	}
	for name, tt := range tests {
		ours := heapPerSeries(t, meter.Views(meter.Rules{}), tt.reader, values, sampled)
		without := heapPerSeries(t, meter.Views(meter.Rules{}), tt.reader, values, never)
		stock := heapPerSeries(t, nil, tt.reader, values, sampled)
		t.Logf("%s: %d B, %d B as long as no trace is sampled; with the SDK's reservoir: %d B", name, ours, without, stock)
		if ours > tt.limit {
			t.Errorf("%s: got %d B for one series, want at most %d B", name, ours, tt.limit)
		}
		if ours > without+tt.exemplars {
			t.Errorf("%s: got %d B for the exemplars of one series, want at most %d B", name, ours-without, tt.exemplars)
		}
		if ours >= stock {
			t.Errorf("%s: got %d B for one series, want less than the SDK's %d B", name, ours, stock)
		}
	}
}

// heapPerSeries returns the bytes that a series takes in one reader after values were recorded from 1 ms to 1 s.
func heapPerSeries(t *testing.T, views []sdkmetric.View, reader func() sdkmetric.Reader, values int,
	span func(int) context.Context,
) uint64 {
	t.Helper()
	const series, readers = 1900, 2 // below the SDK's limit of series
	opts := []sdkmetric.Option{sdkmetric.WithView(views...)}
	for range readers {
		opts = append(opts, sdkmetric.WithReader(reader()))
	}
	provider := meter.NewProvider()
	provider.Set(sdkmetric.NewMeterProvider(opts...), meter.Rules{})
	h, err := provider.Meter("m").Float64Histogram("d", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	attrs := make([]metric.RecordOption, series)
	for i := range attrs {
		attrs[i] = metric.WithAttributeSet(attribute.NewSet(attribute.Int("series", i)))
	}
	contexts := make([]context.Context, values)
	for i := range contexts {
		contexts[i] = span(i)
	}
	before := heap()
	for _, a := range attrs {
		for i, ctx := range contexts {
			h.Record(ctx, 0.001*float64(int(1)<<(i/2)), a)
		}
	}
	after := heap()
	runtime.KeepAlive(provider)
	runtime.KeepAlive(attrs)
	return (after - before) / series / readers
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
