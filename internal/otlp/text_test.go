package otlp_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/otlp"
)

// treatment is what is done to text before it reaches the exporter, which does
// none of it.
type treatment struct {
	text, value, bytes func(string) string
}

func same(s string) string { return s }

func untreated() treatment { return treatment{same, same, same} }

func repair(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// treated repairs and cuts the slow way, and counts in cut.
func treated(valueBytes int, cut *int) treatment {
	bytes := func(s string) string {
		if valueBytes <= 0 || len(s) <= valueBytes {
			return s
		}
		*cut++
		return s[:valueBytes]
	}
	value := func(s string) string {
		s = bytes(repair(s))
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		return s
	}
	return treatment{repair, value, bytes}
}

func (t treatment) kept() treatment { return treatment{t.text, t.text, same} }

// sample is what spans and log records are made of. Maps and sets get one key,
// since they sort by it, before it is repaired or after.
type sample struct {
	name, key, value string
	number           int64
	float            float64
}

func (s sample) attributes(t treatment) []attribute.KeyValue {
	key := func(prefix string) string { return prefix + t.text(s.key) }
	return []attribute.KeyValue{
		attribute.String(key("text"), t.value(s.value)),
		attribute.Int64(key("number"), s.number),
		attribute.Float64(key("float"), s.float),
		attribute.Bool(key("bool"), s.number > 0),
		attribute.ByteSlice(key("bytes"), []byte(t.bytes(s.value))),
		attribute.StringSlice(key("texts"), []string{t.value(s.name), t.value(s.value)}),
		attribute.Int64Slice(key("numbers"), []int64{s.number, 0}),
		attribute.Float64Slice(key("floats"), []float64{s.float, 0}),
		attribute.BoolSlice(key("bools"), []bool{s.number > 0, false}),
		attribute.Map(key("map"), s.nested(t)),
	}
}

func (s sample) nested(t treatment) attribute.KeyValue {
	return attribute.Slice("list"+t.text(s.key),
		attribute.MapValue(attribute.String("text"+t.text(s.key), t.value(s.value))),
		attribute.ByteSliceValue([]byte(t.bytes(s.name))))
}

func (s sample) resource(t treatment) *resource.Resource {
	return resource.NewWithAttributes(t.text(s.value), s.nested(t))
}

func (s sample) scope(t treatment) instrumentation.Scope {
	return instrumentation.Scope{
		Name: t.text(s.name), Version: t.text(s.value), SchemaURL: t.text(s.key), Attributes: attribute.NewSet(s.nested(t)),
	}
}

func (s sample) span(t treatment) tracetest.SpanStub {
	state, _ := trace.ParseTraceState(s.name)
	from := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: trace.SpanID{byte(s.number)}, TraceFlags: trace.TraceFlags(s.number), TraceState: state, Remote: s.number%2 == 0,
	})
	at := time.Unix(0, s.number)
	return tracetest.SpanStub{
		Name: t.text(s.name), SpanContext: from, Parent: from, SpanKind: trace.SpanKind(s.number),
		StartTime: at, EndTime: at.Add(time.Second),
		Attributes: s.attributes(t), DroppedAttributes: int(s.number), DroppedEvents: int(-s.number), DroppedLinks: int(s.number >> 32),
		Events: []sdktrace.Event{{Name: t.text(s.name), Time: at, Attributes: s.attributes(t), DroppedAttributeCount: int(s.number)}},
		Links:  []sdktrace.Link{{SpanContext: from, Attributes: s.attributes(t), DroppedAttributeCount: int(s.number)}},
		Status: sdktrace.Status{Code: codes.Code(s.number), Description: t.text(s.value)},
	}
}

func (s sample) record(t treatment, by *resource.Resource, from instrumentation.Scope) sdklog.Record {
	r := record(by, from)
	r.SetTimestamp(time.Unix(0, s.number))
	r.SetObservedTimestamp(time.Unix(0, -s.number))
	r.SetSeverity(log.Severity(s.number))
	r.SetSeverityText(t.text(s.value))
	r.SetEventName(t.text(s.name))
	r.SetAttributes(s.attributes(t)...)
	r.SetTraceID(traceID)
	r.SetSpanID(trace.SpanID{byte(s.number)})
	r.SetTraceFlags(trace.TraceFlags(s.number))
	r.SetBody(attribute.StringValue(t.text(s.value)))
	if s.number%2 == 0 {
		r.SetBody(attribute.MapValue(s.nested(t.kept())))
	}
	return r
}

// checkSpan compares with the exporter, which gets what is valid and short.
func checkSpan(tb testing.TB, s sample, valueBytes int) {
	tb.Helper()
	raw, cuts := s.span(untreated()), 0
	raw.Resource, raw.InstrumentationScope = s.resource(untreated()), s.scope(untreated())
	want := s.span(treated(valueBytes, &cuts))
	wantCut := cuts
	want.Resource, want.InstrumentationScope = s.resource(treated(valueBytes, &cuts)), s.scope(treated(valueBytes, &cuts))

	got, cut := encodedSpans(tb, otlp.Encoder{ValueBytes: valueBytes}, tracetest.SpanStubs{raw}.Snapshots())
	compare(tb, got, exportedSpans(tb, tracetest.SpanStubs{want}.Snapshots()))
	if cut != wantCut {
		tb.Errorf("got %d values of a span cut, want %d", cut, wantCut)
	}
}

func checkLogRecord(tb testing.TB, s sample, valueBytes int) {
	tb.Helper()
	cuts := 0
	treated := treated(valueBytes, &cuts)
	by, from := s.resource(treated), s.scope(treated)
	cuts = 0
	want := s.record(treated, by, from)

	raw := s.record(untreated(), s.resource(untreated()), s.scope(untreated()))
	got, cut := encodedLogs(tb, otlp.Encoder{ValueBytes: valueBytes}, []sdklog.Record{raw})
	compare(tb, got, exportedLogs(tb, []sdklog.Record{want}))
	if cut != cuts {
		tb.Errorf("got %d values of a log record cut, want %d", cut, cuts)
	}
}

// texts are hard to repair or to cut to ten bytes.
func texts() map[string]string {
	return map[string]string{
		"empty":                                   "",
		"as long as allowed":                      "0123456789",
		"one byte longer than allowed":            "0123456789a",
		"much longer than allowed":                strings.Repeat("0123456789", 30),
		"with a character up to the limit":        "01234567ü9",
		"with a character across the limit":       "012345678ü",
		"with a wide character across the limit":  "0123456😀",
		"of wide characters":                      "😀😀😀",
		"that is one invalid byte":                "\xff",
		"of many invalid bytes, that become one":  strings.Repeat("\xff", 100),
		"of invalid bytes across the limit":       "0123456\xff\xff\xff\xff\xff",
		"that is longer when it is repaired":      "01234567\xff",
		"of continuations across the limit":       "abcdef" + strings.Repeat("\x80", 10),
		"of continuations only":                   strings.Repeat("\x80", 20),
		"with half a character at the limit":      "012345678\xe2\x82",
		"with half a character before the limit":  "0123456\xe2\x82z0123456789",
		"with half a character at its end":        "0123\xe2\x82",
		"with a surrogate":                        "01234\xed\xa0\x80",
		"with a replacement character":            "0123456\uFFFD",
		"with a replacement character at the cut": "01234567\uFFFD",
		"that is invalid long after the limit":    "0123456789" + strings.Repeat("x", 200) + "\xff",
		"with separated invalid bytes":            "\xffa\xffb\xffc\xffd",
		"of 127 bytes":                            strings.Repeat("x", 127),
		"of 128 bytes":                            strings.Repeat("x", 128),
		"of an overlong zero":                     "\xc0\x80",
	}
}

func TestTextIsRepairedAndValuesAreCut(t *testing.T) {
	t.Parallel()
	for name, text := range texts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, valueBytes := range []int{-1, 0, 1, 2, 3, 4, 9, 10, 11, 127, 128} {
				for number := range int64(2) {
					s := sample{name: text, key: text, value: text, number: number}
					checkSpan(t, s, valueBytes)
					checkLogRecord(t, s, valueBytes)
				}
			}
		})
	}
}

func fuzz(f *testing.F, check func(testing.TB, sample, int)) {
	f.Helper()
	for _, text := range texts() {
		f.Add("GET /", text, text, int64(1), 0.5, 10)
		f.Add(text, "key", text, int64(-2), math.Inf(1), 4)
	}
	f.Add("ot=th:8,vendor=x", "key", "value", int64(math.MaxInt64), math.NaN(), 0)
	f.Add("name", "", "", int64(math.MinInt64), math.Copysign(0, -1), 1)
	f.Fuzz(func(t *testing.T, name, key, value string, number int64, float float64, valueBytes int) {
		check(t, sample{name, key, value, number, float}, valueBytes)
	})
}

func FuzzSpan(f *testing.F) { fuzz(f, checkSpan) }

func FuzzLogRecord(f *testing.F) { fuzz(f, checkLogRecord) }

// Readers refuse a whole request for one value that is too deep.
func TestValuesAreNotTooDeep(t *testing.T) {
	t.Parallel()
	const levels = 20_000
	list, table := attribute.StringValue("inside"), attribute.StringValue("inside")
	for range levels {
		list, table = attribute.SliceValue(list), attribute.MapValue(attribute.KeyValue{Key: "k", Value: table})
	}
	for name, value := range map[string]attribute.Value{"lists": list, "maps": table} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			span := tracetest.SpanStub{Attributes: []attribute.KeyValue{{Key: "deep", Value: value}, attribute.Int("after", 1)}}.Snapshot()
			message, cut := otlp.Encoder{}.AppendSpan(nil, span)
			if cut != 1 {
				t.Errorf("%d values were cut, want 1", cut)
			}
			var read tracepb.Span
			if err := (proto.UnmarshalOptions{RecursionLimit: 97}).Unmarshal(message, &read); err != nil {
				t.Fatal(err)
			}
			if got := read.GetAttributes(); len(got) != 2 || got[1].GetKey() != "after" {
				t.Errorf("got %d attributes, want the other one, too", len(got))
			}
		})
	}
}
