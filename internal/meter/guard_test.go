package meter_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// gauge makes an observable gauge whose callback is observe.
func gauge(t *testing.T, p *meter.Provider, name string, observe func(context.Context, metric.Int64Observer) error) {
	t.Helper()
	_, err := p.Meter("m").Int64ObservableGauge(name, metric.WithInt64Callback(observe))
	check(t, err)
}

func constant(value int64) func(context.Context, metric.Int64Observer) error {
	return func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(value)
		return nil
	}
}

// counts returns the value of each series of a counter, by the values of its attributes in sorted order of the keys.
func counts(t *testing.T, reader sdkmetric.Reader, name string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	sum, _ := collect(t, reader)[name].Data.(metricdata.Sum[int64])
	for _, point := range sum.DataPoints {
		var values []string
		for _, kv := range point.Attributes.ToSlice() {
			values = append(values, kv.Value.AsString())
		}
		found[strings.Join(values, " ")] = point.Value
	}
	return found
}

func TestAHangingCallbackIsLeftAloneUntilItReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, reader, p := newLines(), sdkmetric.NewManualReader(), meter.NewProvider()
		p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: log.logger()})
		calls, release := 0, make(chan struct{})
		gauge(t, p, "hanging", func(ctx context.Context, o metric.Int64Observer) error {
			calls++
			o.Observe(int64(calls))
			if calls == 1 {
				<-release
				if ctx.Err() == nil {
					t.Error("its context has not ended")
				}
				o.Observe(100) // too late
			}
			return nil
		})
		gauge(t, p, "steady", constant(1))

		begin := time.Now()
		steps := []struct {
			what string
			want map[string]string
		}{
			{"hangs", map[string]string{"steady": "1", "hanging": "1", telemetry.CallbackFailures: "1"}},
			{"hangs still", map[string]string{"steady": "1", telemetry.CallbackFailures: "2"}},
			{"hangs still more", map[string]string{"steady": "1", telemetry.CallbackFailures: "3"}},
		}
		for _, step := range steps {
			if diff := cmp.Diff(step.want, sums(t, reader)); diff != "" {
				t.Errorf("it %s (-want +got):\n%s", step.what, diff)
			}
			if got := time.Since(begin); got != time.Second {
				t.Errorf("it %s: collections took %v, want a second in all", step.what, got)
			}
		}
		close(release)
		synctest.Wait()
		for want := 2; want < 4; want++ {
			got := sums(t, reader)
			if diff := cmp.Diff(map[string]string{"steady": "1", "hanging": fmt.Sprint(want), telemetry.CallbackFailures: "3"}, got); diff != "" {
				t.Errorf("it has returned (-want +got):\n%s", diff)
			}
		}
		if diff := cmp.Diff(map[string]int64{"timeout m": 3}, counts(t, reader, telemetry.CallbackFailures)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "did not return within 1s") {
			t.Errorf("got log %q, want one line", got)
		}
	})
}

// It observes all the time, so that the race detector sees any use of the SDK's observer after the collection.
func TestNothingIsObservedAfterACallbackWasLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
		p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
		c, err := p.Meter("m").Float64ObservableCounter("late")
		check(t, err)
		ended := make(chan struct{})
		_, err = p.Meter("m").RegisterCallback(func(_ context.Context, o metric.Observer) error {
			for i := 1; ; i++ {
				o.ObserveFloat64(c, float64(i))
				select {
				case <-ended:
					return nil
				case <-time.After(300 * time.Millisecond):
				}
			}
		}, c)
		check(t, err)
		// Observations of one collection add up: at 0, 300, 600 and 900 ms.
		if got := sums(t, reader)["late"]; got != "10" {
			t.Errorf("got %s, want 10", got)
		}
		for range 3 {
			<-time.After(time.Second)
			if got, ok := sums(t, reader)["late"]; ok {
				t.Errorf("got %s while it hangs", got)
			}
		}
		close(ended)
	})
}

func TestEveryKindOfFailureIsCounted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		callback func(context.Context) error
		want     string
	}{
		"panic":                        {func(context.Context) error { panic("value") }, "panic"},
		"panic with an error":          {func(context.Context) error { panic(errors.New("value")) }, "panic"},
		"runtime.Goexit":               {func(context.Context) error { runtime.Goexit(); return nil }, "panic"},
		"error":                        {func(context.Context) error { return errors.New("failed") }, "error"},
		"the end of its context":       {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "timeout"},
		"an error that comes late":     {func(context.Context) error { <-time.After(time.Second + 1); return errors.New("late") }, "timeout"},
		"an error just before the end": {func(context.Context) error { <-time.After(time.Second - 1); return errors.New("late") }, "error"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
				p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
				gauge(t, p, "g", func(ctx context.Context, o metric.Int64Observer) error {
					o.Observe(1)
					return tt.callback(ctx)
				})
				for i := range int64(3) {
					if diff := cmp.Diff(map[string]int64{tt.want + " m": i + 1}, counts(t, reader, telemetry.CallbackFailures)); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
					<-time.After(time.Second) // for one that returns after it was left alone
				}
				if got := sums(t, reader)["g"]; got != "1" {
					t.Errorf("got %q, want what it observed before", got)
				}
				<-time.After(time.Second)
			})
		})
	}
}

func TestReadersCallACallbackAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		readers := []sdkmetric.Reader{sdkmetric.NewManualReader(), sdkmetric.NewManualReader()}
		p := meter.NewProvider()
		p.Set(newSDK(t, meter.Rules{}, readers...), meter.Rules{})
		release := make(chan struct{})
		var hangs atomic.Bool
		hangs.Store(true)
		var both sync.WaitGroup
		both.Add(2)
		gauge(t, p, "g", func(_ context.Context, o metric.Int64Observer) error {
			if hangs.Load() {
				both.Done()
				both.Wait() // passes only with a call by each reader
				<-release
			}
			o.Observe(1)
			return nil
		})
		begin := time.Now()
		var collections sync.WaitGroup
		for i, reader := range readers {
			<-time.After(time.Duration(i) * 400 * time.Millisecond)
			collections.Go(func() {
				if got, ok := sums(t, reader)["g"]; ok {
					t.Errorf("reader %d got %s of a callback that hangs", i, got)
				}
			})
		}
		collections.Wait()
		if got := time.Since(begin); got != 1400*time.Millisecond {
			t.Errorf("the collections took %v, want a second each", got)
		}
		hangs.Store(false)
		close(release)
		synctest.Wait()
		for i, reader := range readers {
			if diff := cmp.Diff(map[string]string{"g": "1", telemetry.CallbackFailures: "2"}, sums(t, reader)); diff != "" {
				t.Errorf("reader %d (-want +got):\n%s", i, diff)
			}
		}
	})
}

func TestShutdownAndUnregisterDoNotWaitForWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		exporter, err := stdoutmetric.New(stdoutmetric.WithWriter(new(strings.Builder)))
		check(t, err)
		p := meter.NewProvider()
		reader := sdkmetric.NewManualReader()
		sdk := newSDK(t, meter.Rules{}, reader, sdkmetric.NewPeriodicReader(exporter))
		p.Set(sdk, meter.Rules{})
		release := make(chan struct{})
		var registrations []metric.Registration
		for i := range 2 {
			g, err := p.Meter("m").Int64ObservableGauge(fmt.Sprint("g", i))
			check(t, err)
			r, err := p.Meter("m").RegisterCallback(func(context.Context, metric.Observer) error {
				<-release
				return nil
			}, g)
			check(t, err)
			registrations = append(registrations, r)
		}
		sums(t, reader) // leaves them alone
		begin := time.Now()
		check(t, registrations[0].Unregister())
		if got := time.Since(begin); got != 0 {
			t.Errorf("Unregister took %v", got)
		}
		p.Set(sdk, meter.Rules{})
		gauge(t, p, "fresh", func(context.Context, metric.Int64Observer) error { // has not been left alone yet
			<-release
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_ = sdk.Shutdown(ctx) // may say that it had no time to export
		if got := time.Since(begin); got != 50*time.Millisecond {
			t.Errorf("Shutdown took %v, want half of its 100 ms", got)
		}
		check(t, registrations[1].Unregister())
		close(release)
	})
}

// The SDK holds its lock during a collection. What a callback does that needs it can go on once the callback was left
// alone. Here that is when the collection is given up, since a goroutine that waits for a lock stops a bubble's clock.
func TestACallbackMayUseTheMeterItIsCalledFor(t *testing.T) {
	t.Parallel()
	uses := map[string]func(*meter.Provider, metric.Registration) error{
		"making an instrument": func(p *meter.Provider, _ metric.Registration) error {
			_, err := p.Meter("m").Int64Counter("new")
			return err
		},
		"unregistering itself": func(_ *meter.Provider, r metric.Registration) error { return r.Unregister() },
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
			p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
			g, err := p.Meter("m").Int64ObservableGauge("g")
			check(t, err)
			ctx, giveUp := context.WithCancel(t.Context())
			registered, used := make(chan metric.Registration, 1), make(chan error, 1)
			r, err := p.Meter("m").RegisterCallback(func(context.Context, metric.Observer) error {
				select {
				case r := <-registered:
					giveUp()
					used <- use(p, r)
				default:
				}
				return nil
			}, g)
			check(t, err)
			registered <- r
			finishes(t, name, func() {
				_ = reader.Collect(ctx, &metricdata.ResourceMetrics{})
				check(t, <-used)
				check(t, r.Unregister())
			})
		})
	}
}

func TestAHangIsKnownAfterASet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := meter.NewProvider()
		first, second := sdkmetric.NewManualReader(), sdkmetric.NewManualReader()
		p.Set(newSDK(t, meter.Rules{}, first), meter.Rules{})
		release := make(chan struct{})
		gauge(t, p, "g", func(context.Context, metric.Int64Observer) error {
			<-release
			return nil
		})
		sums(t, first)
		sums(t, first)
		p.Set(newSDK(t, meter.Rules{}, second), meter.Rules{})
		begin := time.Now()
		if diff := cmp.Diff(map[string]string{telemetry.CallbackFailures: "1"}, sums(t, second)); diff != "" {
			t.Errorf("counts begin anew (-want +got):\n%s", diff)
		}
		if got := time.Since(begin); got != 0 {
			t.Errorf("the collection took %v", got)
		}
		close(release)
	})
}
