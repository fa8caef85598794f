package meter

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// observable is an observable instrument of ours.
type observable interface {
	metric.Observable
	// current returns the SDK's instrument, and the meter that accepts callbacks for it.
	current() (owner *scopedMeter, inner metric.Observable)
	// name is for messages.
	name() string
	provider() *Provider
}

// int64Observable is every observable instrument of int64 values.
type int64Observable struct {
	metric.Int64Observable
	embedded.Int64ObservableCounter
	embedded.Int64ObservableUpDownCounter
	embedded.Int64ObservableGauge
	instrument[metric.Int64Observable]
}

func (o *int64Observable) current() (*scopedMeter, metric.Observable) {
	t := o.target.Load()
	return t.owner, t.inner
}

func (o *int64Observable) name() string        { return o.id.name }
func (o *int64Observable) provider() *Provider { return o.meter.provider }

// int64Observable returns the instrument called id. The callbacks are left out of the options it is made with and
// registered separately, so that they can be moved to the next provider. As in the SDK, only those of the first request
// for an instrument in a scope count.
func (m *scopedMeter) int64Observable(id identity, callbacks []metric.Int64Callback,
	create func(metric.Meter) (metric.Int64Observable, error),
) (*int64Observable, error) {
	fresh := &int64Observable{}
	o, err := obtain(m, id, fresh, create)
	if o != fresh {
		if len(callbacks) > 0 {
			m.warnOfIgnoredCallback(o)
		}
		return o, err
	}
	for _, callback := range callbacks {
		_, registerErr := m.register(func(ctx context.Context, observer metric.Observer) error {
			return callback(ctx, int64Observer{observer: observer, observable: o})
		}, o)
		err = errors.Join(err, registerErr)
	}
	return o, err
}

// int64Observer is what a callback given to the instrument's constructor records with.
type int64Observer struct {
	embedded.Int64Observer
	observer   metric.Observer
	observable metric.Int64Observable
}

// Observe records a value.
func (o int64Observer) Observe(value int64, opts ...metric.ObserveOption) {
	o.observer.ObserveInt64(o.observable, value, opts...)
}

// Int64ObservableCounter returns the instrument called name.
func (m *scopedMeter) Int64ObservableCounter(name string, opts ...metric.Int64ObservableCounterOption,
) (metric.Int64ObservableCounter, error) {
	config := metric.NewInt64ObservableCounterConfig(opts...)
	opts = slices.DeleteFunc(slices.Clone(opts), func(o metric.Int64ObservableCounterOption) bool {
		return metric.NewInt64ObservableCounterConfig(o).Callbacks() != nil
	})
	id := identify[int64](name, config.Unit(), sdkmetric.InstrumentKindObservableCounter)
	return m.int64Observable(id, config.Callbacks(), func(next metric.Meter) (metric.Int64Observable, error) {
		return next.Int64ObservableCounter(name, opts...)
	})
}

// Int64ObservableUpDownCounter returns the instrument called name.
func (m *scopedMeter) Int64ObservableUpDownCounter(name string, opts ...metric.Int64ObservableUpDownCounterOption,
) (metric.Int64ObservableUpDownCounter, error) {
	config := metric.NewInt64ObservableUpDownCounterConfig(opts...)
	opts = slices.DeleteFunc(slices.Clone(opts), func(o metric.Int64ObservableUpDownCounterOption) bool {
		return metric.NewInt64ObservableUpDownCounterConfig(o).Callbacks() != nil
	})
	id := identify[int64](name, config.Unit(), sdkmetric.InstrumentKindObservableUpDownCounter)
	return m.int64Observable(id, config.Callbacks(), func(next metric.Meter) (metric.Int64Observable, error) {
		return next.Int64ObservableUpDownCounter(name, opts...)
	})
}

// Int64ObservableGauge returns the instrument called name.
func (m *scopedMeter) Int64ObservableGauge(name string, opts ...metric.Int64ObservableGaugeOption,
) (metric.Int64ObservableGauge, error) {
	config := metric.NewInt64ObservableGaugeConfig(opts...)
	opts = slices.DeleteFunc(slices.Clone(opts), func(o metric.Int64ObservableGaugeOption) bool {
		return metric.NewInt64ObservableGaugeConfig(o).Callbacks() != nil
	})
	id := identify[int64](name, config.Unit(), sdkmetric.InstrumentKindObservableGauge)
	return m.int64Observable(id, config.Callbacks(), func(next metric.Meter) (metric.Int64Observable, error) {
		return next.Int64ObservableGauge(name, opts...)
	})
}

// float64Observable is every observable instrument of float64 values.
type float64Observable struct {
	metric.Float64Observable
	embedded.Float64ObservableCounter
	embedded.Float64ObservableUpDownCounter
	embedded.Float64ObservableGauge
	instrument[metric.Float64Observable]
}

func (o *float64Observable) current() (*scopedMeter, metric.Observable) {
	t := o.target.Load()
	return t.owner, t.inner
}

func (o *float64Observable) name() string        { return o.id.name }
func (o *float64Observable) provider() *Provider { return o.meter.provider }

// float64Observable returns the instrument called id. The callbacks are left out of the options it is made with and
// registered separately, so that they can be moved to the next provider. As in the SDK, only those of the first request
// for an instrument in a scope count.
func (m *scopedMeter) float64Observable(id identity, callbacks []metric.Float64Callback,
	create func(metric.Meter) (metric.Float64Observable, error),
) (*float64Observable, error) {
	fresh := &float64Observable{}
	o, err := obtain(m, id, fresh, create)
	if o != fresh {
		if len(callbacks) > 0 {
			m.warnOfIgnoredCallback(o)
		}
		return o, err
	}
	for _, callback := range callbacks {
		_, registerErr := m.register(func(ctx context.Context, observer metric.Observer) error {
			return callback(ctx, float64Observer{observer: observer, observable: o})
		}, o)
		err = errors.Join(err, registerErr)
	}
	return o, err
}

// float64Observer is what a callback given to the instrument's constructor records with.
type float64Observer struct {
	embedded.Float64Observer
	observer   metric.Observer
	observable metric.Float64Observable
}

// Observe records a value.
func (o float64Observer) Observe(value float64, opts ...metric.ObserveOption) {
	o.observer.ObserveFloat64(o.observable, value, opts...)
}

// Float64ObservableCounter returns the instrument called name.
func (m *scopedMeter) Float64ObservableCounter(name string, opts ...metric.Float64ObservableCounterOption,
) (metric.Float64ObservableCounter, error) {
	config := metric.NewFloat64ObservableCounterConfig(opts...)
	opts = slices.DeleteFunc(slices.Clone(opts), func(o metric.Float64ObservableCounterOption) bool {
		return metric.NewFloat64ObservableCounterConfig(o).Callbacks() != nil
	})
	id := identify[float64](name, config.Unit(), sdkmetric.InstrumentKindObservableCounter)
	return m.float64Observable(id, config.Callbacks(), func(next metric.Meter) (metric.Float64Observable, error) {
		return next.Float64ObservableCounter(name, opts...)
	})
}

// Float64ObservableUpDownCounter returns the instrument called name.
func (m *scopedMeter) Float64ObservableUpDownCounter(name string, opts ...metric.Float64ObservableUpDownCounterOption,
) (metric.Float64ObservableUpDownCounter, error) {
	config := metric.NewFloat64ObservableUpDownCounterConfig(opts...)
	opts = slices.DeleteFunc(slices.Clone(opts), func(o metric.Float64ObservableUpDownCounterOption) bool {
		return metric.NewFloat64ObservableUpDownCounterConfig(o).Callbacks() != nil
	})
	id := identify[float64](name, config.Unit(), sdkmetric.InstrumentKindObservableUpDownCounter)
	return m.float64Observable(id, config.Callbacks(), func(next metric.Meter) (metric.Float64Observable, error) {
		return next.Float64ObservableUpDownCounter(name, opts...)
	})
}

// Float64ObservableGauge returns the instrument called name.
func (m *scopedMeter) Float64ObservableGauge(name string, opts ...metric.Float64ObservableGaugeOption,
) (metric.Float64ObservableGauge, error) {
	config := metric.NewFloat64ObservableGaugeConfig(opts...)
	opts = slices.DeleteFunc(slices.Clone(opts), func(o metric.Float64ObservableGaugeOption) bool {
		return metric.NewFloat64ObservableGaugeConfig(o).Callbacks() != nil
	})
	id := identify[float64](name, config.Unit(), sdkmetric.InstrumentKindObservableGauge)
	return m.float64Observable(id, config.Callbacks(), func(next metric.Meter) (metric.Float64Observable, error) {
		return next.Float64ObservableGauge(name, opts...)
	})
}
