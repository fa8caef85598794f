package meter_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
)

// newSDK returns an SDK MeterProvider built with the views of the rules.
func newSDK(t testing.TB, rules meter.Rules, readers ...sdkmetric.Reader) *sdkmetric.MeterProvider {
	t.Helper()
	opts := []sdkmetric.Option{sdkmetric.WithView(meter.Views(rules)...)}
	for _, r := range readers {
		opts = append(opts, sdkmetric.WithReader(r))
	}
	return sdkmetric.NewMeterProvider(opts...)
}

// collect returns what the reader has, by name of the metric.
func collect(t testing.TB, reader sdkmetric.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	found := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if _, twice := found[m.Name]; twice {
				t.Errorf("metric %s was collected twice", m.Name)
			}
			found[m.Name] = m
		}
	}
	return found
}

// sums returns the value of each single-series metric that the reader has, as text.
func sums(t testing.TB, reader sdkmetric.Reader) map[string]string {
	t.Helper()
	values := map[string]string{}
	for name, m := range collect(t, reader) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Sum[float64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Gauge[int64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Gauge[float64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Histogram[int64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Sum)
		case metricdata.Histogram[float64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Sum)
		default:
			t.Fatalf("%s: got %T", name, data)
		}
	}
	return values
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines is a log that tests can wait for. Safe for concurrent use.
type lines struct {
	mu      sync.Mutex
	text    string
	written chan struct{} // holds one item when there is something new
}

func newLines() *lines { return &lines{written: make(chan struct{}, 1)} }

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += string(p)
	select {
	case l.written <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}

// wait returns when n lines contain the text.
func (l *lines) wait(t testing.TB, n int, text string) {
	t.Helper()
	for strings.Count(l.String(), text) < n {
		select {
		case <-l.written:
		case <-time.After(patience):
			t.Fatalf("got no %d lines with %q in:\n%s", n, text, l)
		}
	}
}

// patience is how long tests wait for what must happen.
const patience = 20 * time.Second

// finishes fails the test when f hangs.
func finishes(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s hangs", what)
	}
}
