package meter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
)

// RegisterCallback has callback called at each collection for the instruments, which may belong to any meter of the same
// Provider. When several scopes own them it is called once for each of these scopes, and records each value once. See
// [Provider] for instruments that several scopes observe.
//
// Its errors and panics are counted, the first after each Set is logged, and they are not passed on: one error makes the
// SDK's periodic reader skip an export. A callback that does not return within a second, when its context ends, is left
// alone and counted too. The collection goes on without it; what it observes from then on is discarded, and it is not
// called again, by any reader, before it has returned. What it observed until then is kept.
func (m *scopedMeter) RegisterCallback(callback metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	if callback == nil {
		return noop.Registration{}, errors.New("registering a metric callback: it is nil")
	}
	observables := make([]observable, 0, len(instruments))
	for _, i := range instruments {
		o, ok := i.(observable)
		if !ok || o.scope().provider != m.provider {
			return noop.Registration{}, fmt.Errorf("registering a metric callback: %T is not an instrument of this provider", i)
		}
		observables = append(observables, o)
	}
	return m.register(callback, observables...)
}

func (m *scopedMeter) register(callback metric.Callback, observables ...observable) (*registration, error) {
	r := &registration{meter: m, callback: callback, observables: observables}
	return r, r.bind(m.provider.addRegistration(r))
}

// registration is a callback that outlives a Set.
type registration struct {
	embedded.Registration

	meter       *scopedMeter
	callback    metric.Callback
	observables []observable
	hanging     atomic.Int32 // calls that were left alone and have not returned

	mu         sync.Mutex // guards what follows; no code of others is called while it is held
	ended      bool
	generation uint64   // the number of the last that it was bound to
	groups     []*group // those of that generation
}

// Unregister ends the calls. It may be called at any time and more than once. It waits for a running collection, so for
// each callback that hangs in it no longer than a second, and for none that was left alone. One that was may still run
// afterwards.
func (r *registration) Unregister() error {
	r.meter.provider.removeRegistration(r)
	r.mu.Lock()
	r.ended = true
	groups := r.groups
	r.groups = nil
	r.mu.Unlock()
	return unregister(groups)
}

// bind registers the callback with the generation's provider: once for each inner meter that owns some of the instruments,
// since the SDK refuses instruments of another meter. In the provider before it stays registered and is not called any
// more: to unregister it would wait for a collection that may itself be stuck in a callback.
func (r *registration) bind(gen *generation) error {
	groups := r.group(gen)
	callback := r.guard(gen)
	var errs []error
	for _, g := range groups {
		registered, err := gen.meter(g.owner).RegisterCallback(g.limit(callback), g.inner...)
		errs = append(errs, err)
		g.registered = registered
	}
	if !r.keep(gen, groups) {
		errs = append(errs, unregister(groups))
	}
	return errors.Join(errs...)
}

// keep notes what Unregister is to end. It reports false when that came before.
func (r *registration) keep(gen *generation, groups []*group) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	if gen.number > r.generation {
		r.generation, r.groups = gen.number, groups
	}
	return true
}

func (r *registration) called(gen *generation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.ended && gen.live.Load()
}

// guard returns the callback as it is to be run. Every callback of a Provider runs through here.
func (r *registration) guard(gen *generation) metric.Callback {
	var first sync.Once
	return func(ctx context.Context, observer metric.Observer) error {
		if !r.called(gen) {
			return nil
		}
		failed := r.attempt(ctx, observer)
		if failed == nil {
			return nil
		}
		gen.failures.add(ctx, r.meter.scope.Name, failed.errorType)
		first.Do(func() {
			gen.warnLater("metric callback failed; what it observed before is kept, its further errors are not logged",
				"scope", r.meter.scope.Name, "instruments", r.names(), "error", failed.err)
		})
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

// group sorts the instruments by the meter that owns them, without those that are left out.
func (r *registration) group(gen *generation) []*group {
	var groups []*group
	for _, o := range r.observables {
		behind := o.observed(gen)
		if o.leftOut() {
			continue
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.owner == behind.owner })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &group{generation: gen, owner: behind.owner, all: r.observables, behind: map[observable]*observed{}})
		}
		groups[i].behind[o] = behind
		groups[i].inner = append(groups[i].inner, behind.inner)
	}
	return groups
}

// group is the part of a registration that one inner meter takes.
type group struct {
	generation *generation
	owner      *scopedMeter
	inner      []metric.Observable
	behind     map[observable]*observed
	all        []observable // of the registration
	registered metric.Registration
}

// limit lets callback observe only the instruments of the group.
func (g *group) limit(callback metric.Callback) metric.Callback {
	return func(ctx context.Context, next metric.Observer) error {
		return callback(ctx, observer{next: next, group: g})
	}
}

// unregister ends the calls in the SDK, and then gives up the claim to be the scope whose observations count.
func unregister(groups []*group) error {
	var errs []error
	for _, g := range groups {
		if g.registered != nil {
			errs = append(errs, g.registered.Unregister())
		}
		for o, behind := range g.behind {
			behind.release(o.scope())
		}
	}
	return errors.Join(errs...)
}

// observer passes on observations of the group's instruments, except values that these refuse. All observed values come
// through here.
type observer struct {
	embedded.Observer
	next  metric.Observer
	group *group
}

// ObserveInt64 records a value.
func (o observer) ObserveInt64(instrument metric.Int64Observable, value int64, opts ...metric.ObserveOption) {
	if inner, ok := o.group.find(instrument).(metric.Int64Observable); ok && accepted(instrument, value) {
		o.next.ObserveInt64(inner, value, opts...)
	}
}

// ObserveFloat64 records a value.
func (o observer) ObserveFloat64(instrument metric.Float64Observable, value float64, opts ...metric.ObserveOption) {
	if inner, ok := o.group.find(instrument).(metric.Float64Observable); ok && accepted(instrument, value) {
		o.next.ObserveFloat64(inner, value, opts...)
	}
}

// accepted reports whether the instrument takes the value, and counts one that it refuses. Those of others are left to the
// SDK, which refuses all of theirs.
func accepted[N int64 | float64](instrument metric.Observable, value N) bool {
	o, ok := instrument.(observable)
	if !ok || accepts(o.identity(), value) {
		return true
	}
	o.refuse(context.Background(), float64(value))
	return false
}

// find returns the SDK's instrument, or nil when another group of the registration takes it or another scope's observations
// count. An instrument that the callback was not registered for is returned as it is: the SDK refuses and reports it.
func (g *group) find(instrument metric.Observable) metric.Observable {
	o, ok := instrument.(observable)
	if !ok || !slices.Contains(g.all, o) {
		return instrument
	}
	behind, ok := g.behind[o]
	if !ok {
		return nil
	}
	if !behind.takes(o.scope()) {
		behind.dropped.Do(func() {
			g.generation.warnLater("metric observations are dropped, since another scope observes the same instrument",
				"scope", o.scope().scope.Name, "instrument", o.name())
		})
		return nil
	}
	return behind.inner
}
