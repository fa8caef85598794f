package meter_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// allKinds makes one instrument of each kind and number type, the observable ones with callbacks that observe *value, and
// returns a function that adds or records in the others.
func allKinds(t testing.TB, m metric.Meter, value *int64) func(int64) {
	t.Helper()
	return allKindsOf(t, m, "", value, metric.WithAttributes())
}

// allKindsOf is allKinds with a prefix of the names, and an option of each measurement.
func allKindsOf(t testing.TB, m metric.Meter, prefix string, value *int64, with metric.MeasurementOption) func(int64) {
	t.Helper()
	ctx := t.Context()
	ints := metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(*value, with); return nil })
	floats := metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error { o.Observe(float64(*value), with); return nil })
	ic, err := m.Int64Counter(prefix + "int.counter")
	check(t, err)
	iu, err := m.Int64UpDownCounter(prefix + "int.updown")
	check(t, err)
	ih, err := m.Int64Histogram(prefix + "int.histogram")
	check(t, err)
	ig, err := m.Int64Gauge(prefix + "int.gauge")
	check(t, err)
	fc, err := m.Float64Counter(prefix + "float.counter")
	check(t, err)
	fu, err := m.Float64UpDownCounter(prefix + "float.updown")
	check(t, err)
	fh, err := m.Float64Histogram(prefix + "float.histogram")
	check(t, err)
	fg, err := m.Float64Gauge(prefix + "float.gauge")
	check(t, err)
	_, err = m.Int64ObservableCounter(prefix+"int.observable.counter", ints)
	check(t, err)
	_, err = m.Int64ObservableUpDownCounter(prefix+"int.observable.updown", ints)
	check(t, err)
	_, err = m.Int64ObservableGauge(prefix+"int.observable.gauge", ints)
	check(t, err)
	_, err = m.Float64ObservableCounter(prefix+"float.observable.counter", floats)
	check(t, err)
	_, err = m.Float64ObservableUpDownCounter(prefix+"float.observable.updown", floats)
	check(t, err)
	_, err = m.Float64ObservableGauge(prefix+"float.observable.gauge", floats)
	check(t, err)
	return func(v int64) {
		ic.Add(ctx, v, with)
		iu.Add(ctx, v, with)
		ih.Record(ctx, v, with)
		ig.Record(ctx, v, with)
		fc.Add(ctx, float64(v), with)
		fu.Add(ctx, float64(v), with)
		fh.Record(ctx, float64(v), with)
		fg.Record(ctx, float64(v), with)
	}
}

func allValues(value int64) map[string]string {
	values := map[string]string{}
	for _, number := range []string{"int", "float"} {
		for _, kind := range []string{"counter", "updown", "histogram", "gauge", "observable.counter", "observable.updown", "observable.gauge"} {
			values[number+"."+kind] = fmt.Sprint(value)
		}
	}
	return values
}

func TestInstrumentsFollowEverySet(t *testing.T) {
	t.Parallel()
	value := int64(5)
	p := meter.NewProvider()
	record := allKinds(t, p.Meter("before the first Set"), &value)
	record(100) // to no provider

	first := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, first), meter.Rules{})
	record(5)
	if diff := cmp.Diff(allValues(5), sums(t, first)); diff != "" {
		t.Errorf("first provider (-want +got):\n%s", diff)
	}

	p.Set(nil, meter.Rules{})
	record(100)
	late, err := p.Meter("between").Int64Counter("late")
	check(t, err)

	second := sdkmetric.NewManualReader()
	value = 6
	p.Set(newSDK(t, meter.Rules{}, second), meter.Rules{})
	record(6)
	late.Add(t.Context(), 6)
	want := allValues(6)
	want["late"] = "6"
	if diff := cmp.Diff(want, sums(t, second)); diff != "" {
		t.Errorf("second provider (-want +got):\n%s", diff)
	}
	for name, got := range sums(t, first) {
		if got != "5" {
			t.Errorf("first provider got %s for %s after it was replaced, want 5", got, name)
		}
	}
}

func TestSettingTheSameProviderAgainDoublesNothing(t *testing.T) {
	t.Parallel()
	value := int64(7)
	p := meter.NewProvider()
	reader := sdkmetric.NewManualReader()
	sdk := newSDK(t, meter.Rules{}, reader)
	p.Set(sdk, meter.Rules{})
	record := allKinds(t, p.Meter("m"), &value)
	p.Set(nil, meter.Rules{})
	p.Set(sdk, meter.Rules{})
	record(7)
	if diff := cmp.Diff(allValues(7), sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnabledFollowsTheProvider(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	c, err := p.Meter("m").Int64Counter("c")
	check(t, err)
	h, err := p.Meter("m").Float64Histogram("h")
	check(t, err)
	dropped, err := p.Meter("m").Int64Counter("dropped")
	check(t, err)
	if c.Enabled(t.Context()) || h.Enabled(t.Context()) {
		t.Error("got enabled without a provider")
	}
	rules := meter.Rules{Disabled: []string{"drop*"}}
	p.Set(newSDK(t, rules, sdkmetric.NewManualReader()), rules)
	if !c.Enabled(t.Context()) || !h.Enabled(t.Context()) {
		t.Error("got disabled with a provider")
	}
	if dropped.Enabled(t.Context()) {
		t.Error("got enabled although the rules disable it")
	}
}

func TestReservedScopesRecordNothing(t *testing.T) {
	t.Parallel()
	value := int64(1)
	p := meter.NewProvider()
	record := allKinds(t, p.Meter("reserved"), &value)
	reader := sdkmetric.NewManualReader()
	sdk := newSDK(t, meter.Rules{}, reader)
	p.Set(sdk, meter.Rules{ReservedScopes: []string{"reserved"}})
	record(1)
	if got := sums(t, reader); len(got) != 0 {
		t.Errorf("got %v from a reserved scope", got)
	}
	other := allKinds(t, p.Meter("other"), &value)
	other(1)
	if diff := cmp.Diff(allValues(1), sums(t, reader)); diff != "" {
		t.Errorf("another scope with the same instruments (-want +got):\n%s", diff)
	}
}

func TestMetersDifferByWholeScope(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	if p.Meter("m") != p.Meter("m") {
		t.Error("got two meters for one scope")
	}
	if p.Meter("m") == p.Meter("m", metric.WithInstrumentationVersion("1")) {
		t.Error("got one meter for two versions")
	}
	c, err := p.Meter("m", metric.WithInstrumentationVersion("1"), metric.WithSchemaURL("https://x/1")).Int64Counter("c")
	check(t, err)
	c.Add(t.Context(), 1)
	var data metricdata.ResourceMetrics
	check(t, reader.Collect(t.Context(), &data))
	if scope := data.ScopeMetrics[0].Scope; scope.Version != "1" || scope.SchemaURL != "https://x/1" {
		t.Errorf("got scope %+v, want version 1 and the schema URL", scope)
	}
}

func TestHistogramBoundariesGoBeforeWhatTheInstrumentAdvises(t *testing.T) {
	t.Parallel()
	rules := meter.Rules{Boundaries: map[string][]float64{"ruled": {1, 2}}}
	p := meter.NewProvider()
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, rules, reader), rules)
	advice := metric.WithExplicitBucketBoundaries(5, 6, 300)
	latency, err := p.Meter("m").Float64Histogram("latency", advice, metric.WithUnit("s"))
	check(t, err)
	latency.Record(t.Context(), 1)
	ruled, err := p.Meter("m").Int64Histogram("ruled", advice, metric.WithUnit("s"))
	check(t, err)
	ruled.Record(t.Context(), 1)
	other, err := p.Meter("m").Float64Histogram("other", advice, metric.WithUnit("{apple}"))
	check(t, err)
	other.Record(t.Context(), 1)

	data := collect(t, reader)
	got := map[string][]float64{
		"latency": data["latency"].Data.(metricdata.Histogram[float64]).DataPoints[0].Bounds,
		"ruled":   data["ruled"].Data.(metricdata.Histogram[int64]).DataPoints[0].Bounds,
		"other":   data["other"].Data.(metricdata.Histogram[float64]).DataPoints[0].Bounds,
	}
	want := map[string][]float64{"latency": append(meter.Boundaries("latency", "s", nil, rules), 300), "ruled": {1, 2}, "other": {5, 6, 300}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	// Not parallel: testing.AllocsPerRun counts for the whole process.
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, sdkmetric.NewManualReader()), meter.Rules{})
	c, err := p.Meter("m").Int64Counter("c")
	check(t, err)
	h, err := p.Meter("m").Float64Histogram("h", metric.WithUnit("s"))
	check(t, err)
	own, err := p.Meter(telemetry.MiddlewareScope).Float64Histogram(telemetry.ServerDuration, metric.WithUnit("s"))
	check(t, err)
	twice, err := p.Meter(otelhttp.ScopeName).Float64Histogram(telemetry.ServerDuration, metric.WithUnit("s"))
	check(t, err)
	ctx := inside(t.Context(), trace.SpanKindServer)
	attrs := attributes()
	add, record := []metric.AddOption{attrs}, []metric.RecordOption{attrs}
	got := testing.AllocsPerRun(1000, func() {
		if c.Enabled(ctx) {
			c.Add(ctx, 1, add...)
		}
		h.Record(ctx, 0.1, record...)
		own.Record(ctx, 0.1, record...)
		twice.Record(ctx, 0.1, record...)
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
