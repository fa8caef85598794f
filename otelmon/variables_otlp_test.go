package otelmon_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

// signals are the general variable, and those of one signal each.
var signals = []string{"", "traces", "metrics", "logs"}

// arrived names the signals that a Collector received.
func arrived(got faultcollector.Received) string {
	var names []string
	if len(got.Traces) > 0 {
		names = append(names, "traces")
	}
	if len(got.Metrics) > 0 {
		names = append(names, "metrics")
	}
	if len(got.Logs) > 0 {
		names = append(names, "logs")
	}
	return strings.Join(names, " ")
}

// others are the signals that a variable does not touch.
func others(signal string) string {
	if signal == "" {
		return ""
	}
	return strings.Join(slices.DeleteFunc(slices.Clone(signals[1:]), func(s string) bool { return s == signal }), " ")
}

func all(signal string) string {
	if signal == "" {
		return "traces metrics logs"
	}
	return signal
}

func otlpRows() map[string]func(*testing.T) {
	rows := make(map[string]func(*testing.T))
	for _, signal := range signals {
		for suffix, row := range map[string]func(t *testing.T, name, signal string){
			"ENDPOINT":           endpointRow,
			"PROTOCOL":           protocolRow,
			"HEADERS":            headersRow,
			"TIMEOUT":            attemptRow,
			"COMPRESSION":        compressionRow,
			"CERTIFICATE":        certificateRow,
			"CLIENT_CERTIFICATE": certificateRow,
			"CLIENT_KEY":         certificateRow,
			"INSECURE":           insecureRow,
		} {
			name := endpointVariables(signal) + suffix
			rows[name] = func(t *testing.T) { row(t, name, signal) }
		}
	}
	return rows
}

func endpointRow(t *testing.T, name, signal string) {
	other := faultcollector.Start(t)
	collector := faultcollector.Start(t)
	s := pushing(t, collector, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": other.GRPC, name: collector.GRPC})
	if got := arrived(s.deliver(t)); got != all(signal) {
		t.Errorf("%q arrived at the variable's endpoint, want %q", got, all(signal))
	}
	if got := arrived(other.Received()); got != others(signal) {
		t.Errorf("%q arrived at the general endpoint, want %q", got, others(signal))
	}
}

func protocolRow(t *testing.T, name, signal string) {
	collector := faultcollector.Start(t)
	s := pushing(t, collector, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":          collector.GRPC,
		endpointVariables(signal) + "ENDPOINT": collector.HTTP,
		name:                                   "http/protobuf",
	})
	s.emit(t)
	err := flushUntil(t, s, 500*time.Millisecond)
	if signal != "" {
		// A signal's own endpoint is used as it is, so that its path is "/".
		if err == nil || !strings.Contains(err.Error(), signal) || !strings.Contains(err.Error(), "404") {
			t.Errorf("got %v, want HTTP's status 404 for %s", err, signal)
		}
		return
	}
	for _, path := range []string{"/v1/traces", "/v1/metrics", "/v1/logs"} {
		if got := collector.Received().Paths; !slices.Contains(got, path) {
			t.Errorf("got requests to %v, want one to %s", got, path)
		}
	}
}

func headersRow(t *testing.T, name, signal string) {
	s := with(t, map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "tenant=other", name: "tenant=a%20b,Api-Key=k"})
	got := s.deliver(t)
	for i, path := range got.Paths {
		want := "other"
		if signal == "" || signal == path {
			want = "a b"
		}
		if tenant := got.Headers[i]["tenant"]; !slices.Equal(tenant, []string{want}) {
			t.Errorf("%s came with tenant %q, want %q", path, tenant, want)
		}
	}
}

// attemptRow lets the Collector hang: only a signal whose attempts end early
// tries again and is delivered soon after the Collector is well.
func attemptRow(t *testing.T, name, _ string) {
	s := with(t, map[string]string{name: "30", "OTEL_METRIC_EXPORT_INTERVAL": "100"})
	s.collector.Hang()
	s.emit(t)
	s.log.wait(t, "cannot deliver telemetry")
	s.collector.Heal()
	s.collector.Wait(patience(t), t, func(got faultcollector.Received) bool { return arrived(got) == all("") })
}

func compressionRow(t *testing.T, name, signal string) {
	collector := faultcollector.Start(t)
	s := pushing(t, collector, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + collector.HTTP,
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		name:                          "none",
	})
	got := s.deliver(t)
	if len(got.Paths) < 3 {
		t.Fatalf("got requests to %v, want all signals", got.Paths)
	}
	for i, path := range got.Paths {
		plain := signal == "" || strings.HasSuffix(path, signal)
		if encoding := got.Headers[i]["content-encoding"]; (len(encoding) == 0) != plain {
			t.Errorf("%s came with encoding %v, want plain: %v", path, encoding, plain)
		}
	}
}

func certificateRow(t *testing.T, name, signal string) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	s := with(t, map[string]string{name: missing})
	wantError(t, s.setupErr, name, "missing.pem")
	if got := arrived(s.deliver(t)); got != others(signal) {
		t.Errorf("%q arrived, want %q: the signal is left out, the rest runs", got, others(signal))
	}
}

func insecureRow(t *testing.T, name, signal string) {
	s := with(t, map[string]string{name: "false"})
	s.emit(t)
	_ = flushUntil(t, s, time.Second) // the variable's signals fail, as they must
	if got := arrived(s.collector.Received()); got != others(signal) {
		t.Errorf("%q arrived over plaintext, want %q", got, others(signal))
	}
	s.log.wait(t, "authentication handshake failed")
}

func batchingRows() map[string]func(*testing.T) {
	rows := map[string]func(*testing.T){
		"OTELMON_OTLP_QUEUE_BYTES": func(t *testing.T) {
			s := with(t, map[string]string{"OTELMON_OTLP_QUEUE_BYTES": "2000000"})
			page := httptest.NewRecorder()
			s.MetricsHandler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
			if got := page.Body.String(); strings.Count(got, "} 1e+06\n") != 2 {
				t.Errorf("got %s\nwant half of it as the limit of each signal", got)
			}
		},
	}
	for prefix, signal := range map[string]string{"OTEL_BSP_": "traces", "OTEL_BLRP_": "logs"} {
		count := func(got faultcollector.Received) int {
			if signal == "traces" {
				return len(spansOf(got))
			}
			return len(recordsOf(got))
		}
		requests := func(got faultcollector.Received) int {
			if signal == "traces" {
				return len(got.Traces)
			}
			return len(got.Logs)
		}
		rows[prefix+"SCHEDULE_DELAY"] = func(t *testing.T) {
			s := with(t, map[string]string{prefix + "SCHEDULE_DELAY": "60000", "OTEL_METRIC_EXPORT_INTERVAL": "100"})
			s.emit(t)
			// Metrics go out every 100 ms: 15 of them outlast the default of 1 s.
			got := s.collector.Wait(patience(t), t, func(got faultcollector.Received) bool { return len(got.Metrics) >= 15 })
			if count(got) != 0 {
				t.Error("sent before the delay was over")
			}
		}
		rows[prefix+"EXPORT_TIMEOUT"] = timeoutRow(prefix+"EXPORT_TIMEOUT", signal)
		rows[prefix+"MAX_QUEUE_SIZE"] = func(t *testing.T) {
			s := with(t, map[string]string{prefix + "MAX_QUEUE_SIZE": "1"})
			wantNoError(t, s.setupErr)
			s.collector.Hang()
			for range 100 {
				s.emit(t)
			}
			s.collector.Heal()
			if err := s.ForceFlush(patience(t)); err != nil {
				t.Error(err)
			}
			if n := count(s.collector.Received()); n == 0 || n > 50 {
				t.Errorf("%d of 100 arrived, want only what a queue of 1 lets through", n)
			}
		}
		rows[prefix+"MAX_EXPORT_BATCH_SIZE"] = func(t *testing.T) {
			s := with(t, map[string]string{prefix + "MAX_EXPORT_BATCH_SIZE": "2"})
			for range 9 {
				s.emit(t)
			}
			got := s.deliver(t)
			if requests(got) < 5 || count(got) != 10 {
				t.Errorf("got %d in %d requests, want 10 in 5 or more", count(got), requests(got))
			}
		}
	}
	return rows
}

func wantNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// limitRows set one limit each and look at the one span or record emitted,
// which has two attributes, two events and two links.
func limitRows() map[string]func(*testing.T) {
	rows := make(map[string]func(*testing.T))
	span := func(name, value string, ok func(faultcollector.Received) bool) {
		rows[name] = func(t *testing.T) {
			if got := with(t, map[string]string{name: value}).deliver(t); !ok(got) {
				t.Errorf("got span %v and record %v", spansOf(got)[0], recordsOf(got)[0])
			}
		}
	}
	spanAttributes := func(got faultcollector.Received) map[string]string { return attributesOf(spansOf(got)[0].Attributes) }
	logAttributes := func(got faultcollector.Received) map[string]string { return attributesOf(recordsOf(got)[0].Attributes) }
	span("OTEL_ATTRIBUTE_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spanAttributes(got)) == 1 && len(logAttributes(got)) == 1
	})
	span("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4", func(got faultcollector.Received) bool {
		return spanAttributes(got)["a"] == "long" && logAttributes(got)["a"] == "long"
	})
	span("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spanAttributes(got)) == 1 && len(logAttributes(got)) == 2
	})
	span("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4", func(got faultcollector.Received) bool {
		return spanAttributes(got)["a"] == "long" && logAttributes(got)["a"] == "long value"
	})
	span("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spanAttributes(got)) == 2 && len(logAttributes(got)) == 1
	})
	span("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4", func(got faultcollector.Received) bool {
		return spanAttributes(got)["a"] == "long value" && logAttributes(got)["a"] == "long"
	})
	span("OTEL_SPAN_EVENT_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spansOf(got)[0].Events) == 1 && len(spansOf(got)[0].Links) == 2
	})
	span("OTEL_SPAN_LINK_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spansOf(got)[0].Links) == 1 && len(spansOf(got)[0].Events) == 2
	})
	span("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spansOf(got)[0].Events[0].Attributes) == 1
	})
	span("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "1", func(got faultcollector.Received) bool {
		return len(spansOf(got)[0].Links[0].Attributes) == 1
	})
	return rows
}
