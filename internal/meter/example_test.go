package meter_test

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
)

// An instrument made before there is an SDK records as soon as there is one, with boundaries for its unit.
func ExampleProvider() {
	ctx := context.Background()
	provider := meter.NewProvider()
	duration, err := provider.Meter("example").Float64Histogram("job.duration", metric.WithUnit("s"))
	if err != nil {
		fmt.Println(err)
	}

	rules := meter.Rules{LatencyObjectives: []time.Duration{2 * time.Second}}
	reader := sdkmetric.NewManualReader()
	sdk := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithView(meter.Views(rules)...))
	provider.Set(sdk, rules)
	duration.Record(ctx, 1.5)

	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		fmt.Println(err)
	}
	point := data.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints[0]
	for i, count := range point.BucketCounts {
		if count > 0 {
			fmt.Printf("%d between %v s and %v s\n", count, point.Bounds[i-1], point.Bounds[i])
		}
	}
	// Output:
	// 1 between 1.21 s and 1.56 s
}
