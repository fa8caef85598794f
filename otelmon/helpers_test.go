package otelmon_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

func TestMain(m *testing.M) {
	if hangs := os.Getenv(serviceEnvironment); hangs != "" {
		if err := runService(hangs); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// lines is a log that tests can wait for. Safe for concurrent use.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// wait returns when the log contains the text.
func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	ctx := patience(t)
	for {
		l.mu.Lock()
		found, changed := strings.Contains(l.text.String(), text), l.changed
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the log never said %q:\n%s", text, l)
		}
	}
}

// patience is how long a test waits for what must come.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// service is an SDK under test together with the Collector that it pushes to.
type service struct {
	*otelmon.SDK
	collector *faultcollector.Collector
	log       *lines
	setupErr  error
}

// setUp starts an SDK without globals whose exporters lead to a Collector of
// its own, and shuts it down at the end of the test.
func setUp(t *testing.T, cfg otelmon.Config) *service {
	t.Helper()
	s := &service{collector: faultcollector.Start(t), log: newLines()}
	cfg.DisableGlobals = true
	cfg.Logger = s.log.logger()
	if cfg.Prometheus.Address == "" {
		cfg.Prometheus.Address = "127.0.0.1:0"
	}
	if cfg.OTLP.Endpoint == "" {
		cfg.OTLP.Endpoint = s.collector.GRPC
		if cfg.OTLP.Protocol == "http/protobuf" {
			cfg.OTLP.Endpoint = s.collector.HTTP
		}
	}
	s.SDK, s.setupErr = otelmon.Setup(t.Context(), cfg)
	t.Cleanup(func() { s.shutdown(t) })
	return s
}

func (s *service) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
	defer cancel()
	_ = s.Shutdown(ctx) // what it cannot deliver is another test's matter
}

// emit records one span, one measurement within it, and one log record.
func (s *service) emit(t *testing.T) {
	t.Helper()
	ctx, span := s.TracerProvider().Tracer("test").Start(t.Context(), "operation")
	duration, err := s.MeterProvider().Meter("test").Float64Histogram("operation.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	duration.Record(ctx, 0.3)
	slog.New(s.SlogHandler(nil)).InfoContext(ctx, "operation done", "a", "long value", "b", "2")
	span.SetAttributes(attribute.String("a", "long value"), attribute.String("b", "2"))
	for range 2 {
		span.AddEvent("event", trace.WithAttributes(attribute.String("a", "1"), attribute.String("b", "2")))
		span.AddLink(trace.Link{SpanContext: span.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("a", "1"), attribute.String("b", "2")}})
	}
	span.End()
}

// deliver emits and flushes.
func (s *service) deliver(t *testing.T) faultcollector.Received {
	t.Helper()
	s.emit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.ForceFlush(ctx); err != nil {
		t.Errorf("flushing: %v", err)
	}
	return s.collector.Received()
}

// scrape returns the metrics page in OpenMetrics format.
func (s *service) scrape(t *testing.T) string {
	t.Helper()
	body, status := get(t, s.MetricsURL())
	if status != http.StatusOK {
		t.Fatalf("scraping %q: status %d: %s", s.MetricsURL(), status, body)
	}
	return body
}

func get(t *testing.T, url string) (body string, status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content), response.StatusCode
}

func spansOf(got faultcollector.Received) (spans []*traces.Span) {
	for _, request := range got.Traces {
		for _, r := range request.ResourceSpans {
			for _, scope := range r.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}
	return spans
}

func recordsOf(got faultcollector.Received) (records []*logs.LogRecord) {
	for _, request := range got.Logs {
		for _, r := range request.ResourceLogs {
			for _, scope := range r.ScopeLogs {
				records = append(records, scope.LogRecords...)
			}
		}
	}
	return records
}

// metricOf returns the metric as it arrived last, nil if it never did.
func metricOf(got faultcollector.Received, name string) (found *metrics.Metric) {
	for _, request := range got.Metrics {
		for _, r := range request.ResourceMetrics {
			for _, scope := range r.ScopeMetrics {
				for _, m := range scope.Metrics {
					if m.Name == name {
						found = m
					}
				}
			}
		}
	}
	return found
}

// resourceOf returns the resource that came with the first spans.
func resourceOf(t *testing.T, got faultcollector.Received) map[string]string {
	t.Helper()
	if len(got.Traces) == 0 {
		t.Fatal("no spans arrived")
	}
	return attributesOf(got.Traces[0].ResourceSpans[0].Resource.Attributes)
}

func attributesOf(list []*common.KeyValue) map[string]string {
	attributes := make(map[string]string)
	for _, kv := range list {
		attributes[kv.Key] = kv.Value.GetStringValue()
	}
	return attributes
}

// captureStdout lets a test read what goes to standard output. The test must
// not be parallel.
func captureStdout(t *testing.T) (read func() string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdout
	os.Stdout = file
	t.Cleanup(func() {
		os.Stdout = before
		_ = file.Close()
	})
	return func() string {
		content, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

// absent is an address that refuses connections.
const absent = "127.0.0.1:1"

// withoutPush is a configuration for tests that look at metrics alone.
func withoutPush() otelmon.Config {
	return otelmon.Config{DisableOTLP: true, Prometheus: exporters.Prometheus{Address: "127.0.0.1:0"}}
}
