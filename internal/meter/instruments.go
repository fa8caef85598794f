package meter

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
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

// target is the instrument that stands behind those of ours that share it, in one generation.
type target[T any] struct {
	generation uint64       // its number
	owner      *scopedMeter // whose inner meter makes it, and alone accepts callbacks for it
	source     atomic.Pointer[scopedMeter]
	make       func() // once; sets what follows
	inner      T
	err        error
}

// instrument is embedded by the types that users hold. T is the part of the API that they pass on.
type instrument[T any] struct {
	id     identity
	meter  *scopedMeter
	create func(metric.Meter, Rules) (T, error)
	// restrict is nil for observables, which no request uses.
	restrict func(next T, r restriction) T
	target   atomic.Pointer[target[T]] // set before a user gets the instrument
	warned   atomic.Uint64             // the number of the generation that was told of a refused value
}

func (i *instrument[T]) base() *instrument[T] { return i }
func (i *instrument[T]) identity() *identity  { return &i.id }
func (i *instrument[T]) name() string         { return i.id.name }
func (i *instrument[T]) scope() *scopedMeter  { return i.meter }
func (i *instrument[T]) leftOut() bool        { return leftOut(i.id, i.meter) }

func (i *instrument[T]) bind(gen *generation) error { return i.in(gen).err }

// in returns the target in the generation, which the first scope to ask for it makes, and points i at it. It waits while
// another goroutine makes it.
func (i *instrument[T]) in(gen *generation) *target[T] {
	t := &target[T]{generation: gen.number, owner: i.meter}
	t.make = sync.OnceFunc(func() { t.inner, t.err = i.create(gen.meter(i.meter), gen.rules) })
	switch {
	case i.leftOut():
		gen.warnLeftOut(i.id, i.meter)
		t.make = sync.OnceFunc(func() { t.inner, t.err = i.create(noop.Meter{}, gen.rules) })
	case !gen.reserved(i.meter):
		t = gen.share(i.id, i.meter, t).(*target[T]) //nolint:forcetypeassert // the identity determines the type
	}
	t.make()
	i.point(i.restricted(t))
	return t
}

// restricted returns t as i is to record into it. What has no restriction pays nothing for those of others.
func (i *instrument[T]) restricted(t *target[T]) *target[T] {
	r := restrictionOf(i.id.name, i.meter.scope.Name)
	if i.restrict == nil || r == (restriction{}) {
		return t
	}
	return &target[T]{generation: t.generation, owner: t.owner, inner: i.restrict(t.inner, r), err: t.err}
}

// point makes t the target, unless it comes late and a later generation's is there.
func (i *instrument[T]) point(t *target[T]) {
	for {
		old := i.target.Load()
		if old != nil && old.generation > t.generation || i.target.CompareAndSwap(old, t) {
			return
		}
	}
}

// obtain returns the meter's instrument called id. That is fresh, unless the meter has made it before. What has a target
// is returned without waiting, so that a callback may ask for it while others wait for the callback.
func obtain[T any, W interface {
	binder
	base() *instrument[T]
}](m *scopedMeter, id identity, fresh W, create func(metric.Meter, Rules) (T, error)) (W, error) {
	found, ok := m.instruments.Load(id)
	if !ok {
		i := fresh.base()
		i.id, i.meter, i.create = id, m, create
		found = m.provider.addInstrument(m, id, fresh)
	}
	w := found.(W) //nolint:forcetypeassert // the identity determines the type
	i := w.base()
	if i.target.Load() == nil {
		i.in(m.provider.generation())
	}
	return w, i.target.Load().err
}

func newAdder[N int64 | float64]() *adder[N] {
	a := &adder[N]{}
	a.restrict = func(next addTarget[N], r restriction) addTarget[N] { return restrictedAdder[N]{next, r} }
	return a
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

// Add passes the value on, unless it is refused. All values of all counters come through here.
func (a *adder[N]) Add(ctx context.Context, value N, opts ...metric.AddOption) {
	if !accepts(&a.id, value) {
		a.refuse(ctx, float64(value))
		return
	}
	a.target.Load().inner.Add(ctx, value, opts...)
}

// Enabled reports whether the current target records anything.
func (a *adder[N]) Enabled(ctx context.Context) bool { return a.target.Load().inner.Enabled(ctx) }

func newRecorder[N int64 | float64]() *recorder[N] {
	r := &recorder[N]{}
	r.restrict = func(next recordTarget[N], by restriction) recordTarget[N] { return restrictedRecorder[N]{next, by} }
	return r
}

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

// Record passes the value on, unless it is refused. All values of all histograms and gauges come through here.
func (r *recorder[N]) Record(ctx context.Context, value N, opts ...metric.RecordOption) {
	if !finite(value) {
		r.refuse(ctx, float64(value))
		return
	}
	r.target.Load().inner.Record(ctx, value, opts...)
}

// Enabled reports whether the current target records anything.
func (r *recorder[N]) Enabled(ctx context.Context) bool { return r.target.Load().inner.Enabled(ctx) }
