package harness

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // the Collector compresses
)

// A Span is one that arrived at the receiver that stands where Tempo would be.
type Span struct {
	TraceID    string // hex
	SpanID     string // hex
	ParentID   string // hex; empty for a root
	Service    string // service.name of its resource
	Name       string
	Kind       trace.Span_SpanKind
	TraceState string
	Duration   time.Duration
	Attributes map[string]string
	Events     []map[string]string // their attributes
}

// A TraceSink is an OTLP/gRPC receiver that keeps every span, as often as it
// comes.
type TraceSink struct {
	collectortrace.UnimplementedTraceServiceServer
	address string
	server  *grpc.Server

	mu     sync.Mutex
	spans  []Span
	traces map[string][]Span
}

// Spans returns the spans received so far from a service.
func (s *TraceSink) Spans(service string) []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var spans []Span
	for _, span := range s.spans {
		if span.Service == service {
			spans = append(spans, span)
		}
	}
	return spans
}

// Trace returns the spans received so far of a trace.
func (s *TraceSink) Trace(id string) []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.traces[id])
}

// Export implements the trace service of OTLP.
func (s *TraceSink) Export(_ context.Context, req *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				received := Span{
					TraceID:    hex.EncodeToString(span.GetTraceId()),
					SpanID:     hex.EncodeToString(span.GetSpanId()),
					ParentID:   hex.EncodeToString(span.GetParentSpanId()),
					Service:    service,
					Name:       span.GetName(),
					Kind:       span.GetKind(),
					TraceState: span.GetTraceState(),
					Duration:   time.Duration(span.GetEndTimeUnixNano() - span.GetStartTimeUnixNano()),
					Attributes: attributes(span.GetAttributes()),
				}
				for _, event := range span.GetEvents() {
					received.Events = append(received.Events, attributes(event.GetAttributes()))
				}
				s.spans = append(s.spans, received)
				s.traces[received.TraceID] = append(s.traces[received.TraceID], received)
			}
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// StartTraceSink starts a receiver on a free address. It ends with the test.
func StartTraceSink(t testing.TB) *TraceSink {
	t.Helper()
	sink := &TraceSink{address: "127.0.0.1:0", traces: map[string][]Span{}}
	sink.Start(t)
	t.Cleanup(func() { sink.Stop() })
	return sink
}

// TraceSinkAt stands for a receiver of the test's own on an address.
func TraceSinkAt(address string) *TraceSink { return &TraceSink{address: address} }

// Stop closes the receiver's port and connections; what it received stays.
func (s *TraceSink) Stop() { s.server.Stop() }

// Start opens the receiver again, on the same address.
func (s *TraceSink) Start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, s)
	s.address, s.server = l.Addr().String(), server
	go func() { _ = server.Serve(l) }() // returns when it is stopped
}

func attributes(kvs []*common.KeyValue) map[string]string {
	m := make(map[string]string, len(kvs))
	for _, kv := range kvs {
		m[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	return m
}
