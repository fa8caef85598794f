package exporters

import (
	"context"
	"fmt"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/repair"
)

// Waits between two attempts of one request.
const (
	retryFirst = time.Second
	retryMost  = 5 * time.Second
)

func (s *starter) spans(ctx context.Context, set settings, g *gate, p *OTLPPipeline) error {
	exporter, err := newSpanExporter(ctx, set, g.transport)
	if err != nil {
		return err
	}
	b := s.batch("OTEL_BSP")
	batch := sdktrace.NewBatchSpanProcessor(&spanExporter{exporter, g},
		sdktrace.WithBatchTimeout(b.delay),
		sdktrace.WithExportTimeout(set.window),
		sdktrace.WithMaxQueueSize(b.queue),
		sdktrace.WithMaxExportBatchSize(b.size))
	p.Spans = &spanProcessor{batch, p.add(g, untilCutOff(batch.Shutdown))}
	return nil
}

func (s *starter) logs(ctx context.Context, set settings, g *gate, p *OTLPPipeline) error {
	exporter, err := newLogExporter(ctx, set, g.transport)
	if err != nil {
		return err
	}
	b := s.batch("OTEL_BLRP")
	batch := sdklog.NewBatchProcessor(&logExporter{exporter, g},
		sdklog.WithExportInterval(b.delay),
		sdklog.WithExportTimeout(set.window),
		sdklog.WithMaxQueueSize(b.queue),
		sdklog.WithExportMaxBatchSize(b.size))
	p.Logs = &logProcessor{batch, p.add(g, untilCutOff(batch.Shutdown))}
	return nil
}

func (s *starter) metrics(ctx context.Context, set settings, g *gate, p *OTLPPipeline) error {
	exporter, err := newMetricExporter(ctx, set, g.transport)
	if err != nil {
		return err
	}
	interval := s.config.MetricInterval
	if interval <= 0 {
		interval = s.vars.Milliseconds("OTEL_METRIC_EXPORT_INTERVAL", time.Minute, 100*time.Millisecond)
	}
	reader := sdkmetric.NewPeriodicReader(&metricExporter{
		Exporter:    exporter,
		gate:        g,
		temporality: s.temporality(),
		aggregation: s.aggregation(),
	}, sdkmetric.WithInterval(interval), sdkmetric.WithTimeout(set.window))
	p.Metrics = &metricReader{reader, p.add(g, reader.Shutdown)}
	return nil
}

// batching is how spans and log records are gathered into requests.
type batching struct {
	delay       time.Duration
	queue, size int
}

// batch reads the OTEL_BSP_* or OTEL_BLRP_* variables. All of them are then
// passed on as options: left to itself the SDK panics on a negative size and
// spins on a delay of zero.
func (s *starter) batch(prefix string) batching {
	const most = 1_000_000
	b := batching{
		delay: s.vars.Milliseconds(prefix+"_SCHEDULE_DELAY", time.Second, time.Millisecond),
		queue: s.vars.Int(prefix+"_MAX_QUEUE_SIZE", 2048, 1, most),
		size:  s.vars.Int(prefix+"_MAX_EXPORT_BATCH_SIZE", 512, 1, most),
	}
	if name := prefix + "_MAX_EXPORT_BATCH_SIZE"; b.size > b.queue {
		if s.vars.String(name) != "" {
			s.vars.Report(name, fmt.Sprintf("more than the queue of %d holds, which is used", b.queue))
		}
		b.size = b.queue
	}
	return b
}

func (s *starter) temporality() sdkmetric.TemporalitySelector {
	const name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	switch preference := s.vars.OneOf(name, "cumulative", "cumulative", "delta", "lowmemory"); preference {
	case "delta", "lowmemory":
		s.log.Warn("temporality", "metrics with delta temporality are lost for good in an outage, and Prometheus cannot use them", "variable", name, "value", preference)
		if preference == "delta" {
			return sdkmetric.DeltaTemporalitySelector
		}
		return sdkmetric.LowMemoryTemporalitySelector
	}
	return sdkmetric.CumulativeTemporalitySelector
}

func (s *starter) aggregation() sdkmetric.AggregationSelector {
	const exponential = "base2_exponential_bucket_histogram"
	kind := s.vars.OneOf("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
		"explicit_bucket_histogram", "explicit_bucket_histogram", exponential)
	return aggregation(s.config.ExponentialHistograms || kind == exponential)
}

// aggregation selects exponential histograms, at the size and scale that the
// specification gives as defaults, or explicit ones.
func aggregation(exponential bool) sdkmetric.AggregationSelector {
	if !exponential {
		return sdkmetric.DefaultAggregationSelector
	}
	return func(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
		if kind == sdkmetric.InstrumentKindHistogram {
			return sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
		}
		return sdkmetric.DefaultAggregationSelector(kind)
	}
}

type spanExporter struct {
	sdktrace.SpanExporter
	gate *gate
}

func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.gate.send(ctx, items{once: len(spans)}, func(ctx context.Context) error {
		return e.SpanExporter.ExportSpans(ctx, repair.Spans(spans))
	})
	return nil
}

type logExporter struct {
	sdklog.Exporter
	gate *gate
}

func (e *logExporter) Export(ctx context.Context, records []sdklog.Record) error {
	e.gate.send(ctx, items{once: len(records)}, func(ctx context.Context) error {
		return e.Exporter.Export(ctx, repair.Records(records))
	})
	return nil
}

// metricExporter answers for temporality and aggregation itself, because the
// exporters' own selectors come from variables that were not validated.
type metricExporter struct {
	sdkmetric.Exporter
	gate        *gate
	temporality sdkmetric.TemporalitySelector
	aggregation sdkmetric.AggregationSelector
}

func (e *metricExporter) Temporality(kind sdkmetric.InstrumentKind) metricdata.Temporality {
	return e.temporality(kind)
}

func (e *metricExporter) Aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return e.aggregation(kind)
}

func (e *metricExporter) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	var n items
	for _, scope := range metrics.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if isDelta(metric.Data) {
				n.once++
			} else {
				n.again++
			}
		}
	}
	e.gate.send(ctx, n, func(ctx context.Context) error {
		return e.Exporter.Export(ctx, repair.Metrics(metrics))
	})
	return nil
}

// isDelta reports whether an export has what no later one repeats.
func isDelta(data metricdata.Aggregation) bool {
	var temporality metricdata.Temporality
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		temporality = d.Temporality
	case metricdata.Sum[float64]:
		temporality = d.Temporality
	case metricdata.Histogram[int64]:
		temporality = d.Temporality
	case metricdata.Histogram[float64]:
		temporality = d.Temporality
	case metricdata.ExponentialHistogram[int64]:
		temporality = d.Temporality
	case metricdata.ExponentialHistogram[float64]:
		temporality = d.Temporality
	}
	return temporality == metricdata.DeltaTemporality
}
