package exporters

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// cutOff is how long a Shutdown waits, after its context ended, for exports to
// notice.
const cutOff = 100 * time.Millisecond

// shutdownTimeout bounds a Shutdown whose context has no deadline.
const shutdownTimeout = 10 * time.Second

// part ends one signal, from whichever side it is asked to.
type part struct {
	gate   *gate
	sender *sender
	ledger *ledger
	queue  *queue // nil for metrics
	stop   func(context.Context) error
	once   sync.Once
	ended  chan struct{}
	err    error // of stop, once ended
}

// shutdown flushes, with exports bounded by ctx, stops the signal and gives its
// connection up. Later calls wait for the first one and bound it too.
func (p *part) shutdown(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, shutdownTimeout)
		defer cancel()
	}
	p.gate.drain(ctx)
	p.once.Do(func() { go p.end(ctx) })
	select {
	case <-p.ended:
		return p.err
	case <-ctx.Done():
	}
	late := time.NewTimer(cutOff)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C: // a callback of the user's hangs
		p.gate.end()
	}
	return ctx.Err()
}

func (p *part) end(ctx context.Context) {
	p.err = p.stop(ctx)
	p.gate.end()
	close(p.ended)
}

// running returns an error unless the part has ended.
func (p *part) running() error {
	select {
	case <-p.ended:
		return nil
	default:
		return fmt.Errorf("%s: still running at the deadline: %w", p.gate.signal, context.DeadlineExceeded)
	}
}
