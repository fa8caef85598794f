package metrics

import (
	"math"
	"time"
)

const (
	kept      = 15 * time.Minute
	slotWidth = 10 * time.Second
	slots     = int(kept/slotWidth) + 1 // an interval of 15 minutes touches so many
)

// clock divides the time into slots, of which it remembers those of the last 15
// minutes, at places that are used again. A collection belongs to the slot it
// falls into, with all that has happened since the one before. The first
// collection is in the middle of a slot, so that those that follow every 10 s have
// one each, though they are never quite on time.
type clock struct {
	begun bool
	first time.Time     // of the collections
	last  time.Duration // since first, as all times below
	slot  int           // number of the last slot
	spans [slots]span   // by place
}

// span is what a slot is about.
type span struct {
	begin    time.Duration // of the slot
	from, to time.Duration // that its collections are about
	used     bool          // there was a collection
}

// begin is for the first collection, of a service that has begun at start.
func (c *clock) begin(now, start time.Time) {
	life := min(max(now.Sub(start), 0), kept)
	c.begun, c.first = true, now
	c.spans[0] = span{begin: -slotWidth / 2, from: -life, used: true}
}

// advance goes on to the time of a collection, or stands still when it is not
// later than the last one. It calls forget with each place that is used again, and
// returns that of the collection.
func (c *clock) advance(now time.Time, forget func(place int)) int {
	at := c.since(now)
	slot := int((at + slotWidth/2) / slotWidth)
	for n := max(c.slot+1, slot-slots+1); n <= slot; n++ {
		c.spans[n%slots] = span{}
		forget(n % slots)
	}
	s := &c.spans[slot%slots]
	if !s.used {
		*s = span{begin: time.Duration(slot)*slotWidth - slotWidth/2, from: c.last, used: true}
	}
	s.to = at
	c.slot, c.last = slot, at
	return slot % slots
}

// since returns how long after the first collection now is, and never less than
// at the last one.
func (c *clock) since(now time.Time) time.Duration {
	return min(max(now.Sub(c.first), c.last), math.MaxInt64-slotWidth)
}

// within returns the places of the slots with a collection in the window before
// the last one, oldest first.
func (c *clock) within(window time.Duration) []int {
	places := make([]int, 0, slots)
	for n := max(c.slot-slots+1, 0); n <= c.slot; n++ {
		if s := c.spans[n%slots]; s.used && s.to > c.last-window {
			places = append(places, n%slots)
		}
	}
	return places
}

// covered returns how much time the collections of the places are about.
func (c *clock) covered(places []int) time.Duration {
	if len(places) == 0 {
		return 0
	}
	return c.last - c.spans[places[0]].from
}

// age returns how many seconds ago something was, to the millisecond.
func (c *clock) age(now time.Time, at time.Duration) Number {
	return Number((c.since(now) - at).Round(time.Millisecond).Seconds())
}
