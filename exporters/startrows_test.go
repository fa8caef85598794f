package exporters_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// Also in the configuration, not in the variable alone.
func TestQueueMemoryThatIsNotAccepted(t *testing.T) {
	t.Parallel()
	const standard = 64 << 20
	for size, accepted := range map[int]bool{
		-1: false, 1000: false, 128<<10 - 1: false,
		0: true, 128 << 10: true, 1 << 20: true,
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s, err := startWithError(t, exporters.OTLP{Endpoint: "127.0.0.1:1", QueueBytes: size})
			want := int64(size / 2) // of each signal
			if !accepted || size == 0 {
				want = standard / 2
			}
			for signal, a := range accounts(t, observe(t, s.OTLPPipeline)) {
				if signal != "metrics" && a.mostBytes != want {
					t.Errorf("%s: got %d bytes, want %d", signal, a.mostBytes, want)
				}
			}
			switch text := fmt.Sprintf("OTLP.QueueBytes=%d: the default is used", size); {
			case accepted && err != nil:
				t.Errorf("got error %v", err)
			case !accepted && (err == nil || strings.Count(err.Error(), text) != 1):
				t.Errorf("got error %v, want it to say %q once", err, text)
			}
		})
	}
}

// A rate sees the first loss only where there was a number before it.
func TestNumbersAreThereFromTheStart(t *testing.T) {
	t.Parallel()
	exported := []string{"", "expired", "invalid_response", "rejected", "shutdown", "too_large"}
	processed := []string{"", "queue_full", "shutdown", "too_large"}
	want := make(map[string]int64)
	for name, reasons := range map[string][]string{
		telemetry.SpanExported: exported, telemetry.LogExported: exported, telemetry.MetricExported: exported,
		telemetry.SpanProcessed: processed, telemetry.LogProcessed: processed,
	} {
		for _, reason := range reasons {
			want[name+" "+reason] = 0
		}
	}
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		got := make(map[string]int64)
		for _, m := range r.own(t) {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && data.IsMonotonic && m.Name != telemetry.ExportAccepted && m.Name != telemetry.ExportCutValues {
				for _, point := range data.DataPoints {
					reason, _ := point.Attributes.Value(telemetry.ErrorType)
					got[m.Name+" "+reason.AsString()] = point.Value
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("numbers differ (-want +got):\n%s", diff)
		}
	})
}

// own returns the metrics of the pipeline itself.
func (r *rig) own(t *testing.T) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.numbers.Collect(t.Context(), &all); err != nil || len(all.ScopeMetrics) != 1 {
		t.Fatalf("got %d scopes and error %v", len(all.ScopeMetrics), err)
	}
	return all.ScopeMetrics[0].Metrics
}

// The time since the last success grows also where there never was one.
func TestLastSuccessBeginsWithTheStart(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now().Unix()
				r := startRig(t, faultcollector.StartInMemory(t), protocol, exporters.OTLP{})
				check := func(traces int64) {
					t.Helper()
					want := map[string]int64{"traces": traces, "metrics": began, "logs": began}
					if diff := cmp.Diff(want, r.lastSuccess(t)); diff != "" {
						t.Errorf("times differ (-want +got):\n%s", diff)
					}
				}
				check(began)
				r.collector.Refuse()
				r.span(t)
				<-time.After(30 * time.Second)
				check(began)
				r.collector.Heal()
				if err := r.tracer.ForceFlush(t.Context()); err != nil {
					t.Fatal(err)
				}
				check(time.Now().Unix())
			})
		})
	}
}

// lastSuccess returns times by signal.
func (r *rig) lastSuccess(t *testing.T) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	for _, m := range r.own(t) {
		data, ok := m.Data.(metricdata.Gauge[int64])
		if !ok || m.Name != telemetry.ExportLastSuccess {
			continue
		}
		for _, point := range data.DataPoints {
			signal, _ := point.Attributes.Value(telemetry.Signal)
			found[signal.AsString()] = point.Value
		}
	}
	return found
}
