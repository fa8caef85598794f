package main

import (
	"context"
	"fmt"
	"math"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// readings are what metrics say, by their names.
type readings map[string]metricdata.Aggregation

func collect(ctx context.Context, reader *sdkmetric.ManualReader) (readings, error) {
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		return nil, fmt.Errorf("collecting the metrics: %w", err)
	}
	r := readings{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			r[m.Name] = m.Data
		}
	}
	return r, nil
}

// sums adds up the points of a counter that have the attributes, by the value of
// one more.
func (r readings) sums(metric string, by attribute.Key, having ...attribute.KeyValue) map[string]float64 {
	sums := map[string]float64{}
	switch data := r[metric].(type) {
	case metricdata.Sum[int64]:
		addPoints(sums, data.DataPoints, by, having)
	case metricdata.Sum[float64]:
		addPoints(sums, data.DataPoints, by, having)
	}
	return sums
}

func addPoints[N int64 | float64](sums map[string]float64, points []metricdata.DataPoint[N], by attribute.Key, having []attribute.KeyValue) {
	for _, p := range points {
		if has(p.Attributes, having) {
			value, _ := p.Attributes.Value(by)
			sums[value.AsString()] += float64(p.Value)
		}
	}
}

// sum adds up all points that have the attributes.
func (r readings) sum(metric string, having ...attribute.KeyValue) (total float64) {
	for _, value := range r.sums(metric, "", having...) {
		total += value
	}
	return total
}

func has(attributes attribute.Set, having []attribute.KeyValue) bool {
	for _, want := range having {
		if got, ok := attributes.Value(want.Key); !ok || got != want.Value {
			return false
		}
	}
	return true
}

// quantile estimates one of the histogram's points that have the attributes.
func (r readings) quantile(q float64, metric string, having ...attribute.KeyValue) float64 {
	var boundaries []float64
	var counts []uint64
	data, _ := r[metric].(metricdata.Histogram[float64])
	for _, p := range data.DataPoints {
		if !has(p.Attributes, having) {
			continue
		}
		boundaries = p.Bounds // the same in all points
		if counts == nil {
			counts = make([]uint64, len(p.BucketCounts))
		}
		for i, n := range p.BucketCounts {
			counts[i] += n
		}
	}
	return interpolate(q, boundaries, counts)
}

// interpolate does what Prometheus' histogram_quantile does: it takes values to
// be spread evenly within a bucket, and those above the last boundary to be at
// it. Without values it returns NaN.
func interpolate(q float64, boundaries []float64, counts []uint64) float64 {
	var total, below float64
	for _, n := range counts {
		total += float64(n)
	}
	if total == 0 || len(boundaries) == 0 {
		return math.NaN()
	}
	rank, from := q*total, 0.0
	for i, to := range boundaries {
		in := float64(counts[i])
		if below+in >= rank && in > 0 {
			return from + (to-from)*(rank-below)/in
		}
		below, from = below+in, to
	}
	return from
}
