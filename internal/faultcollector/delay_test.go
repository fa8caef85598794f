package faultcollector_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestDelayIsInFakeTime(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		c.Answer(faultcollector.Always(faultcollector.Reply{Delay: 10 * time.Minute}))
		begin := time.Now()
		if err := connect()(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begin); got != 10*time.Minute {
			t.Errorf("got an answer after %v, want 10m", got)
		}
		if diff := cmp.Diff(times(1), c.Received().SpanIDs()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault func(*faultcollector.Collector)
		want  map[trace.SpanID]int
	}{
		"while the Collector hangs": {(*faultcollector.Collector).Hang, times()},
		"during a delay": {func(c *faultcollector.Collector) {
			c.Answer(faultcollector.Always(faultcollector.Reply{Delay: time.Hour}))
		}, times()},
		"after the Collector has kept the request": {func(c *faultcollector.Collector) {
			c.Answer(faultcollector.Always(faultcollector.Reply{Delay: time.Hour, Keep: true}))
		}, times(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
				test.fault(c)
				if err := connect()(within(t, time.Minute), 1); err == nil {
					t.Error("got no error, want one from a client that gave up")
				}
				synctest.Wait()
				if diff := cmp.Diff(test.want, c.Received().SpanIDs()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestHealAnswersThoseWhoWait(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*faultcollector.Collector){
		"because it hangs": (*faultcollector.Collector).Hang,
		"because of a delay": func(c *faultcollector.Collector) {
			c.Answer(faultcollector.Always(faultcollector.Reply{Delay: 24 * time.Hour}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
				fault(c)
				time.AfterFunc(time.Minute, c.Heal)
				begin := time.Now()
				if err := connect()(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(begin); got != time.Minute {
					t.Errorf("got an answer after %v, want 1m", got)
				}
				if diff := cmp.Diff(times(1), c.Received().SpanIDs()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Requests that wait must not keep a test from ending.
func TestNothingOutlivesTheTest(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		sender := connect()
		c.Hang()
		go func() { _ = sender(t.Context(), 1) }() // until the test ends
		synctest.Wait()
		c.Freeze()
		go func() { _ = sender(t.Context(), 2) }()
		synctest.Wait()
		if got := c.Received().Spans; got != 0 {
			t.Errorf("got %d spans from a Collector that hangs, want none", got)
		}
	})
}

func TestSlowDown(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		c.SlowDown(10)
		sender, begin := connect(), time.Now()
		if err := sender(t.Context(), 1, 2, 3); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begin); got < 10*time.Second || got > 10*time.Minute {
			t.Errorf("some hundred bytes took %v at ten per second", got)
		}
		c.Heal()
		<-time.After(time.Minute) // what is being read still is slow
		begin = time.Now()
		if err := sender(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begin); got != 0 {
			t.Errorf("got an answer after %v once healed, want at once", got)
		}
	})
}
