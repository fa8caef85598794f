package metrics

import (
	"cmp"
	"slices"
)

const (
	maxCounts     = 2048 // keys whose counters are known
	maxSlotCounts = 64   // keys that are told apart in one slot
)

// counts are cumulative counters by key, and how much they grew in each slot.
// What is beyond the bounds is not counted; of one collection those that grew most
// come first.
type counts[K comparable] struct {
	before, now map[K]uint64 // as of the last collection, and of the one being read
	grown       [slots]map[K]uint64
}

// add adds to what the collection says of the key. A key that is new while all
// were known has begun since the last collection. One that is new while they
// were not may be old, and what it says nothing about the last 10 s.
func (c *counts[K]) add(key K, n uint64) {
	if _, ok := c.now[key]; !ok {
		_, known := c.before[key]
		if len(c.now) >= maxCounts || !known && len(c.before) >= maxCounts {
			return
		}
	}
	if c.now == nil {
		c.now = map[K]uint64{}
	}
	c.now[key] += n
}

// settle ends the collection and returns how much all have grown. A counter that
// is less than before has begun anew.
func (c *counts[K]) settle(place int) (total uint64) {
	type growth struct {
		key K
		n   uint64
	}
	var all []growth
	for key, n := range c.now {
		if n >= c.before[key] {
			n -= c.before[key]
		}
		if n > 0 {
			all = append(all, growth{key, n})
			total += n
		}
	}
	c.before, c.now = c.now, c.before
	clear(c.now)
	slices.SortFunc(all, func(a, b growth) int { return cmp.Compare(b.n, a.n) })
	for _, g := range all {
		c.grow(place, g.key, g.n)
	}
	return total
}

func (c *counts[K]) grow(place int, key K, n uint64) {
	if c.grown[place] == nil {
		c.grown[place] = map[K]uint64{}
	}
	if _, ok := c.grown[place][key]; ok || len(c.grown[place]) < maxSlotCounts {
		c.grown[place][key] += n
	}
}

func (c *counts[K]) forget(place int) { c.grown[place] = nil }

// sum returns how much the keys grew in the places.
func (c *counts[K]) sum(places []int) map[K]uint64 {
	sum := map[K]uint64{}
	for _, place := range places {
		for key, n := range c.grown[place] {
			sum[key] += n
		}
	}
	return sum
}
