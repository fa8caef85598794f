package meter

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Rules say what [Provider] and [Views] do to instruments. The zero value is useful. A Rules is not to be changed after
// it was passed on. Name patterns know * (any run of characters, also none) and ? (any one character), and ignore case,
// as instrument names do.
type Rules struct {
	// LatencyObjectives are durations that a service promises to stay under. Each is a boundary of every latency
	// histogram, exactly, with others close to it. Default 250 ms and 1 s; at most 8, of up to 24 h. For an objective below
	// 2 ms or above 30 s the boundaries reach further than their usual 1 ms to 60 s.
	LatencyObjectives []time.Duration
	// Boundaries replaces the boundaries of the histograms whose names match the key, which is a name or a pattern. A
	// name goes before patterns, and patterns go in sorted order. Values are in the unit of the instrument.
	Boundaries map[string][]float64
	// Disabled are the patterns of instruments that are not recorded at all.
	Disabled []string
	// AttributeFilter returns the filter for one instrument, or nil to keep all its attributes. It is asked once or more
	// for each instrument, as by each reader, and is to answer the same. It only adds to the filters that the package and
	// the user's views have. Default: keep all.
	AttributeFilter func(instrument sdkmetric.Instrument) attribute.Filter
	// Views are the user's own. Unlike in the SDK a field that a view leaves empty keeps the instrument's value.
	Views []sdkmetric.View
	// ReservedScopes are the names of scopes that record nothing through the Provider, because the caller runs that
	// instrumentation against the SDK itself and a second start would double its values.
	ReservedScopes []string
	// Logger gets one warning for each conflicting instrument, each failing callback and each instrument that refused a
	// value, at most 20 of each kind until the next [Provider.Set]. No lock is held meanwhile, so that its handler may use metrics. Default: none.
	Logger *slog.Logger
}

const (
	maxObjectives = 8
	maxObjective  = 24 * time.Hour
)

var patternSyntax = regexp.MustCompile(`^[A-Za-z*?][A-Za-z0-9_.\-/*?]*$`)

// Validate returns an error that names each field that cannot be obeyed, its value and what is accepted.
func (r Rules) Validate() error {
	var errs []error
	if n := len(r.LatencyObjectives); n > maxObjectives {
		errs = append(errs, fmt.Errorf("LatencyObjectives: %d of them; accepted: at most %d", n, maxObjectives))
	}
	for _, objective := range r.LatencyObjectives {
		if objective <= 0 || objective > maxObjective {
			errs = append(errs, fmt.Errorf("LatencyObjectives: %v; accepted: a duration above zero and up to %v",
				objective, maxObjective))
		}
	}
	for pattern, boundaries := range r.Boundaries {
		if err := validateBoundaries(boundaries); err != nil {
			errs = append(errs, fmt.Errorf("Boundaries[%q]: %w", pattern, err))
		}
		errs = append(errs, validatePattern("Boundaries", pattern))
	}
	for _, pattern := range r.Disabled {
		errs = append(errs, validatePattern("DisabledMetrics or OTELMON_METRICS_DISABLED", pattern))
	}
	return errors.Join(errs...)
}

func validatePattern(field, pattern string) error {
	if patternSyntax.MatchString(pattern) {
		return nil
	}
	return fmt.Errorf("%s: %q; accepted: an instrument name (a letter, then letters, digits, _ . - /), with * and ? as wildcards",
		field, pattern)
}

func validateBoundaries(boundaries []float64) error {
	if len(boundaries) == 0 {
		return errors.New("empty; accepted: at least one boundary")
	}
	for i, b := range boundaries {
		if math.IsNaN(b) || math.IsInf(b, 0) {
			return fmt.Errorf("%v; accepted: finite numbers", b)
		}
		if i > 0 && b <= boundaries[i-1] {
			return fmt.Errorf("%v after %v; accepted: strictly increasing numbers", b, boundaries[i-1])
		}
	}
	return nil
}
