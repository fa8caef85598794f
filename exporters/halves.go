package exporters

import (
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// hopeless is how many items have to be too large by themselves for the rest not
// to be tried: the peer takes nothing.
const hopeless = 8

// halving decides whether requests are divided. The zero value is for a new batch
// or export.
type halving struct {
	refusedAlone int // items that were too large by themselves
	taken        bool
}

// wanted reports whether n items are to be sent again in halves.
func (h *halving) wanted(o outcome, n int64) bool {
	switch {
	case o.failure == nil:
		h.taken = true
	case o.failure.reason != telemetry.LostTooLarge:
	case n == 1:
		h.refusedAlone++
	default:
		return h.taken || h.refusedAlone < hopeless
	}
	return false
}

// pointsOf counts the data points of a request.
func pointsOf(request *colmetrics.ExportMetricsServiceRequest) int64 {
	return count(request, func(*metrics.Metric) bool { return true })
}

// onceIn counts the data points of a request that no later export repeats.
func onceIn(request *colmetrics.ExportMetricsServiceRequest) int64 {
	const delta = metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	return count(request, func(m *metrics.Metric) bool {
		return m.GetSum().GetAggregationTemporality() == delta || m.GetHistogram().GetAggregationTemporality() == delta ||
			m.GetExponentialHistogram().GetAggregationTemporality() == delta
	})
}

func count(request *colmetrics.ExportMetricsServiceRequest, counted func(*metrics.Metric) bool) int64 {
	n := 0
	for _, resource := range request.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				if counted(metric) {
					n += points(metric)
				}
			}
		}
	}
	return int64(n)
}

func points(m *metrics.Metric) int {
	return len(m.GetGauge().GetDataPoints()) + len(m.GetSum().GetDataPoints()) + len(m.GetHistogram().GetDataPoints()) +
		len(m.GetExponentialHistogram().GetDataPoints()) + len(m.GetSummary().GetDataPoints())
}

// halves divides the data points of a request, which are more than one.
func halves(request *colmetrics.ExportMetricsServiceRequest) (first, second *colmetrics.ExportMetricsServiceRequest) {
	n := int(pointsOf(request))
	return between(request, 0, n/2), between(request, n/2, n)
}

// between returns a request with the data points of these numbers.
func between(request *colmetrics.ExportMetricsServiceRequest, from, to int) *colmetrics.ExportMetricsServiceRequest {
	some := &colmetrics.ExportMetricsServiceRequest{}
	at := 0
	for _, resource := range request.GetResourceMetrics() {
		r := &metrics.ResourceMetrics{Resource: resource.GetResource(), SchemaUrl: resource.GetSchemaUrl()}
		for _, scope := range resource.GetScopeMetrics() {
			s := &metrics.ScopeMetrics{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl()}
			for _, metric := range scope.GetMetrics() {
				n := points(metric)
				if low, high := max(from-at, 0), min(to-at, n); low < high {
					s.Metrics = append(s.Metrics, cut(metric, low, high))
				}
				at += n
			}
			if len(s.Metrics) > 0 {
				r.ScopeMetrics = append(r.ScopeMetrics, s)
			}
		}
		if len(r.ScopeMetrics) > 0 {
			some.ResourceMetrics = append(some.ResourceMetrics, r)
		}
	}
	return some
}

// cut returns a metric with the data points from low to high.
func cut(m *metrics.Metric, low, high int) *metrics.Metric {
	c := &metrics.Metric{Name: m.GetName(), Description: m.GetDescription(), Unit: m.GetUnit(), Metadata: m.GetMetadata()}
	switch d := m.GetData().(type) {
	case *metrics.Metric_Gauge:
		c.Data = &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: d.Gauge.GetDataPoints()[low:high]}}
	case *metrics.Metric_Sum:
		c.Data = &metrics.Metric_Sum{Sum: &metrics.Sum{
			DataPoints: d.Sum.GetDataPoints()[low:high], AggregationTemporality: d.Sum.GetAggregationTemporality(), IsMonotonic: d.Sum.GetIsMonotonic(),
		}}
	case *metrics.Metric_Histogram:
		c.Data = &metrics.Metric_Histogram{Histogram: &metrics.Histogram{
			DataPoints: d.Histogram.GetDataPoints()[low:high], AggregationTemporality: d.Histogram.GetAggregationTemporality(),
		}}
	case *metrics.Metric_ExponentialHistogram:
		c.Data = &metrics.Metric_ExponentialHistogram{ExponentialHistogram: &metrics.ExponentialHistogram{
			DataPoints: d.ExponentialHistogram.GetDataPoints()[low:high], AggregationTemporality: d.ExponentialHistogram.GetAggregationTemporality(),
		}}
	case *metrics.Metric_Summary:
		c.Data = &metrics.Metric_Summary{Summary: &metrics.Summary{DataPoints: d.Summary.GetDataPoints()[low:high]}}
	}
	return c
}
