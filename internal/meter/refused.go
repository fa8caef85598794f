package meter

import (
	"context"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// finite is cheaper than math.IsNaN and math.IsInf, and compiled to nothing for int64. Infinity minus itself is NaN, which
// is not equal to anything.
func finite[N int64 | float64](value N) bool {
	return value-value == 0 //nolint:gocritic // not the same for all values, see above
}

// accepts reports whether an instrument of the identity takes the value. Histograms and gauges take negative ones.
func accepts[N int64 | float64](id *identity, value N) bool {
	return finite(value) && (value >= 0 || !id.monotonic())
}

func (id *identity) monotonic() bool {
	return id.kind == sdkmetric.InstrumentKindCounter || id.kind == sdkmetric.InstrumentKindObservableCounter
}

// refuse counts a value that is not passed on, and logs the first after each Set.
func (i *instrument[T]) refuse(ctx context.Context, value float64) {
	reason := telemetry.ErrorNegative
	switch {
	case math.IsNaN(value):
		reason = telemetry.ErrorNaN
	case math.IsInf(value, 0):
		reason = telemetry.ErrorInfinite
	}
	gen := i.meter.provider.generation()
	gen.refused.add(ctx, i.id.name, reason)
	if i.warned.Swap(gen.number) != gen.number {
		gen.warnLater("metric value is refused; further ones of this instrument are counted and not logged",
			"scope", i.meter.scope.Name, "instrument", i.id.name, "kind", i.id.kind.String(), "value", value)
	}
}

// tally counts what the Provider itself has to tell. Its instrument is the SDK's, and synchronous, so that no callback
// stands between a count and its export; it has no series before there is something to count.
type tally struct {
	counter metric.Int64Counter
	key     attribute.Key
	series  bounded.Map[cause, metric.MeasurementOption]
}

type cause struct{ subject, errorType string }

// maxCauses bounds the attribute sets of one tally. What comes later is counted as that of telemetry.Other.
const maxCauses = 100

func newTally(next metric.MeterProvider, name, unit, description string, key attribute.Key) *tally {
	m := telemetry.Meter(next, "meter")
	counter, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	if err != nil {
		counter = noop.Int64Counter{}
	}
	return &tally{counter: counter, key: key}
}

func (t *tally) add(ctx context.Context, subject, errorType string) {
	option, ok := t.series.Add(cause{subject, errorType}, maxCauses, func() metric.MeasurementOption {
		return t.option(subject, errorType)
	})
	if !ok {
		option = t.option(telemetry.Other, errorType)
	}
	t.counter.Add(ctx, 1, option)
}

func (t *tally) option(subject, errorType string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(t.key.String(subject), telemetry.ErrorType.String(errorType)))
}
