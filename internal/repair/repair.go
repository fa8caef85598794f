// Package repair replaces invalid UTF-8 in metrics by U+FFFD. Protocol buffers
// refuse a whole request for one such text, so that one malformed header of a
// caller would cost every metric. Spans and log records are repaired as package
// otlp encodes them.
//
// Nothing is changed in place: what is bad is copied, what is valid is returned
// as it is. Two attribute sets that differ in bad bytes alone become equal.
package repair

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Each of the functions below returns its argument repaired, and whether that
// was needed.

func text(s string) (string, bool) {
	if utf8.ValidString(s) {
		return s, false
	}
	return strings.ToValidUTF8(s, "\uFFFD"), true
}

// texts repairs each string that it points to.
func texts(all ...*string) (bad bool) {
	for _, s := range all {
		var badText bool
		*s, badText = text(*s)
		bad = bad || badText
	}
	return bad
}

// replace repairs the items, in a copy of the slice as soon as one is bad.
func replace[T any](items *[]T, repair func(T) (T, bool)) (bad bool) {
	for i, item := range *items {
		fixed, badItem := repair(item)
		if !badItem {
			continue
		}
		if !bad {
			*items, bad = slices.Clone(*items), true
		}
		(*items)[i] = fixed
	}
	return bad
}

func value(v attribute.Value) (attribute.Value, bool) {
	switch v.Type() {
	case attribute.STRING:
		if s, bad := text(v.AsString()); bad {
			return attribute.StringValue(s), true
		}
	case attribute.STRINGSLICE:
		if list := v.AsStringSlice(); replace(&list, text) {
			return attribute.StringSliceValue(list), true
		}
	case attribute.SLICE:
		if list := v.AsSlice(); replace(&list, value) {
			return attribute.SliceValue(list...), true
		}
	case attribute.MAP:
		if list := v.AsMap(); replace(&list, KeyValue) {
			return attribute.MapValue(list...), true
		}
	default: // holds no text
	}
	return v, false
}

// KeyValue repairs the key and the value, lists and maps included.
func KeyValue(kv attribute.KeyValue) (attribute.KeyValue, bool) {
	key, badKey := text(string(kv.Key))
	fixed, bad := value(kv.Value)
	return attribute.KeyValue{Key: attribute.Key(key), Value: fixed}, badKey || bad
}

func set(s attribute.Set) (attribute.Set, bool) {
	for i := range s.Len() {
		kv, _ := s.Get(i)
		if _, bad := KeyValue(kv); bad {
			list := s.ToSlice()
			replace(&list, KeyValue)
			return attribute.NewSet(list...), true
		}
	}
	return s, false
}

func scope(s instrumentation.Scope) (instrumentation.Scope, bool) {
	bad := texts(&s.Name, &s.Version, &s.SchemaURL)
	attributes, badAttributes := set(s.Attributes)
	s.Attributes = attributes
	return s, bad || badAttributes
}

func origin(r *resource.Resource) (*resource.Resource, bool) {
	if r == nil {
		return nil, false
	}
	schema, badSchema := text(r.SchemaURL())
	attributes, bad := set(*r.Set())
	if !bad && !badSchema {
		return r, false
	}
	return resource.NewWithAttributes(schema, attributes.ToSlice()...), true
}
