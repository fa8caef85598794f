package exporters_test

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestOutageWithinCapacityLosesNothing(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.emitFor(t, 100, 6*time.Second)
		r.collector.Refuse()
		r.emitFor(t, 100, time.Minute)
		r.collector.Heal()
		r.emitFor(t, 100, 6*time.Second)
		r.deliverWithin(t, 10*time.Second)
		r.checkLines(t, map[string]int{"cannot deliver telemetry": 1, "recovered, telemetry is delivered again": 1, "lost=0": 1, "": 2})
	})
}

// What waits longest is given up first; what is in flight already stays.
func TestOutageBeyondCapacityLosesTheOldest(t *testing.T) { // not parallel: it sets variables
	tests := map[string]struct {
		variable   string // of both signals' queues
		config     exporters.OTLP
		attributes []attribute.KeyValue
	}{
		"too many items": {variable: "1000"},
		"too many bytes": {variable: "", config: exporters.OTLP{QueueBytes: 4 << 20}, attributes: []attribute.KeyValue{attribute.String("text", strings.Repeat("x", 1000))}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", test.variable)
			t.Setenv("OTEL_BLRP_MAX_QUEUE_SIZE", test.variable)
			overBoth(t, test.config, func(t *testing.T, r *rig) {
				r.collector.Refuse()
				r.emitFor(t, 100, 4*time.Minute, test.attributes...)
				r.collector.Heal()
				r.emitFor(t, 100, time.Minute, test.attributes...)
				_ = r.flush(t.Context()) // it had losses
				found := r.accounts(t)
				for signal, missing := range map[string][]int{"traces": r.missingSpans(), "logs": r.missingRecords()} {
					n, first := len(missing), missing[0]
					if last := missing[n-1]; n < 10_000 || last-first != n-1 || first == 0 || first > 512 || last >= 24_000 {
						t.Errorf("%s: lost %d, from number %d to %d; want all that waited longest, behind what was in flight", signal, n, first, last)
					}
					if diff := cmp.Diff(map[string]int64{"queue_full": int64(n)}, found[signal].dropped); diff != "" {
						t.Errorf("dropped %s differ (-want +got):\n%s", signal, diff)
					}
					of := fmt.Sprintf(" endpoint=%s signal=%s ", r.Endpoint(), signal)
					r.checkLines(t, map[string]int{"loss of telemetry started" + of: 1})
					if got := r.log.with("telemetry is being lost" + of); len(got) < 3 || len(got) > 4 {
						t.Errorf("got lines %q, want one a minute", got)
					}
				}
				r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 1})
			})
		})
	}
}

// Also what was lost while the first request was on its way that got through.
func TestRecoveryTellsHowManyWereLost(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1000")
	overBoth(t, exporters.OTLP{DisableLogs: true}, func(t *testing.T, r *rig) {
		r.collector.Refuse()
		r.spansFor(t, 100, time.Minute)
		r.collector.Heal()
		r.collector.Answer(faultcollector.Sequence(faultcollector.Reply{Delay: 3 * time.Second}))
		r.spansFor(t, 100, time.Minute)
		_ = r.flush(t.Context())
		lost := len(r.missingSpans())
		r.checkLines(t, map[string]int{"loss of telemetry started": 1, "recovered": 1, fmt.Sprintf(" lost=traces: %d queue_full", lost): 1})
	})
}

func TestCollectorThatComesBackIsNoticedSoon(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ begin, end func(*rig) }{
		"its connections were refused": {
			func(r *rig) { r.collector.Refuse() },
			func(r *rig) { r.collector.Heal() },
		},
		"its name did not resolve": {
			func(r *rig) {
				r.through.Store(&dialer{func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.DNSError{Err: "no such host", Name: "collector", IsNotFound: true}
				}})
				r.collector.Refuse()
				r.collector.Heal() // connections that were open are gone
			},
			func(r *rig) { r.through.Store(nil) },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				r.emitFor(t, 100, 2*time.Second)
				r.deliverWithin(t, time.Second)
				before := r.collector.Received().Spans
				test.begin(r)
				r.emitFor(t, 100, 4*time.Minute)
				test.end(r)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				r.collector.Wait(ctx, t, func(got faultcollector.Received) bool { return got.Spans > before })
				r.deliverWithin(t, 10*time.Second)
				r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 1, "": 2})
			})
		})
	}
}

func TestHangingCollectorGetsAllSoonAfter(t *testing.T) {
	t.Parallel()
	for _, while := range []time.Duration{12 * time.Second, time.Minute} {
		t.Run(while.String(), func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				r.emitFor(t, 100, 2*time.Second)
				before := goroutines(t)
				r.collector.Hang()
				r.emitFor(t, 100, while)
				if n := goroutines(t); n > before+10 {
					t.Errorf("got %d goroutines, %d before", n, before)
				}
				r.collector.Heal()
				r.deliverWithin(t, 20*time.Second)
				r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 1, "lost=0": 1, "": 2})
			})
		})
	}
}

// goroutines counts those of the bubble.
func goroutines(t *testing.T) int {
	t.Helper()
	stacks := make([]byte, 1<<22)
	all := string(stacks[:runtime.Stack(stacks, true)])
	bubble := regexp.MustCompile(`synctest bubble \d+\b`).FindString(all) // our own comes first
	n := len(regexp.MustCompile(bubble+`\b`).FindAllString(all, -1))
	if bubble == "" || n < 2 {
		t.Fatalf("found %d goroutines of %q", n, bubble)
	}
	return n
}

// The peer is gone, and nothing says so.
func TestHalfOpenConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.emitFor(t, 100, 2*time.Second)
		r.collector.Freeze()
		r.emitFor(t, 100, 2*time.Second)
		r.deliverWithin(t, 28*time.Second)
	})
}

func TestMostAttemptsFail(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Answer(faultcollector.Failing(0.7, 1))
		r.emitFor(t, 100, time.Minute)
		r.deliverWithin(t, 10*time.Minute)
	})
}
