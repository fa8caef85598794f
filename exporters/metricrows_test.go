package exporters_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

func (r *rig) counter(t *testing.T, name string) metric.Int64Counter {
	t.Helper()
	counter, err := r.meter.Meter("shop").Int64Counter(name)
	if err != nil {
		t.Fatal(err)
	}
	return counter
}

// totals are the sums of all points of each counter, in the latest export of
// cumulative ones, or over all exports.
func totals(got faultcollector.Received, overAll bool) map[string]int64 {
	requests := got.Metrics
	if !overAll {
		requests = requests[max(0, len(requests)-1):]
	}
	found := make(map[string]int64)
	for _, request := range requests {
		for _, m := range request.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			for _, point := range m.GetSum().GetDataPoints() {
				found[m.Name] += point.GetAsInt()
			}
		}
	}
	return found
}

func TestCumulativeMetricsAreExactAfterAnOutage(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{MetricInterval: 10 * time.Second}, func(t *testing.T, r *rig) {
		orders := r.counter(t, "orders")
		count := func(while time.Duration) { steadily(100, while, func() { orders.Add(t.Context(), 1) }) }
		count(15 * time.Second)
		r.collector.Refuse()
		count(2 * time.Minute)
		r.collector.Heal()
		count(45 * time.Second)
		if got := r.accounts(t)["metrics"]; got.failed["expired"] == 0 || got.acknowledged < 4 {
			t.Errorf("got %+v, want exports that were lost and others", got)
		}
		if err := r.meter.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := totals(r.collector.Received(), false)["orders"]; got != 18_000 {
			t.Errorf("got %d orders, want 18000", got)
		}
		r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 1, "": 2})
	})
}

// What delta metrics lose is counted, and nothing else is missing.
func TestDeltaMetricsCountWhatIsLost(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
	overBoth(t, exporters.OTLP{MetricInterval: 40 * time.Second}, func(t *testing.T, r *rig) {
		orders := r.counter(t, "orders")
		export := func(n int64) {
			orders.Add(t.Context(), n)
			_ = r.meter.ForceFlush(t.Context())
		}
		export(1)
		r.collector.Refuse()
		export(10)
		r.collector.Heal()
		export(100)
		if got := totals(r.collector.Received(), true)["orders"]; got != 101 {
			t.Errorf("got %d orders, want 101", got)
		}
		if got := r.accounts(t)["metrics"]; got.accepted != 3 || got.failed["expired"] != 1 || got.lost() != 1 {
			t.Errorf("got %+v, want one of three points lost", got)
		}
		r.checkLines(t, map[string]int{"signal=metrics lost=1 expired": 1})
	})
}

// An export that is larger than a request may be is sent in parts, also when
// the peer takes less than we thought; meanwhile the numbers only grow.
func TestLargeMetricExportIsSentInParts(t *testing.T) {
	t.Parallel()
	const counters, series = 5, 1000
	for name, tooLarge := range map[string]int{"by us": 0, "by the peer": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				long := strings.Repeat("x", 1000)
				for i := range counters {
					counter := r.counter(t, fmt.Sprint("orders", i))
					for n := range series {
						counter.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("n", n), attribute.String("text", long)))
					}
				}
				var accepted int64
				r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
					found := r.accounts(t)
					if now := found["metrics"].accepted; now < accepted || identity(found) != nil {
						t.Errorf("got %d accepted after %d: %v", now, accepted, identity(found))
					}
					accepted = found["metrics"].accepted
					if request.Number <= tooLarge {
						return faultcollector.Reply{Code: codes.ResourceExhausted, Status: 413, Message: "grpc: received message larger than max (9 vs. 8)"}
					}
					return faultcollector.Reply{}
				})
				if err := r.flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := r.collector.Received()
				checkRequestSizes(t, got)
				for name, n := range totals(got, true) {
					if n != series {
						t.Errorf("got %d of %s, want %d", n, name, series)
					}
				}
				if a := r.accounts(t)["metrics"]; got.DataPoints != counters*series || len(got.Metrics) < 2 || a.accepted != counters*series || a.acknowledged != a.accepted {
					t.Errorf("got %d points in %d requests and %+v, want all", got.DataPoints, len(got.Metrics), a)
				}
			})
		})
	}
}

// A flush that is cut off loses no cumulative metric.
func TestFlushOfMetricsEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		orders := r.counter(t, "orders")
		r.collector.Hang()
		orders.Add(t.Context(), 1)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		_ = r.meter.ForceFlush(ctx)
		if took := time.Since(began); took > 2100*time.Millisecond {
			t.Errorf("it took %v, want 2 s", took)
		}
		r.collector.Heal()
		if err := r.meter.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
		if got := totals(r.collector.Received(), false)["orders"]; got != 1 {
			t.Errorf("got %d orders, want 1", got)
		}
	})
}
