package metrics

import (
	"iter"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/text"
)

// readings are the metrics of one collection, by name. Several scopes may have
// metrics of one name.
type readings map[string][]metricdata.Metrics

func read(rm *metricdata.ResourceMetrics) readings {
	r := readings{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			r[m.Name] = append(r[m.Name], m)
		}
	}
	return r
}

// values yields the points of the sums and gauges of a name.
func (r readings) values(name string) iter.Seq2[*attribute.Set, float64] {
	return func(yield func(*attribute.Set, float64) bool) {
		for _, m := range r[name] {
			for attributes, value := range values(m.Data) {
				if !yield(attributes, value) {
					return
				}
			}
		}
	}
}

// histograms yields the points of the histograms of a name.
func (r readings) histograms(name string) iter.Seq2[*attribute.Set, histogram] {
	return func(yield func(*attribute.Set, histogram) bool) {
		for _, m := range r[name] {
			for attributes, h := range histograms(m.Data) {
				if !yield(attributes, h) {
					return
				}
			}
		}
	}
}

// sum adds up the points of the names. It reports false when there are none.
func (r readings) sum(names ...string) (sum float64, found bool) {
	for _, name := range names {
		for _, value := range r.values(name) {
			sum, found = sum+value, true
		}
	}
	return sum, found
}

// values yields the points of a sum or gauge that are finite.
func values(data metricdata.Aggregation) iter.Seq2[*attribute.Set, float64] {
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		return each(data.DataPoints)
	case metricdata.Sum[float64]:
		return each(data.DataPoints)
	case metricdata.Gauge[int64]:
		return each(data.DataPoints)
	case metricdata.Gauge[float64]:
		return each(data.DataPoints)
	default:
		return func(func(*attribute.Set, float64) bool) {}
	}
}

func each[N int64 | float64](points []metricdata.DataPoint[N]) iter.Seq2[*attribute.Set, float64] {
	return func(yield func(*attribute.Set, float64) bool) {
		for i := range points {
			value := float64(points[i].Value)
			if !math.IsNaN(value) && !math.IsInf(value, 0) && !yield(&points[i].Attributes, value) {
				return
			}
		}
	}
}

// histogram is a point of one.
type histogram struct {
	start       time.Time
	count       uint64
	bounds      []float64
	counts      []uint64 // of each bucket, one more than bounds
	exponential bool     // the bounds are made up, and others in each point
}

func histograms(data metricdata.Aggregation) iter.Seq2[*attribute.Set, histogram] {
	switch data := data.(type) {
	case metricdata.Histogram[int64]:
		return explicit(data.DataPoints)
	case metricdata.Histogram[float64]:
		return explicit(data.DataPoints)
	case metricdata.ExponentialHistogram[int64]:
		return exponential(data.DataPoints)
	case metricdata.ExponentialHistogram[float64]:
		return exponential(data.DataPoints)
	default:
		return func(func(*attribute.Set, histogram) bool) {}
	}
}

func explicit[N int64 | float64](points []metricdata.HistogramDataPoint[N]) iter.Seq2[*attribute.Set, histogram] {
	return func(yield func(*attribute.Set, histogram) bool) {
		for i := range points {
			p := &points[i]
			if !yield(&p.Attributes, histogram{start: p.StartTime, count: p.Count, bounds: p.Bounds, counts: p.BucketCounts}) {
				return
			}
		}
	}
}

// exponential yields the points with the bounds of their buckets spelled out. The
// first bucket has all values that are not positive.
func exponential[N int64 | float64](points []metricdata.ExponentialHistogramDataPoint[N]) iter.Seq2[*attribute.Set, histogram] {
	return func(yield func(*attribute.Set, histogram) bool) {
		for i := range points {
			p := &points[i]
			h := histogram{start: p.StartTime, count: p.Count, exponential: true}
			h.counts = append(h.counts, p.ZeroCount)
			for _, n := range p.NegativeBucket.Counts {
				h.counts[0] += n
			}
			h.counts = append(h.counts, p.PositiveBucket.Counts...)
			for j := range h.counts {
				exponent := float64(p.PositiveBucket.Offset) + float64(j)
				h.bounds = append(h.bounds, math.Exp2(math.Ldexp(exponent, -int(p.Scale))))
			}
			h.counts = append(h.counts, 0) // above the last bound
			if !yield(&p.Attributes, h) {
				return
			}
		}
	}
}

// isOverflow tells the series that stands for all beyond an instrument's limit.
func isOverflow(attributes *attribute.Set) bool {
	return attributes.Len() == 1 && attributes.HasValue(telemetry.MetricOverflow)
}

const maxText = 256 // bytes of a text that is kept

// textOf returns the value of an attribute as text, or "" when it is not there.
func textOf(attributes *attribute.Set, key attribute.Key) string {
	v, ok := attributes.Value(key)
	if !ok {
		return ""
	}
	return text.Cut(v.String(), maxText)
}
