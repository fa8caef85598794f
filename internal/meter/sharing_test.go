package meter_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/meter"
)

// observed is a shared instrument as one scope sees it.
type observed struct {
	scope string
	p     *meter.Provider
}

func (o observed) counter(t *testing.T, opts ...metric.Int64ObservableCounterOption) metric.Int64ObservableCounter {
	t.Helper()
	c, err := o.p.Meter(o.scope).Int64ObservableCounter("shared", opts...)
	check(t, err)
	return c
}

// observes gives the constructor a callback.
func (o observed) observes(t *testing.T, value int64) {
	t.Helper()
	o.counter(t, metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
		observer.Observe(value)
		return nil
	}))
}

// registers registers a callback for an instrument with the scope's meter.
func (o observed) registers(t *testing.T, instrument metric.Int64Observable, value int64) metric.Registration {
	t.Helper()
	r, err := o.p.Meter(o.scope).RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		observer.ObserveInt64(instrument, value)
		return nil
	}, instrument)
	check(t, err)
	return r
}

func TestObservationsOfOneScopeCount(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		register func(t *testing.T, one, two observed)
		want     string
		warnings int
	}{
		"both scopes give the constructor a callback": {func(t *testing.T, one, two observed) {
			t.Helper()
			one.observes(t, 5)
			two.observes(t, 6)
		}, "5", 1},
		"both register a callback": {func(t *testing.T, one, two observed) {
			t.Helper()
			one.registers(t, one.counter(t), 5)
			two.registers(t, two.counter(t), 6)
		}, "5", 1},
		"the first gives the constructor one and the second registers one": {func(t *testing.T, one, two observed) {
			t.Helper()
			one.observes(t, 5)
			two.registers(t, two.counter(t), 6)
		}, "5", 1},
		"only the second observes": {func(t *testing.T, one, two observed) {
			t.Helper()
			one.counter(t)
			two.registers(t, two.counter(t), 6)
		}, "6", 0},
		"the second's meter registers a callback for the first's instrument": {func(t *testing.T, one, two observed) {
			t.Helper()
			two.registers(t, one.counter(t), 5)
			two.registers(t, two.counter(t), 6)
		}, "5", 1},
		"one scope has two callbacks, as for different attributes": {func(t *testing.T, one, _ observed) {
			t.Helper()
			one.registers(t, one.counter(t), 5)
			one.registers(t, one.counter(t), 6)
		}, "11", 0},
		"the first unregisters": {func(t *testing.T, one, two observed) {
			t.Helper()
			r := one.registers(t, one.counter(t), 5)
			two.registers(t, two.counter(t), 6)
			check(t, r.Unregister())
		}, "6", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := meter.NewProvider()
			tt.register(t, observed{"one", p}, observed{"two", p})
			for range 2 { // the same after every Set
				log := newLines()
				reader := sdkmetric.NewManualReader()
				p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: log.logger()})
				for range 3 {
					if diff := cmp.Diff(map[string]string{"shared": tt.want}, sums(t, reader)); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
				log.wait(t, tt.warnings, "scope=two instrument=shared")
				if got := strings.Count(log.String(), "\n"); got != tt.warnings {
					t.Errorf("got %d warnings, want %d:\n%s", got, tt.warnings, log)
				}
			}
		})
	}
}

func TestTheNextScopeObservesWhenTheFirstUnregisters(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	one, two := observed{"one", p}, observed{"two", p}
	r := one.registers(t, one.counter(t), 5)
	two.registers(t, two.counter(t), 6)
	if got := sums(t, reader)["shared"]; got != "5" {
		t.Errorf("got %s, want 5", got)
	}
	check(t, r.Unregister())
	if got := sums(t, reader)["shared"]; got != "6" {
		t.Errorf("got %s after Unregister, want 6", got)
	}
}

func TestSharedGaugesTakeAllObservations(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	calls := 0
	for _, scope := range []string{"one", "two"} {
		_, err := p.Meter(scope).Float64ObservableGauge("g", metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			calls++
			o.Observe(float64(calls))
			return nil
		}))
		check(t, err)
	}
	if got := sums(t, reader)["g"]; got != "2" {
		t.Errorf("got %s, want the value of the last call, 2", got)
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
