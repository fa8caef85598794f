package metrics

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/quantile"
)

const maxBounds = 40

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
// boundaries are others, each of its buckets goes to the one that has its end.
func (l layout) add(buckets []uint64, h histogram) {
	switch {
	case len(h.counts) != len(h.bounds)+1:
		return
	case slices.Equal(l, h.bounds):
		for i, n := range h.counts {
			buckets[i] += n
		}
		return
	}
	for i, n := range h.counts {
		end := math.Inf(1)
		if i < len(h.bounds) {
			end = h.bounds[i]
		}
		buckets[sort.SearchFloat64s(l, end)] += n
	}
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

// unmeasured tells whether requests leave spans and no metrics, such as with
// middleware.Duration disabled: there is nothing to show of them.
func (t *tally) unmeasured() bool { return t.requests == 0 && t.sampled+t.rescued > 0 }

func (t *tally) add(other *tally) {
	t.requests += other.requests
	t.errors += other.errors
	t.streams += other.streams
	t.sampled += other.sampled
	t.rescued += other.rescued
	for i, n := range other.buckets {
		t.buckets[i] += n
	}
}

// since returns what was added to before. It reports false when something is less
// than before, since the counting began anew, and then returns all.
func (t *tally) since(before *tally) (tally, bool) {
	added := *t
	ok := t.requests >= before.requests && t.errors >= before.errors && t.streams >= before.streams
	for i, n := range before.buckets {
		ok = ok && t.buckets[i] >= n
		added.buckets[i] -= n
	}
	if !ok {
		return *t, false
	}
	added.requests -= before.requests
	added.errors -= before.errors
	added.streams -= before.streams
	added.sampled -= min(before.sampled, t.sampled)
	added.rescued -= min(before.rescued, t.rescued)
	return added, true
}

// history has a tally for each slot, in half the memory.
type history [slots]cell

type cell struct {
	requests, errors, streams uint32
	sampled, rescued          uint32
	buckets                   [maxBounds + 1]uint32
}

func (h *history) add(place int, t *tally) {
	c := &h[place]
	increase(&c.requests, t.requests)
	increase(&c.errors, t.errors)
	increase(&c.streams, t.streams)
	increase(&c.sampled, t.sampled)
	increase(&c.rescued, t.rescued)
	for i, n := range t.buckets {
		increase(&c.buckets[i], n)
	}
}

// increase stops at the largest number.
func increase(count *uint32, by uint64) {
	*count += uint32(min(by, uint64(math.MaxUint32-*count)))
}

func (h *history) sum(places []int) (sum tally) {
	for _, place := range places {
		c := &h[place]
		if c.requests|c.sampled|c.rescued == 0 {
			continue
		}
		sum.requests += uint64(c.requests)
		sum.errors += uint64(c.errors)
		sum.streams += uint64(c.streams)
		sum.sampled += uint64(c.sampled)
		sum.rescued += uint64(c.rescued)
		for i, n := range c.buckets {
			sum.buckets[i] += uint64(n)
		}
	}
	return sum
}

// merge adds what the other has.
func (h *history) merge(other *history) {
	for place := range other {
		sum := other.sum([]int{place})
		h.add(place, &sum)
	}
}

// requests returns those of all slots.
func (h *history) requests() (n uint64) {
	for i := range h {
		n += uint64(h[i].requests)
	}
	return n
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
