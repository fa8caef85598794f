package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/otelmon/toolkit/e2e/harness"
)

// What docs/collector.md promises of the shipped configuration on one core.
const (
	promisedRate   = 10_000    // spans a second
	offeredRate    = 10_500    // spans a second; what a client's ticks fall short of is less
	promisedMemory = 150 << 20 // resident, in bytes
	loadDuration   = 40 * time.Second
)

// TestCollectorLoad measures Collectors on one core. A client on the other cores
// sends the spans of HTTP servers and clients at a steady rate, a quarter of them
// from services without otelmon.
func TestCollectorLoad(t *testing.T) {
	if os.Getenv("OTELMON_COLLECTOR_LOAD") == "" {
		t.Skip("takes minutes and two idle cores; make collector-load runs it")
	}
	tests := []struct {
		title   string
		options []string
		rate    int
		gate    bool // fail below what is promised
	}{
		{title: "as shipped", rate: offeredRate, gate: true},
		{title: "as shipped, three times the rate", rate: 3 * offeredRate},
		{title: "with tail sampling", rate: offeredRate, options: []string{"deploy/collector/tail-sampling.yaml"}},
	}
	for _, test := range tests {
		t.Run(test.title, func(t *testing.T) {
			sink := startCountingSink(t)
			collector := harness.NewCollector(t, t.TempDir(), sink.traces, harness.FreeAddress(t))
			for _, option := range test.options {
				collector.Option(t, option, nil)
			}
			collector.PinToOneCore()
			collector.Env("GOMAXPROCS=1")
			collector.Start(t)
			got := measureLoad(t, collector, test.rate)
			t.Logf("%s: %v; %d spans arrived at the backend", test.title, got, sink.spans.Load())
			if !test.gate {
				return
			}
			if got.refused > 0 || got.failed > 0 {
				t.Errorf("got %v spans refused and %d requests failed, want none", got.refused, got.failed)
			}
			if got.offered < promisedRate {
				t.Fatalf("the client could only send %.0f spans/s; the machine has other work", got.offered)
			}
			if got.rate < promisedRate || got.memory > promisedMemory {
				t.Errorf("got %.0f spans/s in %d MiB, want %d in %d", got.rate, got.memory>>20, promisedRate, promisedMemory>>20)
			}
		})
	}
}

// loadResult is what a load on a Collector came to.
type loadResult struct {
	offered float64 // spans sent a second
	rate    float64 // spans accepted a second
	refused float64 // spans
	failed  int64   // requests
	cores   float64 // processor time a second
	memory  int64   // most resident, in bytes
}

func (r loadResult) String() string {
	return fmt.Sprintf("%.0f spans/s sent, %.0f accepted, %.0f refused, %d requests failed, %.2f cores, at most %d MiB",
		r.offered, r.rate, r.refused, r.failed, r.cores, r.memory>>20)
}

// measureLoad sends spans at a rate for loadDuration.
func measureLoad(t *testing.T, collector *harness.Collector, rate int) loadResult {
	t.Helper()
	const connections, batch = 8, 512 // as many SDKs with full batches
	var (
		result  loadResult
		sent    atomic.Int64 // spans
		failed  atomic.Int64
		workers sync.WaitGroup
		client  = collectortrace.NewTraceServiceClient(dialCollector(t, collector))
		began   = time.Now()
		cpu     = processorTime(t, collector.PID())
	)
	ctx, cancel := context.WithTimeout(t.Context(), loadDuration)
	defer cancel()
	for i := range connections {
		workers.Go(func() {
			request := loadRequest(i, batch)
			tick := time.NewTicker(time.Second * batch * connections / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				renewIDs(request)
				sent.Add(batch)
				if _, err := client.Export(t.Context(), request); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	workers.Wait()
	took := time.Since(began).Seconds()
	result.cores = (processorTime(t, collector.PID()) - cpu).Seconds() / took
	result.offered, result.failed = float64(sent.Load())/took, failed.Load()
	result.memory = peakMemory(t, collector.PID())
	accepted, err := collector.Metric(acceptedSpans, nil)
	if err != nil {
		t.Fatal(err)
	}
	result.rate = accepted / took
	if result.refused, err = collector.Metric("otelcol_receiver_refused_spans_total", nil); err != nil {
		t.Fatal(err)
	}
	return result
}

// loadRequest is a batch of one service: traces of four spans, with the
// attributes that otelhttp sets.
func loadRequest(service, spans int) *collectortrace.ExportTraceServiceRequest {
	resource := map[string]string{
		"service.name": fmt.Sprintf("service-%d", service), "service.namespace": "load", "service.version": "1.2.3",
		"service.instance.id": fmt.Sprintf("instance-%d", service), "deployment.environment.name": "test",
		"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "go", "telemetry.sdk.version": "1.47.0",
	}
	if service%4 != 0 {
		resource["telemetry.distro.name"] = "otelmon"
	}
	attributes := map[string]string{
		"http.request.method": "GET", "http.route": "/products/{id}", "url.path": "/products/7", "url.scheme": "http",
		"server.address": "products.internal", "client.address": "192.0.2.7", "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
		"network.protocol.version": "1.1", "network.peer.address": "192.0.2.7", "url.full": "http://products.internal/products/7",
	}
	now := uint64(time.Now().UnixNano())
	scope := &trace.ScopeSpans{}
	for range spans {
		scope.Spans = append(scope.Spans, &trace.Span{
			TraceId: make([]byte, 16), SpanId: make([]byte, 8), ParentSpanId: make([]byte, 8), TraceState: "ot=th:0",
			Name: "GET /products/{id}", Kind: trace.Span_SPAN_KIND_SERVER, Attributes: keyValues(attributes),
			StartTimeUnixNano: now, EndTimeUnixNano: now + 12_345_678,
		})
	}
	return &collectortrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource: resourceOf(resource), ScopeSpans: []*trace.ScopeSpans{scope},
	}}}
}

// renewIDs makes the spans of a request others, in traces of four.
func renewIDs(request *collectortrace.ExportTraceServiceRequest) {
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // never fails
	for i, span := range request.ResourceSpans[0].ScopeSpans[0].Spans {
		copy(span.TraceId, seed[:])
		// The last bytes decide on sampling, and have to look random.
		binary.BigEndian.PutUint64(span.TraceId[8:], binary.BigEndian.Uint64(seed[8:])+uint64(i/4)*0x9e3779b97f4a7c15)
		copy(span.SpanId, seed[:8])
		binary.BigEndian.PutUint16(span.SpanId[6:], uint16(i))
	}
}

// countingSink is a backend that only counts, so that the machine is left to
// the Collector.
type countingSink struct {
	collectortrace.UnimplementedTraceServiceServer
	traces *harness.TraceSink // its address
	spans  atomic.Int64
}

// Export implements the trace service of OTLP.
func (s *countingSink) Export(_ context.Context, request *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.spans.Add(int64(len(scope.GetSpans())))
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

func startCountingSink(t *testing.T) *countingSink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink := &countingSink{traces: harness.TraceSinkAt(l.Addr().String())}
	server := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, sink)
	go func() { _ = server.Serve(l) }() // returns when it is stopped
	t.Cleanup(server.Stop)
	return sink
}

// processorTime is what a process has used so far, as Linux counts it.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// The fields after the name in parentheses; see proc(5).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const ticksPerSecond = 100
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}
