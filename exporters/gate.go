package exporters

import (
	"context"
	"errors"
	"fmt"
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
	draining bool
	lost     int
	err      error // the latest, since an outage repeats itself
}

func newGate(signal string, t *transport, log *diag.Log) *gate {
	open, closeGate := context.WithCancel(context.Background())
	return &gate{signal: signal, transport: t, log: log, open: open, close: closeGate}
}

// send runs one export of n spans, metrics or log records and keeps its error.
func (g *gate) send(ctx context.Context, n int, export func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.open, cancel)()
	err := export(ctx)
	if g.keep(n, err) {
		g.log.Warn("export "+g.signal, "export failed", "error", g.describe(n, err))
	}
}

func (g *gate) describe(n int, err error) error {
	return fmt.Errorf("%s: %d not delivered to %s: %w", g.signal, n, g.transport.link.address, err)
}

// keep remembers what was lost and reports whether it is worth a line: not
// when Shutdown returns it, nor for metrics while the link is known to be down,
// because they are cumulative and the next export makes up for this one.
func (g *gate) keep(n int, err error) bool {
	_, failing := g.transport.link.state()
	g.mu.Lock()
	defer g.mu.Unlock()
	cumulative := g.signal == signalMetrics
	if cumulative {
		g.lost, g.err = 0, nil
	}
	if err == nil {
		return false
	}
	g.lost, g.err = g.lost+n, err
	return !g.draining && !(cumulative && failing)
}

func (g *gate) drain(ctx context.Context) {
	g.mu.Lock()
	g.draining = true
	g.mu.Unlock()
	context.AfterFunc(ctx, g.close)
	grace := time.AfterFunc(neverReachedGrace, func() {
		if reached, failing := g.transport.link.state(); failing && !reached {
			g.close()
		}
	})
	context.AfterFunc(g.open, func() { grace.Stop() })
}

// shutdown ends the exporter behind the gate and its use of the connection.
func (g *gate) shutdown(ctx context.Context, exporter func(context.Context) error) error {
	err := exporter(ctx)
	g.end()
	return err
}

// end stops exports and gives the connection up, once.
func (g *gate) end() {
	g.close()
	g.ended.Do(g.transport.release)
}

func (g *gate) takeError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		return nil
	}
	err := g.describe(g.lost, g.err)
	g.lost, g.err = 0, nil
	return err
}

func takeErrors(gates []*gate) error {
	var errs []error
	for _, g := range gates {
		errs = append(errs, g.takeError())
	}
	return errors.Join(errs...)
}
