package exporters

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/otelmon/toolkit/internal/diag"
)

// MaxConnections is maxConnections.
const MaxConnections = maxConnections

// Grace is connectionGrace.
const Grace = connectionGrace

// PageTimeout is pageTimeout.
const PageTimeout = pageTimeout

// Reuse is reuse.
const Reuse = reuse

// Crowd is crowd.
const Crowd = crowd

// HeldPages is heldPages.
const HeldPages = heldPages

// Connections is connections.
type Connections struct{ c *connections }

// NewConnections is newConnections.
func NewConnections(limit int) Connections {
	return Connections{newConnections(limit, diag.New(slog.New(slog.DiscardHandler), nil))}
}

// Changed is changed.
func (c Connections) Changed(conn net.Conn, state http.ConnState) { c.c.changed(conn, state) }

// Pause is pause, for a request of the connection.
func (c Connections) Pause(conn net.Conn) { c.c.pause(c.c.remember(context.Background(), conn)) }

// Resume is resume, for a request of the connection.
func (c Connections) Resume(conn net.Conn) { c.c.resume(c.c.remember(context.Background(), conn)) }
