package exporters

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	contentType = "application/x-protobuf"
	userAgent   = "otelmon-OTLP-Exporter-Go/" + telemetry.Version
)

// method returns the OTLP service's for a signal.
func method(signal string) string {
	switch signal {
	case signalTraces:
		return "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	case signalLogs:
		return "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	}
	return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
}

// transport is one connection, shared by the signals that use the same
// endpoint and credentials. Exactly one of conn and client is set.
type transport struct {
	conn   *grpc.ClientConn
	client *http.Client
	health *health
	users  atomic.Int32
	closed context.Context // done when no connection may be kept
	close  context.CancelFunc
}

// newTransport makes one for s; options change what gRPC does for it.
func newTransport(s settings, log *diag.Log, options ...grpc.DialOption) (*transport, error) {
	t := &transport{health: newHealth(s.endpoint.address, log)}
	t.closed, t.close = context.WithCancel(context.Background())
	t.users.Store(1)
	if s.endpoint.protocol == protocolHTTP {
		t.client = &http.Client{Transport: t.roundTripper(s), CheckRedirect: refuseRedirect}
		return t, nil
	}
	var err error
	t.conn, err = dialGRPC(s, options...)
	return t, err
}

// dialGRPC makes the connection without waiting for it. It comes back within
// 5 s of the peer, where gRPC's default waits up to 2 min, and notices a peer
// that silently went away.
func dialGRPC(s settings, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = 4 * time.Second // and up to a fifth more
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentialsOf(s)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithUserAgent(userAgent),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encoded{}), grpc.MaxCallRecvMsgSize(replyBytes)),
	}
	if s.gzip {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(grpcgzip.Name)))
	}
	// With the scheme, a host named like one of gRPC's schemes is a host.
	target := "dns:///"
	if s.dial != nil { // which then resolves the name, too
		target = "passthrough:///"
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return s.dial(ctx, "tcp", address)
		}))
	}
	return grpc.NewClient(target+s.endpoint.address, append(options, more...)...)
}

func credentialsOf(s settings) credentials.TransportCredentials {
	if s.endpoint.plaintext {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(s.tls)
}

// encoded passes messages on that are encoded already.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("a request is %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

func (encoded) Unmarshal(data mem.BufferSlice, v any) error {
	reply, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a reply is %T", v)
	}
	*reply = data.Materialize()
	return nil
}

func (t *transport) roundTripper(s settings) *http.Transport {
	dial, proxy := s.dial, func(*http.Request) (*url.URL, error) { return nil, nil }
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
		proxy = http.ProxyFromEnvironment
	}
	return &http.Transport{
		Proxy:           proxy,
		TLSClientConfig: s.tls.Clone(), // which the transport changes
		// A dial outlives the request that it was for, and would leave a
		// connection behind.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(t.closed, cancel)()
			return dial(ctx, network, address)
		},
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		DisableCompression:  true, // answers are small, and bounded as they come
		MaxIdleConnsPerHost: 3,    // one for each signal
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
	}
}

// useOnce has the connection closed after a request over HTTP, also where the
// answer is not waited for.
func (t *transport) useOnce() {
	if t.client == nil {
		return
	}
	if trips, ok := t.client.Transport.(*http.Transport); ok {
		trips.DisableKeepAlives = true
	}
}

// refuseRedirect keeps headers with credentials, and telemetry, from a host
// that nobody configured.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call makes one attempt to deliver an encoded request. The first one fails at
// once where nobody listens, and says why; one made again waits for the
// connection as long as it may, and so is there when the peer is.
func (t *transport) call(ctx context.Context, s *sender, body []byte, again bool) outcome {
	if t.closed.Err() != nil {
		return outcome{failure: connectionFailure(errors.New("the connection was given up"))}
	}
	if t.conn == nil {
		return t.post(ctx, s, body)
	}
	var reply []byte
	var header metadata.MD
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(s.settings.headers))
	err := t.conn.Invoke(ctx, method(s.signal), body, &reply, grpc.WaitForReady(again), grpc.Header(&header))
	if err != nil {
		return outcome{failure: grpcFailure(err), date: clock(header.Get("date"))}
	}
	o := answered(reply)
	o.date = clock(header.Get("date"))
	return o
}

// clock reads a Date header, see RFC 9110, section 6.6.1. It is zero without one.
func clock(values []string) (date time.Time) {
	if len(values) > 0 {
		date, _ = http.ParseTime(values[0]) // what is no date tells nothing
	}
	return date
}

func (t *transport) post(ctx context.Context, s *sender, body []byte) outcome {
	if s.settings.gzip {
		body = s.compress(body)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.settings.endpoint.url(), bytes.NewReader(body))
	if err != nil { // the endpoint was parsed before
		return outcome{failure: &failure{reason: telemetry.LostBadResponse, err: err}}
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", userAgent)
	if s.settings.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	for key, value := range s.settings.headers {
		request.Header.Set(key, value)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return outcome{failure: connectionFailure(err)}
	}
	defer response.Body.Close()
	o := httpOutcome(response)
	o.date = clock(response.Header.Values("Date"))
	return o
}

// reconnect has a broken connection tried again now, so that it comes back no
// later than the next attempt.
func (t *transport) reconnect() {
	if t.conn != nil {
		t.conn.ResetConnectBackoff()
	}
}

// release closes the connection when its last user is gone, and reports
// whether that was so.
func (t *transport) release() (closed bool) {
	if t.users.Add(-1) > 0 {
		return false
	}
	t.close()
	if t.conn != nil {
		_ = t.conn.Close() // fails only when closed already
		return true
	}
	t.client.CloseIdleConnections()
	return true
}

// brief returns plain in part when a server has much to say about it.
func brief(err error) string {
	const most = 500
	text := plain(err)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// plain returns what went wrong without the layers that gRPC and net/http wrap
// around it, in one line.
func plain(err error) string {
	text := err.Error()
	var grpcError interface{ GRPCStatus() *status.Status }
	var urlError *url.Error
	switch {
	case errors.As(err, &grpcError):
		s := grpcError.GRPCStatus()
		text = cmp.Or(s.Message(), s.Code().String())
	case errors.As(err, &urlError):
		text = urlError.Err.Error()
	}
	for _, layer := range []string{"latest balancer error: ", `connection error: desc = "`, "transport: "} {
		if inner, ok := strings.CutPrefix(text, layer); ok {
			text = strings.TrimSuffix(inner, `"`)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if h := hint(text); !strings.HasSuffix(text, h) {
		text += h
	}
	return text
}

// hint says what an error means that comes from a usual mistake.
func hint(text string) string {
	switch {
	case strings.Contains(text, "produced zero addresses"):
		return " (the name does not resolve)"
	case strings.Contains(text, "malformed HTTP response"), strings.Contains(text, "readLoopPeekFailLocked"):
		return " (is it a port for gRPC?)"
	case strings.Contains(text, "http2: frame too large"), strings.Contains(text, "error reading server preface"):
		return " (is it a port for HTTP?)"
	}
	return ""
}
