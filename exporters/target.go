package exporters

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
)

// Target is where one signal is pushed to, as [OTLP.Start] would.
type Target struct {
	// Signal is traces, metrics or logs.
	Signal string
	// Address is host:port; Protocol is grpc or http/protobuf.
	Address, Protocol string
	// TLS is the configuration of the connection, a copy with the name of the
	// server; nil is plaintext.
	TLS *tls.Config

	settings settings
}

// Targets returns where the signals are pushed to, without those that are
// disabled. The error says what is not accepted; a signal that cannot be sent is
// left out.
func (o OTLP) Targets() ([]Target, error) {
	vars := &env.Reader{}
	var all []Target
	for _, signal := range []struct {
		name     string
		disabled bool
	}{{signalTraces, o.DisableTraces}, {signalMetrics, o.DisableMetrics}, {signalLogs, o.DisableLogs}} {
		if signal.disabled {
			continue
		}
		if set, ok := o.settings(vars, signal.name); ok {
			all = append(all, Target{signal.name, set.endpoint.address, set.endpoint.protocol, set.clientTLS(), set})
		}
	}
	return all, vars.Err()
}

// clientTLS returns what a connection begins with.
func (s settings) clientTLS() *tls.Config {
	if s.endpoint.plaintext {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.tls != nil {
		config = s.tls.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(s.endpoint.address) // which was parsed before
	}
	return config
}

// Answer is what the peer said to a [Target.Probe], or how far that came.
type Answer struct {
	// Took is the time from the request to the answer, the connection included.
	Took time.Duration
	// Date is the peer's clock, in whole seconds; zero when it does not tell, as
	// over gRPC most do not.
	Date time.Time
}

// Probe sends one export without content, on a connection of its own, and does
// not try again. It ends with ctx, and as an attempt of an export does.
//
// The error is what an export would fail with: a line that begins with the
// reason, as in error.type, without the values of headers. It wraps its causes,
// of package tls, x509 and net also over gRPC, as far as no proxy hides them.
// Safe for concurrent use.
func (t Target) Probe(ctx context.Context) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.settings.timeout)
	defer cancel()
	var seen causes
	to, err := newTransport(t.settings, diag.New(slog.New(slog.DiscardHandler), nil), seen.watch(t.settings)...)
	if err != nil {
		return Answer{}, fmt.Errorf("connecting %s to %s: %w", t.Signal, t.settings.endpoint, err)
	}
	defer to.release()
	to.useOnce()
	sender := newSender(t.Signal, t.settings, to)
	began := time.Now()
	o := to.call(ctx, sender, []byte{}, false)
	answer := Answer{Took: time.Since(began), Date: o.date}
	sender.mask(&o)
	if err := o.err(); err != nil {
		seen.add(err)
		seen.add(ctx.Err())
		return answer, &probeError{o.reason(), brief(err), seen.all()}
	}
	return answer, nil
}

// probeError says why an export without content failed.
type probeError struct {
	reason, said string
	causes       []error
}

func (e *probeError) Error() string {
	if strings.HasPrefix(e.said, e.reason) {
		return e.said
	}
	return e.reason + ": " + e.said
}

func (e *probeError) Unwrap() []error { return e.causes }

// causes are the errors behind a failure, of which gRPC keeps the text alone.
type causes struct {
	mu   sync.Mutex
	errs []error
}

func (c *causes) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *causes) all() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs
}

// watch has gRPC connect as it would, and notes what goes wrong with that. With a
// dialer gRPC uses no proxy, so that there is none where a proxy is meant.
func (c *causes) watch(s settings) []grpc.DialOption {
	options := []grpc.DialOption{grpc.WithTransportCredentials(handshakes{credentialsOf(s), c})}
	dial := s.dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
		if proxied(s.endpoint.address) {
			return options
		}
	}
	return append(options, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, "tcp", address)
		c.add(err)
		return conn, err
	}))
}

// proxied reports whether gRPC goes through a proxy, which it does as for https.
func proxied(address string) bool {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	return proxy != nil || err != nil
}

// handshakes notes those that fail.
type handshakes struct {
	credentials.TransportCredentials
	failed *causes
}

func (h handshakes) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	h.failed.add(err)
	return conn, info, err
}
