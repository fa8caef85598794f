package exporters

import (
	"context"
	"fmt"
	"time"

	"github.com/otelmon/toolkit/internal/otlp"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// requestBytes is the size that no request exceeds: below the 4 MiB that gRPC
// servers take by default.
const requestBytes = 3584 << 10

// itemOverhead is what an item takes in memory besides its message.
const itemOverhead = 64

// queueLimits bound a queue.
type queueLimits struct {
	items int           // that may wait
	bytes int           // of those that wait or are in flight
	batch int           // items of a request
	delay time.Duration // before a batch that is not full is sent
}

// queue holds encoded items until they are sent. An item that finds no room
// drops the oldest ones. Adding never waits for anything but the mutex, which is
// held for no longer than it takes to move an item.
type queue struct {
	queueLimits
	ledger
	changed chan struct{} // holds one when there may be something to do

	ring   []otlp.Item
	first  int // of the ring
	left   int64
	since  time.Time // when the oldest began to wait
	closed bool
	urgent int64 // items before this one are to be sent without delay

	inflightFrom  int64 // the number of the first item in flight
	inflightBytes int64
	waiting       []waiter
}

// waiter is told when all items before number are settled.
type waiter struct {
	number int64
	done   chan struct{}
}

func newQueue(l queueLimits) *queue {
	q := &queue{queueLimits: l, changed: make(chan struct{}, 1)}
	q.lastSuccess = time.Now()
	return q
}

// push adds an item, of which cut values were shortened.
func (q *queue) push(item otlp.Item, cut int) {
	q.mu.Lock()
	q.accepted++
	q.cutValues += int64(cut)
	wake := q.add(item)
	q.mu.Unlock()
	if wake {
		q.wake()
	}
}

// add reports whether there is something new to do. The mutex is held.
func (q *queue) add(item otlp.Item) bool {
	size := footprint(item)
	switch {
	case q.closed:
		return q.drop(telemetry.LostShutdown, 1)
	case item.Size()+item.Origin.Size() > requestBytes || size > int64(q.bytes):
		return q.drop(telemetry.LostTooLarge, 1)
	case q.inflightBytes+size > int64(q.bytes): // nothing that waits could make room
		return q.drop(telemetry.LostQueueFull, 1)
	}
	lossy := false
	for q.queued > 0 && (q.queued >= int64(q.items) || q.queueBytes+size > int64(q.bytes)) {
		q.queueBytes -= footprint(q.pop())
		lossy = q.drop(telemetry.LostQueueFull, 1) || lossy
	}
	before := q.queueBytes
	if q.queued == 0 {
		q.since = time.Now()
	}
	q.append(item)
	q.queueBytes += size
	return lossy || q.queued == 1 || q.queued == int64(q.batch) || before < q.batchBytes() && q.queueBytes >= q.batchBytes()
}

// batchBytes is what a batch may hold. In a small queue, what is in flight leaves
// room for what comes.
func (q *queue) batchBytes() int64 { return min(requestBytes, int64(q.bytes)/2) }

func footprint(item otlp.Item) int64 { return int64(cap(item.Message)) + itemOverhead }

func (q *queue) append(item otlp.Item) {
	if int(q.queued) == len(q.ring) {
		ring := make([]otlp.Item, min(max(2*len(q.ring), 64), q.items))
		n := copy(ring, q.ring[q.first:])
		copy(ring[n:], q.ring[:q.first])
		q.ring, q.first = ring, 0
	}
	q.ring[(q.first+int(q.queued))%len(q.ring)] = item
	q.queued++
}

func (q *queue) pop() otlp.Item {
	item := q.ring[q.first]
	q.ring[q.first] = otlp.Item{}
	q.first = (q.first + 1) % len(q.ring)
	q.queued--
	q.left++
	return item
}

func (q *queue) wake() {
	select {
	case q.changed <- struct{}{}:
	default: // it holds one
	}
}

// take moves a batch to batch if one is due, and counts it as in flight.
// Otherwise it returns how long to wait, 0 for until the next change, and
// whether nothing will come any more.
func (q *queue) take(batch []otlp.Item) (taken []otlp.Item, wait time.Duration, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.queued == 0 {
		return batch, 0, q.closed
	}
	due := q.closed || q.left < q.urgent || q.queued >= int64(q.batch) || q.queueBytes >= q.batchBytes()
	if wait = q.delay - time.Since(q.since); !due && wait > 0 {
		return batch, wait, false
	}
	q.inflightFrom = q.left
	var origin *otlp.Origin
	for size := 0; q.queued > 0 && len(batch) < q.batch; {
		next := q.ring[q.first]
		size += next.Size()
		if next.Origin != origin {
			origin = next.Origin
			size += origin.Size()
		}
		if int64(size) > q.batchBytes() && len(batch) > 0 {
			break
		}
		batch = append(batch, q.pop())
		q.inflightBytes += footprint(next)
	}
	q.inflight += int64(len(batch))
	q.since = time.Now()
	q.shrink()
	return batch, 0, false
}

// shrink gives the memory of a backlog back. The mutex is held.
func (q *queue) shrink() {
	const small = 4096
	if q.queued == 0 && len(q.ring) > small {
		q.ring, q.first = nil, 0
	}
}

// settle counts the outcome of items in flight. Those who wait for it are told
// by release.
func (q *queue) settle(items []otlp.Item, o outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range items {
		q.queueBytes -= footprint(item)
		q.inflightBytes -= footprint(item)
	}
	q.end(int64(len(items)), o)
}

// release wakes those who wait for what is settled.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.releaseLocked()
}

func (q *queue) releaseLocked() {
	kept := q.waiting[:0]
	for _, w := range q.waiting {
		if q.settled() >= w.number {
			close(w.done)
		} else {
			kept = append(kept, w)
		}
	}
	q.waiting = kept
}

// settled returns the number of the first item whose outcome is not known. The
// mutex is held.
func (q *queue) settled() int64 {
	if q.inflight > 0 {
		return q.inflightFrom
	}
	return q.left
}

// flush has everything sent that was added before, and waits for the outcome.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	w := waiter{q.left + q.queued, make(chan struct{})}
	q.urgent = w.number
	q.waiting = append(q.waiting, w)
	q.releaseLocked()
	q.mu.Unlock()
	q.wake()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.waiting {
		if q.waiting[i] == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return fmt.Errorf("%d still wait to be delivered: %w", w.number-q.settled(), ctx.Err())
		}
	}
	return nil // settled meanwhile
}

// close lets nothing in any more. What is there is sent without delay.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}

// abandon drops what waits, because the time to end is over.
func (q *queue) abandon(reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.queued > 0 {
		q.drop(telemetry.LostShutdown, q.queued)
		q.err = reason
	}
	for q.queued > 0 {
		q.queueBytes -= footprint(q.pop())
	}
	q.ring, q.first = nil, 0
	q.releaseLocked()
}
