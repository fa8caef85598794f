package otlp

import (
	"math"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of KeyValue and AnyValue, and the one field of ArrayValue and of
// KeyValueList.
const (
	keyValueKey   protowire.Number = 1
	keyValueValue protowire.Number = 2

	anyValueString protowire.Number = 1
	anyValueBool   protowire.Number = 2
	anyValueInt    protowire.Number = 3
	anyValueDouble protowire.Number = 4
	anyValueArray  protowire.Number = 5
	anyValueKvlist protowire.Number = 6
	anyValueBytes  protowire.Number = 7

	values protowire.Number = 1
)

// maxDepth bounds lists in lists: those who read the request refuse all of it
// when messages in messages are too many, some from 100 on. A list takes two, a map three.
const maxDepth = 30

func (m *message) attributes(field protowire.Number, all []attribute.KeyValue) {
	for _, kv := range all {
		m.attribute(field, kv)
	}
}

func (m *message) attribute(field protowire.Number, kv attribute.KeyValue) {
	start := m.begin(field)
	m.text(keyValueKey, string(kv.Key))
	m.anyValue(keyValueValue, kv.Value)
	m.end(start)
}

func (m *message) set(field protowire.Number, iter attribute.Iterator) {
	for iter.Next() {
		m.attribute(field, iter.Attribute())
	}
}

// anyValue writes one of the fields of AnyValue, also when it is zero: that one
// is there tells the type.
func (m *message) anyValue(field protowire.Number, v attribute.Value) {
	start := m.begin(field)
	switch v.Type() {
	case attribute.EMPTY:
	case attribute.BOOL:
		m.bytes = protowire.AppendTag(m.bytes, anyValueBool, protowire.VarintType)
		m.bytes = protowire.AppendVarint(m.bytes, protowire.EncodeBool(v.AsBool()))
	case attribute.INT64:
		m.bytes = protowire.AppendTag(m.bytes, anyValueInt, protowire.VarintType)
		m.bytes = protowire.AppendVarint(m.bytes, uint64(v.AsInt64()))
	case attribute.FLOAT64:
		m.bytes = protowire.AppendTag(m.bytes, anyValueDouble, protowire.Fixed64Type)
		m.bytes = protowire.AppendFixed64(m.bytes, math.Float64bits(v.AsFloat64()))
	case attribute.STRING:
		m.stringValue(v.AsString())
	case attribute.BYTESLICE:
		m.bytesValue(v.AsByteSlice())
	case attribute.MAP, attribute.BOOLSLICE, attribute.INT64SLICE, attribute.FLOAT64SLICE, attribute.STRINGSLICE, attribute.SLICE:
		m.nested(v)
	default:
		m.stringValue("INVALID")
	}
	m.end(start)
}

// nested writes a list or a map, unless it is too deep.
func (m *message) nested(v attribute.Value) {
	if m.depth == maxDepth {
		m.cut++
		return
	}
	m.depth++
	defer func() { m.depth-- }()
	if v.Type() == attribute.MAP {
		list := m.begin(anyValueKvlist)
		m.attributes(values, v.AsMap())
		m.end(list)
		return
	}
	list := m.begin(anyValueArray)
	m.elements(v)
	m.end(list)
}

func (m *message) stringValue(s string) {
	if m.string(anyValueString, s, m.valueBytes) {
		m.cut++
	}
}

func (m *message) bytesValue(b []byte) {
	if len(b) > m.valueBytes {
		b = b[:m.valueBytes]
		m.cut++
	}
	m.raw(anyValueBytes, b)
}

// elements writes a list, of which there are five kinds.
func (m *message) elements(list attribute.Value) {
	for _, v := range list.AsBoolSlice() {
		m.anyValue(values, attribute.BoolValue(v))
	}
	for _, v := range list.AsInt64Slice() {
		m.anyValue(values, attribute.Int64Value(v))
	}
	for _, v := range list.AsFloat64Slice() {
		m.anyValue(values, attribute.Float64Value(v))
	}
	for _, v := range list.AsStringSlice() {
		m.anyValue(values, attribute.StringValue(v))
	}
	for _, v := range list.AsSlice() {
		m.anyValue(values, v)
	}
}
