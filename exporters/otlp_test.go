package exporters_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // requests come compressed
	"google.golang.org/grpc/stats"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestAllSignalsArrive(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config    func(*faultcollector.Collector) exporters.OTLP
		wantPaths []string
	}{
		"over gRPC": {
			config:    func(c *faultcollector.Collector) exporters.OTLP { return exporters.OTLP{Endpoint: c.GRPC} },
			wantPaths: []string{"logs", "metrics", "traces"},
		},
		"over gRPC to a URL": {
			config:    func(c *faultcollector.Collector) exporters.OTLP { return exporters.OTLP{Endpoint: "http://" + c.GRPC} },
			wantPaths: []string{"logs", "metrics", "traces"},
		},
		"over HTTP": {
			config: func(c *faultcollector.Collector) exporters.OTLP {
				return exporters.OTLP{Endpoint: c.HTTP, Protocol: protocolHTTP}
			},
			wantPaths: []string{"/v1/logs", "/v1/metrics", "/v1/traces"},
		},
		"over HTTP below a path": {
			config: func(c *faultcollector.Collector) exporters.OTLP {
				return exporters.OTLP{Endpoint: "http://" + c.HTTP + "/otlp/"}
			},
			wantPaths: []string{"/otlp/v1/logs", "/otlp/v1/metrics", "/otlp/v1/traces"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := faultcollector.Start(t)
			config := test.config(collector)
			config.Headers = map[string]string{"API-Key": "secret"}
			s := start(t, config)
			s.emit(t)
			if err := s.flush(patience(t)); err != nil {
				t.Fatal(err)
			}
			got := collector.Received()
			slices.Sort(got.Paths)
			if diff := cmp.Diff(test.wantPaths, got.Paths); diff != "" {
				t.Errorf("paths differ (-want +got):\n%s", diff)
			}
			checkContent(t, got)
			for i, headers := range got.Headers {
				if diff := cmp.Diff([]string{"secret"}, headers["api-key"]); diff != "" {
					t.Errorf("header api-key of request %d differs (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func checkContent(t *testing.T, got faultcollector.Received) {
	t.Helper()
	if !all(got) {
		t.Fatalf("got %d trace, %d metric and %d log requests, want all", len(got.Traces), len(got.Metrics), len(got.Logs))
	}
	if name := got.Traces[0].ResourceSpans[0].ScopeSpans[0].Spans[0].Name; name != "checkout" {
		t.Errorf("got span %q, want checkout", name)
	}
	if name := metrics(got)[0].Name; name != "orders" {
		t.Errorf("got metric %q, want orders", name)
	}
	if body := got.Logs[0].ResourceLogs[0].ScopeLogs[0].LogRecords[0].Body.GetStringValue(); body != "paid" {
		t.Errorf("got log record %q, want paid", body)
	}
}

// metrics returns those of the latest request: a counter and a histogram.
func metrics(got faultcollector.Received) []*metricspb.Metric {
	return got.Metrics[len(got.Metrics)-1].ResourceMetrics[0].ScopeMetrics[0].Metrics
}

func TestSignalsShareOneConnection(t *testing.T) {
	t.Parallel()
	collector := faultcollector.Start(t)
	counted := startRelay(t, "127.0.0.1:0", collector.GRPC, nil)
	s := start(t, exporters.OTLP{Endpoint: counted.address})
	if got, want := s.Endpoint(), counted.address; got != want {
		t.Errorf("got endpoint %q, want %q", got, want)
	}
	for range 3 {
		s.emit(t)
		if err := s.flush(patience(t)); err != nil {
			t.Fatal(err)
		}
	}
	if got := counted.accepted.Load(); got != 1 {
		t.Errorf("got %d connections, want 1", got)
	}
}

func TestVariablesReachTheCollector(t *testing.T) { // not parallel: it sets variables
	collector := faultcollector.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.HTTP)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+collector.HTTP+"/as/it/is/traces")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "from=general,general=1")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "from=traces%20alone")
	t.Setenv("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none")
	s := start(t, exporters.OTLP{Headers: map[string]string{"field": "1"}})
	s.emit(t)
	if err := s.flush(patience(t)); err != nil {
		t.Fatal(err)
	}
	want := map[string][4]string{ // from, general, field and content-encoding
		"/as/it/is/traces": {"traces alone", "", "1", "gzip"},
		"/v1/metrics":      {"general", "1", "1", "gzip"},
		"/v1/logs":         {"general", "1", "1", ""},
	}
	got := make(map[string][4]string)
	received := collector.Received()
	for i, path := range received.Paths {
		header := http.Header{}
		for key, values := range received.Headers[i] {
			header[http.CanonicalHeaderKey(key)] = values
		}
		got[path] = [4]string{header.Get("From"), header.Get("General"), header.Get("Field"), header.Get("Content-Encoding")}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests differ (-want +got):\n%s", diff)
	}
}

func TestPaths(t *testing.T) { // not parallel: it sets variables
	paths := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
	t.Cleanup(server.Close)
	const general, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	tests := map[string]struct{ variable, path, want string }{
		"the general endpoint gets the signal's path":         {general, "", "/v1/traces"},
		"the general endpoint may end in a slash":             {general, "/", "/v1/traces"},
		"the general endpoint keeps its path":                 {general, "/base", "/base/v1/traces"},
		"the general endpoint's path may end in a slash":      {general, "/base/", "/base/v1/traces"},
		"the signal's endpoint is used as it is":              {own, "/own", "/own"},
		"the signal's endpoint keeps its slash":               {own, "/own/", "/own/"},
		"the signal's endpoint without a path means the root": {own, "", "/"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(test.variable, server.URL+test.path)
			s := start(t, exporters.OTLP{Protocol: protocolHTTP, DisableMetrics: true, DisableLogs: true})
			s.emit(t)
			if err := s.flush(patience(t)); err != nil {
				t.Fatal(err)
			}
			if got := <-paths; got != test.want {
				t.Errorf("got path %q, want %q", got, test.want)
			}
		})
	}
}

// A redirect would take the headers, and so credentials, to another host.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var followed, asked atomic.Int32
			other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
			t.Cleanup(other.Close)
			first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				http.Redirect(w, r, other.URL, status)
			}))
			t.Cleanup(first.Close)
			s := start(t, exporters.OTLP{Endpoint: first.URL, Protocol: protocolHTTP, Headers: map[string]string{"api-key": "secret"}})
			s.emit(t)
			err := s.flush(patience(t))
			for _, want := range []string{"traces (1)", "metrics (2)", "logs (1)", "redirects are not followed", "set the address that it leads to"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want it to say %q", err, want)
				}
			}
			if followed.Load() != 0 || asked.Load() != 3 {
				t.Errorf("got %d requests to the other host and %d to the first, want none and one for each signal", followed.Load(), asked.Load())
			}
		})
	}
}

// compressions is a gRPC server that notes how each request is compressed, and
// implements nothing.
type compressions struct{ seen chan string }

func (*compressions) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (*compressions) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*compressions) HandleConn(context.Context, stats.ConnStats)                       {}

func (c *compressions) HandleRPC(_ context.Context, event stats.RPCStats) {
	if header, ok := event.(*stats.InHeader); ok {
		c.seen <- header.Compression
	}
}

func TestCompressionOverGRPC(t *testing.T) { // not parallel: it sets a variable
	tests := map[string]struct{ value, want string }{
		"requests are compressed with gzip":    {"", "gzip"},
		"requests are compressed when told to": {"gzip", "gzip"},
		"requests are plain when told so":      {"none", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", test.value)
			c := &compressions{make(chan string, 10)}
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer(grpc.StatsHandler(c))
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener) }()
			t.Cleanup(func() {
				server.Stop()
				if err := <-served; err != nil {
					t.Errorf("serving: %v", err)
				}
			})
			log := newLines()
			s := start(t, exporters.OTLP{Endpoint: listener.Addr().String(), DisableMetrics: true, DisableLogs: true, Logger: slog.New(log)})
			s.emit(t)
			err = s.flush(patience(t))
			if err == nil || !strings.Contains(err.Error(), "unknown service") {
				t.Errorf("got error %v, want the server's refusal", err)
			}
			if got := log.with(""); len(got) != 1 || !strings.Contains(got[0], "signal=traces lost=1") {
				t.Errorf("got lines %q, want the refusal and no outage", got)
			}
			if got := <-c.seen; got != test.want {
				t.Errorf("got compression %q, want %q", got, test.want)
			}
		})
	}
}

func TestDisabledSignals(t *testing.T) {
	t.Parallel()
	s := start(t, exporters.OTLP{DisableTraces: true, DisableMetrics: true, DisableLogs: true})
	if s.Spans != nil || s.Metrics != nil || s.Logs != nil || s.Endpoint() != "" {
		t.Errorf("got %+v, want an empty pipeline", s.OTLPPipeline)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("got error %v", err)
	}
}

func TestHistograms(t *testing.T) {
	t.Parallel()
	for name, exponential := range map[string]bool{"explicit by default": false, "exponential when asked for": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := faultcollector.Start(t)
			s := start(t, exporters.OTLP{Endpoint: collector.GRPC, ExponentialHistograms: exponential})
			s.emit(t)
			if err := s.flush(patience(t)); err != nil {
				t.Fatal(err)
			}
			duration := metrics(collector.Received())[1]
			if got := duration.GetExponentialHistogram() != nil; got != exponential {
				t.Errorf("got %v, want exponential %v", duration, exponential)
			}
			if got := duration.GetHistogram() != nil; got == exponential {
				t.Errorf("got %v, want explicit %v", duration, !exponential)
			}
		})
	}
}

func TestMetricVariables(t *testing.T) { // not parallel: it sets variables
	tests := map[string]struct {
		preference, histogram string
		wantTemporality       metricspb.AggregationTemporality
		wantExponential       bool
		wantWarnings          int
	}{
		"cumulative by default":      {wantTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE},
		"cumulative when asked for":  {preference: "Cumulative", wantTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE},
		"delta is warned about once": {preference: "delta", wantTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, wantWarnings: 1},
		"low memory is too":          {preference: "lowmemory", wantTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, wantWarnings: 1},
		"exponential histograms": {
			histogram:       "base2_exponential_bucket_histogram",
			wantTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
			wantExponential: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", test.preference)
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", test.histogram)
			collector, log := faultcollector.Start(t), newLines()
			s := start(t, exporters.OTLP{Endpoint: collector.GRPC, Logger: slog.New(log)})
			s.emit(t)
			if err := s.flush(patience(t)); err != nil {
				t.Fatal(err)
			}
			got := metrics(collector.Received())
			if temporality := got[0].GetSum().AggregationTemporality; temporality != test.wantTemporality {
				t.Errorf("got temporality %v, want %v", temporality, test.wantTemporality)
			}
			if exponential := got[1].GetExponentialHistogram() != nil; exponential != test.wantExponential {
				t.Errorf("got exponential histogram %v, want %v", exponential, test.wantExponential)
			}
			if warnings := log.with("temporality"); len(warnings) != test.wantWarnings {
				t.Errorf("got lines %q, want %d", warnings, test.wantWarnings)
			}
		})
	}
}
