package repair_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/internal/repair"
)

// attributes hold the text wherever an attribute can.
func attributes(text string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int("a number", 1),
		attribute.String("text", text),
		attribute.String("key "+text, "x"),
		attribute.StringSlice("texts", []string{"x", text}),
		{Key: "list", Value: attribute.SliceValue(attribute.IntValue(1), attribute.StringValue(text))},
		{Key: "map", Value: attribute.MapValue(attribute.String("inner "+text, text), attribute.Bool("yes", true))},
	}
}

func scopeWith(text string) instrumentation.Scope {
	return instrumentation.Scope{Name: "name " + text, Version: "1" + text, SchemaURL: "schema " + text, Attributes: attribute.NewSet(attributes(text)...)}
}

func metricsWith(text string) *metricdata.ResourceMetrics {
	return &metricdata.ResourceMetrics{
		Resource: resource.NewWithAttributes("schema "+text, attributes(text)...),
		ScopeMetrics: []metricdata.ScopeMetrics{
			{Scope: instrumentation.Scope{Name: "valid"}},
			{Scope: scopeWith(text), Metrics: append(metrics[int64](attributes(text), text), metrics[float64](attributes(text), text)...)},
		},
	}
}

func metrics[N int64 | float64](attributes []attribute.KeyValue, text string) []metricdata.Metrics {
	set := attribute.NewSet(slices.Clone(attributes)...)
	exemplars := []metricdata.Exemplar[N]{{Value: 1, FilteredAttributes: attributes}}
	data := []metricdata.Aggregation{
		metricdata.Gauge[N]{DataPoints: []metricdata.DataPoint[N]{{Value: 1, Attributes: set, Exemplars: exemplars}}},
		metricdata.Sum[N]{IsMonotonic: true, DataPoints: []metricdata.DataPoint[N]{{Value: 1}, {Value: 2, Attributes: set, Exemplars: exemplars}}},
		metricdata.Histogram[N]{DataPoints: []metricdata.HistogramDataPoint[N]{{Count: 1, Attributes: set, Exemplars: exemplars}}},
		metricdata.ExponentialHistogram[N]{DataPoints: []metricdata.ExponentialHistogramDataPoint[N]{{Count: 1, Attributes: set, Exemplars: exemplars}}},
		metricdata.Summary{DataPoints: []metricdata.SummaryDataPoint{{Count: 1, Attributes: set}}},
	}
	var all []metricdata.Metrics
	for _, d := range data {
		all = append(all, metricdata.Metrics{Name: "name " + text, Description: "description " + text, Unit: text, Data: d})
	}
	return all
}

// Each text is as bad as the next, so that the whole of what is repaired must
// equal what was made with the repaired text.
func check(t *testing.T, text string) {
	t.Helper()
	valid := strings.ToValidUTF8(text, "\uFFFD")

	repaired := repair.Metrics(metricsWith(text))
	metricdatatest.AssertEqual(t, *metricsWith(valid), *repaired)
	if again := repair.Metrics(repaired); again != repaired {
		t.Error("repaired metrics were repaired again")
	}
}

func TestRepair(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"a byte that begins nothing":    "a\xffb",
		"a character that is cut short": "a\xe2\x82",
		"a surrogate":                   "\xed\xa0\x80",
		"an overlong encoding":          "\xc0\xaf",
		"bad bytes at both ends":        "\xffa\xfe",
	}
	for name, text := range tests {
		t.Run(name+" is replaced everywhere", func(t *testing.T) {
			t.Parallel()
			if utf8.ValidString(text) {
				t.Fatal("the text is valid")
			}
			check(t, text)
		})
	}
}

func FuzzRepair(f *testing.F) {
	for _, seed := range []string{"", "fine", "Zürich", "\uFFFD", "\xff", "a\xe2\x82b", "\xed\xa0\x80", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(check)
}

// The SDK and others may still hold what is exported.
func TestNothingIsChangedInPlace(t *testing.T) {
	t.Parallel()
	const bad = "\xff"
	metrics := metricsWith(bad)
	repair.Metrics(metrics)
	metricdatatest.AssertEqual(t, *metricsWith(bad), *metrics)
}

// plain are attributes of the kinds that nearly all are of.
var plain = []attribute.KeyValue{attribute.String("user.agent", "Zürich/1.0"), attribute.Int("status", 200), attribute.Bool("cached", true), attribute.Float64("ratio", 0.5)}

func TestValidTelemetryIsNotCopied(t *testing.T) { // not parallel: AllocsPerRun counts those of all goroutines
	valid := &metricdata.ResourceMetrics{
		Resource: resource.NewSchemaless(slices.Clone(plain)...),
		ScopeMetrics: []metricdata.ScopeMetrics{{
			Scope:   instrumentation.Scope{Name: "shop", Attributes: attribute.NewSet(slices.Clone(plain)...)},
			Metrics: append(metrics[int64](plain, "x"), metrics[float64](plain, "x")...),
		}},
	}
	if got := testing.AllocsPerRun(100, func() { repair.Metrics(valid) }); got != 0 {
		t.Errorf("got %v allocations for 10 metrics, want 0", got)
	}
}
