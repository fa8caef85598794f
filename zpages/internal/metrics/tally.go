package metrics

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/quantile"
)

const maxBounds = 64

// layout has the boundaries of the buckets that are kept.
type layout []float64

// layoutOf returns the boundaries of the histogram, unless they are too many or
// no ascending numbers, or it has none of its own: then those that the metric
// has by default.
func layoutOf(metric string, h histogram) layout {
	if h.exponential || len(h.bounds) > maxBounds || !ascending(h.bounds) {
		return meter.Boundaries(metric, "s", nil, meter.Rules{})
	}
	return slices.Clone(h.bounds)
}

func ascending(bounds []float64) bool {
	before := math.Inf(-1)
	for _, b := range bounds {
		if !(b > before) || math.IsInf(b, 1) { // NaN is not above anything
			return false
		}
		before = b
	}
	return len(bounds) > 0
}

// add adds the counts of the histogram to those of the buckets. Where its
// boundaries are others, each of its buckets goes to the one that has its end, and
// add reports that the counts are not exact.
func (l layout) add(buckets []uint64, h histogram) (exact bool) {
	switch {
	case len(h.counts) != len(h.bounds)+1:
		return h.count == 0
	case slices.Equal(l, h.bounds):
		for i, n := range h.counts {
			buckets[i] += n
		}
		return true
	}
	for i, n := range h.counts {
		end := math.Inf(1)
		if i < len(h.bounds) {
			end = h.bounds[i]
		}
		buckets[sort.SearchFloat64s(l, end)] += n
	}
	return h.count == 0
}

// quantile returns that of the counts, of which only those of the layout are
// filled.
func (l layout) quantile(q float64, buckets []uint64) Number {
	return Number(quantile.Of(q, l, buckets[:len(l)+1]))
}

// tally is what there was of a route's requests.
type tally struct {
	requests, errors, streams uint64
	sampled, rescued          uint64
	buckets                   [maxBounds + 1]uint64 // by the layout, streams left out
}

// counts returns what is not in buckets.
func (t *tally) counts() [5]*uint64 {
	return [...]*uint64{&t.requests, &t.errors, &t.streams, &t.sampled, &t.rescued}
}

// unmeasured tells whether requests leave spans and no metrics, such as with
// middleware.Duration disabled: there is nothing to show of them.
func (t *tally) unmeasured() bool { return t.requests == 0 && t.sampled+t.rescued > 0 }

// whollySampled tells whether all but a few requests were sampled, so that those in
// flight are, too.
func (t *tally) whollySampled() bool { return t.sampled*20 >= t.requests*19 }

func (t *tally) add(other *tally) {
	for i, count := range other.counts() {
		*t.counts()[i] += *count
	}
	for i, n := range other.buckets {
		t.buckets[i] += n
	}
}

// since returns what was added to before. It reports false when something is less
// than before, since the counting began anew, and then returns all.
func (t *tally) since(before packed) (added tally, ok bool) {
	var b tally
	before.addTo(&b)
	ok = t.requests >= b.requests && t.errors >= b.errors && t.streams >= b.streams
	added = *t
	for i, n := range b.buckets {
		ok = ok && t.buckets[i] >= n
		added.buckets[i] -= n
	}
	if !ok {
		return *t, false
	}
	added.requests -= b.requests
	added.errors -= b.errors
	added.streams -= b.streams
	added.sampled -= min(b.sampled, t.sampled)
	added.rescued -= min(b.rescued, t.rescued)
	return added, true
}

// share returns part of whole, and NaN where there is nothing.
func share(part, whole uint64) Number {
	return Number(float64(min(part, whole)) / float64(whole))
}

// rate returns how many there were a second, and NaN where there is no time.
func rate(n uint64, d time.Duration) Number {
	if d <= 0 {
		return Number(math.NaN())
	}
	return Number(float64(n) / d.Seconds())
}

// numberOf returns a value, and NaN when it is not known.
func numberOf(value float64, known bool) Number {
	if !known {
		return Number(math.NaN())
	}
	return Number(value)
}
