package faultcollector_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func records(bodies ...string) *collogs.ExportLogsServiceRequest {
	scope := &logspb.ScopeLogs{}
	for _, body := range bodies {
		text := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: body}}
		scope.LogRecords = append(scope.LogRecords, &logspb.LogRecord{Body: text})
	}
	return &collogs.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{scope}}}}
}

// points has two data points of each type.
func points() *colmetrics.ExportMetricsServiceRequest {
	numbers := []*metricspb.NumberDataPoint{{}, {}}
	scope := &metricspb.ScopeMetrics{Metrics: []*metricspb.Metric{
		{Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: numbers}}},
		{Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{DataPoints: numbers}}},
		{Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{DataPoints: []*metricspb.HistogramDataPoint{{}, {}}}}},
		{Data: &metricspb.Metric_ExponentialHistogram{
			ExponentialHistogram: &metricspb.ExponentialHistogram{DataPoints: []*metricspb.ExponentialHistogramDataPoint{{}, {}}},
		}},
		{Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: []*metricspb.SummaryDataPoint{{}, {}}}}},
		{Name: "without data"},
	}}
	return &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{ScopeMetrics: []*metricspb.ScopeMetrics{scope}}}}
}

func sendLogs(ctx context.Context, t *testing.T, c *faultcollector.Collector, bodies ...string) error {
	t.Helper()
	_, err := collogs.NewLogsServiceClient(dialGRPC(t, c)).Export(ctx, records(bodies...))
	return err
}

func TestDeliveryByID(t *testing.T) {
	t.Parallel()
	for name, idsOnly := range map[string]bool{"with the requests": false, "without them": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
				if idsOnly {
					c.KeepIDsOnly()
				}
				sender := connect()
				for _, ids := range [][]byte{{1, 2}, {2, 3}} {
					if err := sender(t.Context(), ids...); err != nil {
						t.Fatal(err)
					}
				}
				if err := sendLogs(t.Context(), t, c, "a", "a", "b"); err != nil {
					t.Fatal(err)
				}
				got := c.Wait(t.Context(), t, func(got faultcollector.Received) bool { return got.Spans == 4 && got.LogRecords == 3 })
				if diff := cmp.Diff(times(1, 2, 1), got.SpanIDs()); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(map[string]int{"a": 2, "b": 1}, got.LogBodies()); diff != "" {
					t.Error(diff)
				}
				want := []int{2, 1, 3, 3}
				if idsOnly {
					want = []int{0, 0, 0, 0}
				}
				if diff := cmp.Diff(want, []int{len(got.Traces), len(got.Logs), len(got.Headers), len(got.Paths)}); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, method string
		request      proto.Message
		answer       proto.Message
		want         faultcollector.Received
	}{
		"spans": {
			"/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", spans(1, 2, 3, 4),
			&coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: 3, ErrorMessage: "no"}},
			faultcollector.Received{Spans: 1},
		},
		"data points": {
			"/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", points(),
			&colmetrics.ExportMetricsServiceResponse{PartialSuccess: &colmetrics.ExportMetricsPartialSuccess{RejectedDataPoints: 3, ErrorMessage: "no"}},
			faultcollector.Received{DataPoints: 7},
		},
		"log records": {
			"/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export", records("a", "b", "c", "d", "e"),
			&collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: 3, ErrorMessage: "no"}},
			faultcollector.Received{LogRecords: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := faultcollector.Start(t)
			ctx := within(t, time.Minute)
			c.Answer(faultcollector.Always(faultcollector.Reply{Rejected: 3, Message: "no"}))

			answer := test.answer.ProtoReflect().New().Interface()
			if err := dialGRPC(t, c).Invoke(ctx, test.method, test.request, answer); err != nil || !proto.Equal(answer, test.answer) {
				t.Errorf("got error %v and answer %v, want %v", err, answer, test.answer)
			}
			if got := c.Received(); got.Spans != test.want.Spans || got.DataPoints != test.want.DataPoints || got.LogRecords != test.want.LogRecords {
				t.Errorf("got %d spans, %d data points, %d log records, want %+v", got.Spans, got.DataPoints, got.LogRecords, test.want)
			}
			_, body, err := post(ctx, httpClient(t, c, nil), "http://"+c.HTTP+test.path, encode(t, test.request))
			if err != nil || !bytes.Equal(body, encode(t, test.answer)) {
				t.Errorf("got error %v and answer %q over HTTP, want %v", err, body, test.answer)
			}
		})
	}
}

func TestRejectedMayBeAllOfThem(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		c.Answer(faultcollector.Always(faultcollector.Reply{Rejected: 5}))
		if err := connect()(t.Context(), 1, 2); err != nil {
			t.Fatal(err)
		}
		if got := c.Received(); got.Spans != 0 || len(got.Traces) != 1 {
			t.Errorf("got %d spans in %d requests, want none in 1", got.Spans, len(got.Traces))
		}
	})
}

func TestGzip(t *testing.T) {
	t.Parallel()
	c := faultcollector.Start(t)
	if err := overGRPC(t, c, grpc.WithDefaultCallOptions(grpc.UseCompressor(grpcgzip.Name)))(within(t, time.Minute), 1); err != nil {
		t.Error(err)
	}
	response, _, err := post(within(t, time.Minute), httpClient(t, c, nil), "http://"+c.HTTP+"/v1/traces", zip(t, encode(t, spans(2))), "Content-Encoding", "gzip")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("got error %v", err)
	}
	if diff := cmp.Diff(times(1, 1), c.Received().SpanIDs()); diff != "" {
		t.Error(diff)
	}
}

func zip(t *testing.T, content []byte) []byte {
	t.Helper()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	c := faultcollector.Start(t)
	long := strings.Repeat("a", 5<<20)
	content := encode(t, records(long))
	if err := sendLogs(within(t, time.Minute), t, c, long); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got error %v over gRPC, want code ResourceExhausted", err)
	}
	sender := httpClient(t, c, nil)
	for name, test := range map[string]struct {
		limit int64
		want  int
	}{
		"no limit":                     {0, http.StatusOK},
		"a limit that just allows it":  {int64(len(content)), http.StatusOK},
		"a limit that is one too low":  {int64(len(content)) - 1, http.StatusRequestEntityTooLarge},
		"a limit that gzip would meet": {100_000, http.StatusRequestEntityTooLarge},
	} {
		c.LimitHTTPBytes(test.limit)
		response, _, err := post(within(t, time.Minute), sender, "http://"+c.HTTP+"/v1/logs", zip(t, content), "Content-Encoding", "gzip")
		if err != nil || response.StatusCode != test.want {
			t.Errorf("%s: got error %v and answer %v, want status %d", name, err, response, test.want)
		}
	}
}

func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	c := faultcollector.Start(t)
	for name, test := range map[string]struct {
		path    string
		content []byte
		headers []string
		want    int
	}{
		"a path that names no signal": {"/v1/profiles", nil, nil, http.StatusNotFound},
		"text that is not UTF-8":      {"/v1/logs", bytes.Replace(encode(t, records("text")), []byte("text"), []byte("te\xfft"), 1), nil, http.StatusBadRequest},
		"no gzip":                     {"/v1/logs", []byte("plain"), []string{"Content-Encoding", "gzip"}, http.StatusBadRequest},
	} {
		response, _, err := post(within(t, time.Minute), httpClient(t, c, nil), "http://"+c.HTTP+test.path, test.content, test.headers...)
		if err != nil || response.StatusCode != test.want {
			t.Errorf("%s: got error %v and answer %v, want status %d", name, err, response, test.want)
		}
	}
	if got := c.Received().Paths; got != nil {
		t.Errorf("got requests %q, want none kept", got)
	}
}
