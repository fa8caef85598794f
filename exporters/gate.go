package exporters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		g.log.Warn("export "+g.signal, "export failed", "endpoint", g.transport.link.address, "signal", g.signal, "lost", n, "error", brief(err))
	}
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

// drain closes the gate when ctx ends, or after the grace period when the
// Collector was never reached; closing stops the timer.
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

// take returns what was lost and forgets it.
func (g *gate) take() (lost int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	lost, err = g.lost, g.err
	g.lost, g.err = 0, nil
	return lost, err
}

// undelivered is what could not be sent to one address for one reason.
type undelivered struct {
	address, reason string
	signals         []string
	causes          []error
}

func (u *undelivered) Error() string {
	return fmt.Sprintf("not delivered to %s: %s: %s", u.address, strings.Join(u.signals, ", "), u.reason)
}

func (u *undelivered) Unwrap() []error { return u.causes }

// takeErrors returns one error for each address and reason.
func takeErrors(gates []*gate) error {
	var errs []error
	var all []*undelivered
	for _, g := range gates {
		lost, err := g.take()
		if err == nil {
			continue
		}
		address, reason := g.transport.link.address, brief(err)
		same := func(u *undelivered) bool { return u.address == address && u.reason == reason }
		i := slices.IndexFunc(all, same)
		if i < 0 {
			i = len(all)
			all = append(all, &undelivered{address: address, reason: reason})
			errs = append(errs, all[i])
		}
		all[i].signals = append(all[i].signals, fmt.Sprintf("%s (%d)", g.signal, lost))
		all[i].causes = append(all[i].causes, err)
	}
	return errors.Join(errs...)
}
