package exporters

import (
	"errors"
	"maps"
	"sync"
	"time"
)

// ledger accounts for the items of one signal: spans, log records or data
// points of metrics. Each that was accepted is at any moment exactly one of
// queued, dropped, in flight, acknowledged and failed.
type ledger struct {
	mu sync.Mutex
	counts
	unreported map[string]int // of dropped
	reason     string         // the latest for a loss
	err        error          // and what there is to say about it
}

type counts struct {
	accepted, queued, inflight, acknowledged int64

	dropped map[string]int64 // by reason, before an export
	failed  map[string]int64 // by reason, by an export
	missed  map[string]int64 // of failed, what the next export carries again

	queueBytes  int64     // in memory, in flight included
	cutValues   int64     // attribute values that were longer than is sent
	lastSuccess time.Time // or the start
}

// handed returns how many left the queue for an export.
func (c counts) handed() int64 {
	n := c.inflight + c.acknowledged
	for _, failed := range c.failed {
		n += failed
	}
	return n
}

// lostByReason returns how many items are lost for good.
func (c counts) lostByReason() map[string]int64 {
	lost := make(map[string]int64)
	for reason, n := range c.dropped {
		lost[reason] += n
	}
	for reason, n := range c.failed {
		if n -= c.missed[reason]; n > 0 {
			lost[reason] += n
		}
	}
	return lost
}

// snapshot returns one consistent reading.
func (l *ledger) snapshot() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.dropped, c.failed, c.missed = maps.Clone(c.dropped), maps.Clone(c.failed), maps.Clone(c.missed)
	return c
}

// lost returns how many items are lost for good, and the latest reason.
func (l *ledger) lost() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := tally{err: l.err}
	if t.err == nil && l.reason != "" {
		t.err = errors.New(l.reason)
	}
	for _, reasons := range []map[string]int64{l.dropped, l.failed} {
		for _, items := range reasons {
			t.lost += int(items)
		}
	}
	return t
}

// begin counts items that are sent without a queue.
func (l *ledger) begin(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted += n
	l.inflight += n
}

// settle counts the outcome of n items that were begun, of which those that are
// sent once are taken to be lost first.
func (l *ledger) settle(n, once int64, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(n, o)
	if missed := o.lost(n) - once; missed > 0 {
		add(&l.missed, o.reason(), missed)
	}
}

// end counts the outcome of n items that are in flight. The mutex is held.
func (l *ledger) end(n int64, o outcome) {
	l.inflight -= n
	lost := o.lost(n)
	if o.failure == nil {
		l.lastSuccess = time.Now()
	}
	l.acknowledged += n - lost
	if lost > 0 {
		l.reason, l.err = o.reason(), o.err()
		add(&l.failed, l.reason, lost)
	}
}

// drop counts items that are not going to be exported, and returns whether it is
// the first time since the last report. The mutex is held.
func (l *ledger) drop(reason string, n int64) (first bool) {
	first = l.unreported == nil
	add(&l.dropped, reason, n)
	add(&l.unreported, reason, int(n))
	l.reason, l.err = reason, nil
	return first
}

// report returns what was dropped since the last call.
func (l *ledger) report() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped := l.unreported
	l.unreported = nil
	return dropped
}

func add[N int | int64](to *map[string]N, key string, n N) {
	if *to == nil {
		*to = make(map[string]N)
	}
	(*to)[key] += n
}
