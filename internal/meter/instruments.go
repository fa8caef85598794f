package meter

import (
	"context"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// identity is what makes two requests ask for the same instrument. The description is left out: Prometheus could show
// only one of two.
type identity struct {
	name   string // in lower case
	unit   string
	kind   sdkmetric.InstrumentKind
	number string
}

func identify[N int64 | float64](name, unit string, kind sdkmetric.InstrumentKind) identity {
	number := "float64"
	if _, ok := any(N(0)).(int64); ok {
		number = "int64"
	}
	return identity{name: strings.ToLower(name), unit: unit, kind: kind, number: number}
}

// target is the instrument that stands behind one of ours until the next Set.
type target[T any] struct {
	inner T
	owner *scopedMeter // whose inner meter made it, and alone accepts callbacks for it
	err   error
}

// instrument is embedded by the types that users hold. T is the part of the API that they pass on.
type instrument[T any] struct {
	id     identity
	meter  *scopedMeter
	create func(metric.Meter) (T, error)
	target atomic.Pointer[target[T]]
}

func (i *instrument[T]) base() *instrument[T] { return i }

// bind points i at the instrument that the first scope to ask for it made since the last Set, or makes it. The caller
// holds the Provider's lock.
func (i *instrument[T]) bind() error {
	p := i.meter.provider
	if i.meter.reserved {
		t := i.make()
		i.target.Store(t)
		return t.err
	}
	if shared, ok := p.shared[i.id].(*target[T]); ok {
		i.target.Store(shared)
		return shared.err
	}
	t := i.make()
	p.shared[i.id] = t
	p.warnOfConflict(i.id, i.meter)
	i.target.Store(t)
	return t.err
}

func (i *instrument[T]) make() *target[T] {
	inner, err := i.create(i.meter.inner)
	return &target[T]{inner: inner, owner: i.meter, err: err}
}

// obtain returns the meter's instrument called id. That is fresh, unless the meter has made it before.
func obtain[T any, W interface {
	binder
	base() *instrument[T]
}](m *scopedMeter, id identity, fresh W, create func(metric.Meter) (T, error)) (W, error) {
	// Found without the lock, so that a callback may ask for what it already has while a Set waits for the callback.
	if found, ok := m.instruments.Load(id); ok {
		w := found.(W) //nolint:forcetypeassert // the identity determines the type
		return w, w.base().target.Load().err
	}
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	if found, ok := m.instruments.Load(id); ok {
		w := found.(W) //nolint:forcetypeassert // the identity determines the type
		return w, w.base().target.Load().err
	}
	i := fresh.base()
	i.id, i.meter, i.create = id, m, create
	err := fresh.bind()
	m.instruments.Store(id, fresh)
	m.provider.bound = append(m.provider.bound, fresh)
	return fresh, err
}

// adder is every counter and up-down counter.
type adder[N int64 | float64] struct {
	embedded.Int64Counter
	embedded.Int64UpDownCounter
	embedded.Float64Counter
	embedded.Float64UpDownCounter
	instrument[addTarget[N]]
}

type addTarget[N int64 | float64] interface {
	Add(ctx context.Context, value N, opts ...metric.AddOption)
	Enabled(ctx context.Context) bool
}

// Add passes the value on. All values of all counters come through here.
func (a *adder[N]) Add(ctx context.Context, value N, opts ...metric.AddOption) {
	a.target.Load().inner.Add(ctx, value, opts...)
}

// Enabled reports whether the current target records anything.
func (a *adder[N]) Enabled(ctx context.Context) bool { return a.target.Load().inner.Enabled(ctx) }

// recorder is every histogram and synchronous gauge.
type recorder[N int64 | float64] struct {
	embedded.Int64Histogram
	embedded.Int64Gauge
	embedded.Float64Histogram
	embedded.Float64Gauge
	instrument[recordTarget[N]]
}

type recordTarget[N int64 | float64] interface {
	Record(ctx context.Context, value N, opts ...metric.RecordOption)
	Enabled(ctx context.Context) bool
}

// Record passes the value on. All values of all histograms and gauges come through here.
func (r *recorder[N]) Record(ctx context.Context, value N, opts ...metric.RecordOption) {
	r.target.Load().inner.Record(ctx, value, opts...)
}

// Enabled reports whether the current target records anything.
func (r *recorder[N]) Enabled(ctx context.Context) bool { return r.target.Load().inner.Enabled(ctx) }
