package sampling_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var nan = math.NaN()

const never = 1 << 56

// traceIDs are random and the same in every run.
type traceIDs struct{ *rand.Rand }

func newTraceIDs() traceIDs { return seeded(1) }

func seeded(seed uint64) traceIDs { return traceIDs{rand.New(rand.NewPCG(seed, 2))} }

func (s traceIDs) next() (id trace.TraceID) {
	binary.BigEndian.PutUint64(id[:8], s.Uint64())
	binary.BigEndian.PutUint64(id[8:], s.Uint64())
	return id
}

// poisson returns the number of arrivals where so many are expected.
func (s traceIDs) poisson(expected float64) (n int) {
	for t := s.ExpFloat64(); t < expected; t += s.ExpFloat64() {
		n++
	}
	return n
}

func randomness(id trace.TraceID) uint64 { return binary.BigEndian.Uint64(id[8:]) % never }

// threshold reads th by itself; a trace without one is not thinned.
func threshold(t testing.TB, result sdktrace.SamplingResult) uint64 {
	t.Helper()
	value, ok := strings.CutPrefix(result.Tracestate.Get("ot"), "th:")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint((value + strings.Repeat("0", 14))[:14], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// count is what the specification estimates from the spans kept.
type count struct {
	arrived, kept       int
	estimate, deviation float64 // Horvitz-Thompson, its standard deviation squared
}

func (c *count) add(t testing.TB, result sdktrace.SamplingResult) {
	t.Helper()
	c.arrived++
	if !kept(result) {
		return
	}
	c.kept++
	p := float64(never-threshold(t, result)) / never
	c.estimate += 1 / p
	c.deviation += (1 - p) / (p * p)
}

// sigmas is how far the estimate is from the truth, in standard deviations.
func (c *count) sigmas() float64 {
	if c.deviation == 0 {
		return (c.estimate - float64(c.arrived)) * math.Inf(1)
	}
	return (c.estimate - float64(c.arrived)) / math.Sqrt(c.deviation)
}

// pass lets time go by in a bubble of testing/synctest.
func pass(d time.Duration) { <-time.After(d) }

// chiSquare returns Pearson's statistic of a uniform distribution.
func chiSquare(observed []int) (statistic float64) {
	total := 0
	for _, n := range observed {
		total += n
	}
	expected := float64(total) / float64(len(observed))
	for _, n := range observed {
		statistic += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	return statistic
}

// critical returns the value that the statistic of so many cells exceeds once
// in 10,000, after Wilson and Hilferty.
func critical(cells int) float64 {
	const z = 3.719
	freedom := float64(cells - 1)
	a := 2 / (9 * freedom)
	return freedom * math.Pow(1-a+z*math.Sqrt(a), 3)
}
