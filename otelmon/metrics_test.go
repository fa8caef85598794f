package otelmon_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

func TestObjectivesAreBoundariesWhateverAnInstrumentAsksFor(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{LatencyObjectives: []time.Duration{300 * time.Millisecond, 2 * time.Second}})
	duration, err := s.MeterProvider().Meter("library").Float64Histogram("library.duration",
		metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	duration.Record(t.Context(), 0.2)
	body := s.scrape(t)
	for _, boundary := range []string{`le="0.3"`, `le="2.0"`} {
		if !strings.Contains(body, boundary) {
			t.Errorf("%s is missing", boundary)
		}
	}
	if strings.Contains(body, `le="3.0"`) {
		t.Error("the instrument's own boundaries are there")
	}
}

func TestHistogramsAreNativeForOneExporterAlone(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{OTLP: exporters.OTLP{ExponentialHistograms: true}})
	got := s.deliver(t)
	if metricOf(got, "operation.duration").GetExponentialHistogram() == nil {
		t.Error("OTLP has no exponential histogram")
	}
	if !strings.Contains(s.scrape(t), `operation_duration_seconds_bucket{`) {
		t.Error("the scrape has no buckets")
	}
}

func TestTheUsersPartsAreComposedWithOurs(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	spans := tracetest.NewSpanRecorder()
	s := setUp(t, otelmon.Config{
		Readers:        []sdkmetric.Reader{reader},
		SpanProcessors: []sdktrace.SpanProcessor{spans},
		LogProcessors:  []sdklog.Processor{severityRaiser{}},
		Views: []sdkmetric.View{func(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
			return sdkmetric.Stream{Name: "renamed"}, i.Name == "shop.calls"
		}},
		AttributeFilter: func(i sdkmetric.Instrument) attribute.Filter {
			if i.Name == "shop.calls" {
				return attribute.NewDenyKeysFilter("user")
			}
			return nil
		},
	})
	calls, err := s.MeterProvider().Meter("shop").Int64Counter("shop.calls")
	if err != nil {
		t.Fatal(err)
	}
	calls.Add(t.Context(), 1, metric.WithAttributes(attribute.String("user", "ann"), attribute.String("kind", "a")))
	got := s.deliver(t)

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil || len(collected.ScopeMetrics) == 0 {
		t.Errorf("the user's reader collected %d scopes, error %v", len(collected.ScopeMetrics), err)
	}
	if len(spans.Ended()) != 1 {
		t.Errorf("the user's span processor saw %d spans, want 1", len(spans.Ended()))
	}
	if record := recordsOf(got)[0]; record.SeverityText != "RAISED" {
		t.Errorf("got severity %q, want what the user's log processor wrote", record.SeverityText)
	}
	renamed := metricOf(got, "renamed")
	if renamed == nil || metricOf(got, "shop.calls") != nil {
		t.Fatalf("got %v, want the view's name alone", renamed)
	}
	if attributes := attributesOf(renamed.GetSum().DataPoints[0].Attributes); len(attributes) != 1 || attributes["kind"] != "a" {
		t.Errorf("got attributes %v, want kind alone", attributes)
	}
}

func TestTheCardinalityLimitHolds(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{CardinalityLimit: 10})
	calls, err := s.MeterProvider().Meter("shop").Int64Counter("shop.calls")
	if err != nil {
		t.Fatal(err)
	}
	for user := range 100 {
		calls.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("user", user)))
	}
	points := metricOf(s.deliver(t), "shop.calls").GetSum().DataPoints
	total := int64(0)
	for _, point := range points {
		total += point.GetAsInt()
	}
	if len(points) != 10 || total != 100 {
		t.Errorf("got %d series with %d calls, want 10 with 100", len(points), total)
	}
}

func TestConflictingInstrumentsAreWarnedAboutOnce(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "test"})
	for range 3 {
		if _, err := s.MeterProvider().Meter("one").Int64Counter("shop.calls"); err != nil {
			t.Error(err)
		}
		if _, err := s.MeterProvider().Meter("two").Float64Counter("shop.calls"); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(s.log.String(), "level=WARN msg=\"otelmon: metric instrument exists"); n != 1 {
		t.Errorf("got %d warnings, want 1:\n%s", n, s.log)
	}
}

func TestRuntimeAndProcessMetricsCanBeLeftOut(t *testing.T) {
	t.Parallel()
	body := setUp(t, otelmon.Config{DisableRuntimeMetrics: true, DisableProcessMetrics: true}).scrape(t)
	for _, prefix := range []string{"\ngo_", "\nprocess_"} {
		if strings.Contains(body, prefix) {
			t.Errorf("there are metrics with %q:\n%s", prefix, body)
		}
	}
	body = setUp(t, otelmon.Config{}).scrape(t)
	for _, name := range []string{
		"go_goroutine_count", "go_memory_used_bytes", "process_cpu_time_seconds_total", "process_memory_usage_bytes",
		"process_thread_count", "process_start_time_seconds", "process_uptime_seconds",
	} {
		if !strings.Contains(body, "\n"+name+"{") {
			t.Errorf("%s is missing", name)
		}
	}
}

// severityRaiser changes records on their way to the exporter.
type severityRaiser struct{}

func (severityRaiser) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (severityRaiser) OnEmit(_ context.Context, record *sdklog.Record) error {
	record.SetSeverityText("RAISED")
	return nil
}

func (severityRaiser) Shutdown(context.Context) error   { return nil }
func (severityRaiser) ForceFlush(context.Context) error { return nil }
