package meter_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

func TestOneCallbackForInstrumentsOfSeveralMeters(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	// The second scope's instrument belongs to the first scope's meter.
	owner, err := p.Meter("first").Int64ObservableCounter("shared")
	check(t, err)
	shared, err := p.Meter("second").Int64ObservableCounter("shared")
	check(t, err)
	own, err := p.Meter("second").Float64ObservableGauge("own")
	check(t, err)
	another, err := p.Meter("second").Float64ObservableGauge("another")
	check(t, err)
	calls := 0
	r, err := p.Meter("second").RegisterCallback(func(_ context.Context, o metric.Observer) error {
		calls++
		o.ObserveInt64(shared, 3)
		o.ObserveFloat64(own, 4.5)
		o.ObserveInt64(owner, 1000) // not registered: the SDK refuses it
		return nil
	}, shared, own, another)
	check(t, err)
	if diff := cmp.Diff(map[string]string{"shared": "3", "own": "4.5"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if calls != 2 {
		t.Errorf("got %d calls in one collection, want one for each of two owners", calls)
	}

	second := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, second), meter.Rules{})
	if diff := cmp.Diff(map[string]string{"shared": "3", "own": "4.5"}, sums(t, second)); diff != "" {
		t.Errorf("after a Set (-want +got):\n%s", diff)
	}
	check(t, r.Unregister())
	check(t, r.Unregister())
	if got := sums(t, second); len(got) != 0 {
		t.Errorf("got %v after Unregister", got)
	}
	third := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, third), meter.Rules{})
	if got := sums(t, third); len(got) != 0 {
		t.Errorf("got %v after Unregister and a Set", got)
	}
}

func TestUnregisterBeforeTheFirstSet(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	g, err := p.Meter("m").Int64ObservableGauge("g")
	check(t, err)
	kept, err := p.Meter("m").RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(g, 1)
		return nil
	}, g)
	check(t, err)
	ended, err := p.Meter("m").RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(g, 2)
		return nil
	}, g)
	check(t, err)
	check(t, ended.Unregister())
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	if diff := cmp.Diff(map[string]string{"g": "1"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	check(t, kept.Unregister())
}

func TestCallbackErrorsAreLoggedOnceAndNotPassedOn(t *testing.T) {
	t.Parallel()
	log := newLines()
	reader := sdkmetric.NewManualReader()
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: log.logger()})
	calls := 0
	_, err := p.Meter("scope").Int64ObservableGauge("g", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		calls++
		o.Observe(1)
		return fmt.Errorf("error %d", calls)
	}))
	check(t, err)
	for i := range 3 {
		want := map[string]string{"g": "1", telemetry.CallbackFailures: fmt.Sprint(i + 1)}
		if diff := cmp.Diff(want, sums(t, reader)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	log.wait(t, 1, "\n")
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"error 1"`) || !strings.Contains(got, "[g]") {
		t.Errorf("got log %q, want one line with the first error and the instrument", got)
	}
}

func TestOnlyTheFirstCallbackOfAScopeCounts(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	reader := sdkmetric.NewManualReader()
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		_, err := p.Meter("scope").Int64ObservableCounter("c", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1)
			return nil
		}))
		check(t, err)
	}
	if diff := cmp.Diff(map[string]string{"c": "1"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := log.String(); !strings.Contains(got, "ignored") {
		t.Errorf("got log %q, want a warning", got)
	}
}

func TestRegisterCallbackRefuses(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}), meter.Rules{})
	nothing := func(context.Context, metric.Observer) error { return nil }
	g, err := p.Meter("m").Int64ObservableGauge("g")
	check(t, err)
	others, err := meter.NewProvider().Meter("m").Int64ObservableGauge("g")
	check(t, err)
	tests := map[string]struct {
		callback    metric.Callback
		instruments []metric.Observable
	}{
		"a nil callback":                    {nil, []metric.Observable{g}},
		"an instrument of another SDK":      {nothing, []metric.Observable{noop.Int64ObservableGauge{}}},
		"an instrument of another Provider": {nothing, []metric.Observable{others}},
		"a nil instrument":                  {nothing, []metric.Observable{g, nil}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := p.Meter("m").RegisterCallback(tt.callback, tt.instruments...)
			if err == nil {
				t.Error("got no error")
			}
			check(t, r.Unregister())
		})
	}
}

func TestACallbackMayAskForInstrumentsDuringASet(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	p := meter.NewProvider()
	sdk := newSDK(t, meter.Rules{}, reader)
	p.Set(sdk, meter.Rules{})
	c, err := p.Meter("m").Int64Counter("c")
	check(t, err)
	collecting, asked := make(chan struct{}), make(chan struct{})
	_, err = p.Meter("m").Int64ObservableGauge("g", metric.WithInt64Callback(func(ctx context.Context, _ metric.Int64Observer) error {
		close(collecting)
		defer close(asked)
		again, err := p.Meter("m").Int64Counter("c")
		again.Add(ctx, 1)
		return err
	}))
	check(t, err)
	created := make(chan error)
	go func() {
		<-collecting
		_, err := p.Meter("new").Int64Counter("new") // waits, with the lock, for the collection to end
		created <- err
	}()
	c.Add(t.Context(), 1)
	if got := sums(t, reader)["c"]; got != "2" {
		t.Errorf("got %s, want 2", got)
	}
	<-asked
	check(t, <-created)
}

func TestASilencedCallbackIsNotCalledByTheOldProvider(t *testing.T) {
	t.Parallel()
	old := sdkmetric.NewManualReader()
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, old), meter.Rules{})
	calls := 0
	_, err := p.Meter("m").Int64ObservableGauge("g", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		calls++
		o.Observe(1)
		return nil
	}))
	check(t, err)
	p.Set(nil, meter.Rules{})
	if got := sums(t, old); len(got) != 0 || calls != 0 {
		t.Errorf("got %v and %d calls, want none", got, calls)
	}
}
