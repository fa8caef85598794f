package otelmon_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/otelmon"
)

// A callback that hangs must not take all the time that a shutdown has, and no
// other must be blamed when a collection is given up because of it.
func TestACallbackThatHangsLeavesTimeForAShortShutdown(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "test"})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	meter := s.MeterProvider().Meter("test")
	for name, callback := range map[string]metric.Int64Callback{
		"hanging": func(context.Context, metric.Int64Observer) error { <-release; return nil },
		"other":   func(_ context.Context, o metric.Int64Observer) error { o.Observe(7); return nil },
	} {
		if _, err := meter.Int64ObservableGauge(name, metric.WithInt64Callback(callback)); err != nil {
			t.Fatal(err)
		}
	}
	s.emit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"operation.duration", "other", "go.goroutine.count"} {
		if metricOf(s.collector.Received(), name) == nil {
			t.Errorf("%s did not arrive", name)
		}
	}
	s.log.wait(t, "instruments=[hanging]")
	if n := strings.Count(s.log.String(), "callback failed"); n != 1 {
		t.Errorf("%d callbacks are said to have failed, want one:\n%s", n, s.log)
	}
}
