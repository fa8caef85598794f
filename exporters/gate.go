package exporters

import (
	"context"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/diag"
)

// neverReachedGrace is how long a final flush tries a Collector that has
// refused every attempt since the start.
const neverReachedGrace = time.Second

// gate stands before the exporter of one signal. It keeps export errors from
// the SDK, which would print each of them, and cuts exports off when draining
// ends.
type gate struct {
	signal    string
	transport *transport
	log       *diag.Log

	open  context.Context // done when no export may go on
	close context.CancelFunc
	ended sync.Once

	mu       sync.Mutex
	tally    tally
	draining bool
	before   tally // of when draining began
}

func newGate(signal string, t *transport, log *diag.Log) *gate {
	open, closeGate := context.WithCancel(context.Background())
	return &gate{signal: signal, transport: t, log: log, open: open, close: closeGate}
}

// items are the contents of one export: spans, log records and metrics with
// delta temporality are sent once, while other metrics are carried by the next
// export too.
type items struct{ once, again int }

// send runs one export and keeps its error.
func (g *gate) send(ctx context.Context, n items, export func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.open, cancel)()
	err := export(ctx)
	if g.keep(n, err) {
		g.log.Warn("export "+g.signal, "export failed", "endpoint", g.transport.link.address, "signal", g.signal, "lost", n.once+n.again, "error", brief(err))
	}
}

// keep remembers what was lost and reports whether it is worth a line: not
// when Shutdown returns it, nor for what the next export makes up for while the
// link is known to be down.
func (g *gate) keep(n items, err error) bool {
	_, failing := g.transport.link.state()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tally.madeUp = g.tally.missed
	if err == nil {
		return false
	}
	g.tally.lost += n.once
	g.tally.missed += n.again
	g.tally.err = err
	return !g.draining && (n.once > 0 || !failing)
}

// drain closes the gate when ctx ends, or after the grace period when the
// Collector was never reached.
func (g *gate) drain(ctx context.Context) {
	stop := context.AfterFunc(ctx, g.close)
	context.AfterFunc(g.open, func() { stop() }) // ctx may go on for long
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return
	}
	g.draining, g.before = true, g.tally
	grace := time.AfterFunc(neverReachedGrace, func() {
		if reached, failing := g.transport.link.state(); failing && !reached {
			g.close()
		}
	})
	context.AfterFunc(g.open, func() { grace.Stop() })
}

// end stops exports and gives the connection up, once.
func (g *gate) end() {
	g.close()
	g.ended.Do(func() { g.transport.release() })
}

// losses returns the tally of when draining began, and that of now.
func (g *gate) losses() (before, now signalLosses) {
	g.mu.Lock()
	defer g.mu.Unlock()
	address := g.transport.link.address
	return signalLosses{g.signal, address, g.before}, signalLosses{g.signal, address, g.tally}
}
