package exporters_test

import (
	"context"
	"os"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// soak skips a test that takes minutes, unless it is asked for.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("OTELMON_SOAK") != "1" {
		t.Skip("it takes minutes of real time: set OTELMON_SOAK=1, or run make soak")
	}
}

// What fake time and connections in memory cannot show: sockets, and what the
// system does with them.
func TestSoakOutageOfFourMinutes(t *testing.T) {
	soak(t)
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			r := startRig(t, faultcollector.Start(t), protocol, exporters.OTLP{})
			r.emitFor(t, 100, 5*time.Second)
			before := r.collector.Received().Spans
			r.collector.Refuse()
			r.emitFor(t, 100, 4*time.Minute)
			r.collector.Heal()
			healed := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r.collector.Wait(ctx, t, func(got faultcollector.Received) bool { return got.Spans > before })
			t.Logf("first delivery after %v", time.Since(healed))
			r.deliverWithin(t, 20*time.Second)
			t.Logf("all %d spans after %v", len(r.spans), time.Since(healed))
			r.checkLines(t, map[string]int{"cannot deliver": 1, "recovered": 1, "lost=0": 1, "": 2})
			r.endSoak(t)
		})
	}
}

func (r *rig) endSoak(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.shutdown(ctx); err != nil {
		t.Error(err)
	}
	r.checkAccounts(t)
}

// Ten minutes without a Collector, and far more than the queue holds: the heap
// may grow by the budget of the queue and a fixed sum.
func TestSoakMemoryOfAnOutage(t *testing.T) {
	soak(t)
	const budget, besides = 64 << 20, 16 << 20
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Run("over "+protocol, func(t *testing.T) { // not parallel: the heap is that of all
			r := startRig(t, faultcollector.Start(t), protocol, exporters.OTLP{MaxValueBytes: -1})
			r.collector.KeepIDsOnly()
			text := attribute.String("text", strings.Repeat("x", 64<<10))
			r.emitFor(t, 100, 2*time.Second, text)
			before := heap()
			r.collector.Refuse()
			var most, usage uint64
			for range 120 {
				r.emitFor(t, 100, 5*time.Second, text)
				most = max(most, heap()-before)
				found := r.accounts(t)
				usage = max(usage, uint64(found["traces"].bytes+found["logs"].bytes))
				if err := identity(found); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("the heap grew by %.1f MiB, the queues held %.1f MiB", float64(most)/(1<<20), float64(usage)/(1<<20))
			if most > budget+besides {
				t.Errorf("the heap grew by %d bytes, want at most %d", most, budget+besides)
			}
			if usage < budget*9/10 {
				t.Errorf("the queues held %d bytes, which is not enough to tell", usage)
			}
			r.collector.Heal()
			healed := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := r.flush(ctx); err != nil {
				t.Error(err)
			}
			t.Logf("the queues were delivered after %v; %d of %d spans", time.Since(healed), r.collector.Received().Spans, len(r.spans))
			r.endSoak(t)
		})
	}
}

func TestSoakRefusals(t *testing.T) {
	soak(t)
	refusals(t, 10_000)
}

// heap returns the bytes of objects that are in use.
func heap() uint64 {
	runtime.GC()
	sample := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}
