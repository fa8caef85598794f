package exporters_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// A peer may have no use for metrics at all.
func TestRefusedMetricsDoNotKeepTroubleOpen(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{MetricInterval: time.Minute}, func(t *testing.T, r *rig) {
		reject := false
		r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
			switch {
			case request.Signal == "metrics":
				return faultcollector.Reply{Code: codes.Unimplemented}
			case request.Signal == "traces" && reject:
				reject = false
				return faultcollector.Reply{Rejected: 1}
			}
			return faultcollector.Reply{}
		})
		r.counter(t, "orders").Add(t.Context(), 1)
		reject = true
		r.spansFor(t, 10, time.Hour)
		r.checkLines(t, map[string]int{"loss of telemetry started": 1, "recovered": 1, "lost=traces: 1 rejected": 1})
		r.collector.Refuse()
		r.spansFor(t, 10, 10*time.Second)
		r.collector.Heal()
		r.spansFor(t, 10, 3*time.Minute)
		r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 2, "lost=0": 1, "after=1h": 0})
	})
}

func TestOutageThatEndsInARefusalHasNotRecovered(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Refuse()
		r.emitFor(t, 10, 20*time.Second)
		r.collector.Heal()
		r.collector.Answer(only("traces", faultcollector.Reply{Code: codes.Unauthenticated}))
		r.emitFor(t, 10, 5*time.Minute)
		r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 0})
	})
}

// What a slow peer takes is not sent again and again.
func TestSlowPeerGetsLittleTwice(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.mayHaveMore = true // what came without an answer in time
		r.collector.Answer(faultcollector.Always(faultcollector.Reply{Delay: 7 * time.Second, Keep: true}))
		r.spansFor(t, 10, 5*time.Minute)
		r.deliverWithin(t, 20*time.Second)
		twice := 0
		for _, times := range r.collector.Received().SpanIDs() {
			if times > 1 {
				twice++
			}
		}
		if twice > 20 {
			t.Errorf("%d spans arrived more than once, want those of the first request", twice)
		}
		r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 1, "": 2})
	})
}

func TestRecoveryIsToldOfTroubleThatWas(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		for range 9 {
			r.collector.Refuse()
			r.emitFor(t, 10, 3*time.Second)
			r.collector.Heal()
			r.emitFor(t, 10, 17*time.Second)
		}
		r.emitFor(t, 10, 2*time.Minute)
		failing, recovered := r.log.with("cannot deliver"), r.log.with("recovered")
		if len(failing) < 2 || len(failing) != len(recovered) {
			t.Errorf("got lines %q, want pairs", r.log.with(""))
		}
	})
}

func TestSignalThatWasToldToWaitHasNotRecovered(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Answer(only("logs", faultcollector.Reply{Code: codes.Unavailable, RetryAfter: 5 * time.Minute}))
		r.record(t)
		r.spansFor(t, 10, 4*time.Minute)
		r.checkLines(t, map[string]int{"cannot deliver": 1, "": 1})
		r.collector.Heal()
		r.spansFor(t, 10, 2*time.Minute)
		r.checkLines(t, map[string]int{"recovered": 1, "": 2})
	})
}
