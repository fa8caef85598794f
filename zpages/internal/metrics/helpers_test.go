package metrics_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// service has the metrics of one, in a real SDK as otelmon.Setup makes it, with a
// clock that the test moves and a Store that takes its collections.
type service struct {
	t        testing.TB
	store    *metrics.Store
	now      time.Time
	traced   map[metrics.Route]metrics.Traced
	meter    metric.Meter
	reader   *sdkmetric.ManualReader
	duration metric.Float64Histogram
	stream   metric.Float64Histogram
	rm       metricdata.ResourceMetrics
}

func newService(t testing.TB, options ...sdkmetric.Option) *service {
	s := &service{t: t, store: metrics.New(), now: time.Now()}
	s.restart(options...)
	return s
}

// restart begins anew with another SDK.
func (s *service) restart(options ...sdkmetric.Option) {
	s.t.Helper()
	s.reader = sdkmetric.NewManualReader()
	sdk := sdkmetric.NewMeterProvider(append(options,
		sdkmetric.WithReader(s.reader), sdkmetric.WithView(meter.Views(meter.Rules{})...))...)
	provider := meter.NewProvider()
	provider.Set(sdk, meter.Rules{})
	s.meter = provider.Meter(telemetry.MiddlewareScope)
	s.duration = s.histogram(telemetry.ServerDuration)
	s.stream = s.histogram(telemetry.ServerStreamDuration)
}

func (s *service) histogram(name string) metric.Float64Histogram {
	s.t.Helper()
	h, err := s.meter.Float64Histogram(name, metric.WithUnit("s"))
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// add adds to a counter.
func (s *service) add(name string, n float64, attributes ...attribute.KeyValue) {
	s.t.Helper()
	c, err := s.meter.Float64Counter(name)
	if err != nil {
		s.t.Fatal(err)
	}
	c.Add(context.Background(), n, metric.WithAttributes(attributes...))
}

// set sets a gauge.
func (s *service) set(name string, value float64, attributes ...attribute.KeyValue) {
	s.t.Helper()
	g, err := s.meter.Float64Gauge(name)
	if err != nil {
		s.t.Fatal(err)
	}
	g.Record(context.Background(), value, metric.WithAttributes(attributes...))
}

// get is n requests that succeed.
func (s *service) get(route string, n int, seconds float64) {
	s.request(s.duration, n, seconds, "GET", route, 200, "")
}

// fail is n requests that fail.
func (s *service) fail(route string, n int, status int, errorType string) {
	s.request(s.duration, n, 0.01, "GET", route, status, errorType)
}

func (s *service) request(in metric.Float64Histogram, n int, seconds float64, method, route string, status int, errorType string) {
	attributes := []attribute.KeyValue{
		telemetry.HTTPMethod.String(method), telemetry.HTTPRoute.String(route), telemetry.URLScheme.String("http"),
	}
	if status != 0 {
		attributes = append(attributes, telemetry.HTTPStatusCode.Int(status))
	}
	if errorType != "" {
		attributes = append(attributes, telemetry.ErrorType.String(errorType))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	for range n {
		in.Record(context.Background(), seconds, set)
	}
}

// collect collects after some time.
func (s *service) collect(after time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(after)
	if err := s.reader.Collect(context.Background(), &s.rm); err != nil {
		s.t.Fatal(err)
	}
	s.store.Add(s.now, &s.rm, s.traced)
}

func (s *service) view(window time.Duration) metrics.View {
	return s.store.View(s.now, metrics.Query{Window: window})
}

// rowOf returns the row of a key.
func rowOf(t testing.TB, v metrics.View, key string) metrics.Row {
	t.Helper()
	for _, row := range v.Routes {
		if row.Key == key {
			return row
		}
	}
	t.Fatalf("there is no row %q among %d", key, len(v.Routes))
	return metrics.Row{}
}

// lastOf returns the last of a column, and NaN of an empty one.
func lastOf(t testing.TB, column []metrics.Number) float64 {
	t.Helper()
	if len(column) == 0 {
		t.Fatal("the column is empty")
	}
	return float64(column[len(column)-1])
}

// equateNumbers takes numbers that are none to be the same.
func equateNumbers() cmp.Option {
	return cmp.Comparer(func(a, b metrics.Number) bool {
		return a == b || math.IsNaN(float64(a)) && math.IsNaN(float64(b))
	})
}

func nan() float64 { return math.NaN() }

func inf() float64 { return math.Inf(1) }

func histogramOf(points ...metricdata.HistogramDataPoint[float64]) metricdata.Histogram[float64] {
	return metricdata.Histogram[float64]{DataPoints: points}
}

func collectionOf(all ...metricdata.Metrics) *metricdata.ResourceMetrics {
	return &metricdata.ResourceMetrics{ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: all}}}
}
