package exporters

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/diag"
)

const (
	// maxConnections bounds the open connections of the metrics listener. Two
	// hundred scrapers at once fit, and what they cost, about 20 KiB each and a
	// file descriptor, stays small next to a service and its usual limit of 1024.
	maxConnections = 256
	// maxStreams bounds the requests at a time of one HTTP/2 connection: enough
	// for a browser, and no way around maxConnections.
	maxStreams = 8
	// connectionGrace is how long a connection may be in one state before it can be closed
	// to make room. A scrape reaches the next state sooner, even when many come.
	connectionGrace = 500 * time.Millisecond
)

// connections keeps the open connections at a limit: when one more comes, the
// one that has been longest in its state is closed, since stuck ones are. A new
// one waits as long as none is past its grace. Safe for concurrent use.
type connections struct {
	limit int
	log   *diag.Log
	freed chan struct{} // has room for one, so that a signal is not missed

	mu    sync.Mutex
	since map[net.Conn]time.Time // when it came into its state, zero while it waits for us
}

type connKey struct{}

// remember is an http.Server.ConnContext.
func (*connections) remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// pause exempts the connection of a request that waits for us.
func (c *connections) pause(ctx context.Context) { c.set(ctx, time.Time{}) }

// resume ends that, and begins a state in which the client is to read.
func (c *connections) resume(ctx context.Context) { c.set(ctx, time.Now()) }

func (c *connections) set(ctx context.Context, since time.Time) {
	conn, ok := ctx.Value(connKey{}).(net.Conn)
	if c == nil || !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.since[conn]; known {
		c.since[conn] = since
	}
}

func newConnections(limit int, log *diag.Log) *connections {
	return &connections{limit: limit, log: log, freed: make(chan struct{}, 1), since: make(map[net.Conn]time.Time)}
}

// changed is an http.Server.ConnState, called with a new connection before the
// next is accepted.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch _, known := c.since[conn]; {
	case state == http.StateNew:
		c.makeRoom()
		c.since[conn] = time.Now()
	case !known: // it was closed to make room
	case state == http.StateClosed, state == http.StateHijacked:
		delete(c.since, conn)
		select {
		case c.freed <- struct{}{}:
		default:
		}
	default:
		c.since[conn] = time.Now()
	}
}

// makeRoom releases the lock while it waits.
func (c *connections) makeRoom() {
	for len(c.since) >= c.limit {
		wait := c.closeOldest()
		if wait == 0 {
			c.log.Warn("connections", "the metrics listener is at its limit and closes connections", "limit", c.limit)
			return
		}
		c.mu.Unlock()
		aged := time.NewTimer(wait)
		select {
		case <-aged.C:
		case <-c.freed:
		}
		aged.Stop()
		c.mu.Lock()
	}
}

// closeOldest returns after how long it is to be tried again, 0 when it closed
// one.
func (c *connections) closeOldest() time.Duration {
	oldest, age := c.oldest()
	if age < connectionGrace {
		return connectionGrace - age
	}
	delete(c.since, oldest)
	if secure, ok := oldest.(*tls.Conn); ok {
		oldest = secure.NetConn() // without the goodbye of TLS, which would wait for the peer
	}
	_ = oldest.Close()
	return 0
}

// oldest is nil, of no age, when there is none or all wait for us.
func (c *connections) oldest() (oldest net.Conn, age time.Duration) {
	for conn, since := range c.since {
		if in := time.Since(since); !since.IsZero() && (oldest == nil || in > age) {
			oldest, age = conn, in
		}
	}
	return oldest, age
}

// relieved is a listener that gives a file descriptor back when the process has
// none left, which the service needs more. net/http accepts again soon.
type relieved struct {
	net.Listener
	conns *connections
}

func (l relieved) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		l.conns.mu.Lock()
		defer l.conns.mu.Unlock()
		_ = l.conns.closeOldest()
	}
	return conn, err
}

// serverLine passes on what net/http says about this process, and nothing that
// clients alone can cause: they would fill the log.
func (s *PrometheusServer) serverLine(line string) {
	switch {
	case strings.HasPrefix(line, "http: Accept error"):
		s.log.Error("accept", "the metrics listener takes no connection for now", "error", line)
	case strings.HasPrefix(line, "http: panic serving"):
		s.log.Error("page", "a page of the metrics listener panicked", "error", line)
	}
}
