package exporters_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// One bad text among ten spans, series and log records must cost none of them.
func TestBadTextIsRepairedAndTheRestArrives(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ name, key, value string }{
		"a bad name":            {"item \xff", "key", "value"},
		"a bad attribute key":   {"item", "key \xff", "value"},
		"a bad attribute value": {"item", "key", "value \xff"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, _ *lines) {
				collector := faultcollector.Start(t)
				config.Endpoint = address(collector)
				s := start(t, config)
				want := make([]string, 0, 10)
				for i := range 9 {
					s.emitItem(t, fmt.Sprint("item", i), attribute.String("key", "value"))
					want = append(want, fmt.Sprintf("item%d key=value", i))
				}
				s.emitItem(t, test.name, attribute.String(test.key, test.value))
				want = append(want, fmt.Sprintf("%s %s=%s", valid(test.name), valid(test.key), valid(test.value)))
				slices.Sort(want)
				if err := s.flush(patience(t)); err != nil {
					t.Fatal(err)
				}
				got := collector.Received()
				for signal, items := range map[string][]string{"spans": spanItems(got), "metrics": metricItems(got), "log records": logItems(got)} {
					slices.Sort(items)
					if diff := cmp.Diff(want, items); diff != "" {
						t.Errorf("%s differ (-want +got):\n%s", signal, diff)
					}
				}
			})
		})
	}
}

func valid(s string) string { return string([]rune(s)) }

// emitItem makes a span, a series and a log record, named and with an attribute.
// The name of an instrument is checked by the SDK, so that it is a scope's.
func (s *sender) emitItem(t *testing.T, name string, kv attribute.KeyValue) {
	t.Helper()
	ctx, span := s.tracer.Tracer("shop").Start(t.Context(), name, trace.WithAttributes(kv))
	span.End()
	counter, err := s.meter.Meter(name).Int64Counter("orders")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 1, metric.WithAttributes(kv))
	var record log.Record
	record.SetBody(attribute.StringValue(name))
	record.AddAttributes(kv)
	s.logger.Logger("shop").Emit(ctx, record)
}

func item(name string, attributes []*commonpb.KeyValue) string {
	return fmt.Sprintf("%s %s=%s", name, attributes[0].Key, attributes[0].Value.GetStringValue())
}

func spanItems(got faultcollector.Received) (items []string) {
	for _, request := range got.Traces {
		for _, span := range request.ResourceSpans[0].ScopeSpans[0].Spans {
			items = append(items, item(span.Name, span.Attributes))
		}
	}
	return items
}

// metricItems are those of the latest request: cumulative metrics come again.
func metricItems(got faultcollector.Received) (items []string) {
	if len(got.Metrics) == 0 {
		return nil
	}
	for _, scope := range got.Metrics[len(got.Metrics)-1].ResourceMetrics[0].ScopeMetrics {
		items = append(items, item(scope.Scope.Name, scope.Metrics[0].GetSum().DataPoints[0].Attributes))
	}
	return items
}

func logItems(got faultcollector.Received) (items []string) {
	for _, request := range got.Logs {
		for _, record := range request.ResourceLogs[0].ScopeLogs[0].LogRecords {
			items = append(items, item(record.Body.GetStringValue(), record.Attributes))
		}
	}
	return items
}
