package spans

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/text"
)

const (
	maxText           = 4 << 10  // bytes of a text
	maxStack          = 32 << 10 // bytes of an exception.stacktrace
	maxKey            = 256      // bytes of the name of an attribute
	maxSpanBytes      = 96 << 10 // of all that belongs to a span
	maxAttributeBytes = 32 << 10 // of its attributes, so that there is room for a stack

	// What memory takes besides texts, about.
	spanBytes      = 256
	eventBytes     = 88
	linkBytes      = 96
	attributeBytes = 64
)

// span is what is held of a span. Texts and slices are shared with the SDK,
// which changes none of them once the span has ended, until detach.
type span struct {
	id, parent trace.SpanID
	entry      bool // it has no parent in this process
	name       string
	scope      string
	kind       trace.SpanKind
	start, end time.Time
	status     sdktrace.Status
	attributes []attribute.KeyValue
	events     []sdktrace.Event
	links      []sdktrace.Link
	dropped    int // attributes, events and links that are not here
	bytes      int
	detached   bool
}

// newSpan returns the span, cut to size if it is too big.
func newSpan(ended sdktrace.ReadOnlySpan) span {
	parent := ended.Parent()
	s := span{
		id:         ended.SpanContext().SpanID(),
		parent:     parent.SpanID(),
		entry:      !parent.IsValid() || parent.IsRemote(),
		name:       ended.Name(),
		scope:      ended.InstrumentationScope().Name,
		kind:       ended.SpanKind(),
		start:      ended.StartTime(),
		end:        ended.EndTime(),
		status:     ended.Status(),
		attributes: ended.Attributes(),
		events:     ended.Events(),
		links:      ended.Links(),
		dropped:    ended.DroppedAttributes() + ended.DroppedEvents() + ended.DroppedLinks(),
	}
	if !s.measure() {
		s.detach()
	}
	return s
}

// measure finds out how many bytes the span takes, and reports whether it is
// within the limits.
func (s *span) measure() bool {
	bytes, fits := measure(s.attributes)
	fits = fits && bytes <= maxAttributeBytes
	for i := range s.events {
		more, fit := measure(s.events[i].Attributes)
		bytes += eventBytes + len(s.events[i].Name) + more
		fits = fits && fit && len(s.events[i].Name) <= maxText
	}
	s.bytes = spanBytes + len(s.name) + len(s.scope) + len(s.status.Description) + bytes + linkBytes*len(s.links)
	return fits && s.bytes <= maxSpanBytes && max(len(s.name), len(s.scope), len(s.status.Description)) <= maxText
}

func measure(attributes []attribute.KeyValue) (bytes int, fits bool) {
	fits = true
	for i := range attributes {
		key, value, size := attributes[i].Key, &attributes[i].Value, 0
		switch value.Type() {
		case attribute.BOOL, attribute.INT64, attribute.FLOAT64:
		case attribute.STRING:
			size = len(value.AsString())
		default: // lists and maps are to become texts
			fits = false
		}
		fits = fits && len(key) <= maxKey && size <= limit(key)
		bytes += attributeBytes + len(key) + size
	}
	return bytes, fits
}

func limit(key attribute.Key) int {
	if key == telemetry.ExceptionStacktrace {
		return maxStack
	}
	return maxText
}

// detach copies all that the span has, so that no text keeps a bigger one in
// memory that it is part of, such as a path its URL, and cuts it to size.
func (s *span) detach() {
	if s.detached {
		return
	}
	s.detached = true
	s.name, s.scope, s.status.Description = cut(s.name, maxText), cut(s.scope, maxText), cut(s.status.Description, maxText)
	room := maxSpanBytes - spanBytes - len(s.name) - len(s.scope) - len(s.status.Description)
	reserved := room - maxAttributeBytes
	room = maxAttributeBytes
	s.attributes = s.attributesWithin(&room, s.attributes)
	room += reserved
	s.links = s.linksWithin(&room)
	s.events = s.eventsWithin(&room)
	s.bytes = maxSpanBytes - room
}

// attributesWithin returns copies of those attributes for which there is room,
// and takes that.
func (s *span) attributesWithin(room *int, attributes []attribute.KeyValue) []attribute.KeyValue {
	if len(attributes) == 0 {
		return nil
	}
	copies := make([]attribute.KeyValue, 0, len(attributes))
	for _, kv := range attributes {
		size := attributeBytes + min(len(kv.Key), maxKey)
		switch kv.Value.Type() {
		case attribute.BOOL, attribute.INT64, attribute.FLOAT64:
		default:
			value := cut(kv.Value.String(), limit(kv.Key))
			kv.Value, size = attribute.StringValue(value), size+len(value)
		}
		if size > *room {
			s.dropped++
			continue
		}
		*room -= size
		kv.Key = attribute.Key(cut(string(kv.Key), maxKey))
		copies = append(copies, kv)
	}
	return copies
}

// eventsWithin is attributesWithin for events. The last are the first to find
// room, since they tell of the end.
func (s *span) eventsWithin(room *int) []sdktrace.Event {
	copies := make([]sdktrace.Event, len(s.events))
	first := len(copies)
	for _, e := range slices.Backward(s.events) {
		e.Name = cut(e.Name, maxText)
		if eventBytes+len(e.Name) > *room {
			s.dropped++
			continue
		}
		*room -= eventBytes + len(e.Name)
		e.Attributes = s.attributesWithin(room, e.Attributes)
		first--
		copies[first] = e
	}
	return copies[first:]
}

func (s *span) linksWithin(room *int) []sdktrace.Link {
	most := min(len(s.links), *room/linkBytes)
	s.dropped += len(s.links) - most
	*room -= most * linkBytes
	copies := make([]sdktrace.Link, most)
	for i := range copies {
		sc := s.links[i].SpanContext
		copies[i].SpanContext = trace.NewSpanContext(trace.SpanContextConfig{TraceID: sc.TraceID(), SpanID: sc.SpanID()})
	}
	return copies
}

// cut returns a copy of the text of at most so many bytes.
func cut(s string, most int) string { return strings.Clone(text.Cut(s, most)) }

// attribute returns the value of the attribute, or none.
func (s *span) attribute(key attribute.Key) (attribute.Value, bool) { return find(s.attributes, key) }

func find(attributes []attribute.KeyValue, key attribute.Key) (attribute.Value, bool) {
	for i := range attributes {
		if attributes[i].Key == key {
			return attributes[i].Value, true
		}
	}
	return attribute.Value{}, false
}

func textOf(attributes []attribute.KeyValue, key attribute.Key) string {
	value, _ := find(attributes, key)
	return value.AsString()
}

// duration is never negative, whatever clocks did.
func (s *span) duration() time.Duration { return max(0, s.end.Sub(s.start)) }

func (s *span) failed() bool { return s.status.Code == codes.Error }

// exception returns the last exception that the span tells of, or nil.
func (s *span) exception() *sdktrace.Event {
	for i := len(s.events) - 1; i >= 0; i-- {
		if s.events[i].Name == telemetry.Exception {
			return &s.events[i]
		}
	}
	return nil
}

// panicked tells a panic from an error that was recorded. The middleware records
// it with its stack, and its type is that of the request's error. The SDK does
// when the span is ended by a panic, after the end, without a status.
func (s *span) panicked() bool {
	e := s.exception()
	if e == nil {
		return false
	}
	if !s.failed() {
		return s.status.Code == codes.Unset && !e.Time.Before(s.end)
	}
	errorType := textOf(s.attributes, telemetry.ErrorType)
	_, stack := find(e.Attributes, telemetry.ExceptionStacktrace)
	return stack && errorType != "" && (errorType == telemetry.Other || errorType == textOf(e.Attributes, telemetry.ExceptionType))
}
