// Package faultcollector is an OpenTelemetry Collector for tests: a real OTLP
// server over gRPC and HTTP, in the test's process, that keeps what it
// receives and can be made to hang.
package faultcollector

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // requests come compressed
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Collector is a running server. Safe for concurrent use.
type Collector struct {
	// GRPC and HTTP are the addresses, host:port on loopback.
	GRPC, HTTP string

	mu      sync.Mutex
	got     Received
	changed chan struct{} // closed at each arrival
	hang    chan struct{} // nil, or closed when hanging ends
}

// Received is everything that arrived.
type Received struct {
	Traces  []*coltrace.ExportTraceServiceRequest
	Metrics []*colmetrics.ExportMetricsServiceRequest
	Logs    []*collogs.ExportLogsServiceRequest

	// Headers of each request: gRPC metadata or HTTP headers, keys in lower
	// case, and Paths the methods or URL paths.
	Headers []map[string][]string
	Paths   []string
}

// Start runs a Collector until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{changed: make(chan struct{})}
	c.GRPC = c.serveGRPC(t)
	c.HTTP = c.serveHTTP(t)
	t.Cleanup(c.Heal)
	return c
}

// Hang makes every request wait until Heal or the client gives up.
func (c *Collector) Hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hang == nil {
		c.hang = make(chan struct{})
	}
}

// Heal ends Hang.
func (c *Collector) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hang != nil {
		close(c.hang)
		c.hang = nil
	}
}

// Wait returns once enough is true of what has arrived, or fails the test when
// its context ends first.
func (c *Collector) Wait(ctx context.Context, t testing.TB, enough func(Received) bool) Received {
	t.Helper()
	for {
		c.mu.Lock()
		got, changed := c.got, c.changed
		c.mu.Unlock()
		if enough(got) {
			return got
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the awaited telemetry did not arrive: %v; got %d trace, %d metric and %d log requests",
				ctx.Err(), len(got.Traces), len(got.Metrics), len(got.Logs))
		}
	}
}

// Received returns what has arrived so far.
func (c *Collector) Received() Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

// receive hangs when told to, and keeps one request.
func (c *Collector) receive(ctx context.Context, path string, headers map[string][]string, keep func(*Received)) error {
	c.mu.Lock()
	hang := c.hang
	c.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	keep(&c.got)
	c.got.Headers = append(c.got.Headers, headers)
	c.got.Paths = append(c.got.Paths, path)
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	return l
}

func (c *Collector) serveGRPC(t testing.TB) string {
	l := listen(t)
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, traceService{c: c})
	colmetrics.RegisterMetricsServiceServer(server, metricsService{c: c})
	collogs.RegisterLogsServiceServer(server, logsService{c: c})
	go func() { _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

type traceService struct {
	coltrace.UnimplementedTraceServiceServer
	c *Collector
}

func (s traceService) Export(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	err := s.c.receive(ctx, "traces", headers, func(got *Received) { got.Traces = append(got.Traces, r) })
	return &coltrace.ExportTraceServiceResponse{}, err
}

type metricsService struct {
	colmetrics.UnimplementedMetricsServiceServer
	c *Collector
}

func (s metricsService) Export(ctx context.Context, r *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	err := s.c.receive(ctx, "metrics", headers, func(got *Received) { got.Metrics = append(got.Metrics, r) })
	return &colmetrics.ExportMetricsServiceResponse{}, err
}

type logsService struct {
	collogs.UnimplementedLogsServiceServer
	c *Collector
}

func (s logsService) Export(ctx context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	err := s.c.receive(ctx, "logs", headers, func(got *Received) { got.Logs = append(got.Logs, r) })
	return &collogs.ExportLogsServiceResponse{}, err
}

func (c *Collector) serveHTTP(t testing.TB) string {
	l := listen(t)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", c.handleHTTP)
	server := &http.Server{Handler: mux} //nolint:gosec // a test's own client talks to it
	go func() { _ = server.Serve(l) }()  // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// handleHTTP takes any path whose last element is a signal.
func (c *Collector) handleHTTP(w http.ResponseWriter, r *http.Request) {
	traces, metrics, logs := &coltrace.ExportTraceServiceRequest{}, &colmetrics.ExportMetricsServiceRequest{}, &collogs.ExportLogsServiceRequest{}
	var message proto.Message
	var keep func(*Received)
	switch path := r.URL.Path; {
	case hasSignal(path, "traces"):
		message, keep = traces, func(got *Received) { got.Traces = append(got.Traces, traces) }
	case hasSignal(path, "metrics"):
		message, keep = metrics, func(got *Received) { got.Metrics = append(got.Metrics, metrics) }
	case hasSignal(path, "logs"):
		message, keep = logs, func(got *Received) { got.Logs = append(got.Logs, logs) }
	default:
		http.NotFound(w, r)
		return
	}
	if err := decode(r, message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := c.receive(r.Context(), r.URL.Path, lowerKeys(r.Header), keep); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func decode(r *http.Request, message proto.Message) error {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return proto.Unmarshal(content, message)
}

func hasSignal(path, signal string) bool { return strings.HasSuffix(path, "/"+signal) }

func lowerKeys(header http.Header) map[string][]string {
	lower := make(map[string][]string, len(header))
	for key, values := range header {
		lower[strings.ToLower(key)] = values
	}
	return lower
}
