package otlp

import (
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of LogRecord.
const (
	logTime              protowire.Number = 1
	logSeverityNumber    protowire.Number = 2
	logSeverityText      protowire.Number = 3
	logBody              protowire.Number = 5
	logAttributes        protowire.Number = 6
	logDroppedAttributes protowire.Number = 7
	logFlags             protowire.Number = 8
	logTraceID           protowire.Number = 9
	logSpanID            protowire.Number = 10
	logObservedTime      protowire.Number = 11
	logEventName         protowire.Number = 12
)

// AppendLogRecord appends the message of the record to b, without tag and
// length, and returns the longer b. Resource and scope are not part of it: see
// [Origin]. It reads the record only, and reports how many values it cut.
//
// It does not allocate where b has room, unless the body or an attribute is a
// list, a map or bytes. So give it a buffer that is used again, and keep a copy.
func (e Encoder) AppendLogRecord(b []byte, r *sdklog.Record) (message []byte, cut int) {
	m := e.message(b)
	m.time(logTime, r.Timestamp())
	m.severity(r.Severity())
	m.text(logSeverityText, r.SeverityText())
	m.body(r.Body())
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		m.attribute(logAttributes, kv)
		return true
	})
	m.count(logDroppedAttributes, r.DroppedAttributes())
	m.fixed32(logFlags, uint32(r.TraceFlags()))
	if id := r.TraceID(); id.IsValid() {
		m.raw(logTraceID, id[:])
	}
	if id := r.SpanID(); id.IsValid() {
		m.raw(logSpanID, id[:])
	}
	m.time(logObservedTime, r.ObservedTimestamp())
	m.text(logEventName, r.EventName())
	return m.bytes, m.cut
}

// severity writes the severity, whose numbers are those of the API.
func (m *message) severity(s log.Severity) {
	if s >= log.SeverityTrace && s <= log.SeverityFatal4 {
		m.varint(logSeverityNumber, uint64(s))
	}
}

// body writes the body whole: it is what was said, and not a remark about it.
func (m *message) body(v attribute.Value) {
	limit := m.valueBytes
	m.valueBytes = math.MaxInt
	m.anyValue(logBody, v)
	m.valueBytes = limit
}
