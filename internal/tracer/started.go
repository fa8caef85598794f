package tracer

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Values of telemetry.ParentOrigin, in the order of started.
var origins = [...]string{"none", "local", "remote"}

// Values of telemetry.SamplingResult, by [sdktrace.SamplingDecision].
var results = [...]string{sdktrace.Drop: "DROP", sdktrace.RecordOnly: "RECORD_ONLY", sdktrace.RecordAndSample: "RECORD_AND_SAMPLE"}

// started counts sampling decisions by origin of the parent and by result.
type started [len(origins)][len(results)]atomic.Int64

// count counts the decision about a child of parent. What a sampler of others makes up beyond the three results is dropped
// by the SDK.
func (s *started) count(parent trace.SpanContext, decision sdktrace.SamplingDecision) {
	origin := 0
	if parent.IsValid() {
		origin = 1
		if parent.IsRemote() {
			origin = 2
		}
	}
	if int(decision) >= len(results) {
		decision = sdktrace.Drop
	}
	s[origin][decision].Add(1)
}

// Observe registers otel.sdk.span.started with the provider for as long as that
// lives. A span that is recorded counts when it is started, and one that is not
// when that is decided: a request that [Provider.Decide] drops counts as DROP,
// though the SDK never hears of it, and once more, as RECORD_AND_SAMPLE, if it
// leaves a span after all because it was rescued. A pair of attributes has no
// series before it occurs.
func (p *Provider) Observe(meters metric.MeterProvider) error {
	m := telemetry.Meter(meters, "tracer")
	var options [len(origins)][len(results)]metric.MeasurementOption
	for i, origin := range origins {
		for j, result := range results {
			options[i][j] = metric.WithAttributeSet(attribute.NewSet(
				telemetry.ParentOrigin.String(origin), telemetry.SamplingResult.String(result)))
		}
	}
	_, err := m.Int64ObservableCounter(telemetry.SpanStarted, metric.WithUnit("{span}"),
		metric.WithDescription("Spans started, by sampling result and by origin of the parent."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for i := range origins {
				for j := range results {
					if n := p.started[i][j].Load(); n > 0 {
						o.Observe(n, options[i][j])
					}
				}
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("making the metric %s: %w", telemetry.SpanStarted, err)
	}
	return nil
}
