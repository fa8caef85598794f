package faultcollector

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// gate is a listener that a server keeps while connections are refused, and
// that knows the connections it has accepted.
type gate struct {
	address        string
	listen         func(at string) (net.Listener, error)
	bytesPerSecond atomic.Int64   // zero: as fast as it goes
	draining       sync.WaitGroup // frozen connections

	mu      sync.Mutex
	inner   net.Listener  // nil while refusing
	changed chan struct{} // closed when inner or closed changes
	closed  bool
	conns   map[*conn]struct{}
}

func newGate(t testing.TB, listen func(at string) (net.Listener, error), at string) *gate {
	t.Helper()
	g := &gate{listen: listen, address: at, changed: make(chan struct{}), conns: map[*conn]struct{}{}}
	if err := g.open(); err != nil {
		t.Fatalf("listening: %v", err)
	}
	g.address = g.inner.Addr().String()
	return g
}

func (g *gate) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inner != nil || g.closed {
		return nil
	}
	inner, err := g.listen(g.address)
	if err != nil {
		return err
	}
	g.inner = inner
	g.change()
	return nil
}

func (g *gate) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inner == nil {
		return
	}
	_ = g.inner.Close() // whoever waits there is told
	g.inner = nil
	g.change()
	for c := range g.conns {
		_ = c.cut()
	}
}

func (g *gate) freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.freeze()
	}
}

func (g *gate) dial(ctx context.Context, network string) (net.Conn, error) {
	g.mu.Lock()
	inner := g.inner
	g.mu.Unlock()
	if inner == nil {
		return nil, refused(network, g.address)
	}
	if pipes, ok := inner.(*pipeListener); ok {
		return pipes.dial(ctx, network)
	}
	return (&net.Dialer{}).DialContext(ctx, network, g.address)
}

// Accept waits while connections are refused.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		inner, changed, closed := g.inner, g.changed, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if inner == nil {
			<-changed
			continue
		}
		accepted, err := inner.Accept()
		if err == nil {
			accepted, err = g.admit(inner, accepted)
		}
		if !errors.Is(err, net.ErrClosed) {
			return accepted, err
		}
	}
}

// admit turns away what was accepted before the listener was closed.
func (g *gate) admit(inner net.Listener, accepted net.Conn) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inner != inner {
		_ = accepted.Close()
		return nil, net.ErrClosed
	}
	c := &conn{Conn: accepted, gate: g, closed: make(chan struct{})}
	g.conns[c] = struct{}{}
	return c, nil
}

// Addr is where it listens, also while it refuses.
func (g *gate) Addr() net.Addr { return address(g.address) }

// Close ends all connections, those that are frozen too.
func (g *gate) Close() error {
	g.refuse()
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.change()
	}
	for c := range g.conns {
		_ = c.Conn.Close()
	}
	g.mu.Unlock()
	g.draining.Wait()
	return nil
}
