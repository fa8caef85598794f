package meter_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// twins returns the names that the SDK reports about itself through provider, which becomes the global one.
func twins(t *testing.T, provider metric.MeterProvider, reader sdkmetric.Reader) []string {
	t.Helper()
	otel.SetMeterProvider(provider)
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewInMemoryExporter()))
	_, span := tracers.Tracer("test").Start(t.Context(), "span")
	span.End()
	check(t, tracers.ForceFlush(t.Context()))
	found := slices.Sorted(maps.Keys(collect(t, reader)))
	check(t, tracers.Shutdown(t.Context()))
	return found
}

// Not parallel: the SDK reads the variable, and its instruments are the global provider's.
func TestTheSDKsTwinsAreLeftOut(t *testing.T) {
	t.Setenv("OTEL_GO_X_OBSERVABILITY", "true")
	t.Cleanup(func() { otel.SetMeterProvider(metricnoop.NewMeterProvider()) })
	direct := sdkmetric.NewManualReader()
	if got := twins(t, newSDK(t, meter.Rules{}, direct), direct); !slices.Contains(got, telemetry.SpanStarted) || !slices.Contains(got, telemetry.SpanQueued) {
		t.Fatalf("got %v: the SDK has no twins to leave out", got)
	}
	log, reader, p := newLines(), sdkmetric.NewManualReader(), meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: log.logger()})
	if got := twins(t, p, reader); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	log.wait(t, 1, "left out")
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("got %d lines, want 1:\n%s", got, log)
	}
}

func TestOnlyTheToolkitRecordsWhatSDKsTellAboutThemselves(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	for _, set := range []string{"first", "second"} {
		reader := sdkmetric.NewManualReader()
		p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
		for _, scope := range []string{"other", telemetry.Scope, telemetry.Scope + "/exporters"} {
			for name, record := range prefixed(t, p.Meter(scope)) {
				record(int64(len(name)))
			}
		}
		want := map[string]string{"otel.sdk.c": "20", "otel.sdk.u": "20", "otel.sdk.h": "20", "otel.sdk.g": "10"}
		if diff := cmp.Diff(want, sums(t, reader)); diff != "" {
			t.Errorf("after the %s Set (-want +got):\n%s", set, diff)
		}
	}
}

// prefixed makes one synchronous instrument of each kind, named as an SDK's.
func prefixed(t *testing.T, m metric.Meter) map[string]func(int64) {
	t.Helper()
	ctx := t.Context()
	c, err := m.Int64Counter("otel.sdk.c")
	check(t, err)
	u, err := m.Int64UpDownCounter("otel.sdk.u")
	check(t, err)
	h, err := m.Int64Histogram("otel.sdk.h")
	check(t, err)
	g, err := m.Int64Gauge("otel.sdk.g")
	check(t, err)
	return map[string]func(int64){
		"otel.sdk.c": func(n int64) { c.Add(ctx, n) },
		"otel.sdk.u": func(n int64) { u.Add(ctx, n) },
		"otel.sdk.h": func(n int64) { h.Record(ctx, n) },
		"otel.sdk.g": func(n int64) { g.Record(ctx, n) },
	}
}

func TestACallbackObservesBesidesWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	m := p.Meter("other")
	called := 0
	size, err := m.Int64ObservableUpDownCounter("OTEL.SDK.queue.size", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		called++
		o.Observe(1)
		return nil
	}))
	check(t, err)
	ratio, err := m.Float64ObservableGauge("otel.sdk.ratio")
	check(t, err)
	own, err := m.Int64ObservableCounter("otel.sdkmine")
	check(t, err)
	r, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(size, 2)
		o.ObserveFloat64(ratio, 3)
		o.ObserveInt64(own, 4)
		return nil
	}, size, ratio, own)
	check(t, err)
	for range 2 {
		reader := sdkmetric.NewManualReader()
		p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
		if diff := cmp.Diff(map[string]string{"otel.sdkmine": "4"}, sums(t, reader)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	check(t, r.Unregister())
	if called != 0 {
		t.Errorf("got %d calls for an instrument that is left out", called)
	}
}
