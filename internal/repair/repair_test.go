package repair_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

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

func spanWith(text string) sdktrace.ReadOnlySpan {
	context := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	return tracetest.SpanStub{
		Name:                 "name " + text,
		SpanContext:          context,
		Attributes:           attributes(text),
		Events:               []sdktrace.Event{{Name: "x"}, {Name: "event " + text, Attributes: attributes(text), DroppedAttributeCount: 1}},
		Links:                []sdktrace.Link{{SpanContext: context, Attributes: attributes(text), DroppedAttributeCount: 2}},
		Status:               sdktrace.Status{Description: "status " + text},
		DroppedLinks:         3,
		Resource:             resource.NewWithAttributes("schema "+text, attributes(text)...),
		InstrumentationScope: scopeWith(text),
	}.Snapshot()
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

// emitted keeps the records of a provider.
type emitted struct{ records []sdklog.Record }

func (*emitted) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*emitted) Shutdown(context.Context) error                         { return nil }
func (*emitted) ForceFlush(context.Context) error                       { return nil }

func (e *emitted) OnEmit(_ context.Context, r *sdklog.Record) error {
	e.records = append(e.records, r.Clone())
	return nil
}

// recordWith has the text in the record, and in its origin when that is wanted.
func recordWith(t testing.TB, text string, inOrigin bool) sdklog.Record {
	t.Helper()
	origin := ""
	if inOrigin {
		origin = text
	}
	scope, kept := scopeWith(origin), &emitted{}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(kept), sdklog.WithResource(resource.NewWithAttributes("schema "+origin, attributes(origin)...)))
	var r log.Record
	r.SetTimestamp(time.Unix(1, 0))
	r.SetObservedTimestamp(time.Unix(2, 0))
	r.SetSeverity(log.SeverityWarn)
	r.SetSeverityText("warn" + text)
	r.SetEventName("event " + text)
	r.SetBody(attribute.MapValue(attribute.String("key "+text, text)))
	r.AddAttributes(attributes(text)...)
	context := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: 1}))
	provider.Logger(scope.Name, log.WithInstrumentationVersion(scope.Version), log.WithSchemaURL(scope.SchemaURL),
		log.WithInstrumentationAttributes(scope.Attributes.ToSlice()...)).Emit(context, r)
	return kept.records[0]
}

// content is what a record says.
func content(r sdklog.Record) map[string]any {
	var attributes []attribute.KeyValue
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		attributes = append(attributes, kv)
		return true
	})
	scope := r.InstrumentationScope()
	return map[string]any{
		"times": []time.Time{r.Timestamp(), r.ObservedTimestamp()}, "severity": r.Severity(), "severity text": r.SeverityText(),
		"event": r.EventName(), "body": r.Body(), "attributes": attributes,
		"ids":      []any{r.TraceID(), r.SpanID(), r.TraceFlags()},
		"resource": r.Resource().Attributes(), "resource schema": r.Resource().SchemaURL(),
		"scope": []string{scope.Name, scope.Version, scope.SchemaURL}, "scope attributes": scope.Attributes.ToSlice(),
	}
}

var (
	equalValues = cmp.Comparer(func(a, b attribute.Value) bool { return a.Type() == b.Type() && a.String() == b.String() })
	equalSets   = cmp.Comparer(func(a, b attribute.Set) bool { return a.Equals(&b) })
)

// Each text is as bad as the next, so that the whole of what is repaired must
// equal what was made with the repaired text.
func check(t *testing.T, text string) {
	t.Helper()
	valid := strings.ToValidUTF8(text, "\uFFFD")

	spans := repair.Spans([]sdktrace.ReadOnlySpan{spanWith("fine"), spanWith(text)})
	want := tracetest.SpanStubsFromReadOnlySpans([]sdktrace.ReadOnlySpan{spanWith("fine"), spanWith(valid)})
	if diff := cmp.Diff(want, tracetest.SpanStubsFromReadOnlySpans(spans), equalValues, equalSets, cmp.Comparer(trace.SpanContext.Equal), cmp.Comparer((*resource.Resource).Equal)); diff != "" {
		t.Errorf("spans differ (-want +got):\n%s", diff)
	}
	if again := repair.Spans(spans); &again[0] != &spans[0] {
		t.Error("repaired spans were repaired again")
	}

	repaired := repair.Metrics(metricsWith(text))
	metricdatatest.AssertEqual(t, *metricsWith(valid), *repaired)
	if again := repair.Metrics(repaired); again != repaired {
		t.Error("repaired metrics were repaired again")
	}

	for _, inOrigin := range []bool{false, true} {
		records := repair.Records([]sdklog.Record{recordWith(t, "fine", inOrigin), recordWith(t, text, inOrigin)})
		if diff := cmp.Diff(content(recordWith(t, "fine", inOrigin)), content(records[0]), equalValues); diff != "" {
			t.Errorf("the valid record differs (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(content(recordWith(t, valid, inOrigin)), content(records[1]), equalValues); diff != "" {
			t.Errorf("the repaired record differs (-want +got):\n%s", diff)
		}
		if again := repair.Records(records); &again[0] != &records[0] {
			t.Error("repaired records were repaired again")
		}
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
	spans := []sdktrace.ReadOnlySpan{spanWith(bad)}
	repair.Spans(spans)
	if span := spans[0]; span.Name() != "name "+bad || span.Events()[1].Name != "event "+bad || span.Attributes()[1].Value.AsString() != bad {
		t.Error("the spans were changed")
	}
	metrics := metricsWith(bad)
	repair.Metrics(metrics)
	metricdatatest.AssertEqual(t, *metricsWith(bad), *metrics)
	records := []sdklog.Record{recordWith(t, bad, true)}
	repair.Records(records)
	if diff := cmp.Diff(content(recordWith(t, bad, true)), content(records[0]), equalValues); diff != "" {
		t.Errorf("the records were changed (-want +got):\n%s", diff)
	}
}

// plain are attributes of the kinds that nearly all are of.
var plain = []attribute.KeyValue{attribute.String("user.agent", "Zürich/1.0"), attribute.Int("status", 200), attribute.Bool("cached", true), attribute.Float64("ratio", 0.5)}

func TestValidTelemetryIsNotCopied(t *testing.T) { // not parallel: AllocsPerRun counts those of all goroutines
	shop := resource.NewSchemaless(slices.Clone(plain)...)
	span := tracetest.SpanStub{
		Name:                 "checkout",
		Attributes:           plain,
		Events:               []sdktrace.Event{{Name: "paid", Attributes: plain}},
		Links:                []sdktrace.Link{{Attributes: plain}},
		Resource:             shop,
		InstrumentationScope: instrumentation.Scope{Name: "shop", Attributes: attribute.NewSet(slices.Clone(plain)...)},
	}.Snapshot()
	spans := make([]sdktrace.ReadOnlySpan, 512)
	for i := range spans {
		spans[i] = span
	}
	valid := &metricdata.ResourceMetrics{Resource: shop, ScopeMetrics: []metricdata.ScopeMetrics{
		{Scope: span.InstrumentationScope(), Metrics: append(metrics[int64](plain, "x"), metrics[float64](plain, "x")...)},
	}}
	kept := &emitted{}
	logger := sdklog.NewLoggerProvider(sdklog.WithProcessor(kept), sdklog.WithResource(shop)).Logger("shop")
	var record log.Record
	record.SetBody(attribute.StringValue("paid"))
	record.AddAttributes(plain...)
	record.AddAttributes(attribute.String("fifth", "x"), attribute.String("sixth", "x"))
	for range 512 {
		logger.Emit(t.Context(), record)
	}
	tests := map[string]func(){
		"512 spans":       func() { repair.Spans(spans) },
		"10 metrics":      func() { repair.Metrics(valid) },
		"512 log records": func() { repair.Records(kept.records) },
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, run); got != 0 {
				t.Errorf("got %v allocations, want 0", got)
			}
		})
	}
}
