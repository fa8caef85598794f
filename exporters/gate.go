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

	mu       sync.Mutex
	draining bool
	err      error
}

func newGate(signal string, t *transport, log *diag.Log) *gate {
	open, closeGate := context.WithCancel(context.Background())
	return &gate{signal: signal, transport: t, log: log, open: open, close: closeGate}
}

// send runs one export of n items and keeps its error.
func (g *gate) send(ctx context.Context, n int, export func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.open, cancel)()
	err := export(ctx)
	if err == nil {
		return
	}
	err = fmt.Errorf("%s: %d not delivered to %s: %w", g.signal, n, g.transport.link.address, err)
	if g.keep(err) {
		g.log.Warn("export "+g.signal, "export failed", "error", err)
	}
}

// keep remembers the latest error, since an outage repeats itself, and reports
// whether it is worth a line: not when Shutdown returns it, nor for metrics
// while the link is known to be down, because they are cumulative and the next
// export makes up for this one.
func (g *gate) keep(err error) bool {
	_, failing := g.transport.link.state()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
	return !g.draining && (g.signal != signalMetrics || !failing)
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
	g.close()
	g.transport.release()
	return err
}

func (g *gate) takeError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.err
	g.err = nil
	return err
}

func takeErrors(gates []*gate) error {
	var errs []error
	for _, g := range gates {
		errs = append(errs, g.takeError())
	}
	return errors.Join(errs...)
}
