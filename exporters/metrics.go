package exporters

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/repair"
)

func (s *starter) metrics(ctx context.Context, set settings, g *gate, p *OTLPPipeline) error {
	encoder, err := newMetricEncoder(ctx)
	if err != nil {
		return err
	}
	interval := s.config.MetricInterval
	if interval <= 0 {
		interval = s.vars.Milliseconds("OTEL_METRIC_EXPORT_INTERVAL", time.Minute, 100*time.Millisecond)
	}
	exporter := &metricExporter{
		metricEncoder: encoder,
		sender:        newSender(signalMetrics, set, g.transport),
		gate:          g,
		temporality:   s.temporality(),
		aggregation:   s.aggregation(),
	}
	g.tally = exporter.undelivered
	// The window ends an export; the reader's own limit must not, as it could
	// not be told from a shutdown.
	reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(interval), sdkmetric.WithTimeout(set.window+time.Minute))
	p.Metrics = &metricReader{reader, p.add(&part{gate: g, sender: exporter.sender, ledger: &exporter.ledger, stop: reader.Shutdown})}
	return nil
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

// metricEncoder is the exporter of the OpenTelemetry project on a connection
// that is never opened: it encodes, and what it would send is taken from it.
type metricEncoder struct {
	*otlpmetricgrpc.Exporter
	conn *grpc.ClientConn
}

type takenKey struct{}

func newMetricEncoder(ctx context.Context) (metricEncoder, error) {
	conn, err := grpc.NewClient("passthrough:///nowhere",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, _ string, request, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
			taken, ok := ctx.Value(takenKey{}).(**colmetrics.ExportMetricsServiceRequest)
			if ok {
				*taken, ok = request.(*colmetrics.ExportMetricsServiceRequest)
			}
			if !ok {
				return fmt.Errorf("encoding metrics: unexpected %T", request)
			}
			return nil
		}))
	if err != nil {
		return metricEncoder{}, err
	}
	exporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithGRPCConn(conn),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{}), otlpmetricgrpc.WithMaxRequestSize(0))
	return metricEncoder{exporter, conn}, err
}

func (e metricEncoder) encode(ctx context.Context, metrics *metricdata.ResourceMetrics) (*colmetrics.ExportMetricsServiceRequest, error) {
	var taken *colmetrics.ExportMetricsServiceRequest
	err := e.Export(context.WithValue(ctx, takenKey{}, &taken), metrics)
	return taken, err
}

func (e metricEncoder) Shutdown(ctx context.Context) error {
	return errors.Join(e.Exporter.Shutdown(ctx), e.conn.Close())
}

// metricExporter delivers metrics. It answers for temporality and aggregation
// itself, because the encoder's selectors come from variables that were not
// validated.
type metricExporter struct {
	metricEncoder
	sender      *sender
	gate        *gate
	temporality sdkmetric.TemporalitySelector
	aggregation sdkmetric.AggregationSelector
	ledger      ledger

	mu    sync.Mutex
	tally tally // of metrics
}

func (e *metricExporter) Temporality(kind sdkmetric.InstrumentKind) metricdata.Temporality {
	return e.temporality(kind)
}

func (e *metricExporter) Aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return e.aggregation(kind)
}

// Export returns no error of the delivery, which the SDK would print each time.
func (e *metricExporter) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.gate.open, cancel)()
	request, err := e.encode(ctx, repair.Metrics(metrics))
	if request == nil {
		request = &colmetrics.ExportMetricsServiceRequest{}
	}
	e.ledger.begin(pointsOf(request))
	o := e.deliver(ctx, request)
	if o.err() == nil && err != nil {
		o = outcome{failure: &failure{reason: lostShutdown, err: err}}
	}
	e.note(contentOf(metrics), o)
	return nil
}

// deliver sends a request whose points were begun, in parts when it is larger
// than is taken.
func (e *metricExporter) deliver(ctx context.Context, request *colmetrics.ExportMetricsServiceRequest) outcome {
	points := pointsOf(request)
	if points == 0 {
		return outcome{}
	}
	o := e.try(ctx, request)
	if o.reason() != lostTooLarge || points == 1 {
		e.ledger.settle(points, o)
		return o
	}
	first, second := halves(request)
	o = e.deliver(ctx, first)
	if rest := e.deliver(ctx, second); o.err() == nil {
		o = rest
	}
	return o
}

func (e *metricExporter) try(ctx context.Context, request *colmetrics.ExportMetricsServiceRequest) outcome {
	body, err := proto.Marshal(request)
	switch {
	case err != nil:
		return outcome{failure: &failure{reason: lostBadResponse, err: fmt.Errorf("encoding metrics: %w", err)}}
	case len(body) > requestBytes:
		return outcome{failure: &failure{reason: lostTooLarge, err: fmt.Errorf("a request of %d bytes", len(body))}}
	}
	o := e.sender.send(ctx, body, nil, func() {})
	if o.reason() == lostShutdown && e.gate.open.Err() == nil {
		o.failure.reason = lostExpired // the time of a flush
	}
	return o
}

// content of an export: metrics that the next export carries again, and those
// with delta temporality, which are sent once.
type content struct{ again, once int }

func contentOf(metrics *metricdata.ResourceMetrics) content {
	var c content
	for _, scope := range metrics.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if isDelta(metric.Data) {
				c.once++
			} else {
				c.again++
			}
		}
	}
	return c
}

// note remembers what was not delivered. It is worth a line, except what the
// next export makes up for while the peer is known to be down.
func (e *metricExporter) note(c content, o outcome) {
	e.mu.Lock()
	e.tally.madeUp = e.tally.missed
	if o.err() != nil {
		e.tally.lost += c.once
		e.tally.missed += c.again
		e.tally.err = o.err()
	}
	e.mu.Unlock()
	if o.err() == nil {
		return
	}
	if _, failing := e.gate.transport.health.state(); c.once > 0 || !failing {
		e.gate.tell(map[string]int{o.reason(): c.once + c.again}, o.err())
	}
}

func (e *metricExporter) undelivered() tally {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tally
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
