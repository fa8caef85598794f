package metrics_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// Whatever is collected, and whenever, there is a page.
func FuzzAdd(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, int64(2*time.Second), "GET /a")
	}
	f.Fuzz(func(t *testing.T, seed uint64, step int64, route string) {
		random := chaos{rand.New(rand.NewPCG(seed, 1))}
		store, now := metrics.New(), time.Unix(random.Int64N(1<<40), 0)
		for range 5 {
			store.Add(now, random.collection(), random.traced(route))
			now = now.Add(time.Duration(step))
		}
		v := store.View(now, metrics.Query{Since: step, Window: time.Duration(step), Route: "GET " + route})
		if _, err := json.Marshal(v); err != nil {
			t.Fatalf("there is no JSON: %v", err)
		}
		for _, row := range v.Routes {
			if row.Share < 0 || row.Share > 1 || row.Rate < 0 || row.Sampled < 0 || row.Sampled > 1 {
				t.Errorf("got the row %+v", row)
			}
		}
	})
}

// chaos makes data up.
type chaos struct{ *rand.Rand }

func (c chaos) traced(route string) map[metrics.Route]metrics.Traced {
	if c.IntN(3) == 0 {
		return nil
	}
	return map[metrics.Route]metrics.Traced{
		{Method: "GET", Route: route}: {Sampled: c.integer(), Rescued: c.integer(), InFlight: int(c.integer())},
	}
}

func (c chaos) collection() *metricdata.ResourceMetrics {
	rm := &metricdata.ResourceMetrics{}
	for range c.IntN(3) {
		var all []metricdata.Metrics
		for range c.IntN(10) {
			all = append(all, metricdata.Metrics{Name: c.name(), Unit: "\xff", Data: c.data()})
		}
		rm.ScopeMetrics = append(rm.ScopeMetrics, metricdata.ScopeMetrics{Metrics: all})
	}
	return rm
}

func (c chaos) name() string {
	names := []string{
		"", "go.\x00", telemetry.Goroutines, telemetry.ProcessCPUTime, telemetry.ServerDuration, telemetry.ServerDuration,
		telemetry.ServerStreamDuration, telemetry.ServerActiveRequests, telemetry.LLMAttempts, telemetry.GenAIOperationDuration,
		telemetry.LLMFirstToken, telemetry.LLMTokens, telemetry.LLMCost, telemetry.SpanStarted, telemetry.SpanQueued, telemetry.RefusedValues,
	}
	return names[c.IntN(len(names))]
}

func (c chaos) data() metricdata.Aggregation {
	switch c.IntN(8) {
	case 0:
		return nil
	case 1:
		return metricdata.Sum[int64]{DataPoints: []metricdata.DataPoint[int64]{{Attributes: c.attributes(), Value: c.integer()}}}
	case 2:
		return metricdata.Sum[float64]{IsMonotonic: true, DataPoints: []metricdata.DataPoint[float64]{{Attributes: c.attributes(), Value: c.float()}}}
	case 3:
		return metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{{Attributes: c.attributes(), Value: c.float()}}}
	case 4:
		return metricdata.ExponentialHistogram[float64]{DataPoints: []metricdata.ExponentialHistogramDataPoint[float64]{{
			Attributes: c.attributes(), StartTime: c.time(), Count: c.count(), Scale: int32(c.integer()), ZeroCount: c.count(),
			PositiveBucket: metricdata.ExponentialBucket{Offset: int32(c.integer()), Counts: c.counts()},
			NegativeBucket: metricdata.ExponentialBucket{Offset: int32(c.integer()), Counts: c.counts()},
		}}}
	default:
		return histogramOf(
			metricdata.HistogramDataPoint[float64]{Attributes: c.attributes(), StartTime: c.time(), Count: c.count(), Bounds: c.bounds(), BucketCounts: c.counts()},
			metricdata.HistogramDataPoint[float64]{Attributes: c.attributes(), StartTime: c.time(), Count: c.count(), Bounds: c.bounds(), BucketCounts: c.counts()})
	}
}

func (c chaos) attributes() attribute.Set {
	keys := []attribute.Key{
		telemetry.HTTPMethod, telemetry.HTTPRoute, telemetry.ErrorType, telemetry.HTTPStatusCode, telemetry.MetricOverflow,
		telemetry.GenAIRequestModel, telemetry.LLMAttempt, telemetry.LLMOutcome, telemetry.LLMCurrency, telemetry.SamplingResult,
	}
	values := []attribute.Value{
		attribute.StringValue("GET"), attribute.StringValue("/a"), attribute.StringValue("\xff\x00<script>"), attribute.StringValue(""),
		attribute.Int64Value(c.integer()), attribute.Float64Value(c.float()), attribute.BoolValue(true),
		attribute.StringSliceValue([]string{"a", "b"}), attribute.StringValue(telemetry.AttemptFirst),
		{},
	}
	var all []attribute.KeyValue
	for range c.IntN(6) {
		all = append(all, attribute.KeyValue{Key: keys[c.IntN(len(keys))], Value: values[c.IntN(len(values))]})
	}
	return attribute.NewSet(all...)
}

func (c chaos) time() time.Time { return time.Unix(c.integer(), 0) }

func (c chaos) integer() int64 {
	return []int64{0, 1, -1, 7, 500, math.MaxInt64, math.MinInt64, math.MinInt32, c.Int64()}[c.IntN(9)]
}

func (c chaos) count() uint64 {
	return []uint64{0, 1, 7, 1000, math.MaxUint32, math.MaxUint64, c.Uint64()}[c.IntN(7)]
}

func (c chaos) float() float64 {
	return []float64{0, 1, -1, 0.5, math.MaxFloat64, -math.MaxFloat64, nan(), inf(), -inf(), c.Float64()}[c.IntN(10)]
}

func (c chaos) bounds() (bounds []float64) {
	for i := range c.IntN(60) {
		bounds = append(bounds, float64(i))
		if c.IntN(50) == 0 {
			bounds[i] = c.float()
		}
	}
	return bounds
}

func (c chaos) counts() (counts []uint64) {
	for range c.IntN(60) {
		counts = append(counts, c.count())
	}
	return counts
}
