package faultcollector

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// conn is a connection that the server has accepted. What it reads and writes
// is swallowed once it is frozen, and its Close does not reach the client then.
type conn struct {
	net.Conn
	gate   *gate
	frozen atomic.Bool   // written under gate.mu
	closed chan struct{} // by the server; closed under gate.mu
}

func (c *conn) Read(p []byte) (int, error) {
	if rate := c.gate.bytesPerSecond.Load(); rate > 0 {
		p = p[:min(int64(len(p)), max(1, rate/10))]
	}
	n, err := c.Conn.Read(p)
	if rate := c.gate.bytesPerSecond.Load(); rate > 0 {
		select {
		case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
		case <-c.closed:
		}
	}
	if c.frozen.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.frozen.Load() {
		return c.Conn.Write(p)
	}
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
		return len(p), nil
	}
}

// Close is the server's.
func (c *conn) Close() error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	return c.cut()
}

// cut needs gate.mu.
func (c *conn) cut() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	if c.frozen.Load() {
		return nil
	}
	delete(c.gate.conns, c)
	return c.Conn.Close()
}

// freeze needs gate.mu.
func (c *conn) freeze() {
	if c.frozen.Swap(true) {
		return
	}
	_ = c.Conn.SetDeadline(time.Time{}) // draining has none
	c.gate.draining.Go(c.drain)
}

// drain reads until the client closes the connection.
func (c *conn) drain() {
	_, _ = io.Copy(io.Discard, c.Conn)
	_ = c.Conn.Close()
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	_ = c.cut()
	delete(c.gate.conns, c)
}

// SetDeadline leaves a frozen connection to drain.
func (c *conn) SetDeadline(t time.Time) error { return c.unlessFrozen(c.Conn.SetDeadline, t) }

// SetReadDeadline leaves a frozen connection to drain.
func (c *conn) SetReadDeadline(t time.Time) error { return c.unlessFrozen(c.Conn.SetReadDeadline, t) }

func (c *conn) unlessFrozen(set func(time.Time) error, t time.Time) error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.frozen.Load() {
		return nil
	}
	return set(t)
}
