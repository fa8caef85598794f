package doctor_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

// inMemory answers requests without sockets, so that no real time passes.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// collectorPages serves one page at each reading, the last again and again.
func collectorPages(pages ...string) http.Handler {
	var readings atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, pages[min(int(readings.Add(1))-1, len(pages)-1)])
	})
	return mux
}

func collectorFindings(t *testing.T, handler http.Handler) []doctor.Finding {
	t.Helper()
	return doctor.Collector(t.Context(), doctor.Config{
		CollectorURL: "http://collector:8888",
		Client:       &http.Client{Transport: inMemory{handler}},
	})
}

// healthyCollector is the page of a Collector of version 0.159.0 with this
// toolkit's configuration, but for what is not looked at.
const healthyCollector = `# TYPE otelcol_exporter_queue_capacity gauge
otelcol_exporter_queue_capacity{data_type="metrics",exporter="otlp_http/prometheus"} 268435456
otelcol_exporter_queue_capacity{data_type="traces",exporter="otlp_grpc/tempo"} 268435456
# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{data_type="metrics",exporter="otlp_http/prometheus"} 0
otelcol_exporter_queue_size{data_type="traces",exporter="otlp_grpc/tempo"} 1000
# TYPE otelcol_exporter_send_failed_spans_total counter
otelcol_exporter_send_failed_spans_total{exporter="otlp_grpc/tempo"} 0
# TYPE otelcol_exporter_sent_spans_total counter
otelcol_exporter_sent_spans_total{exporter="otlp_grpc/tempo"} 90
# TYPE otelcol_process_uptime_seconds_total counter
otelcol_process_uptime_seconds_total 60.5
# TYPE otelcol_processor_filter_datapoints_filtered_total counter
otelcol_processor_filter_datapoints_filtered_total{filter="filter/scraped"} 7
# TYPE otelcol_receiver_accepted_spans_total counter
otelcol_receiver_accepted_spans_total{receiver="otlp",transport="grpc"} 100
# TYPE otelcol_receiver_refused_spans_total counter
otelcol_receiver_refused_spans_total{receiver="otlp",transport="grpc"} 0
`

// changed is the page of the healthy Collector with other numbers.
func changed(oldAndNew ...string) string {
	return strings.NewReplacer(oldAndNew...).Replace(healthyCollector)
}

func TestHealthyCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found := collectorFindings(t, collectorPages(healthyCollector,
			changed("grpc\"} 100", "grpc\"} 120", "tempo\"} 90", "tempo\"} 110")))
		if bad := complaints(found); len(bad) > 0 {
			t.Errorf("a healthy Collector has\n%s", strings.Join(bad, "\n"))
		}
		for _, w := range []expected{
			{"losses", doctor.OK, "nothing was refused"},
			{"queue", doctor.OK, "the queue of otlp_grpc/tempo for traces is 0 % full"},
			{"filtered", doctor.OK, "filter/scraped has left out 7 datapoints"},
			{"arrivals", doctor.OK, "120 spans, data points and log records have arrived, 20 of them just now"},
		} {
			expect(t, found, w)
		}
	})
}

func TestCollector(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before, after string
		want          expected
	}{
		"spans that were refused once": {
			changed("refused_spans_total{receiver=\"otlp\",transport=\"grpc\"} 0", "refused_spans_total{receiver=\"otlp\",transport=\"grpc\"} 5"), "",
			expected{"refused", doctor.Warning, "refused since its start: 5 spans otlp"},
		},
		"spans that are refused now": {
			healthyCollector, changed("refused_spans_total{receiver=\"otlp\",transport=\"grpc\"} 0", "refused_spans_total{receiver=\"otlp\",transport=\"grpc\"} 5"),
			expected{"refused", doctor.Failure, "refused, and more at this moment: 5 spans otlp"},
		},
		"a first loss while it is looked at": {
			healthyCollector, healthyCollector + "otelcol_exporter_enqueue_failed_log_records_total{exporter=\"loki\"} 3\n",
			expected{"enqueue-failed", doctor.Failure, "3 log records loki"},
		},
		"spans that were given up, in the names of an older version": {
			healthyCollector + "otelcol_exporter_send_failed_spans__spans__total{exporter=\"x\"} 3\n", "",
			expected{"send-failed", doctor.Warning, "3 spans x"},
		},
		"spans that were given up, in names without a suffix": {
			healthyCollector + "otelcol_exporter_send_failed_spans{exporter=\"x\"} 4\n", "",
			expected{"send-failed", doctor.Warning, "4 spans x"},
		},
		"a memory limiter that refuses": {
			healthyCollector, healthyCollector + "otelcol_processor_memory_limiter_refused_metric_points_total{processor=\"memory_limiter\"} 8\n",
			expected{"memory-limiter", doctor.Failure, "8 metric points memory_limiter"},
		},
		"a processor of an older version that drops": {
			healthyCollector + "otelcol_processor_dropped_spans{processor=\"batch\"} 8\n", "",
			expected{"dropped", doctor.Warning, "8 spans batch"},
		},
		"a queue that is half full": {
			changed("tempo\"} 1000", "tempo\"} 140000000"), "",
			expected{"queue", doctor.Warning, "the queue of otlp_grpc/tempo for traces is 52 % full"},
		},
		"a queue that is full": {
			changed("tempo\"} 1000", "tempo\"} 268435456"), "",
			expected{"queue", doctor.Failure, "100 % full"},
		},
		"a queue that never empties": {
			changed("prometheus\"} 0", "prometheus\"} 4000"), "",
			expected{"queue", doctor.Failure, "the queue of otlp_http/prometheus for metrics is 0 % full, and nothing was delivered since its start"},
		},
		"a backend that is gone now": {
			healthyCollector, "",
			expected{"queue", doctor.Warning, "and nothing is delivered at this moment"},
		},
		"nothing that arrives": {
			changed("grpc\"} 100", "grpc\"} 0"), "",
			expected{"arrivals", doctor.Warning, "nothing has arrived in the 1m0s since its start"},
		},
		"metrics of something else": {
			"go_goroutines 1\n", "", expected{"format", doctor.Failure, "none of a Collector"},
		},
		"a Collector that ends meanwhile": {
			healthyCollector, "otelcol_", expected{"format", doctor.Failure, "line 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				after := tc.after
				if after == "" {
					after = tc.before
				}
				expect(t, collectorFindings(t, collectorPages(tc.before, after)), tc.want)
			})
		})
	}
}

func TestCollectorHealthCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   expected
	}{
		"available":              {http.StatusOK, `{"status":"Server available","upSince":"2026-11-22T22:00:00Z","uptime":"1m"}`, expected{"health", doctor.OK, "Server available"}},
		"not available":          {http.StatusServiceUnavailable, `{"status":"Server not available","uptime":""}`, expected{"health", doctor.Failure, "Server not available"}},
		"the second extension":   {http.StatusOK, `{"healthy":true,"status":"StatusOK"}`, expected{"health", doctor.OK, "StatusOK"}},
		"not healthy":            {http.StatusInternalServerError, `{"healthy":false,"status":"StatusPermanentError"}`, expected{"health", doctor.Failure, "StatusPermanentError"}},
		"what is not told":       {http.StatusOK, `{"status":"Server available"}`, expected{"losses", doctor.Warning, "does not tell of queues"}},
		"JSON of something else": {http.StatusOK, `{"status":"success"}`, expected{"format", doctor.Failure, "JSON"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, collectorFindings(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})), tc.want)
		})
	}
}

// When time is over before a second reading, it is not known what goes on.
func TestCollectorReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		found := doctor.Collector(ctx, doctor.Config{
			CollectorURL: "http://collector:8888",
			Client: &http.Client{Transport: inMemory{collectorPages(
				healthyCollector+"otelcol_exporter_send_failed_spans{exporter=\"x\"} 4\n",
				healthyCollector+"otelcol_exporter_send_failed_spans{exporter=\"x\"} 5\n",
			)}},
		})
		expect(t, found, expected{"send-failed", doctor.Warning, "given up since its start: 4 spans x"})
		expect(t, found, expected{"arrivals", doctor.OK, "100 spans"})
	})
}
