package exporters_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// Each case also ends without a goroutine: the bubble of the test would not end
// otherwise.
func TestShutdownEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	modes := map[string]func(*faultcollector.Collector){
		"hangs":   (*faultcollector.Collector).Hang,
		"is gone": (*faultcollector.Collector).Refuse,
		"is behind a dead link": func(c *faultcollector.Collector) {
			c.Freeze()
			c.Hang() // a connection that is new is no better
		},
		"has no room": func(c *faultcollector.Collector) { c.Answer(faultcollector.Failing(1, 1)) },
		"takes longer than there is": func(c *faultcollector.Collector) {
			c.Answer(faultcollector.Always(faultcollector.Reply{Delay: 4 * time.Second}))
		},
	}
	for name, fail := range modes {
		t.Run("of a Collector that "+name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				r.emitFor(t, 10, time.Second)
				r.deliverWithin(t, time.Second)
				fail(r.collector)
				for range 1000 {
					r.span(t)
					r.record(t)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				began := time.Now()
				err := r.Shutdown(ctx)
				if took := time.Since(began); took > 2100*time.Millisecond {
					t.Errorf("it took %v, want 2 s", took)
				}
				for _, want := range []string{"traces (1000)", "logs (1000)"} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got error %v, want it to say %q", err, want)
					}
				}
				r.span(t) // too late
				r.record(t)
				found := r.accounts(t)
				for _, signal := range []string{"traces", "logs"} {
					if a := found[signal]; a.failed["shutdown"]+a.dropped["shutdown"] != 1001 || a.lost() != 1001 || a.dropped["shutdown"] == 0 {
						t.Errorf("%s: got %+v, want 1001 lost for the shutdown", signal, a)
					}
				}
			})
		})
	}
}

// A flush gives up waiting, not what it waits for.
func TestFlushThatEndsEarlyLosesNothing(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Hang()
		r.emitFor(t, 100, 10*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		var flushes sync.WaitGroup
		for name, flush := range map[string]func(context.Context) error{"traces": r.tracer.ForceFlush, "logs": r.logger.ForceFlush} {
			flushes.Go(func() {
				if err := flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1000 still wait") {
					t.Errorf("got error %v for %s, want the deadline's and the number", err, name)
				}
			})
		}
		flushes.Wait()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v, want 3 s", took)
		}
		r.collector.Heal()
		r.deliverWithin(t, 20*time.Second)
	})
}

// What comes after a flush began does not keep it.
func TestFlushEndsWhileItemsKeepComing(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Answer(faultcollector.Always(faultcollector.Reply{Delay: 3 * time.Second}))
		r.emitFor(t, 200, 10*time.Second)
		before := len(r.spans)
		flushed := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			if err := errors.Join(r.tracer.ForceFlush(t.Context()), r.logger.ForceFlush(t.Context())); err != nil {
				t.Error(err)
			}
			flushed <- time.Since(began)
		}()
		r.emitFor(t, 200, 20*time.Second) // more than is delivered in this time
		select {
		case took := <-flushed:
			t.Logf("flushed after %v", took)
		default:
			t.Error("the flush did not end")
			<-flushed
		}
		for _, number := range r.missingSpans() {
			if number < before {
				t.Errorf("span %d was not delivered by the flush that it was before", number)
			}
		}
	})
}

func TestFlushBesideShutdown(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Hang()
		for range 2000 {
			r.span(t)
			r.record(t)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() { _ = r.flush(t.Context()) }) // which has no deadline
		}
		synctest.Wait()
		for range 4 {
			callers.Go(func() { _ = r.Shutdown(ctx) })
		}
		callers.Wait()
		r.span(t)
		r.record(t)
	})
}

// Many goroutines emit while the Collector comes and goes, and while the
// pipeline ends. At no moment may the numbers disagree.
func TestNumbersAgreeAtAnyMoment(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{QueueBytes: 1 << 20}, func(t *testing.T, r *rig) {
		emitters := make([]*rig, 8)
		var emitting sync.WaitGroup
		for i := range emitters {
			emitters[i] = &rig{sender: r.sender, name: string(rune('a' + i))}
			emitting.Go(func() { emitters[i].emitFor(t, 100, 40*time.Second) })
		}
		faults := []func(){
			r.collector.Refuse, r.collector.Heal, r.collector.Hang, r.collector.Heal, r.collector.Freeze,
			func() { r.collector.Answer(faultcollector.Failing(0.5, 1)) }, r.collector.Heal,
		}
		for _, fault := range faults {
			fault()
			for range 20 {
				<-time.After(250 * time.Millisecond)
				if err := identity(r.accounts(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = r.Shutdown(ctx) // while they go on
		emitting.Wait()
		for _, e := range emitters {
			r.spans, r.bodies = append(r.spans, e.spans...), append(r.bodies, e.bodies...)
		}
		if found := r.accounts(t); found["traces"].dropped["shutdown"] == 0 || found["traces"].acknowledged == 0 {
			t.Errorf("got %+v, want some delivered and some too late", found)
		}
	})
}
