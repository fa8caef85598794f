package meter_test

import (
	"context"
	"fmt"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

func attributes() metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(
		attribute.String("http.request.method", "GET"),
		attribute.String("http.route", "/users/{id}"),
		attribute.String("url.scheme", "https"),
		attribute.Int("http.response.status_code", 200),
	))
}

func BenchmarkRecord(b *testing.B) {
	rules := meter.Rules{}
	wrapped := meter.NewProvider()
	wrapped.Set(newSDK(b, rules, sdkmetric.NewManualReader()), rules)
	providers := map[string]metric.MeterProvider{
		"direct":  newSDK(b, rules, sdkmetric.NewManualReader()),
		"wrapped": wrapped,
		"no-op":   meter.NewProvider(),
	}
	contexts := map[string]context.Context{"unsampled": context.Background(), "sampled": sampled(1)}
	for name, provider := range providers {
		h, err := provider.Meter("m").Float64Histogram("d", metric.WithUnit("s"),
			metric.WithExplicitBucketBoundaries(meter.Boundaries("d", "s", nil, rules)...))
		check(b, err)
		opts := []metric.RecordOption{attributes()}
		for span, ctx := range contexts {
			b.Run(name+"/"+span, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					h.Record(ctx, 0.123, opts...)
				}
			})
		}
	}
}

// BenchmarkRecordHTTP shows what it costs to remove server.address and server.port from what others record, with two
// readers.
func BenchmarkRecordHTTP(b *testing.B) {
	orders := map[string][]string{
		"middleware":                 {telemetry.MiddlewareScope},
		"other":                      {"other"},
		"otelhttp inside middleware": {telemetry.MiddlewareScope, otelhttp.ScopeName},
	}
	ctx := inside(b.Context(), trace.SpanKindServer)
	opts := []metric.RecordOption{attributes()}
	for name, scopes := range orders {
		p := meter.NewProvider()
		withTwoReaders(b, p)
		var h metric.Float64Histogram
		for _, scope := range scopes {
			var err error
			h, err = p.Meter(scope).Float64Histogram(telemetry.ServerDuration, metric.WithUnit("s"))
			check(b, err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Record(ctx, 0.123, opts...)
			}
		})
	}
}

// BenchmarkCollect shows what a callback costs in a collection: the difference of one and 101, by 100.
func BenchmarkCollect(b *testing.B) {
	for _, callbacks := range []int{1, 101} {
		reader := sdkmetric.NewManualReader()
		p := meter.NewProvider()
		p.Set(newSDK(b, meter.Rules{}, reader), meter.Rules{})
		for i := range callbacks {
			_, err := p.Meter("m").Int64ObservableGauge(fmt.Sprint("g", i), metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(1)
				return nil
			}))
			check(b, err)
		}
		b.Run(fmt.Sprint(callbacks, " callbacks"), func(b *testing.B) {
			b.ReportAllocs()
			var data metricdata.ResourceMetrics
			for b.Loop() {
				check(b, reader.Collect(b.Context(), &data))
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	p := meter.NewProvider()
	p.Set(newSDK(b, meter.Rules{}, sdkmetric.NewManualReader()), meter.Rules{})
	floats, err := p.Meter("m").Float64Counter("floats")
	check(b, err)
	integers, err := p.Meter("m").Int64Counter("integers")
	check(b, err)
	opts := []metric.AddOption{attributes()}
	adds := map[string]func(){
		"float64": func() { floats.Add(b.Context(), 1, opts...) },
		"int64":   func() { integers.Add(b.Context(), 1, opts...) },
		"refused": func() { floats.Add(b.Context(), -1, opts...) },
	}
	for name, add := range adds {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				add()
			}
		})
	}
}
