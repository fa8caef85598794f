package exporters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/otelmon/toolkit/internal/otlp"
)

// batcher sends what is in a queue, batch by batch.
type batcher struct {
	*queue
	sender *sender
	gate   *gate
	ended  chan struct{}
	body   []byte // of the request, reused where it is copied
	last   error  // of the last request
	halves halving
}

func startBatcher(l queueLimits, s *sender, g *gate) *batcher {
	b := &batcher{queue: newQueue(l), sender: s, gate: g, ended: make(chan struct{})}
	g.tally = b.lost
	go b.run()
	return b
}

func (b *batcher) part() *part {
	return &part{gate: b.gate, sender: b.sender, ledger: &b.ledger, queue: b.queue, stop: b.stop}
}

// run sends until the queue is closed and empty, or the gate is closed.
func (b *batcher) run() {
	defer close(b.ended)
	var batch []otlp.Item
	for b.gate.open.Err() == nil {
		items, wait, over := b.take(batch[:0])
		switch {
		case len(items) > 0:
			b.halves = halving{}
			b.deliver(items)
			clear(items)
			batch = items
		case over:
			return
		default:
			b.wait(wait)
		}
		b.report()
	}
	if b.last == nil {
		b.last = errors.New("the time to deliver it was over")
	}
	b.abandon(b.last)
	b.report()
}

// wait returns at the next change, or after a while unless that is 0.
func (b *batcher) wait(while time.Duration) {
	var due <-chan time.Time
	if while > 0 {
		timer := time.NewTimer(while)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-b.changed:
	case <-due:
	case <-b.gate.open.Done():
	}
}

// deliver sends the items, in parts when the peer takes less than we thought.
func (b *batcher) deliver(items []otlp.Item) {
	if !b.sender.settings.gzip {
		b.body = nil // an attempt that was cut off may still read it
	}
	b.body = otlp.AppendRequest(b.body[:0], items)
	o := b.sender.send(b.gate.open, b.body, b.changed, b.report)
	if b.halves.wanted(o, int64(len(items))) {
		first, second := items[:len(items)/2], items[len(items)/2:]
		if bytesOf(first) > bytesOf(second) { // one that is taken shows that there is hope
			first, second = second, first
		}
		b.deliver(first)
		b.deliver(second)
		return
	}
	b.last = o.err()
	b.settle(items, o)
	if lost := o.lost(int64(len(items))); lost > 0 {
		b.gate.tell(map[string]int{o.reason(): int(lost)}, o.err())
	}
	b.release() // a flush returns after the line
}

func bytesOf(items []otlp.Item) (n int) {
	for _, item := range items {
		n += item.Size()
	}
	return n
}

// flush has everything sent that was added before, and waits for the outcome.
func (b *batcher) flush(ctx context.Context) error {
	err := b.queue.flush(ctx)
	if _, problem := b.sender.transport.health.state(); err != nil && problem != nil {
		return fmt.Errorf("%w; the last attempt: %s", err, brief(problem))
	}
	return err
}

// report tells what the queue dropped.
func (b *batcher) report() { b.gate.tell(b.queue.report(), nil) }

// stop lets nothing in any more, and waits until the rest is sent or the gate
// is closed.
func (b *batcher) stop(context.Context) error {
	b.close()
	<-b.ended
	return nil
}
