package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// newTransport returns what sends requests to the upstream, as they are.
func newTransport(u Upstream, scheme string, own *connections) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            own.dial,
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true, // the client says what it accepts
		MaxIdleConnsPerHost:    10_000,
		IdleConnTimeout:        45 * time.Second, // less than servers and balancers have
		ResponseHeaderTimeout:  u.Timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		Protocols:              &http.Protocols{},
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           30 * time.Second,
			MaxReceiveBufferPerStream: 1 << 20, // of a client that reads slowly
		},
	}
	switch scheme {
	case "h2c":
		t.Protocols.SetUnencryptedHTTP2(true)
	case "https":
		t.Protocols.SetHTTP2(true)
		fallthrough
	default:
		t.Protocols.SetHTTP1(true)
	}
	config, err := u.TLS.config()
	t.TLSClientConfig = config
	return t, err
}

// config reads the files.
func (c ClientTLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s has no certificate; accepted: PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file, tls.key_file: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// connections are those to upstreams that are open: where they lead to, by
// their local address. One address may have several, to different places, and
// clients on this machine may have it too. A request is our own if it comes
// from the one end of a connection and arrives at the other.
type connections struct {
	mu   sync.RWMutex
	open map[string][]string
}

func newConnections() *connections { return &connections{open: map[string][]string{}} }

// made reports whether the request is our own.
func (c *connections) made(r *http.Request) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	remotes := c.open[r.RemoteAddr]
	if len(remotes) == 0 {
		return false
	}
	arrived, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && slices.Contains(remotes, arrived.String())
}

// dial opens a connection to an upstream, or to the proxy of the environment
// that is in between.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // telemetry tells its type
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	own := &connection{TCPConn: tcp, all: c, local: tcp.LocalAddr().String(), remote: tcp.RemoteAddr().String()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[own.local] = append(c.open[own.local], own.remote)
	return own, nil
}

func (c *connections) forget(local, remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	remotes := slices.DeleteFunc(c.open[local], func(other string) bool { return other == remote })
	if len(remotes) > 0 {
		c.open[local] = remotes
	} else {
		delete(c.open, local)
	}
}

// connection is one of them. It has all that [net.TCPConn] can do, such as to
// close one direction.
type connection struct {
	*net.TCPConn

	all           *connections
	local, remote string
	once          sync.Once
}

// Close forgets the connection before another one can have its addresses.
func (c *connection) Close() error {
	c.once.Do(func() { c.all.forget(c.local, c.remote) })
	return c.TCPConn.Close()
}
