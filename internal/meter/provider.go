package meter

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/instrumentation"
)

// Provider is a [metric.MeterProvider] that passes everything to the provider of the last [Provider.Set], and until the
// first to none. See the package documentation for what it changes on the way. It is safe for concurrent use. It keeps
// the instruments it hands out for as long as it lives.
//
// When two scopes ask for an instrument of the same name, kind, unit and number type, both record into the one that the
// first asked for: its scope, description and boundaries hold for both. Names are compared without regard to case. When
// kind, unit or number type differ, both instruments are made and a warning is logged, since Prometheus will show one.
type Provider struct {
	embedded.MeterProvider

	meters sync.Map // instrumentation.Scope -> *scopedMeter

	mu            sync.Mutex // also guards the fields of scopedMeter and registration that a Set changes
	next          metric.MeterProvider
	rules         Rules
	bound         []binder                   // every instrument ever made, in order
	shared        map[identity]any           // since the last Set: *target of each instrument
	names         map[string]definition      // since the last Set: the first instrument of each name
	registrations map[*registration]struct{} // without those that were unregistered
}

// binder is an instrument that can be pointed at the provider of the last Set.
type binder interface{ bind() error }

type definition struct {
	id    identity
	scope string
}

// NewProvider returns a Provider whose instruments record nothing until [Provider.Set].
func NewProvider() *Provider {
	p := &Provider{registrations: map[*registration]struct{}{}}
	p.Set(nil, Rules{})
	return p
}

// Set makes next, with rules, the provider behind every meter, instrument and callback obtained so far and from now on.
// nil means none: nothing is recorded until the next Set. It does not wait for measurements or callbacks that are on
// their way to the provider before, and leaves it to the caller to shut that one down.
func (p *Provider) Set(next metric.MeterProvider, rules Rules) {
	if next == nil {
		next = noop.NewMeterProvider()
	}
	if rules.Logger == nil {
		rules.Logger = slog.New(slog.DiscardHandler)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.rules = next, rules
	p.shared, p.names = map[identity]any{}, map[string]definition{}
	for _, m := range p.meters.Range {
		m.(*scopedMeter).connect() //nolint:forcetypeassert // the map holds nothing else
	}
	for _, b := range p.bound {
		if err := b.bind(); err != nil {
			rules.Logger.Warn("metric instrument has an error", "error", err)
		}
	}
	for r := range p.registrations {
		if err := r.bind(); err != nil {
			rules.Logger.Warn("metric callback has an error", "scope", r.meter.scope.Name, "error", err)
		}
	}
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
	if m, ok := p.meters.Load(scope); ok {
		return m.(*scopedMeter) //nolint:forcetypeassert // the map holds nothing else
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, ok := p.meters.Load(scope); ok {
		return m.(*scopedMeter) //nolint:forcetypeassert // the map holds nothing else
	}
	m := &scopedMeter{provider: p, scope: scope, opts: slices.Clone(opts)}
	m.connect()
	p.meters.Store(scope, m)
	return m
}

// warnOfConflict logs that Prometheus will leave an instrument out. The caller holds the lock.
func (p *Provider) warnOfConflict(id identity, m *scopedMeter) {
	first, ok := p.names[id.name]
	if !ok {
		p.names[id.name] = definition{id: id, scope: m.scope.Name}
		return
	}
	p.rules.Logger.Warn("metric instrument exists with another kind, unit or number type; Prometheus will leave one out",
		"instrument", id.name, "first", describe(first.id), "first_scope", first.scope,
		"second", describe(id), "second_scope", m.scope.Name)
}

func describe(id identity) string {
	return id.number + " " + id.kind.String() + " in " + strconv.Quote(id.unit)
}
