package exporters_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// only answers one signal with a reply and acknowledges the others.
func only(signal string, reply faultcollector.Reply) func(faultcollector.Request) faultcollector.Reply {
	return func(request faultcollector.Request) faultcollector.Reply {
		if request.Signal == signal {
			return reply
		}
		return faultcollector.Reply{}
	}
}

// The peer has no room for one signal and takes another many times a second.
func TestSignalWithoutRoomKeepsItsPace(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "10")
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		times := r.answering(only("traces", faultcollector.Reply{Code: codes.Unavailable, Message: "sending queue is full"}))
		r.span(t)
		steadily(200, time.Minute, func() { r.record(t) })
		if n := len(*times); n < 11 || n > 17 {
			t.Errorf("got %d attempts of a request in a minute, want about 14", n)
		}
		r.checkLines(t, map[string]int{"cannot deliver": 1, " signal=traces error=": 1, "sending queue is full": 1, "": 1})
		r.collector.Heal()
		r.deliverWithin(t, 10*time.Second)
		r.checkLines(t, map[string]int{"recovered": 1, "lost=0": 1, "": 2})
	})
}

// Metrics are given up at each interval, and are not heard of until the next.
func TestMetricsWithoutRoomHaveNotRecovered(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{10 * time.Second, time.Minute} {
		t.Run("each "+interval.String(), func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{MetricInterval: interval}, func(t *testing.T, r *rig) {
				r.collector.Answer(only("metrics", faultcollector.Reply{Code: codes.Unavailable}))
				r.counter(t, "orders").Add(t.Context(), 1)
				r.spansFor(t, 20, 10*time.Minute)
				r.checkLines(t, map[string]int{"cannot deliver": 1, "": 1})
				r.collector.Heal()
				r.spansFor(t, 20, 2*time.Minute)
				r.checkLines(t, map[string]int{"recovered": 1, "": 2})
			})
		})
	}
}

// A line that would come too soon after the last of its kind comes later.
func TestLastLineIsTrue(t *testing.T) {
	t.Parallel()
	const failing, fine = "cannot deliver", "recovered"
	type step struct {
		down  bool
		while time.Duration
		want  string // of the last line at the end of it
	}
	tests := map[string][]step{
		"a long outage soon after a short one": {
			{true, 5 * time.Second, failing}, {false, 20 * time.Second, fine}, {true, 5 * time.Minute, failing}, {false, 20 * time.Second, fine},
		},
		"a short outage soon after a long one": {
			{true, 50 * time.Second, failing}, {false, 20 * time.Second, fine}, {true, 3 * time.Second, failing}, {false, 10 * time.Minute, fine},
		},
		"an outage too short for a line of its own": {
			{true, 5 * time.Second, failing}, {false, 20 * time.Second, fine}, {true, 5 * time.Second, fine}, {false, 10 * time.Minute, fine},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				for i, step := range steps {
					if step.down {
						r.collector.Refuse()
					} else {
						r.collector.Heal()
					}
					r.spansFor(t, 20, step.while)
					got := r.log.with("")
					if len(got) == 0 || !strings.Contains(got[len(got)-1], step.want) {
						t.Errorf("after step %d: got lines %q, want the last to say %q", i, got, step.want)
					}
				}
			})
		})
	}
}

// Nothing may be heard again of a signal of which something was refused.
func TestRefusalOfASilentSignalIsOverInTime(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Answer(only("logs", faultcollector.Reply{Code: codes.InvalidArgument}))
		r.record(t)
		_ = r.flush(t.Context()) // it had a loss
		r.spansFor(t, 20, 110*time.Second)
		r.checkLines(t, map[string]int{"recovered": 0, "loss of telemetry started": 1})
		r.spansFor(t, 20, 15*time.Second)
		r.checkLines(t, map[string]int{"recovered": 1, "lost=logs: 1": 1, "": 2})
		r.collector.Refuse()
		r.spansFor(t, 20, 3*time.Second)
		r.collector.Heal()
		r.spansFor(t, 20, 90*time.Second)
		r.checkLines(t, map[string]int{"recovered": 2, "after=2m": 1, "lost=0": 1, "": 4})
	})
}

// A gate in front of the peer makes up new codes.
func TestPeerCannotMakeUpReasons(t *testing.T) { // not parallel: it sets variables
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	t.Setenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "1")
	for protocol, reason := range map[string]string{protocolGRPC: "UNKNOWN", protocolHTTP: "_OTHER"} {
		overOne(t, protocol, exporters.OTLP{}, func(t *testing.T, r *rig) {
			r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
				return faultcollector.Reply{Code: codes.Code(1000 + request.Number), Status: 600 + request.Number%400}
			})
			for range 400 {
				r.span(t)
				r.record(t)
			}
			_ = r.flush(t.Context()) // all were refused
			r.checkLost(t, map[string]int64{reason: 400}, nil)
		})
	}
}
