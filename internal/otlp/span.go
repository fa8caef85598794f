package otlp

import (
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of Span, its Event and Link, and Status.
const (
	spanTraceID           protowire.Number = 1
	spanSpanID            protowire.Number = 2
	spanTraceState        protowire.Number = 3
	spanParentSpanID      protowire.Number = 4
	spanName              protowire.Number = 5
	spanKind              protowire.Number = 6
	spanStartTime         protowire.Number = 7
	spanEndTime           protowire.Number = 8
	spanAttributes        protowire.Number = 9
	spanDroppedAttributes protowire.Number = 10
	spanEvents            protowire.Number = 11
	spanDroppedEvents     protowire.Number = 12
	spanLinks             protowire.Number = 13
	spanDroppedLinks      protowire.Number = 14
	spanStatus            protowire.Number = 15
	spanFlags             protowire.Number = 16

	eventTime              protowire.Number = 1
	eventName              protowire.Number = 2
	eventAttributes        protowire.Number = 3
	eventDroppedAttributes protowire.Number = 4

	linkTraceID           protowire.Number = 1
	linkSpanID            protowire.Number = 2
	linkAttributes        protowire.Number = 4
	linkDroppedAttributes protowire.Number = 5
	linkFlags             protowire.Number = 6

	statusMessage protowire.Number = 2
	statusCode    protowire.Number = 3
)

// The bits of SpanFlags above those of the trace flags.
const (
	flagHasIsRemote = 0x100
	flagIsRemote    = 0x200
)

// AppendSpan appends the message of the span to b, without tag and length, and
// returns the longer b. Resource and scope are not part of it: see [Origin]. It
// reads the span only, and reports how many values it cut.
//
// It does not allocate where b has room, unless the span has a trace state, or
// lists, maps or bytes as attributes. So give it a buffer that is used again, and
// keep a copy.
func (e Encoder) AppendSpan(b []byte, s sdktrace.ReadOnlySpan) (message []byte, cut int) {
	m := e.message(b)
	sc, parent := s.SpanContext(), s.Parent()
	m.ids(spanTraceID, sc)
	m.text(spanTraceState, sc.TraceState().String())
	if id := parent.SpanID(); id.IsValid() {
		m.raw(spanParentSpanID, id[:])
	}
	m.text(spanName, s.Name())
	m.kind(s.SpanKind())
	m.time(spanStartTime, s.StartTime())
	m.time(spanEndTime, s.EndTime())
	m.attributes(spanAttributes, s.Attributes())
	m.count(spanDroppedAttributes, s.DroppedAttributes())
	m.events(s.Events())
	m.count(spanDroppedEvents, s.DroppedEvents())
	m.links(s.Links())
	m.count(spanDroppedLinks, s.DroppedLinks())
	m.status(s.Status())
	m.fixed32(spanFlags, flags(sc.TraceFlags(), parent))
	return m.bytes, m.cut
}

// ids writes the trace ID into the field and the span ID into the next, also
// when they are zero.
func (m *message) ids(field protowire.Number, sc trace.SpanContext) {
	traceID, spanID := sc.TraceID(), sc.SpanID()
	m.raw(field, traceID[:])
	m.raw(field+1, spanID[:])
}

// kind writes the kind, whose numbers are those of the API.
func (m *message) kind(kind trace.SpanKind) {
	if kind >= trace.SpanKindInternal && kind <= trace.SpanKindConsumer {
		m.varint(spanKind, uint64(kind))
	}
}

func (m *message) events(events []sdktrace.Event) {
	for _, e := range events {
		start := m.begin(spanEvents)
		m.time(eventTime, e.Time)
		m.text(eventName, e.Name)
		m.attributes(eventAttributes, e.Attributes)
		m.count(eventDroppedAttributes, e.DroppedAttributeCount)
		m.end(start)
	}
}

// links leaves out the trace state, as the OpenTelemetry exporter does.
func (m *message) links(links []sdktrace.Link) {
	for _, l := range links {
		start := m.begin(spanLinks)
		m.ids(linkTraceID, l.SpanContext)
		m.attributes(linkAttributes, l.Attributes)
		m.count(linkDroppedAttributes, l.DroppedAttributeCount)
		m.fixed32(linkFlags, flags(l.SpanContext.TraceFlags(), l.SpanContext))
		m.end(start)
	}
}

// status writes the status, also when it is unset. The API counts its codes in
// another order than the protocol.
func (m *message) status(s sdktrace.Status) {
	start := m.begin(spanStatus)
	m.text(statusMessage, s.Description)
	switch s.Code {
	case codes.Ok:
		m.varint(statusCode, 1)
	case codes.Error:
		m.varint(statusCode, 2)
	default: // unset
	}
	m.end(start)
}

// flags returns the trace flags, and whether the context came from elsewhere.
func flags(f trace.TraceFlags, from trace.SpanContext) uint32 {
	all := uint32(f) | flagHasIsRemote
	if from.IsRemote() {
		all |= flagIsRemote
	}
	return all
}
