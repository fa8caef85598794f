package meter

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// maxWarnings bounds the lines of one kind that a generation logs, since code may make instruments without bound.
const maxWarnings = 20

// generation is what one Set brings: the provider behind everything and what is known of its instruments. Whoever calls the
// provider may have to wait there for a collection, and so for a callback that hangs. No lock is held during such calls,
// of the generation or of the Provider, so that a generation that is stuck can be left for the next.
type generation struct {
	number uint64 // counts the Sets
	next   metric.MeterProvider
	rules  Rules
	live   atomic.Bool // callbacks are called

	refused, failures *tally    // what the generation has to tell about itself
	twins             sync.Once // logs that instruments are left out

	mu     sync.Mutex
	shared map[identity]any      // *target of each instrument
	names  map[string]definition // the first instrument of each name
	warned map[string]int        // lines of each kind
}

type definition struct {
	id    identity
	scope string
}

func newGeneration(next metric.MeterProvider, rules Rules) *generation {
	if next == nil {
		next = noop.NewMeterProvider()
	}
	if rules.Logger == nil {
		rules.Logger = slog.New(slog.DiscardHandler)
	}
	return &generation{
		next: next, rules: rules,
		refused: newTally(next, telemetry.RefusedValues, "{value}",
			"Values that an instrument refused: not a number, infinite, or negative for a counter that only grows.", telemetry.MetricName),
		failures: newTally(next, telemetry.CallbackFailures, "{failure}",
			"Calls of metric callbacks that panicked, returned an error, or did not return in time, and calls skipped meanwhile.", telemetry.MetricScope),
		shared: map[identity]any{}, names: map[string]definition{}, warned: map[string]int{},
	}
}

func (gen *generation) reserved(m *scopedMeter) bool {
	return slices.Contains(gen.rules.ReservedScopes, m.scope.Name)
}

// meter returns the provider's meter, of which there is one for each scope.
func (gen *generation) meter(m *scopedMeter) metric.Meter {
	if gen.reserved(m) {
		return noop.Meter{}
	}
	return gen.next.Meter(m.scope.Name, m.opts...)
}

// share returns the target that the first scope to ask for the instrument gave, which is fresh when m is the first.
func (gen *generation) share(id identity, m *scopedMeter, fresh any) any {
	gen.mu.Lock()
	first, shared := gen.shared[id]
	if !shared {
		first = fresh
		gen.shared[id] = fresh
	}
	same, conflict := gen.names[id.name]
	if !conflict {
		gen.names[id.name] = definition{id: id, scope: m.scope.Name}
	}
	gen.mu.Unlock()
	if conflict && !shared {
		gen.warn("metric instrument exists with another kind, unit or number type; Prometheus may leave one out",
			"instrument", id.name, "first", describe(same.id), "first_scope", same.scope,
			"second", describe(id), "second_scope", m.scope.Name)
	}
	return first
}

func describe(id identity) string {
	return id.number + " " + id.kind.String() + " in " + strconv.Quote(id.unit)
}

// warn logs at most maxWarnings lines with the message. The handler is the user's and may make instruments, so no lock is
// held.
func (gen *generation) warn(message string, args ...any) {
	gen.mu.Lock()
	gen.warned[message]++
	n := gen.warned[message]
	gen.mu.Unlock()
	if n == maxWarnings {
		args = append(args, "further", "not logged")
	}
	if n <= maxWarnings {
		gen.rules.Logger.Warn(message, args...)
	}
}

// warnLater is for callbacks, which run while the SDK holds a lock that the handler may need.
func (gen *generation) warnLater(message string, args ...any) {
	go func() {
		defer func() { _ = recover() }() // a handler that panics is not to end the process
		gen.warn(message, args...)
	}()
}
