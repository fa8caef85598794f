package meter_test

import (
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
)

// newSDK returns an SDK MeterProvider built with the views of the rules.
func newSDK(t testing.TB, rules meter.Rules, readers ...sdkmetric.Reader) *sdkmetric.MeterProvider {
	t.Helper()
	opts := []sdkmetric.Option{sdkmetric.WithView(meter.Views(rules)...)}
	for _, r := range readers {
		opts = append(opts, sdkmetric.WithReader(r))
	}
	return sdkmetric.NewMeterProvider(opts...)
}

// collect returns what the reader has, by name of the metric.
func collect(t testing.TB, reader sdkmetric.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	found := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if _, twice := found[m.Name]; twice {
				t.Errorf("metric %s was collected twice", m.Name)
			}
			found[m.Name] = m
		}
	}
	return found
}
