package exporters

import (
	"context"
	"sync"
	"time"
)

// neverReachedGrace is how long a final flush tries a Collector that has never
// answered.
const neverReachedGrace = time.Second

// gate stands before the delivery of one signal: it cuts exports off when
// draining ends, and knows what was lost.
type gate struct {
	signal    string
	transport *transport
	tally     func() tally // of now

	open  context.Context // done when no export may go on
	close context.CancelFunc
	ended sync.Once

	mu       sync.Mutex
	draining bool
	before   tally // of when draining began
}

func newGate(signal string, t *transport) *gate {
	open, closeGate := context.WithCancel(context.Background())
	return &gate{signal: signal, transport: t, open: open, close: closeGate}
}

// tell has a loss logged, unless Shutdown returns it.
func (g *gate) tell(lost map[string]int, err error) {
	if !g.isDraining() {
		g.transport.health.lose(g.signal, lost, err)
	}
}

// tellMissed has metrics logged that the next export carries again, as tell.
func (g *gate) tellMissed(points int64, err error) {
	if !g.isDraining() {
		g.transport.health.miss(points, err)
	}
}

func (g *gate) isDraining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
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
	g.draining, g.before = true, g.tally()
	grace := time.AfterFunc(neverReachedGrace, func() {
		if reached, problem := g.transport.health.state(); problem != nil && !reached {
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
	address := g.transport.health.address
	return signalLosses{g.signal, address, g.before}, signalLosses{g.signal, address, g.tally()}
}
