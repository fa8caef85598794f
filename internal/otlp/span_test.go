package otlp_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/otlp"
)

// everyKind has an attribute of each type, and those that are empty.
func everyKind() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Bool("true", true), attribute.Bool("false", false),
		attribute.Int64("most", 1<<63-1), attribute.Int64("least", -1<<63), attribute.Int("zero", 0),
		attribute.Float64("half", 0.5), attribute.Float64("no float", 0),
		attribute.String("text", "grün"), attribute.String("no text", ""), attribute.String("", "no key"),
		attribute.BoolSlice("booleans", []bool{true, false}), attribute.BoolSlice("no booleans", nil),
		attribute.Int64Slice("integers", []int64{-1, 0, 1}), attribute.Int64Slice("no integers", nil),
		attribute.Float64Slice("floats", []float64{-1.5, 0}), attribute.Float64Slice("no floats", nil),
		attribute.StringSlice("texts", []string{"a", "", "b"}), attribute.StringSlice("no texts", nil),
		attribute.ByteSlice("bytes", []byte{0xff, 0}), attribute.ByteSlice("no bytes", nil),
		attribute.Slice("list", attribute.IntValue(1), attribute.StringValue("x"), attribute.Value{}), attribute.Slice("no list"),
		attribute.Map("map", attribute.Int("b", 1), attribute.Map("a", attribute.Slice("c", attribute.BoolValue(true)))),
		attribute.Map("no map"),
		{Key: "empty"},
		{},
		attribute.String("127 bytes with the key", string(make([]byte, 97))),
		attribute.String("long", string(make([]byte, 20_000))),
	}
}

func spanContext(tb testing.TB, config trace.SpanContextConfig, state string) trace.SpanContext {
	tb.Helper()
	parsed, err := trace.ParseTraceState(state)
	if err != nil {
		tb.Fatalf("parsing a trace state: %v", err)
	}
	config.TraceState = parsed
	return trace.NewSpanContext(config)
}

var (
	traceID = trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	spanID  = trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8}
)

func everything(tb testing.TB) tracetest.SpanStub {
	tb.Helper()
	local := spanContext(tb, trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: 0x03}, "ot=th:8,vendor=x")
	remote := spanContext(tb, trace.SpanContextConfig{TraceID: traceID, SpanID: trace.SpanID{9}, TraceFlags: 0xff, Remote: true}, "other=y")
	at := time.Unix(1_800_000_000, 123_456_789)
	return tracetest.SpanStub{
		Name: "GET /users/{id}", SpanContext: local, Parent: remote, SpanKind: trace.SpanKindServer,
		StartTime: at, EndTime: at.Add(time.Second),
		Attributes: everyKind(), DroppedAttributes: 1, DroppedEvents: 1 << 40, DroppedLinks: -1,
		Events: []sdktrace.Event{
			{Name: "exception", Time: at, Attributes: everyKind(), DroppedAttributeCount: 3},
			{},
			{DroppedAttributeCount: -1, Time: time.Unix(-1, 0)},
		},
		Links: []sdktrace.Link{
			{SpanContext: remote, Attributes: everyKind(), DroppedAttributeCount: 300},
			{SpanContext: local},
			{},
		},
		Status:   sdktrace.Status{Code: codes.Error, Description: "it failed"},
		Resource: resource.NewWithAttributes("https://example.com/resource", everyKind()...),
		InstrumentationScope: instrumentation.Scope{
			Name: "scope", Version: "v1", SchemaURL: "https://example.com/scope", Attributes: attribute.NewSet(everyKind()...),
		},
	}
}

func TestSpanEqualsTheExporters(t *testing.T) {
	t.Parallel()
	change := func(change func(*tracetest.SpanStub)) tracetest.SpanStub {
		s := everything(t)
		change(&s)
		return s
	}
	for name, span := range map[string]tracetest.SpanStub{
		"with everything":            everything(t),
		"with nothing":               {},
		"that succeeded":             change(func(s *tracetest.SpanStub) { s.Status = sdktrace.Status{Code: codes.Ok} }),
		"with an unknown status":     change(func(s *tracetest.SpanStub) { s.Status.Code = 77 }),
		"without kind":               change(func(s *tracetest.SpanStub) { s.SpanKind = 0 }),
		"of the kind internal":       change(func(s *tracetest.SpanStub) { s.SpanKind = trace.SpanKindInternal }),
		"of the kind client":         change(func(s *tracetest.SpanStub) { s.SpanKind = trace.SpanKindClient }),
		"of the kind producer":       change(func(s *tracetest.SpanStub) { s.SpanKind = trace.SpanKindProducer }),
		"of the kind consumer":       change(func(s *tracetest.SpanStub) { s.SpanKind = trace.SpanKindConsumer }),
		"of an unknown kind":         change(func(s *tracetest.SpanStub) { s.SpanKind = 6 }),
		"of a negative kind":         change(func(s *tracetest.SpanStub) { s.SpanKind = -1 }),
		"without parent":             change(func(s *tracetest.SpanStub) { s.Parent = trace.SpanContext{} }),
		"of a local parent":          change(func(s *tracetest.SpanStub) { s.Parent = s.Parent.WithRemote(false) }),
		"that started before 1970":   change(func(s *tracetest.SpanStub) { s.StartTime = time.Unix(-1, 0) }),
		"that has not ended":         change(func(s *tracetest.SpanStub) { s.EndTime = time.Time{} }),
		"of no resource":             change(func(s *tracetest.SpanStub) { s.Resource = nil }),
		"of an empty resource":       change(func(s *tracetest.SpanStub) { s.Resource = resource.Empty() }),
		"of no scope":                change(func(s *tracetest.SpanStub) { s.InstrumentationScope = instrumentation.Scope{} }),
		"of a scope without a name":  change(func(s *tracetest.SpanStub) { s.InstrumentationScope.Name = "" }),
		"of a scope of a schema URL": change(func(s *tracetest.SpanStub) { s.InstrumentationScope = instrumentation.Scope{SchemaURL: "x"} }),
		"of a scope of an empty set": change(func(s *tracetest.SpanStub) {
			s.InstrumentationScope = instrumentation.Scope{Attributes: attribute.NewSet()}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans := tracetest.SpanStubs{span}.Snapshots()
			got, cut := encodedSpans(t, otlp.Encoder{}, spans)
			compare(t, got, exportedSpans(t, spans))
			if cut != 0 {
				t.Errorf("got %d values cut without a limit, want 0", cut)
			}
		})
	}
}
