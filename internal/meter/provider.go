package meter

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/sdk/instrumentation"
)

// Provider is a [metric.MeterProvider] that passes everything to the provider of the last [Provider.Set], and until the
// first to none. See the package documentation for what it changes on the way. It is safe for concurrent use.
//
// It keeps the meters and instruments it hands out for as long as it lives, to point them at the next provider, as the
// SDK keeps its own. Code that makes instruments under ever new names takes memory without bound; what varies belongs
// into attributes. Callbacks are kept until they are unregistered.
//
// When two scopes ask for an instrument of the same name, kind, unit and number type, both record into the one that the
// first asked for: its scope, description and boundaries hold for both. Names are compared without regard to case. When
// kind, unit or number type differ, both instruments are made and a warning is logged, since Prometheus may show one only.
//
// Observable counters and up-down counters that are shared take the observations of one scope alone, the first that
// observes, because the SDK would add up the others'. Those are dropped, and a warning is logged. Unregistering a
// callback of the first scope makes room for the next to observe. It is the scope of the instrument that counts, not that
// of the meter whose RegisterCallback was called. Shared observable gauges take all observations; of the same attributes
// the last one stays.
//
// Of otelhttp's instruments those called http.server.* take nothing, and are not enabled, inside a server request of the
// toolkit's middleware, and those called http.client.* inside such a client request, since the middleware counts it. Where
// otelhttp stands outside of the middleware, both count.
//
// Instruments called http.server.* take no server.address and server.port, which come from the client's Host header and
// would let anyone create series without bound. The middleware's own never have them and are not searched for them.
//
// Values that would spoil a sum for good are refused and counted in otelmon.metric.refused_values: NaN and infinities, by
// every instrument of float64, and negative values, by counters that only grow, observable or not. Histograms and gauges
// take negative values. Finite values whose sum is too large for a float64 are not found out. Failures of callbacks are
// counted in otelmon.metric.callback.failures. Both counts begin anew with every Set, as all sums of the SDK do, have at most
// 100 attribute sets and one for the rest, and no series before there is something to count.
//
// Instruments called otel.sdk.* of other scopes than the toolkit's record nothing, and a warning is logged, since the toolkit
// emits these metrics itself: with OTEL_GO_X_OBSERVABILITY the SDK would emit them as well.
type Provider struct {
	embedded.MeterProvider

	meters sync.Map // instrumentation.Scope -> *scopedMeter

	mu            sync.Mutex // guards what follows; no code of others is called while it is held
	current       *generation
	instruments   []binder        // every one ever made, in order
	registrations []*registration // in order, without those that were unregistered
}

// binder is an instrument or a registration, which is made again for each generation.
type binder interface{ bind(gen *generation) error }

// NewProvider returns a Provider whose instruments record nothing until [Provider.Set].
func NewProvider() *Provider {
	p := &Provider{current: &generation{}}
	p.Set(nil, Rules{})
	return p
}

// Set makes next, with rules, the provider behind every meter, instrument and callback obtained so far and from now on.
// nil means none: nothing is recorded until the next Set. It leaves it to the caller to shut the provider before down,
// whose callbacks are not called any more.
//
// It waits for nothing that the provider before does: neither for measurements and callbacks on their way there, nor for
// instruments being made, even when a callback hangs. Callbacks are called by next only once all have moved, so that none
// can hold Set up; a next that already hangs, such as one that was set before, does.
func (p *Provider) Set(next metric.MeterProvider, rules Rules) {
	gen := newGeneration(next, rules)
	p.mu.Lock()
	p.current.live.Store(false)
	gen.number = p.current.number + 1
	p.current = gen
	instruments, registrations := slices.Clone(p.instruments), slices.Clone(p.registrations)
	p.mu.Unlock()

	for _, i := range instruments {
		if err := i.bind(gen); err != nil {
			gen.warn("metric instrument has an error", "error", err)
		}
	}
	for _, r := range registrations {
		if err := r.bind(gen); err != nil {
			gen.warn("metric callback has an error", "scope", r.meter.scope.Name, "error", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	gen.live.Store(p.current == gen)
}

// Meter returns the meter of a scope: name, version, schema URL and attributes.
func (p *Provider) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	config := metric.NewMeterConfig(opts...)
	scope := instrumentation.Scope{
		Name:       name,
		Version:    config.InstrumentationVersion(),
		SchemaURL:  config.SchemaURL(),
		Attributes: config.InstrumentationAttributes(),
	}
	m, ok := p.meters.Load(scope)
	if !ok {
		m, _ = p.meters.LoadOrStore(scope, &scopedMeter{provider: p, scope: scope, opts: slices.Clone(opts)})
	}
	return m.(*scopedMeter) //nolint:forcetypeassert // the map holds nothing else
}

// generation returns that of the last Set.
func (p *Provider) generation() *generation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// addInstrument returns the meter's instrument called id, which is fresh when there was none. It then follows every
// later Set.
func (p *Provider) addInstrument(m *scopedMeter, id identity, fresh binder) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, loaded := m.instruments.LoadOrStore(id, fresh)
	if !loaded {
		p.instruments = append(p.instruments, fresh)
	}
	return found
}

// addRegistration makes r follow every later Set and returns the generation of the last one.
func (p *Provider) addRegistration(r *registration) *generation {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registrations = append(p.registrations, r)
	return p.current
}

func (p *Provider) removeRegistration(r *registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.registrations, r); i >= 0 {
		p.registrations = slices.Delete(p.registrations, i, i+1)
	}
}
