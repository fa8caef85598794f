package exporters_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// anyAnswer is one of all kinds; which one depends on the seed and the order of
// requests.
func anyAnswer(seed uint64) func(faultcollector.Request) faultcollector.Reply {
	random := rand.New(rand.NewPCG(seed, seed))
	replies := []faultcollector.Reply{
		{Code: codes.Unavailable},
		{Code: codes.InvalidArgument},
		{Code: codes.ResourceExhausted, Status: 413, Message: "message larger than max"},
		{Rejected: 2},
		{Rejected: 1 << 40},
		{Delay: 80 * time.Millisecond},
		{Code: codes.Unavailable, Keep: true},
	}
	return func(faultcollector.Request) faultcollector.Reply {
		if i := random.IntN(len(replies) + 2); i < len(replies) {
			return replies[i]
		}
		return faultcollector.Reply{}
	}
}

// Several goroutines fill small queues, some flush, and the pipeline ends while
// they go on; at each moment the numbers agree and none goes back.
func TestAnyMixOfFaultsAddsUp(t *testing.T) { // not parallel: it sets variables
	for _, prefix := range []string{"OTEL_BSP", "OTEL_BLRP"} {
		t.Setenv(prefix+"_MAX_QUEUE_SIZE", "300")
		t.Setenv(prefix+"_MAX_EXPORT_BATCH_SIZE", "64")
		t.Setenv(prefix+"_SCHEDULE_DELAY", "20")
	}
	config := exporters.OTLP{
		QueueBytes: 400 << 10, RetryWindow: 300 * time.Millisecond, Timeout: 50 * time.Millisecond, MetricInterval: 100 * time.Millisecond,
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			overBoth(t, config, func(t *testing.T, r *rig) {
				r.mayHaveMore = true
				r.collector.Answer(anyAnswer(seed))
				orders := r.counter(t, "orders")
				emitters := make([]*rig, 4)
				var running sync.WaitGroup
				for i := range emitters {
					emitters[i] = &rig{sender: r.sender, name: string(rune('a' + i))}
					random := rand.New(rand.NewPCG(seed, uint64(i)))
					running.Go(func() {
						steadily(500, 6*time.Second, func() {
							emitters[i].span(t, attribute.String("a", strings.Repeat("x", random.IntN(4000))))
							emitters[i].record(t)
							orders.Add(t.Context(), 1)
						})
					})
				}
				running.Go(func() {
					for range 50 {
						ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
						_ = r.flush(ctx)
						cancel()
						<-time.After(time.Millisecond)
					}
				})
				running.Go(func() { r.checkNumbersGrow(t, 6*time.Second) })
				<-time.After(5 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				began := time.Now()
				_ = r.Shutdown(ctx) // while they go on
				if took := time.Since(began); took > time.Second {
					t.Errorf("the shutdown took %v", took)
				}
				running.Wait()
				for _, e := range emitters {
					r.spans, r.bodies = append(r.spans, e.spans...), append(r.bodies, e.bodies...)
				}
				for signal, a := range r.accounts(t) {
					if a.queued+a.inflight+a.bytes != 0 || signal != "metrics" && (a.acknowledged == 0 || len(a.failed) == 0) {
						t.Errorf("%s: got %+v, want some delivered, some not, and nothing left", signal, a)
					}
				}
			})
		})
	}
}

// checkNumbersGrow reads all numbers many times.
func (r *rig) checkNumbersGrow(t *testing.T, while time.Duration) {
	t.Helper()
	before := r.accounts(t)
	for range while / (7 * time.Millisecond) {
		<-time.After(7 * time.Millisecond)
		now := r.accounts(t)
		if err := errors.Join(identity(now), statusIdentity(r.Status())); err != nil {
			t.Error(err)
			return
		}
		for signal, a := range now {
			b := before[signal]
			if a.accepted < b.accepted || a.acknowledged < b.acknowledged || a.lost() < b.lost() || a.inflight < 0 || a.queued < 0 {
				t.Errorf("%s: got %+v after %+v", signal, a, b)
				return
			}
		}
		before = now
	}
}
