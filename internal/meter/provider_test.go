package meter_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
)

// sums returns the value of each single-series metric that the reader has, as text.
func sums(t testing.TB, reader sdkmetric.Reader) map[string]string {
	t.Helper()
	values := map[string]string{}
	for name, m := range collect(t, reader) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Sum[float64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Gauge[int64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Gauge[float64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Value)
		case metricdata.Histogram[int64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Sum)
		case metricdata.Histogram[float64]:
			values[name] = fmt.Sprint(data.DataPoints[0].Sum)
		default:
			t.Fatalf("%s: got %T", name, data)
		}
	}
	return values
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// allKinds makes one instrument of each kind and number type, the observable ones with callbacks that observe *value, and
// returns a function that adds or records in the others.
func allKinds(t testing.TB, m metric.Meter, value *int64) func(int64) {
	t.Helper()
	ctx := t.Context()
	ints := metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(*value); return nil })
	floats := metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error { o.Observe(float64(*value)); return nil })
	ic, err := m.Int64Counter("int.counter")
	check(t, err)
	iu, err := m.Int64UpDownCounter("int.updown")
	check(t, err)
	ih, err := m.Int64Histogram("int.histogram")
	check(t, err)
	ig, err := m.Int64Gauge("int.gauge")
	check(t, err)
	fc, err := m.Float64Counter("float.counter")
	check(t, err)
	fu, err := m.Float64UpDownCounter("float.updown")
	check(t, err)
	fh, err := m.Float64Histogram("float.histogram")
	check(t, err)
	fg, err := m.Float64Gauge("float.gauge")
	check(t, err)
	_, err = m.Int64ObservableCounter("int.observable.counter", ints)
	check(t, err)
	_, err = m.Int64ObservableUpDownCounter("int.observable.updown", ints)
	check(t, err)
	_, err = m.Int64ObservableGauge("int.observable.gauge", ints)
	check(t, err)
	_, err = m.Float64ObservableCounter("float.observable.counter", floats)
	check(t, err)
	_, err = m.Float64ObservableUpDownCounter("float.observable.updown", floats)
	check(t, err)
	_, err = m.Float64ObservableGauge("float.observable.gauge", floats)
	check(t, err)
	return func(v int64) {
		ic.Add(ctx, v)
		iu.Add(ctx, v)
		ih.Record(ctx, v)
		ig.Record(ctx, v)
		fc.Add(ctx, float64(v))
		fu.Add(ctx, float64(v))
		fh.Record(ctx, float64(v))
		fg.Record(ctx, float64(v))
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

// scrape returns status and body of a Prometheus endpoint without scope labels, over what two scopes recorded under one name.
func scrapeTwoScopes(t *testing.T, wrap func(*sdkmetric.MeterProvider) metric.MeterProvider) (int, string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	check(t, err)
	provider := wrap(newSDK(t, meter.Rules{}, exporter))
	for i, name := range []string{"requests", "Requests"} {
		m := provider.Meter(fmt.Sprint("scope ", i))
		c, err := m.Int64Counter(name, metric.WithDescription(fmt.Sprint("of scope ", i)))
		check(t, err)
		c.Add(t.Context(), 1)
		g, err := m.Int64ObservableGauge("depth")
		check(t, err)
		_, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			o.ObserveInt64(g, 4)
			return nil
		}, g)
		check(t, err)
	}
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(recorder.Body)
	check(t, err)
	return recorder.Code, string(body)
}

func TestScopesShareAnInstrument(t *testing.T) {
	t.Parallel()
	status, body := scrapeTwoScopes(t, func(sdk *sdkmetric.MeterProvider) metric.MeterProvider {
		p := meter.NewProvider()
		p.Set(sdk, meter.Rules{})
		return p
	})
	if status != http.StatusOK {
		t.Fatalf("got status %d, want 200: %s", status, body)
	}
	for _, want := range []string{"requests_total 2\n", "# HELP requests_total of scope 0\n", "depth 4\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("got no %q in:\n%s", want, body)
		}
	}

	status, body = scrapeTwoScopes(t, func(sdk *sdkmetric.MeterProvider) metric.MeterProvider { return sdk })
	if status != http.StatusInternalServerError {
		t.Errorf("got status %d without the Provider, so that this test proves nothing: %s", status, body)
	}
}

func TestConflictsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	conflicts := map[string]func(metric.Meter) error{
		"another kind":        func(m metric.Meter) error { _, err := m.Int64UpDownCounter("name"); return err },
		"another unit":        func(m metric.Meter) error { _, err := m.Int64Counter("name", metric.WithUnit("By")); return err },
		"another number type": func(m metric.Meter) error { _, err := m.Float64Counter("NAME"); return err },
	}
	for name, conflict := range conflicts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			rules := meter.Rules{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			p := meter.NewProvider()
			p.Set(newSDK(t, meter.Rules{}, sdkmetric.NewManualReader()), rules)
			_, err := p.Meter("first scope").Int64Counter("name")
			check(t, err)
			for range 2 {
				check(t, conflict(p.Meter("second scope")))
				check(t, conflict(p.Meter("third scope")))
			}
			if got := strings.Count(log.String(), "\n"); got != 1 {
				t.Errorf("got %d lines, want 1:\n%s", got, log.String())
			}
			for _, want := range []string{"first scope", "second scope", "instrument=name"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("got no %q in: %s", want, log.String())
				}
			}
		})
	}
}

func TestInvalidNamesAreReportedAndUsable(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := meter.NewProvider()
	early, err := p.Meter("m").Int64Counter("1 early")
	check(t, err) // nobody to refuse it yet
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "1 early") {
		t.Errorf("got %q in the log, want the invalid name", log.String())
	}
	for range 2 {
		late, err := p.Meter("m").Int64Counter("2 late")
		if err == nil {
			t.Error("got no error for an invalid name")
		}
		late.Add(t.Context(), 1)
	}
	early.Add(t.Context(), 1)
	if diff := cmp.Diff(map[string]string{"1 early": "1", "2 late": "2"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
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
	advice := metric.WithExplicitBucketBoundaries(5, 6)
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
	want := map[string][]float64{"latency": meter.Boundaries("latency", "s", rules), "ruled": {1, 2}, "other": {5, 6}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
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

func TestRecordingAllocatesNothing(t *testing.T) {
	// Not parallel: testing.AllocsPerRun counts for the whole process.
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, sdkmetric.NewManualReader()), meter.Rules{})
	c, err := p.Meter("m").Int64Counter("c")
	check(t, err)
	h, err := p.Meter("m").Float64Histogram("h", metric.WithUnit("s"))
	check(t, err)
	ctx := t.Context()
	attrs := attributes()
	add, record := []metric.AddOption{attrs}, []metric.RecordOption{attrs}
	got := testing.AllocsPerRun(1000, func() {
		if c.Enabled(ctx) {
			c.Add(ctx, 1, add...)
		}
		h.Record(ctx, 0.1, record...)
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
