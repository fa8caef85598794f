// Package otlp encodes spans and log records as OTLP protocol buffers, one at a
// time, straight to the wire format.
//
// An item that waits to be exported is then one slice of bytes: its size is
// known exactly, it keeps nothing else alive (not the 64 KiB text of which
// 4 KiB are sent), and whoever encodes it pays for no tree of objects. What is
// sent equals what the OpenTelemetry project's own exporters send, but for two
// things: text that is not UTF-8 is repaired, because one such text makes
// protocol buffers refuse a whole request, and long values are cut.
//
// It follows opentelemetry-proto v1.
package otlp

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Encoder turns spans, log records, resources and scopes into messages.
//
// In every text, each run of bytes that are not UTF-8 becomes one U+FFFD. Text
// and bytes that are attribute values, also those inside of lists and maps, are
// then cut to ValueBytes bytes, at the border of a character. Names, keys, status
// descriptions and the bodies of log records are never cut.
//
// Lists and maps that are more than 30 deep in others are left empty, and count as cut.
//
// The zero value cuts nothing else. Safe for concurrent use.
type Encoder struct {
	// ValueBytes is the most bytes that a value keeps. Zero or less: no limit.
	ValueBytes int
}

func (e Encoder) message(b []byte) message {
	m := message{bytes: b, valueBytes: math.MaxInt}
	if e.ValueBytes > 0 {
		m.valueBytes = e.ValueBytes
	}
	return m
}

// message is a protocol buffer message that grows at its end. As in the third
// version of the format, a plain field that is zero or empty is left out.
type message struct {
	bytes      []byte
	valueBytes int // the most bytes of a value
	cut        int // how many values had more
	depth      int // of the list or map that is written
}

func (m *message) varint(field protowire.Number, v uint64) {
	if v != 0 {
		m.bytes = protowire.AppendTag(m.bytes, field, protowire.VarintType)
		m.bytes = protowire.AppendVarint(m.bytes, v)
	}
}

func (m *message) fixed32(field protowire.Number, v uint32) {
	if v != 0 {
		m.bytes = protowire.AppendTag(m.bytes, field, protowire.Fixed32Type)
		m.bytes = protowire.AppendFixed32(m.bytes, v)
	}
}

func (m *message) fixed64(field protowire.Number, v uint64) {
	if v != 0 {
		m.bytes = protowire.AppendTag(m.bytes, field, protowire.Fixed64Type)
		m.bytes = protowire.AppendFixed64(m.bytes, v)
	}
}

// time writes nanoseconds since 1970: nothing for the zero time, which is long
// before that.
func (m *message) time(field protowire.Number, t time.Time) {
	m.fixed64(field, uint64(max(0, t.UnixNano())))
}

// count writes a number that is not negative and has 32 bits.
func (m *message) count(field protowire.Number, n int) {
	m.varint(field, uint64(min(max(0, int64(n)), math.MaxUint32)))
}

func (m *message) raw(field protowire.Number, v []byte) {
	m.bytes = protowire.AppendTag(m.bytes, field, protowire.BytesType)
	m.bytes = protowire.AppendBytes(m.bytes, v)
}

// text writes a text that is never cut.
func (m *message) text(field protowire.Number, s string) {
	if s != "" {
		m.string(field, s, math.MaxInt)
	}
}

// begin starts a message inside of this one; end takes what begin returned.
//
// The length stands before the content, but is known only afterwards. One byte
// is kept for it, and content of 128 bytes or more is moved by the bytes that
// are missing. Most content is shorter, and moving a few KiB costs less than
// walking everything twice to add up sizes first.
func (m *message) begin(field protowire.Number) int {
	m.bytes = protowire.AppendTag(m.bytes, field, protowire.BytesType)
	m.bytes = append(m.bytes, 0)
	return len(m.bytes)
}

func (m *message) end(start int) {
	size := len(m.bytes) - start
	if size < 1<<7 {
		m.bytes[start-1] = byte(size)
		return
	}
	var missing [9]byte
	m.bytes = append(m.bytes, missing[:protowire.SizeVarint(uint64(size))-1]...)
	copy(m.bytes[len(m.bytes)-size:], m.bytes[start:])
	protowire.AppendVarint(m.bytes[:start-1], uint64(size))
}
