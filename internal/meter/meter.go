package meter

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// scopedMeter is the meter of one instrumentation scope. Each of its methods does the same: identify the instrument, and
// obtain it with a function that makes it again for every generation.
type scopedMeter struct {
	embedded.Meter

	provider    *Provider
	scope       instrumentation.Scope
	opts        []metric.MeterOption
	instruments sync.Map // identity -> the instrument's wrapper
}

// Int64Counter returns the instrument called name.
func (m *scopedMeter) Int64Counter(name string, opts ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	id := identify[int64](name, metric.NewInt64CounterConfig(opts...).Unit(), sdkmetric.InstrumentKindCounter)
	opts = slices.Clone(opts)
	return obtain(m, id, newAdder[int64](), func(next metric.Meter, _ Rules) (addTarget[int64], error) {
		return next.Int64Counter(name, opts...)
	})
}

// Int64UpDownCounter returns the instrument called name.
func (m *scopedMeter) Int64UpDownCounter(name string, opts ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	id := identify[int64](name, metric.NewInt64UpDownCounterConfig(opts...).Unit(), sdkmetric.InstrumentKindUpDownCounter)
	opts = slices.Clone(opts)
	return obtain(m, id, newAdder[int64](), func(next metric.Meter, _ Rules) (addTarget[int64], error) {
		return next.Int64UpDownCounter(name, opts...)
	})
}

// Int64Gauge returns the instrument called name.
func (m *scopedMeter) Int64Gauge(name string, opts ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	id := identify[int64](name, metric.NewInt64GaugeConfig(opts...).Unit(), sdkmetric.InstrumentKindGauge)
	opts = slices.Clone(opts)
	return obtain(m, id, newRecorder[int64](), func(next metric.Meter, _ Rules) (recordTarget[int64], error) {
		return next.Int64Gauge(name, opts...)
	})
}

// Int64Histogram returns the instrument called name, with the boundaries that [Boundaries] chooses.
func (m *scopedMeter) Int64Histogram(name string, opts ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	config := metric.NewInt64HistogramConfig(opts...)
	id := identify[int64](name, config.Unit(), sdkmetric.InstrumentKindHistogram)
	opts = slices.Clone(opts)
	return obtain(m, id, newRecorder[int64](), func(next metric.Meter, rules Rules) (recordTarget[int64], error) {
		if b := Boundaries(name, config.Unit(), config.ExplicitBucketBoundaries(), rules); b != nil {
			// Last, so that it goes before what the instrument advises.
			return next.Int64Histogram(name, append(slices.Clip(opts), metric.WithExplicitBucketBoundaries(b...))...)
		}
		return next.Int64Histogram(name, opts...)
	})
}

// Float64Counter returns the instrument called name.
func (m *scopedMeter) Float64Counter(name string, opts ...metric.Float64CounterOption) (metric.Float64Counter, error) {
	id := identify[float64](name, metric.NewFloat64CounterConfig(opts...).Unit(), sdkmetric.InstrumentKindCounter)
	opts = slices.Clone(opts)
	return obtain(m, id, newAdder[float64](), func(next metric.Meter, _ Rules) (addTarget[float64], error) {
		return next.Float64Counter(name, opts...)
	})
}

// Float64UpDownCounter returns the instrument called name.
func (m *scopedMeter) Float64UpDownCounter(name string, opts ...metric.Float64UpDownCounterOption) (metric.Float64UpDownCounter, error) {
	id := identify[float64](name, metric.NewFloat64UpDownCounterConfig(opts...).Unit(), sdkmetric.InstrumentKindUpDownCounter)
	opts = slices.Clone(opts)
	return obtain(m, id, newAdder[float64](), func(next metric.Meter, _ Rules) (addTarget[float64], error) {
		return next.Float64UpDownCounter(name, opts...)
	})
}

// Float64Gauge returns the instrument called name.
func (m *scopedMeter) Float64Gauge(name string, opts ...metric.Float64GaugeOption) (metric.Float64Gauge, error) {
	id := identify[float64](name, metric.NewFloat64GaugeConfig(opts...).Unit(), sdkmetric.InstrumentKindGauge)
	opts = slices.Clone(opts)
	return obtain(m, id, newRecorder[float64](), func(next metric.Meter, _ Rules) (recordTarget[float64], error) {
		return next.Float64Gauge(name, opts...)
	})
}

// Float64Histogram returns the instrument called name, with the boundaries that [Boundaries] chooses.
func (m *scopedMeter) Float64Histogram(name string, opts ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	config := metric.NewFloat64HistogramConfig(opts...)
	id := identify[float64](name, config.Unit(), sdkmetric.InstrumentKindHistogram)
	opts = slices.Clone(opts)
	return obtain(m, id, newRecorder[float64](), func(next metric.Meter, rules Rules) (recordTarget[float64], error) {
		if b := Boundaries(name, config.Unit(), config.ExplicitBucketBoundaries(), rules); b != nil {
			// Last, so that it goes before what the instrument advises.
			return next.Float64Histogram(name, append(slices.Clip(opts), metric.WithExplicitBucketBoundaries(b...))...)
		}
		return next.Float64Histogram(name, opts...)
	})
}
