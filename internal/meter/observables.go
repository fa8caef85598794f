package meter

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

const ignoredCallback = "metric callback is ignored, since this scope made the instrument before; use RegisterCallback"

// observable is an observable instrument of ours.
type observable interface {
	metric.Observable
	observed(gen *generation) *observed
	// leftOut reports that it is never observed.
	leftOut() bool
	refuse(ctx context.Context, value float64)
	identity() *identity
	// name is for messages.
	name() string
	scope() *scopedMeter
}

// observed is what stands behind an observable in one generation.
type observed struct {
	owner *scopedMeter // whose inner meter accepts callbacks for it
	inner metric.Observable
	// source points to the scope whose observations count, once there is one. It is nil where all count.
	source  *atomic.Pointer[scopedMeter]
	dropped sync.Once // logs that they do not
}

func newObserved[T metric.Observable](id identity, t *target[T]) *observed {
	o := &observed{owner: t.owner, inner: t.inner}
	if id.kind != sdkmetric.InstrumentKindObservableGauge {
		o.source = &t.source
	}
	return o
}

// takes reports whether observations of a scope count.
func (o *observed) takes(from *scopedMeter) bool {
	return o.source == nil || o.source.Load() == from || o.source.CompareAndSwap(nil, from)
}

// release lets another scope's observations count.
func (o *observed) release(from *scopedMeter) {
	if o.source != nil {
		o.source.CompareAndSwap(from, nil)
	}
}

// int64Observable is every observable instrument of int64 values.
type int64Observable struct {
	metric.Int64Observable
	embedded.Int64ObservableCounter
	embedded.Int64ObservableUpDownCounter
	embedded.Int64ObservableGauge
	instrument[metric.Int64Observable]
}

func (o *int64Observable) observed(gen *generation) *observed { return newObserved(o.id, o.in(gen)) }

// int64Observable returns the instrument called id. The callbacks are left out of the options it is made with and
// registered separately, so that they can be moved to the next provider. As in the SDK, only those of the first request
// for an instrument in a scope count.
func (m *scopedMeter) int64Observable(id identity, callbacks []metric.Int64Callback,
	create func(metric.Meter, Rules) (metric.Int64Observable, error),
) (*int64Observable, error) {
	fresh := &int64Observable{}
	o, err := obtain(m, id, fresh, create)
	if o != fresh {
		if len(callbacks) > 0 {
			m.provider.generation().warn(ignoredCallback, "scope", m.scope.Name, "instrument", id.name)
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
	return m.int64Observable(id, config.Callbacks(), func(next metric.Meter, _ Rules) (metric.Int64Observable, error) {
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
	return m.int64Observable(id, config.Callbacks(), func(next metric.Meter, _ Rules) (metric.Int64Observable, error) {
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
	return m.int64Observable(id, config.Callbacks(), func(next metric.Meter, _ Rules) (metric.Int64Observable, error) {
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

func (o *float64Observable) observed(gen *generation) *observed { return newObserved(o.id, o.in(gen)) }

// float64Observable returns the instrument called id. The callbacks are left out of the options it is made with and
// registered separately, so that they can be moved to the next provider. As in the SDK, only those of the first request
// for an instrument in a scope count.
func (m *scopedMeter) float64Observable(id identity, callbacks []metric.Float64Callback,
	create func(metric.Meter, Rules) (metric.Float64Observable, error),
) (*float64Observable, error) {
	fresh := &float64Observable{}
	o, err := obtain(m, id, fresh, create)
	if o != fresh {
		if len(callbacks) > 0 {
			m.provider.generation().warn(ignoredCallback, "scope", m.scope.Name, "instrument", id.name)
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
	return m.float64Observable(id, config.Callbacks(), func(next metric.Meter, _ Rules) (metric.Float64Observable, error) {
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
	return m.float64Observable(id, config.Callbacks(), func(next metric.Meter, _ Rules) (metric.Float64Observable, error) {
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
	return m.float64Observable(id, config.Callbacks(), func(next metric.Meter, _ Rules) (metric.Float64Observable, error) {
		return next.Float64ObservableGauge(name, opts...)
	})
}
