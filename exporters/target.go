package exporters

import (
	"context"
	"crypto/tls"
	"time"
)

// Target is where one signal is pushed to, as [OTLP.Start] would.
type Target struct {
	// Signal is traces, metrics or logs.
	Signal string
	// Address is host:port; Protocol is grpc or http/protobuf.
	Address, Protocol string
	// TLS is the configuration of the connection; nil is plaintext.
	TLS *tls.Config

	settings settings
}

// Targets returns where the signals are pushed to, without those that are
// disabled. The error says what is not accepted; a signal that cannot be sent is
// left out.
func (o OTLP) Targets() ([]Target, error) { return nil, nil }

// Answer is what the peer said to a [Target.Probe].
type Answer struct {
	// Took is the time from the request to the answer, the connection included.
	Took time.Duration
	// Date is the peer's clock, zero when it does not tell.
	Date time.Time
}

// Probe sends one export without content, on a connection of its own, and does
// not try again. The error is what an export would fail with.
func (t Target) Probe(ctx context.Context) (Answer, error) { return Answer{}, nil }
