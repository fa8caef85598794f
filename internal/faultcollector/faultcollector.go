// Package faultcollector is an OpenTelemetry Collector for tests: a real OTLP
// server over gRPC and HTTP, in the test's process, that keeps what it
// receives, tells it by id, and can be made to fail in the ways that networks
// and Collectors do.
package faultcollector

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Collector is a running server. Safe for concurrent use.
type Collector struct {
	// GRPC and HTTP are the addresses, host:port on loopback.
	GRPC, HTTP string

	t          testing.TB
	grpc, http *gate
	maxHTTP    atomic.Int64

	answering sync.Mutex // one call of answer at a time

	mu       sync.Mutex
	answer   func(Request) Reply
	requests int
	got      Received
	idsOnly  bool
	changed  chan struct{} // closed at each arrival
	hanging  bool
	healed   chan struct{} // closed by Heal
}

// Start runs a Collector on sockets of the loopback interface until the test
// ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := newCollector(t, listenLoopback, "", "")
	c.serve(nil)
	return c
}

// StartTLS is Start with TLS. The configuration is that of a client, which
// trusts the certificate that was made for this Collector; a client without it
// meets an authority that it does not know.
func StartTLS(t testing.TB) (*Collector, *tls.Config) {
	t.Helper()
	c := newCollector(t, listenLoopback, "", "")
	server, client := certificate(t, c.GRPC, c.HTTP)
	c.serve(server)
	return c, client
}

// StartInMemory is Start without sockets: clients connect with
// [Collector.Dial]. Everything lives in the bubble of testing/synctest that
// calls it, so that no real time passes. GRPC and HTTP are addresses on
// loopback, which need no resolver and no proxy, where nobody listens.
func StartInMemory(t testing.TB) *Collector {
	t.Helper()
	c := newCollector(t, listenInMemory, "127.0.0.4:4317", "127.0.0.4:4318")
	c.serve(nil)
	return c
}

func newCollector(t testing.TB, listen func(at string) (net.Listener, error), grpc, http string) *Collector {
	t.Helper()
	c := &Collector{t: t, changed: make(chan struct{}), healed: make(chan struct{})}
	c.grpc, c.http = newGate(t, listen, grpc), newGate(t, listen, http)
	c.GRPC, c.HTTP = c.grpc.address, c.http.address
	return c
}

func (c *Collector) serve(config *tls.Config) {
	c.run(c.serverGRPC(config))
	c.run(c.serverHTTP(config))
	c.t.Cleanup(c.release) // before the servers stop
}

func (c *Collector) run(serve, stop func()) {
	var serving sync.WaitGroup
	serving.Go(serve)
	c.t.Cleanup(func() {
		stop()
		serving.Wait()
	})
}

// Dial connects to one of the two addresses, on sockets or in memory, as the
// dialer of an HTTP transport or, without the network, of a gRPC client.
func (c *Collector) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch address {
	case c.GRPC:
		return c.grpc.dial(ctx, network)
	case c.HTTP:
		return c.http.dial(ctx, network)
	default:
		return nil, refused(network, address)
	}
}

// Hang makes every request wait until Heal or until the client gives up. A
// request whose client gives up is not kept.
func (c *Collector) Hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hanging = true
}

// Refuse closes listeners and connections until Heal, as those of a Collector
// that is down: clients get "connection refused".
func (c *Collector) Refuse() {
	c.grpc.refuse()
	c.http.refuse()
}

// Freeze makes the connections of this moment half-open for good: what either
// side sends is swallowed and nothing is closed. New connections work. Frozen
// connections stay so after Heal, and end when the client closes them or with
// the test.
func (c *Collector) Freeze() {
	c.grpc.freeze()
	c.http.freeze()
}

// SlowDown limits how fast the Collector reads from each connection, until
// Heal. What fits into the buffers of the sockets leaves the client at once.
func (c *Collector) SlowDown(bytesPerSecond int64) {
	c.grpc.bytesPerSecond.Store(bytesPerSecond)
	c.http.bytesPerSecond.Store(bytesPerSecond)
}

// Heal ends Hang, Refuse, SlowDown and Answer; frozen connections stay so. The
// Collector listens on the same addresses as before, for which it waits up to
// 5 s each. Requests that wait, also because of a Delay, are answered now.
func (c *Collector) Heal() {
	c.Answer(nil)
	c.SlowDown(0)
	for _, g := range []*gate{c.grpc, c.http} {
		if err := g.open(); err != nil {
			c.t.Errorf("listening again: %v", err)
		}
	}
	c.release()
}

// release answers those who wait.
func (c *Collector) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hanging = false
	close(c.healed)
	c.healed = make(chan struct{})
}

// LimitHTTPBytes makes HTTP requests whose content, uncompressed, is longer
// fail with status 413, before Answer sees them. Zero, the default, is no
// limit. Over gRPC the limit is always the default of 4 MiB of its servers.
func (c *Collector) LimitHTTPBytes(limit int64) { c.maxHTTP.Store(limit) }
