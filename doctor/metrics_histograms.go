package doctor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// fewObservations are too few to tell whether boundaries fit.
const fewObservations = 20

// histogram is all label sets of one metric, added up.
type histogram struct {
	name   string
	counts map[float64]float64 // observations up to a boundary
	bounds []float64           // those below +Inf
	total  float64
	sum    float64
}

// histograms returns those that are on the page, whatever they count.
func (p *page) histograms() []histogram {
	var all []histogram
	for _, f := range p.families {
		if f.kind != "histogram" {
			continue
		}
		h := histogram{name: f.name, counts: make(map[float64]float64)}
		for _, s := range f.samples {
			switch strings.TrimPrefix(s.name, f.name) {
			case "_count":
				h.total += s.value
			case "_sum":
				h.sum += s.value
			case "_bucket":
				if bound, err := number(s.get("le")); err == nil {
					h.counts[bound] += s.value
				}
			}
		}
		for bound := range h.counts {
			if !math.IsInf(bound, 0) && !math.IsNaN(bound) {
				h.bounds = append(h.bounds, bound)
			}
		}
		slices.Sort(h.bounds)
		all = append(all, h)
	}
	return all
}

// sdkBoundaries are those that an SDK takes when nobody chooses any. They are
// meant for milliseconds, while durations are in seconds by convention.
func sdkBoundaries() []float64 {
	return []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
}

// misfit says why boundaries do not fit the unit in the name, "" if they do.
func (h histogram) misfit() string {
	unit := h.name[strings.LastIndex(h.name, "_")+1:]
	positive := h.positive()
	if len(positive) == 0 {
		return ""
	}
	lowest, highest := positive[0], positive[len(positive)-1]
	switch {
	case (unit == "seconds" || unit == "ratio") && slices.Equal(h.bounds, sdkBoundaries()):
		return "those of the SDK for milliseconds"
	case unit == "bytes" && lowest < 1, unit == "milliseconds" && lowest < 0.1 && highest <= 60:
		return "those of seconds"
	case unit == "ratio" && lowest > 1:
		return "all above 1"
	}
	return ""
}

// positive returns the boundaries above 0.
func (h histogram) positive() []float64 {
	i, _ := slices.BinarySearch(h.bounds, math.SmallestNonzeroFloat64)
	return h.bounds[i:]
}

// nativeHistograms tells of those that a text page shows without buckets.
func nativeHistograms(p *page) []Finding {
	var native []string
	for _, h := range p.histograms() {
		if h.total > 0 && len(h.bounds) == 0 {
			native = append(native, h.name)
		}
	}
	if len(native) == 0 {
		return nil
	}
	return []Finding{{
		Part: "metrics", Check: "native-histograms",
		Message: "histograms without boundaries, whose quantiles Prometheus knows only with scrape_native_histograms: true: " + listedNames(native),
	}}
}

func boundaries(p *page) []Finding {
	var bad []string
	for _, h := range p.histograms() {
		if problem := h.misfit(); problem != "" {
			bad = append(bad, fmt.Sprintf("%s has %s (%g to %g)", printable(h.name), problem, h.bounds[0], h.bounds[len(h.bounds)-1]))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return []Finding{{
		Part: "metrics", Check: "boundaries", Level: Warning,
		Message: "boundaries of histograms do not fit their unit: " + listed(bad),
		Advice:  "Quantiles of them are wrong. Use otelmon.Setup, which chooses by unit, or metric.WithExplicitBucketBoundaries.",
	}}
}

// observations finds histograms that tell nothing of where their values are.
func observations(p *page) []Finding {
	var bad []string
	for _, h := range p.histograms() {
		if problem := h.outside(); problem != "" && h.misfit() == "" {
			bad = append(bad, printable(h.name)+" "+problem)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return []Finding{{
		Part: "metrics", Check: "observations", Level: Warning,
		Message: "boundaries of histograms are not where the values are: " + listed(bad),
		Advice:  "Quantiles of them mean little. Choose boundaries around the values, by otelmon.Config.Boundaries or metric.WithExplicitBucketBoundaries, or record in the unit that the name says.",
	}}
}

// outside says which boundary values are beyond.
func (h histogram) outside() string {
	positive := h.positive()
	if h.total < fewObservations || len(positive) == 0 || h.sum == 0 {
		return ""
	}
	lowest, highest := positive[0], positive[len(positive)-1]
	switch above := h.total - h.counts[highest]; {
	case above >= h.total/20:
		return fmt.Sprintf("has %.0f of %.0f above %g, the last", above, h.total, highest)
	case h.counts[lowest] >= h.total && !h.fine(lowest):
		return fmt.Sprintf("has all %.0f up to %g, the first", h.total, lowest)
	}
	return ""
}

// fine reports whether nobody needs to tell values apart up to the lowest
// boundary: durations below a millisecond, small bodies, the whole number 1.
func (h histogram) fine(lowest float64) bool {
	switch h.name[strings.LastIndex(h.name, "_")+1:] {
	case "seconds":
		return lowest <= 0.001
	case "bytes":
		return lowest <= 64
	}
	return lowest == 1 && h.sum == math.Trunc(h.sum)
}

// exemplars says why there are none.
func exemplars(p *page) Finding {
	f := Finding{Part: "metrics", Check: "exemplars"}
	count, observed := 0, 0.0
	for _, s := range p.all() {
		if s.exemplar != nil {
			count++
		}
	}
	for _, h := range p.histograms() {
		observed += h.total
	}
	switch {
	case count > 0:
		f.Message = fmt.Sprintf("%d exemplars lead to traces", count)
	case observed == 0:
		f.Message = "no exemplars, as no histogram has counts yet"
	case !p.openMetrics:
		f.Message = "no exemplars, see the check openmetrics"
	default:
		f.Level = Warning
		f.Message, f.Advice = p.withoutExemplars()
	}
	return f
}

func (p *page) withoutExemplars() (message, advice string) {
	name := exposed(telemetry.SpanStarted) + "_total"
	started, sampled := p.sum(name), 0.0
	for s := range p.named(name) {
		if s.get(exposed(string(telemetry.SamplingResult))) == "RECORD_AND_SAMPLE" {
			sampled += s.value
		}
	}
	message = "histograms have counts and no exemplars, "
	switch {
	case started == 0:
		return message + "as no span was started, or the page does not tell", "Turn traces on, and record measurements with the context of the span."
	case sampled == 0:
		return message + fmt.Sprintf("as none of %.0f spans was sampled", started), "Raise the share of the sampler, OTEL_TRACES_SAMPLER_ARG."
	}
	return message + fmt.Sprintf("although %.0f spans were sampled", sampled),
		"Look whether OTEL_METRICS_EXEMPLAR_FILTER is always_off, and record measurements with the context of the span."
}
