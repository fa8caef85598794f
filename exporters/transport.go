package exporters

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/otelmon/toolkit/internal/diag"
)

// transport is one connection, shared by the signals that use the same
// endpoint and credentials. Exactly one of conn and client is set.
type transport struct {
	conn   *grpc.ClientConn
	client *http.Client
	link   *link
	users  atomic.Int32
}

func newTransport(s settings, log *diag.Log) (*transport, error) {
	t := &transport{link: &link{address: s.endpoint.address, log: log, now: time.Now}}
	t.users.Store(1)
	if s.endpoint.protocol == protocolHTTP {
		t.client = &http.Client{Timeout: s.timeout, Transport: newRoundTripper(s, t.link), CheckRedirect: refuseRedirect}
		return t, nil
	}
	var err error
	t.conn, err = dial(s, t.link)
	return t, err
}

// dial makes the connection without waiting for it. It comes back within 5 s
// of the peer, where gRPC's default waits up to 2 min, and notices a peer that
// silently went away.
func dial(s settings, l *link) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if !s.endpoint.plaintext {
		creds = credentials.NewTLS(s.tls)
	}
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = 5 * time.Second
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithUnaryInterceptor(l.intercept(s.timeout)),
	}
	if s.gzip {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	// With the scheme, a host named like one of gRPC's schemes is a host.
	return grpc.NewClient("dns:///"+s.endpoint.address, options...)
}

// release closes the connection when its last user is gone, and reports
// whether that was so.
func (t *transport) release() (closed bool) {
	if t.users.Add(-1) > 0 {
		return false
	}
	if t.conn != nil {
		_ = t.conn.Close() // fails only when closed already
		return true
	}
	t.client.CloseIdleConnections()
	return true
}

// link watches every attempt and says once that the Collector cannot be
// reached, and once that it is back. What a Collector refuses for good, such as
// a signal that it does not take, is reported by the signal's gate instead.
type link struct {
	address string
	log     *diag.Log
	now     func() time.Time

	mu      sync.Mutex
	reached bool
	failing bool
	since   time.Time
}

func (l *link) intercept(timeout time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err := invoke(attempt, method, req, reply, conn, opts...)
		switch code := status.Code(err); {
		case ctx.Err() != nil:
		case code == codes.Unavailable || code == codes.DeadlineExceeded:
			l.observe(err)
		default:
			l.observe(nil) // a refusal is an answer
		}
		return err
	}
}

// refuseRedirect keeps headers with credentials, and telemetry, from a host
// that nobody configured.
func refuseRedirect(*http.Request, []*http.Request) error {
	return errors.New("it answers with a redirect, which is not followed: set the address that it leads to as the endpoint")
}

// roundTripper marks connection failures as temporary, because the OTLP
// exporter over HTTP retries nothing else and would lose a batch at once.
type roundTripper struct {
	next   *http.Transport
	link   *link
	closed context.Context // done when no connection may be kept
	close  context.CancelFunc
}

func newRoundTripper(s settings, l *link) *roundTripper {
	r := &roundTripper{link: l}
	r.closed, r.close = context.WithCancel(context.Background())
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	r.next = &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: s.tls.Clone(), // which the transport changes
		// A dial outlives the request that it was for, and would leave a
		// connection behind.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(r.closed, cancel)()
			return dialer.DialContext(ctx, network, address)
		},
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   3, // one for each signal
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	return r
}

// CloseIdleConnections is what the method of [http.Client] looks for.
func (r *roundTripper) CloseIdleConnections() {
	r.close()
	r.next.CloseIdleConnections()
}

func (r *roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	if r.closed.Err() != nil {
		return nil, r.closed.Err()
	}
	response, err := r.next.RoundTrip(request)
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err != nil {
		r.link.observe(err)
		return nil, temporary{err}
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		r.link.observe(fmt.Errorf("HTTP status %s", response.Status))
	default:
		r.link.observe(nil) // a refusal is an answer
	}
	return response, nil
}

type temporary struct{ error }

func (t temporary) Temporary() bool { return true }
func (t temporary) Unwrap() error   { return t.error }

// Timeout keeps the attempt's own deadline recognisable to net/url.Error.
func (t temporary) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(t.error, &timeout) && timeout.Timeout()
}

func (l *link) observe(err error) {
	switch before, since := l.turn(err); {
	case err == nil && before:
		l.log.Info("link up "+l.address, "telemetry is delivered again", "endpoint", l.address, "after", l.now().Sub(since).Round(time.Millisecond).String())
	case err != nil && !before:
		l.log.Warn("link down "+l.address, "cannot deliver telemetry, trying on", "endpoint", l.address, "error", brief(err))
	}
}

// turn takes the outcome of an attempt and returns whether attempts failed
// before, and since when.
func (l *link) turn(err error) (failing bool, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	failing, since = l.failing, l.since
	l.failing = err != nil
	l.reached = l.reached || err == nil
	if l.failing && !failing {
		l.since = l.now()
	}
	return failing, since
}

// brief returns what went wrong without the layers that gRPC and the exporters
// wrap around it, and in part when a server has much to say about it.
func brief(err error) string {
	const most = 500
	text := err.Error()
	var grpcError interface{ GRPCStatus() *status.Status }
	var urlError *url.Error
	switch {
	case errors.As(err, &grpcError):
		text = grpcError.GRPCStatus().Message()
	case errors.As(err, &urlError):
		text = urlError.Err.Error()
	}
	for _, layer := range []string{`connection error: desc = "`, "transport: "} {
		text = strings.TrimPrefix(text, layer)
	}
	text = strings.TrimSuffix(text, `"`)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// state says whether the Collector ever answered and whether the last attempt
// failed.
func (l *link) state() (reached, failing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reached, l.failing
}
