package faultcollector

import (
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// reject removes the first n spans, data points or log records.
func reject(message proto.Message, n int64) {
	switch message := message.(type) {
	case *coltrace.ExportTraceServiceRequest:
		for _, resource := range message.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				removeFirst(&scope.Spans, &n)
			}
		}
	case *colmetrics.ExportMetricsServiceRequest:
		for _, resource := range message.ResourceMetrics {
			for _, scope := range resource.ScopeMetrics {
				for _, metric := range scope.Metrics {
					rejectPoints(metric, &n)
				}
			}
		}
	case *collogs.ExportLogsServiceRequest:
		for _, resource := range message.ResourceLogs {
			for _, scope := range resource.ScopeLogs {
				removeFirst(&scope.LogRecords, &n)
			}
		}
	}
}

func rejectPoints(m *metricspb.Metric, n *int64) {
	switch data := m.Data.(type) {
	case *metricspb.Metric_Gauge:
		removeFirst(&data.Gauge.DataPoints, n)
	case *metricspb.Metric_Sum:
		removeFirst(&data.Sum.DataPoints, n)
	case *metricspb.Metric_Histogram:
		removeFirst(&data.Histogram.DataPoints, n)
	case *metricspb.Metric_ExponentialHistogram:
		removeFirst(&data.ExponentialHistogram.DataPoints, n)
	case *metricspb.Metric_Summary:
		removeFirst(&data.Summary.DataPoints, n)
	}
}

// removeFirst removes up to n items and takes them off n.
func removeFirst[T any](items *[]T, n *int64) {
	removed := min(*n, int64(len(*items)))
	*items = (*items)[removed:]
	*n -= removed
}
