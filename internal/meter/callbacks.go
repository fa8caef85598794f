package meter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
)

// RegisterCallback has callback called at each collection for the instruments, which may belong to any meter of the same
// Provider. When several scopes own them it is called once for each of these scopes, and records each value once. Its
// errors are logged, the first time, and not passed on: one error makes the SDK's periodic reader skip an export.
func (m *scopedMeter) RegisterCallback(callback metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	if callback == nil {
		return noop.Registration{}, errors.New("registering a metric callback: it is nil")
	}
	observables := make([]observable, 0, len(instruments))
	for _, i := range instruments {
		o, ok := i.(observable)
		if !ok || o.provider() != m.provider {
			return noop.Registration{}, fmt.Errorf("registering a metric callback: %T is not an instrument of this provider", i)
		}
		observables = append(observables, o)
	}
	return m.register(callback, observables...)
}

func (m *scopedMeter) register(callback metric.Callback, observables ...observable) (*registration, error) {
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	r := &registration{meter: m, callback: callback, observables: observables}
	m.provider.registrations[r] = struct{}{}
	return r, r.bind()
}

func (m *scopedMeter) warnOfIgnoredCallback(o observable) {
	m.provider.mu.Lock()
	logger := m.provider.rules.Logger
	m.provider.mu.Unlock()
	logger.Warn("metric callback is ignored, since this scope made the instrument before; use RegisterCallback",
		"scope", m.scope.Name, "instrument", o.name())
}

// registration is a callback that outlives a Set.
type registration struct {
	embedded.Registration

	meter       *scopedMeter
	callback    metric.Callback
	observables []observable
	groups      []*group // those of the current provider; guarded by the Provider's lock
}

// Unregister ends the calls. It may be called at any time and more than once.
func (r *registration) Unregister() error {
	p := r.meter.provider
	p.mu.Lock()
	delete(p.registrations, r)
	groups := r.detach()
	p.mu.Unlock()

	// Without the lock, because the SDK waits here for a running collection.
	var errs []error
	for _, g := range groups {
		errs = append(errs, g.registered.Unregister())
	}
	return errors.Join(errs...)
}

// bind registers the callback with the current provider: once for each inner meter that owns some of the instruments,
// since the SDK refuses instruments of another meter. The caller holds the lock.
func (r *registration) bind() error {
	r.detach()
	callback := r.guard(r.meter.provider.rules.Logger)
	var errs []error
	for _, g := range r.group() {
		registered, err := g.owner.inner.RegisterCallback(g.limit(callback), g.observables...)
		if err != nil {
			errs = append(errs, err)
		}
		if registered != nil {
			g.registered = registered
			r.groups = append(r.groups, g)
		}
	}
	return errors.Join(errs...)
}

// detach silences the callback in the provider it was last bound to. It does not unregister it there, which would wait
// for a collection that may itself be stuck in a callback.
func (r *registration) detach() []*group {
	groups := r.groups
	r.groups = nil
	for _, g := range groups {
		g.silent.Store(true)
	}
	return groups
}

// guard returns the callback as it is to be run. Every callback of a Provider runs through here.
func (r *registration) guard(logger *slog.Logger) metric.Callback {
	var first sync.Once
	return func(ctx context.Context, observer metric.Observer) error {
		if err := r.callback(ctx, observer); err != nil {
			first.Do(func() {
				logger.WarnContext(ctx, "metric callback failed; what it observed before is kept, further errors are not logged",
					"scope", r.meter.scope.Name, "instruments", r.names(), "error", err)
			})
		}
		return nil
	}
}

func (r *registration) names() []string {
	var names []string
	for _, o := range r.observables {
		names = append(names, o.name())
	}
	return names
}

// group sorts the instruments by the meter that owns them.
func (r *registration) group() []*group {
	var groups []*group
	for _, o := range r.observables {
		owner, inner := o.current()
		i := slices.IndexFunc(groups, func(g *group) bool { return g.owner == owner })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &group{owner: owner, all: r.observables, inner: map[observable]metric.Observable{}})
		}
		groups[i].inner[o] = inner
		groups[i].observables = append(groups[i].observables, inner)
	}
	return groups
}

// group is the part of a registration that one inner meter takes.
type group struct {
	owner       *scopedMeter
	observables []metric.Observable
	inner       map[observable]metric.Observable
	all         []observable // of the registration
	silent      atomic.Bool
	registered  metric.Registration
}

// limit lets callback observe only the instruments of the group.
func (g *group) limit(callback metric.Callback) metric.Callback {
	return func(ctx context.Context, next metric.Observer) error {
		if g.silent.Load() {
			return nil
		}
		return callback(ctx, observer{next: next, group: g})
	}
}

// observer passes on observations of the group's instruments. All observed values come through here.
type observer struct {
	embedded.Observer
	next  metric.Observer
	group *group
}

// ObserveInt64 records a value.
func (o observer) ObserveInt64(instrument metric.Int64Observable, value int64, opts ...metric.ObserveOption) {
	if inner, ok := o.group.find(instrument).(metric.Int64Observable); ok {
		o.next.ObserveInt64(inner, value, opts...)
	}
}

// ObserveFloat64 records a value.
func (o observer) ObserveFloat64(instrument metric.Float64Observable, value float64, opts ...metric.ObserveOption) {
	if inner, ok := o.group.find(instrument).(metric.Float64Observable); ok {
		o.next.ObserveFloat64(inner, value, opts...)
	}
}

// find returns the SDK's instrument, or nil when another group of the registration takes it. An instrument that the
// callback was not registered for is returned as it is: the SDK refuses and reports it.
func (g *group) find(instrument metric.Observable) metric.Observable {
	o, ok := instrument.(observable)
	if !ok || !slices.Contains(g.all, o) {
		return instrument
	}
	return g.inner[o]
}
