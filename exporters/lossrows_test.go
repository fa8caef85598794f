package exporters_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// No later export has what delta metrics lose, so that one that is under way
// when the service ends is given the time there is.
func TestDeltaExportUnderWayIsNotCutOff(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
	tests := map[string]struct{ answer, deadline, took time.Duration }{
		"it ends in time":          {2 * time.Second, 10 * time.Second, time.Second},
		"there is not time enough": {4 * time.Second, 2 * time.Second, 2 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			overBoth(t, exporters.OTLP{MetricInterval: 10 * time.Second}, func(t *testing.T, r *rig) {
				r.collector.Answer(faultcollector.Sequence(faultcollector.Reply{Delay: test.answer}))
				r.counter(t, "orders").Add(t.Context(), 7)
				<-time.After(11 * time.Second) // an export is under way since 1 s
				ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
				defer cancel()
				began := time.Now()
				err := r.shutdown(ctx)
				if took := time.Since(began); took < test.took || took > test.took+200*time.Millisecond {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				arrived, a := totals(r.collector.Received(), true)["orders"], r.accounts(t)["metrics"]
				if test.answer < 4*time.Second {
					if err != nil || arrived != 7 || a.acknowledged != 1 || a.lost() != 0 {
						t.Errorf("got %d orders, error %v and %+v, want all", arrived, err, a)
					}
				} else if err == nil || !strings.Contains(err.Error(), "metrics (1)") || arrived != 0 || a.failed["shutdown"] != 1 {
					t.Errorf("got %d orders, error %v and %+v, want one lost point", arrived, err, a)
				}
			})
		})
	}
}

// Only the points that were rejected are missed, and only until the next export.
func TestRejectedMetricsAreCountedByThePoint(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Answer(faultcollector.Always(faultcollector.Reply{Rejected: 1, Message: "one is bad"}))
		for i := range 5 {
			r.counter(t, fmt.Sprint("orders", i)).Add(t.Context(), 1)
		}
		_ = r.meter.ForceFlush(t.Context())
		if a := r.accounts(t)["metrics"]; a.accepted != 5 || a.acknowledged != 4 || a.failed["rejected"] != 1 {
			t.Errorf("got %+v, want one of five points rejected", a)
		}
		if err := r.Losses().Since(exporters.Losses{}); err == nil || !strings.Contains(err.Error(), "metrics (1)") {
			t.Errorf("got losses %v, want one point", err)
		}
		r.checkLines(t, map[string]int{"the next export carries them again": 1, " points=1 ": 1, "one is bad": 1, "": 1})
		r.collector.Answer(nil)
		_ = r.meter.ForceFlush(t.Context())
		if err := r.Losses().Since(exporters.Losses{}); err != nil {
			t.Errorf("got losses %v, want none after the next export", err)
		}
	})
}

// The log of a service says at its end what was lost meanwhile.
func TestSummaryOfLosses(t *testing.T) {
	t.Parallel()
	const summary = "telemetry was lost while the service ran"
	lose := func(t *testing.T, r *rig, n int) {
		r.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated}))
		for range n {
			r.span(t)
			r.record(t)
		}
		_ = r.flush(t.Context())
		r.collector.Answer(faultcollector.Always(faultcollector.Reply{Rejected: 1}))
		r.span(t)
		r.record(t)
		_ = r.flush(t.Context())
		r.collector.Answer(nil)
	}
	tests := map[string]struct {
		run  func(*testing.T, *rig)
		want []string // of the summary of each signal
	}{
		"nothing was lost": {func(*testing.T, *rig) {}, nil},
		"some was lost":    {func(t *testing.T, r *rig) { lose(t, r, 3) }, []string{" accepted=6 ", "lost=3 REASON, 1 rejected"}},
		"only the shutdown loses": {func(t *testing.T, r *rig) {
			r.collector.Refuse()
			r.span(t)
			r.record(t)
		}, nil},
		"the shutdown loses, too": {func(t *testing.T, r *rig) {
			lose(t, r, 3)
			r.collector.Refuse()
			r.span(t)
			r.record(t)
			<-time.After(5 * time.Second) // it is in flight
			r.span(t)
			r.record(t)
		}, []string{" accepted=8 ", "lost=3 REASON, 1 rejected, 2 shutdown"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for protocol, reason := range map[string]string{protocolGRPC: "UNAUTHENTICATED", protocolHTTP: "401"} {
				overOne(t, protocol, exporters.OTLP{}, func(t *testing.T, r *rig) {
					r.span(t)
					r.record(t)
					r.span(t)
					r.record(t)
					r.deliverWithin(t, time.Second)
					test.run(t, r)
					for range 2 {
						ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
						defer cancel()
						_ = r.shutdown(ctx) // the lines say more
					}
					got := r.log.with(summary)
					if len(got) != len(test.want) { // one of traces, one of logs
						t.Fatalf("got lines %q, want %d", got, len(test.want))
					}
					for i, line := range got {
						signal := fmt.Sprintf("WARN otelmon: %s endpoint=%s signal=%s", summary, r.Endpoint(), []string{"traces", "logs"}[i])
						for _, want := range append(test.want, signal) {
							if want = strings.Replace(want, "REASON", reason, 1); !strings.Contains(line, want) {
								t.Errorf("got line %q, want it to say %q", line, want)
							}
						}
					}
				})
			}
		})
	}
}
