package faultcollector

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// Received is everything that arrived and was kept. It does not change any
// more.
type Received struct {
	Traces  []*coltrace.ExportTraceServiceRequest
	Metrics []*colmetrics.ExportMetricsServiceRequest
	Logs    []*collogs.ExportLogsServiceRequest

	// Headers of each request: gRPC metadata or HTTP headers, keys in lower
	// case, and Paths the signals or URL paths.
	Headers []map[string][]string
	Paths   []string

	// Spans, DataPoints and LogRecords count what the requests held, those that
	// came twice too.
	Spans, DataPoints, LogRecords int

	spanIDs []trace.SpanID
	bodies  []string
}

// SpanIDs tells how many times each span arrived. It takes time in proportion
// to them all; Spans is there to wait for a number of them.
func (r Received) SpanIDs() map[trace.SpanID]int { return times(r.spanIDs) }

// LogBodies tells how many times each log record arrived, by the text of its
// body; bodies that are no text count as "".
func (r Received) LogBodies() map[string]int { return times(r.bodies) }

func times[T comparable](items []T) map[T]int {
	times := make(map[T]int, len(items))
	for _, item := range items {
		times[item]++
	}
	return times
}

// KeepIDsOnly makes the Collector forget the requests that arrive from now on,
// with their headers, except for the counts, the span ids and the bodies of log
// records: for tests that send more than fits into memory.
func (c *Collector) KeepIDsOnly() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idsOnly = true
}

// Received returns what has arrived so far.
func (c *Collector) Received() Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
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
			t.Fatalf("the awaited telemetry did not arrive: %v; got %d spans, %d data points and %d log records",
				ctx.Err(), got.Spans, got.DataPoints, got.LogRecords)
		}
	}
}

func (c *Collector) keep(r request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.count(r.message)
	if !c.idsOnly {
		c.got.add(r)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (r *Received) add(arrived request) {
	r.Headers = append(r.Headers, arrived.headers)
	r.Paths = append(r.Paths, arrived.path)
	switch message := arrived.message.(type) {
	case *coltrace.ExportTraceServiceRequest:
		r.Traces = append(r.Traces, message)
	case *colmetrics.ExportMetricsServiceRequest:
		r.Metrics = append(r.Metrics, message)
	case *collogs.ExportLogsServiceRequest:
		r.Logs = append(r.Logs, message)
	}
}

func (r *Received) count(message proto.Message) {
	switch message := message.(type) {
	case *coltrace.ExportTraceServiceRequest:
		for _, resource := range message.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					var id trace.SpanID
					copy(id[:], span.SpanId)
					r.spanIDs = append(r.spanIDs, id)
				}
				r.Spans += len(scope.Spans)
			}
		}
	case *colmetrics.ExportMetricsServiceRequest:
		for _, resource := range message.ResourceMetrics {
			for _, scope := range resource.ScopeMetrics {
				for _, metric := range scope.Metrics {
					r.DataPoints += countPoints(metric)
				}
			}
		}
	case *collogs.ExportLogsServiceRequest:
		for _, resource := range message.ResourceLogs {
			for _, scope := range resource.ScopeLogs {
				for _, record := range scope.LogRecords {
					r.bodies = append(r.bodies, record.GetBody().GetStringValue())
				}
				r.LogRecords += len(scope.LogRecords)
			}
		}
	}
}

// countPoints relies on a metric having data of one type.
func countPoints(m *metricspb.Metric) int {
	return len(m.GetGauge().GetDataPoints()) + len(m.GetSum().GetDataPoints()) + len(m.GetHistogram().GetDataPoints()) +
		len(m.GetExponentialHistogram().GetDataPoints()) + len(m.GetSummary().GetDataPoints())
}
