package meter_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/meter"
)

// panicking makes a counter, and two observables whose callbacks observe and then panic.
func panicking(t *testing.T, m metric.Meter) {
	t.Helper()
	steady, err := m.Int64Counter("steady")
	check(t, err)
	steady.Add(t.Context(), 1)
	_, err = m.Int64ObservableGauge("constructed", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(2)
		panic("value one")
	}))
	check(t, err)
	g, err := m.Float64ObservableGauge("registered")
	check(t, err)
	_, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveFloat64(g, 3)
		panic(errors.New("value two"))
	}, g)
	check(t, err)
}

func requireOneLineForEach(t *testing.T, log *lines) {
	t.Helper()
	log.wait(t, 2, "metric callback failed")
	for _, want := range []string{`instruments=[constructed] error="panic: value one"`, `instruments=[registered] error="panic: value two"`} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("got not one line with %s in:\n%s", want, log)
		}
	}
	if got := strings.Count(log.String(), "\n"); got != 2 || strings.Contains(log.String(), ".go:") {
		t.Errorf("got %d lines, want 2 without a stack:\n%s", got, log)
	}
}

func TestAPanickingCallbackLeavesTheExportWhole(t *testing.T) {
	t.Parallel()
	var exported bytes.Buffer
	exporter, err := stdoutmetric.New(stdoutmetric.WithWriter(&exported))
	check(t, err)
	sdk := newSDK(t, meter.Rules{}, sdkmetric.NewPeriodicReader(exporter))
	log := newLines()
	p := meter.NewProvider()
	p.Set(sdk, meter.Rules{Logger: log.logger()})
	panicking(t, p.Meter("m"))
	for range 2 {
		exported.Reset()
		check(t, sdk.ForceFlush(t.Context()))
		for _, want := range []string{`"Name":"steady"`, `"Value":1}`, `"Name":"constructed"`, `"Value":2}`, `"Name":"registered"`, `"Value":3}`} {
			if !strings.Contains(exported.String(), want) {
				t.Errorf("got no %s in:\n%s", want, exported.String())
			}
		}
	}
	requireOneLineForEach(t, log)
	check(t, sdk.Shutdown(t.Context()))
}

func TestAPanickingCallbackLeavesTheScrapeWhole(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	check(t, err)
	log := newLines()
	p := meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, exporter), meter.Rules{Logger: log.logger()})
	panicking(t, p.Meter("m"))
	for range 2 {
		recorder := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, want := range []string{"\nsteady_total 1\n", "\nconstructed 2\n", "\nregistered 3\n"} {
			if !strings.Contains(recorder.Body.String(), want) {
				t.Errorf("got no %q in:\n%s", want, recorder.Body)
			}
		}
	}
	requireOneLineForEach(t, log)
}
