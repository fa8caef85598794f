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
	"github.com/otelmon/toolkit/internal/telemetry"
)

func (s *starter) metrics(ctx context.Context, set settings, g *gate, p *OTLPPipeline) error {
	encoder, err := newMetricEncoder(ctx)
	if err != nil {
		return err
	}
	interval := s.config.MetricInterval
	if interval > 0 {
		s.vars.Field("OTEL_METRIC_EXPORT_INTERVAL", "OTLP.MetricInterval", interval.String())
	} else {
		interval = s.vars.Milliseconds("OTEL_METRIC_EXPORT_INTERVAL", time.Minute, 100*time.Millisecond)
	}
	exporter := &metricExporter{
		metricEncoder: encoder,
		sender:        newSender(signalMetrics, set, g.transport),
		gate:          g,
		temporality:   s.temporality(),
		aggregation:   s.aggregation(),
	}
	exporter.ledger.lastSuccess = time.Now()
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
	const name, exponential = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"
	kind := s.vars.OneOf(name, "explicit_bucket_histogram", "explicit_bucket_histogram", exponential)
	if s.config.ExponentialHistograms {
		s.vars.Field(name, "OTLP.ExponentialHistograms", exponential)
	}
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
	if err != nil {
		return metricEncoder{}, errors.Join(err, conn.Close())
	}
	return metricEncoder{exporter, conn}, nil
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
	halves      halving

	mu    sync.Mutex
	tally tally // of data points
}

func (e *metricExporter) Temporality(kind sdkmetric.InstrumentKind) metricdata.Temporality {
	return e.temporality(kind)
}

func (e *metricExporter) Aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return e.aggregation(kind)
}

// Export returns no error of the delivery, which the SDK would print each time.
func (e *metricExporter) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	c := contentOf(metrics)
	if c.once > 0 { // the reader's shutdown must not cut off what no later export has
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.gate.open, cancel)()
	request, err := e.encode(ctx, repair.Metrics(metrics))
	if request == nil {
		request = &colmetrics.ExportMetricsServiceRequest{}
	}
	o := outcome{}
	if err != nil {
		o.failure = &failure{reason: telemetry.LostEncoding, err: err}
	}
	e.ledger.begin(pointsOf(request))
	e.halves = halving{}
	lost, sent := e.deliver(ctx, request)
	if sent.err() != nil {
		o = sent
	}
	if err != nil {
		lost = max(lost, 1)
	}
	e.note(c, lost, o)
	return nil
}

// deliver sends a request whose points were begun, in parts when it is larger
// than is taken. It returns how many points were not taken, and an outcome that
// says why.
func (e *metricExporter) deliver(ctx context.Context, request *colmetrics.ExportMetricsServiceRequest) (lost int64, o outcome) {
	points := pointsOf(request)
	if points == 0 {
		return 0, outcome{}
	}
	o = e.try(ctx, request)
	if !e.halves.wanted(o, points) {
		e.ledger.settle(points, onceIn(request), o)
		return o.lost(points), o
	}
	first, second := halves(request)
	lost, o = e.deliver(ctx, first)
	more, rest := e.deliver(ctx, second)
	if rest.err() != nil {
		o = rest
	}
	return lost + more, o
}

func (e *metricExporter) try(ctx context.Context, request *colmetrics.ExportMetricsServiceRequest) outcome {
	body, err := proto.Marshal(request)
	switch {
	case err != nil:
		return outcome{failure: &failure{reason: telemetry.LostEncoding, err: fmt.Errorf("encoding metrics: %w", err)}}
	case len(body) > requestBytes:
		return outcome{failure: &failure{reason: telemetry.LostTooLarge, err: fmt.Errorf("a request of %d bytes", len(body))}}
	}
	o := e.sender.send(ctx, body, nil, func() {})
	if o.reason() == telemetry.LostShutdown && e.gate.open.Err() == nil {
		o.failure.reason = telemetry.ErrorCanceled
	}
	return o
}

// content of an export: data points that the next export carries again, and
// those with delta temporality, which are sent once.
type content struct{ again, once int }

func contentOf(metrics *metricdata.ResourceMetrics) content {
	var c content
	for _, scope := range metrics.ScopeMetrics {
		for _, metric := range scope.Metrics {
			n, delta := pointsIn(metric.Data)
			if delta {
				c.once += n
			} else {
				c.again += n
			}
		}
	}
	return c
}

// note remembers which data points were not delivered, those with delta
// temporality first. It is worth a line, unless the next export makes up for it
// and there was no answer, of which there is a line.
func (e *metricExporter) note(c content, points int64, o outcome) {
	lost := min(int(points), c.once)
	missed := min(int(points)-lost, c.again)
	e.mu.Lock()
	e.tally.madeUp = e.tally.missed
	if points > 0 {
		e.tally.lost += lost
		e.tally.missed += missed
		e.tally.err = o.err()
	}
	e.mu.Unlock()
	if points > 0 { // also what was not even sent
		e.gate.transport.health.fail(signalMetrics, o.err())
	}
	if answered := o.failure == nil || !o.failure.retry; missed > 0 && answered {
		e.gate.tellMissed(int64(missed), o.err())
	}
	if lost > 0 {
		e.gate.tell(map[string]int{o.reason(): lost}, o.err())
	}
}

func (e *metricExporter) undelivered() tally {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tally
}

// pointsIn returns how many data points there are and whether no later export
// repeats them.
func pointsIn(data metricdata.Aggregation) (n int, delta bool) {
	temporality := metricdata.CumulativeTemporality
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		n, temporality = len(d.DataPoints), d.Temporality
	case metricdata.Sum[float64]:
		n, temporality = len(d.DataPoints), d.Temporality
	case metricdata.Histogram[int64]:
		n, temporality = len(d.DataPoints), d.Temporality
	case metricdata.Histogram[float64]:
		n, temporality = len(d.DataPoints), d.Temporality
	case metricdata.ExponentialHistogram[int64]:
		n, temporality = len(d.DataPoints), d.Temporality
	case metricdata.ExponentialHistogram[float64]:
		n, temporality = len(d.DataPoints), d.Temporality
	case metricdata.Gauge[int64]:
		n = len(d.DataPoints)
	case metricdata.Gauge[float64]:
		n = len(d.DataPoints)
	case metricdata.Summary:
		n = len(d.DataPoints)
	}
	return n, temporality == metricdata.DeltaTemporality
}
