package metrics

import (
	"bytes"
	"encoding/binary"
)

// packed is a tally in little memory: its numbers as varints, of which small ones
// take a byte, without the empty buckets at the end. Nothing is nil.
type packed []byte

func (t *tally) pack() packed {
	if *t == (tally{}) {
		return nil
	}
	numbers := make([]byte, 0, 256)
	for _, n := range t.counts() {
		numbers = binary.AppendUvarint(numbers, *n)
	}
	used := len(t.buckets)
	for used > 0 && t.buckets[used-1] == 0 {
		used--
	}
	for _, n := range t.buckets[:used] {
		numbers = binary.AppendUvarint(numbers, n)
	}
	return bytes.Clone(numbers) // has no room that is not needed
}

// addTo adds to sum what is packed.
func (p packed) addTo(sum *tally) {
	if p == nil {
		return
	}
	for _, count := range sum.counts() {
		n, size := binary.Uvarint(p)
		*count, p = *count+n, p[size:]
	}
	for i := 0; len(p) > 0; i++ {
		n, size := uint64(p[0]), 1
		if n >= 0x80 {
			n, size = binary.Uvarint(p)
		}
		sum.buckets[i], p = sum.buckets[i]+n, p[size:]
	}
}

// requests returns those of the tally.
func (p packed) requests() uint64 {
	n, _ := binary.Uvarint(p)
	return n
}

// unmeasured is that of the tally.
func (p packed) unmeasured() bool { return p != nil && p.requests() == 0 }

// history has a tally for each slot.
type history [slots]packed

func (h *history) add(place int, t *tally) {
	if *t == (tally{}) {
		return
	}
	sum := *t
	h[place].addTo(&sum)
	h[place] = sum.pack()
}

func (h *history) sum(places []int) (sum tally) {
	for _, place := range places {
		h[place].addTo(&sum)
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
	for _, p := range h {
		n += p.requests()
	}
	return n
}
