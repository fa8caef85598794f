package meter_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
)

// hang makes p's callback block in a collection of the reader until the test ends, or release is called. Later calls of
// the callback observe 1.
func hang(t *testing.T, p *meter.Provider, reader sdkmetric.Reader) (release func()) {
	t.Helper()
	collecting, released := make(chan struct{}), make(chan struct{})
	var first sync.Once
	_, err := p.Meter("m").Int64ObservableGauge("hanging", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		first.Do(func() {
			close(collecting)
			<-released
		})
		o.Observe(1)
		return nil
	}))
	check(t, err)
	var collection sync.WaitGroup
	ctx := context.WithoutCancel(t.Context())
	collection.Go(func() {
		var data metricdata.ResourceMetrics
		check(t, reader.Collect(ctx, &data))
	})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(func() {
		release()
		collection.Wait()
	})
	<-collecting
	return release
}

func TestSetReturnsWhileACallbackHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in which no callback is left alone, as the clock stands
		p := meter.NewProvider()
		creating := make(chan struct{})
		rules := meter.Rules{AttributeFilter: func(i sdkmetric.Instrument) attribute.Filter {
			if i.Name == "stuck" {
				close(creating)
			}
			return nil
		}}
		old := sdkmetric.NewManualReader()
		p.Set(newSDK(t, rules, old), rules)
		before, err := p.Meter("m").Int64Counter("before")
		check(t, err)
		release := hang(t, p, old)

		created := make(chan metric.Int64Counter)
		go func() {
			stuck, err := p.Meter("m").Int64Counter("stuck") // waits in the SDK for the collection to end
			check(t, err)
			created <- stuck
		}()
		<-creating

		finishes(t, "Set to nothing", func() { p.Set(nil, meter.Rules{}) })
		reader := sdkmetric.NewManualReader()
		finishes(t, "Set to another SDK", func() { p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{}) })
		finishes(t, "using the other SDK", func() {
			after, err := p.Meter("new").Int64Counter("after")
			check(t, err)
			same, err := p.Meter("m").Int64Counter("stuck")
			check(t, err)
			for _, c := range []metric.Int64Counter{before, same, after} {
				c.Add(t.Context(), 1)
			}
		})
		release()
		(<-created).Add(t.Context(), 1)
		if diff := cmp.Diff(map[string]string{"before": "1", "stuck": "2", "after": "1", "hanging": "1"}, sums(t, reader)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// hooked is a provider that tells when a callback is registered.
type hooked struct {
	metric.MeterProvider
	before, after func()
}

func (h hooked) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	return hookedMeter{h.MeterProvider.Meter(name, opts...), h.before, h.after}
}

type hookedMeter struct {
	metric.Meter
	before, after func()
}

func (m hookedMeter) RegisterCallback(f metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	m.before()
	defer m.after()
	return m.Meter.RegisterCallback(f, instruments...)
}

func TestSetReturnsWhileACallbackIsRegistered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in which no callback is left alone, as the clock stands
		p := meter.NewProvider()
		old := sdkmetric.NewManualReader()
		registering := make(chan struct{}, 3)
		p.Set(hooked{newSDK(t, meter.Rules{}, old), func() { registering <- struct{}{} }, func() {}}, meter.Rules{})
		m := observed{"m", p}
		ended := m.registers(t, m.counter(t), 6)
		release := hang(t, p, old)
		registered := make(chan metric.Registration)
		go func() { registered <- m.registers(t, m.counter(t), 7) }() // waits in the SDK for the collection to end
		for range 3 {
			<-registering
		}
		finishes(t, "Set to nothing", func() { p.Set(nil, meter.Rules{}) })
		finishes(t, "Unregister", func() { check(t, ended.Unregister()) })
		release()
		late := <-registered

		reader := sdkmetric.NewManualReader()
		p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
		if diff := cmp.Diff(map[string]string{"shared": "7", "hanging": "1"}, sums(t, reader)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		check(t, late.Unregister())
		if diff := cmp.Diff(map[string]string{"hanging": "1"}, sums(t, reader)); diff != "" {
			t.Errorf("after Unregister (-want +got):\n%s", diff)
		}
	})
}

func TestNoCallbackHoldsUpItsOwnSet(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	set := make(chan struct{})
	for _, name := range []string{"a", "b"} {
		_, err := p.Meter("m").Int64ObservableGauge(name, metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			<-set
			o.Observe(1)
			return nil
		}))
		check(t, err)
	}
	reader := sdkmetric.NewManualReader()
	finishes(t, "Set", func() {
		collect := func() { check(t, reader.Collect(context.WithoutCancel(t.Context()), &metricdata.ResourceMetrics{})) }
		p.Set(hooked{newSDK(t, meter.Rules{}, reader), func() {}, collect}, meter.Rules{})
	})
	close(set)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "1"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestScopesThatAskAtOnceShareOneInstrument(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	var users sync.WaitGroup
	for i := range 64 {
		users.Go(func() {
			c, err := p.Meter(fmt.Sprint("scope ", i%16)).Int64Counter("c")
			check(t, err)
			c.Add(t.Context(), 1)
		})
	}
	users.Wait()
	if diff := cmp.Diff(map[string]string{"c": "64"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsMadeDuringASetFollowsIt(t *testing.T) {
	t.Parallel()
	for range 50 {
		p := meter.NewProvider()
		m := observed{"m", p}
		ended := m.registers(t, m.counter(t), 100)
		reader := sdkmetric.NewManualReader()
		sdk := newSDK(t, meter.Rules{}, reader)
		var counter metric.Int64Counter
		var all sync.WaitGroup
		all.Go(func() { p.Set(sdk, meter.Rules{}) })
		all.Go(func() {
			c, err := p.Meter("m").Int64Counter("c")
			check(t, err)
			counter = c
		})
		all.Go(func() { m.registers(t, m.counter(t), 7) })
		all.Go(func() { check(t, ended.Unregister()) })
		all.Wait()
		counter.Add(t.Context(), 1)
		if diff := cmp.Diff(map[string]string{"c": "1", "shared": "7"}, sums(t, reader)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	stop := make(chan struct{})
	var users, setter sync.WaitGroup
	for i := range 100 {
		users.Go(func() {
			value := int64(1)
			record := allKinds(t, p.Meter(fmt.Sprint("m", i%10)), &value)
			for range 20 {
				record(1)
			}
			g, err := p.Meter("shared").Int64ObservableGauge(fmt.Sprint("g", i%10))
			check(t, err)
			r, err := p.Meter("shared").RegisterCallback(func(_ context.Context, o metric.Observer) error {
				o.ObserveInt64(g, 1)
				return nil
			}, g)
			check(t, err)
			check(t, r.Unregister())
		})
	}
	setter.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			reader := sdkmetric.NewManualReader()
			p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
			var data metricdata.ResourceMetrics
			check(t, reader.Collect(t.Context(), &data))
			p.Set(nil, meter.Rules{})
		}
	})
	users.Wait()
	close(stop)
	setter.Wait()

	value := int64(3)
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	allKinds(t, p.Meter("m0"), &value)(3)
	if got := sums(t, reader)["int.counter"]; got != "3" {
		t.Errorf("got %s after all that, want 3", got)
	}
}
