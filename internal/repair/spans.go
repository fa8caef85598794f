package repair

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Spans returns the spans with valid text. It allocates for bad spans, and for
// attributes that hold lists or maps.
func Spans(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	replace(&spans, span)
	return spans
}

func span(s sdktrace.ReadOnlySpan) (sdktrace.ReadOnlySpan, bool) {
	name, badName := text(s.Name())
	attributes, events, links, status := s.Attributes(), s.Events(), s.Links(), s.Status()
	badAttributes := replace(&attributes, KeyValue)
	badEvents := replace(&events, event)
	badLinks := replace(&links, link)
	badStatus := texts(&status.Description)
	from, badScope := scope(s.InstrumentationScope())
	by, badResource := origin(s.Resource())
	if !badName && !badAttributes && !badEvents && !badLinks && !badStatus && !badScope && !badResource {
		return s, false
	}
	return &repaired{s, name, attributes, events, links, status, from, by}, true
}

func event(e sdktrace.Event) (sdktrace.Event, bool) {
	bad := texts(&e.Name)
	badAttributes := replace(&e.Attributes, KeyValue)
	return e, bad || badAttributes
}

// link leaves the trace state alone, which the API takes in ASCII only.
func link(l sdktrace.Link) (sdktrace.Link, bool) {
	bad := replace(&l.Attributes, KeyValue)
	return l, bad
}

type repaired struct {
	sdktrace.ReadOnlySpan
	name       string
	attributes []attribute.KeyValue
	events     []sdktrace.Event
	links      []sdktrace.Link
	status     sdktrace.Status
	scope      instrumentation.Scope
	resource   *resource.Resource
}

func (r *repaired) Name() string                                { return r.name }
func (r *repaired) Attributes() []attribute.KeyValue            { return r.attributes }
func (r *repaired) Events() []sdktrace.Event                    { return r.events }
func (r *repaired) Links() []sdktrace.Link                      { return r.links }
func (r *repaired) Status() sdktrace.Status                     { return r.status }
func (r *repaired) InstrumentationScope() instrumentation.Scope { return r.scope }
func (r *repaired) Resource() *resource.Resource                { return r.resource }
