package meter

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// maxBoundaries bounds the latency and GenAI histograms. Each boundary is one more series for Prometheus to keep, for
// every combination of attributes.
const maxBoundaries = 30

// maxAdvised bounds what the advice of an instrument adds to that.
const maxAdvised = 8

// Boundaries returns the bucket boundaries that the Provider gives to the histogram called name, or nil when the
// instrument keeps those it advises itself. It chooses, in this order, by rules.Boundaries, then for names that start
// with gen_ai. or otelmon.llm. by the GenAI semantic conventions, then by unit: s, ms, us, ns, By or {token}.
//
// Boundaries chosen by name or unit are continued with those of the advice that lie above the last, such as 300 and 3600
// for the seconds of a batch job. When more than 8 do, 8 are chosen, evenly, with the last.
func Boundaries(name, unit string, advice []float64, rules Rules) []float64 {
	if b := ruledBoundaries(name, rules.Boundaries); b != nil {
		return b
	}
	b := unitBoundaries(name, unit, rules)
	if b == nil {
		return nil
	}
	return append(b, tail(advice, b[len(b)-1])...)
}

func unitBoundaries(name, unit string, rules Rules) []float64 {
	switch unit {
	case "s":
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "gen_ai.") || strings.HasPrefix(name, telemetry.LLMPrefix) {
			return genAIBoundaries()
		}
		return latencyBoundaries(rules.LatencyObjectives, time.Second)
	case "ms":
		return latencyBoundaries(rules.LatencyObjectives, time.Millisecond)
	case "us":
		return latencyBoundaries(rules.LatencyObjectives, time.Microsecond)
	case "ns":
		return latencyBoundaries(rules.LatencyObjectives, time.Nanosecond)
	case "By":
		return sizeBoundaries()
	case "{token}":
		return tokenBoundaries()
	default:
		return nil
	}
}

// tail returns at most maxAdvised boundaries of the advice that are above last.
func tail(advice []float64, last float64) []float64 {
	above := slices.DeleteFunc(slices.Clone(advice), func(b float64) bool {
		return !(b > last) || math.IsInf(b, 0) // NaN is not above anything
	})
	slices.Sort(above)
	above = slices.Compact(above)
	if len(above) <= maxAdvised {
		return above
	}
	var chosen []float64
	for i := range maxAdvised {
		chosen = append(chosen, above[(i+1)*len(above)/maxAdvised-1])
	}
	return chosen
}

func ruledBoundaries(name string, byPattern map[string][]float64) []float64 {
	for pattern, boundaries := range byPattern {
		if strings.EqualFold(pattern, name) {
			return boundaries
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(byPattern)) {
		if matches(pattern, name) {
			return byPattern[pattern]
		}
	}
	return nil
}

// genAIBoundaries are those of the GenAI semantic conventions, 0.01 s to 81.92 s, continued to 655.36 s for models that
// think for minutes, with the geometric mean of each pair between them where responses and output tokens usually fall.
func genAIBoundaries() []float64 {
	return []float64{
		0.01, 0.02, 0.028, 0.04, 0.057, 0.08, 0.113, 0.16, 0.226, 0.32, 0.453, 0.64, 0.905, 1.28, 1.81, 2.56, 3.62, 5.12, 7.24,
		10.24, 14.5, 20.48, 29, 40.96, 57.9, 81.92, 116, 163.84, 327.68, 655.36,
	}
}

// sizeBoundaries tell orders of magnitude apart, which is what sizes are looked at for, from the smallest useful body to
// the largest that is commonly allowed. Zero counts the empty ones.
func sizeBoundaries() []float64 {
	return []float64{
		0, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28,
	}
}

// tokenBoundaries are those of the GenAI semantic conventions.
func tokenBoundaries() []float64 {
	return []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
}

// latencyBoundaries returns at most maxBoundaries boundaries in multiples of unit. The ends and the objectives are fixed.
// The others are shared out one by one, each to the gap whose buckets are then the widest by the measure of density.
func latencyBoundaries(objectives []time.Duration, unit time.Duration) []float64 {
	objectives = validObjectives(objectives)
	fixed := fixedBoundaries(objectives)
	gaps := make([]gap, len(fixed)-1)
	for i := range gaps {
		gaps[i] = newGap(fixed[i], fixed[i+1], objectives)
	}
	for range maxBoundaries - len(fixed) {
		widest := 0
		for i := range gaps {
			if gaps[i].bucket() > gaps[widest].bucket() {
				widest = i
			}
		}
		gaps[widest].inner++
	}
	var boundaries []float64
	for _, f := range fixed {
		boundaries = append(boundaries, float64(f)/float64(unit))
	}
	for _, g := range gaps {
		for _, seconds := range g.boundaries() {
			boundaries = append(boundaries, readable(seconds*float64(time.Second/unit)))
		}
	}
	slices.Sort(boundaries)
	return slices.Compact(boundaries)
}

// validObjectives makes Boundaries work on rules that Validate refuses.
func validObjectives(objectives []time.Duration) []time.Duration {
	var valid []time.Duration
	for _, objective := range objectives {
		if objective > 0 && objective <= maxObjective && len(valid) < maxObjectives {
			valid = append(valid, objective)
		}
	}
	if len(valid) == 0 {
		return []time.Duration{250 * time.Millisecond, time.Second}
	}
	return valid
}

// fixedBoundaries returns the objectives and the ends, which lie at least a factor of two outside them.
func fixedBoundaries(objectives []time.Duration) []time.Duration {
	low := max(min(time.Millisecond, slices.Min(objectives)/2), 1)
	high := max(time.Minute, 2*slices.Max(objectives))
	fixed := append([]time.Duration{low, high}, objectives...)
	slices.Sort(fixed)
	return slices.Compact(fixed)
}

// density is how many boundaries an octave gets, relative to the others. The numbers were found by trying: they are those
// that keep P95 and P99 within 5 % up to a factor of two from the default objectives and within 10 % elsewhere, for
// the distributions of docs/quantiles.md. The range under 11 ms pays for it, unless there is an objective that fast.
func density(seconds float64, objectives []time.Duration) float64 {
	for _, objective := range objectives {
		if math.Abs(math.Log2(seconds/objective.Seconds())) < 1.15 {
			return 1.4
		}
	}
	if seconds < min(0.011, slices.Min(objectives).Seconds()/4) {
		return 0.5
	}
	return 1
}

// gap is the range between two fixed boundaries.
type gap struct {
	low    float64   // seconds
	weight []float64 // integral of the density from low up to each step
	inner  int       // boundaries inside
}

const stepsPerOctave = 128

func newGap(low, high time.Duration, objectives []time.Duration) gap {
	g := gap{low: low.Seconds(), weight: []float64{0}}
	steps := int(math.Ceil(stepsPerOctave * math.Log2(float64(high)/float64(low))))
	sum := 0.0
	for i := range steps {
		sum += density(g.at(float64(i)+0.5), objectives)
		g.weight = append(g.weight, sum)
	}
	return g
}

// at returns the seconds at a step.
func (g gap) at(step float64) float64 { return g.low * math.Exp2(step/stepsPerOctave) }

// bucket returns the weight of one bucket.
func (g gap) bucket() float64 { return g.weight[len(g.weight)-1] / float64(g.inner+1) }

func (g gap) boundaries() []float64 {
	var boundaries []float64
	for i := 1; i <= g.inner; i++ {
		weight := g.bucket() * float64(i)
		step, _ := slices.BinarySearch(g.weight, weight)
		within := (weight - g.weight[step-1]) / (g.weight[step] - g.weight[step-1])
		boundaries = append(boundaries, g.at(float64(step-1)+within))
	}
	return boundaries
}

// readable rounds to three significant digits.
func readable(v float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}
