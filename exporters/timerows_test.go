package exporters_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// The timeout of an attempt is longer.
func TestRetryWindowBoundsAnAttempt(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{RetryWindow: time.Second, DisableLogs: true}, func(t *testing.T, r *rig) {
		r.collector.Hang()
		r.span(t)
		began := time.Now()
		if err := r.flush(t.Context()); err == nil {
			t.Error("got no error")
		}
		if took := time.Since(began); took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("it took %v, want the retry window", took)
		}
		if a := r.accounts(t)["traces"]; a.failed["expired"] != 1 || a.lost() != 1 {
			t.Errorf("got %+v, want one span that expired", a)
		}
	})
}

// A peer that takes longer than an attempt may would else never get to its end.
func TestSlowPeerIsGivenTwiceTheTime(t *testing.T) {
	t.Parallel()
	const timeout = 4 * time.Second
	for name, within := range map[string]time.Duration{"as long again": 2 * timeout, "half as long again": timeout * 3 / 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{Timeout: timeout, DisableLogs: true}, func(t *testing.T, r *rig) {
				times := r.answering(faultcollector.Always(faultcollector.Reply{Delay: within - 100*time.Millisecond}))
				r.span(t)
				r.deliverWithin(t, time.Minute)
				if a := r.accounts(t)["traces"]; len(*times) != 2 || a.acknowledged != 1 || a.lost() != 0 {
					t.Errorf("got %d attempts and %+v, want the second to be acknowledged", len(*times), a)
				}
			})
		})
	}
}

// Whoever gives no deadline does not wait for the peer to come back.
func TestShutdownWithoutADeadlineEnds(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.span(t)
		r.record(t)
		r.deliverWithin(t, time.Second)
		r.collector.Refuse()
		r.span(t)
		r.record(t)
		began := time.Now()
		err := r.shutdown(t.Context())
		if took := time.Since(began); took > 10200*time.Millisecond {
			t.Errorf("it took %v, want 10 s", took)
		}
		for _, want := range []string{"traces (1)", "logs (1)"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want it to say %q", err, want)
			}
		}
	})
}

func TestFlushThatEndsEarlySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Refuse()
		r.span(t)
		r.record(t)
		for name, flush := range map[string]func(context.Context) error{"traces": r.tracer.ForceFlush, "logs": r.logger.ForceFlush} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			err := flush(ctx)
			for _, want := range []string{"1 still wait to be delivered", "the last attempt: ", "connection refused"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got error %v, want it to say %q", name, err, want)
				}
			}
		}
	})
}
