package spans

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Trace is a trace as a waterfall. Times are in seconds.
type Trace struct {
	ID        string  `json:"id"`
	Age       float64 `json:"age"`       // since the root that it is listed for ended
	Duration  float64 `json:"duration"`  // from the first start to the last end
	Truncated int     `json:"truncated"` // spans that there was no room for
	// Spans are in the order to draw them: each followed by its children, by their
	// start.
	Spans []Span `json:"spans"`
}

// Span is one span of a [Trace].
type Span struct {
	ID string `json:"id"`
	// Parent may be a span that is not here, and is empty if there is none.
	Parent     string      `json:"parent"`
	Name       string      `json:"name"`
	Kind       string      `json:"kind"` // server, client, producer, consumer or internal
	Scope      string      `json:"scope"`
	Start      float64     `json:"start"` // after the start of the trace
	Duration   float64     `json:"duration"`
	Status     string      `json:"status"` // error, ok or unset
	Message    string      `json:"message"`
	Attributes []Attribute `json:"attributes"`
	Events     []Event     `json:"events"`
	Links      []Link      `json:"links"`
	// Dropped counts the attributes, events and links that are not here.
	Dropped int `json:"dropped"`
	Depth   int `json:"depth"` // 0 where the parent is not here
}

// Attribute has its value as text.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Event is an event of a [Span].
type Event struct {
	Name       string      `json:"name"`
	At         float64     `json:"at"` // after the start of the trace
	Attributes []Attribute `json:"attributes"`
}

// Link names a span of this or another trace.
type Link struct {
	Trace string `json:"trace"`
	Span  string `json:"span"`
}

// Trace returns the trace with the ID in hexadecimal, if it is kept.
func (s *Store) Trace(id string, now time.Time) (Trace, bool) {
	traceID, err := trace.TraceIDFromHex(id)
	if err != nil {
		return Trace{}, false
	}
	s.mu.Lock()
	r := s.records[traceID]
	if r == nil || r.class == unremarkable {
		s.mu.Unlock()
		return Trace{}, false
	}
	t := Trace{ID: id, Age: max(0, now.Sub(r.ended).Seconds()), Truncated: r.leftOut}
	spans := slices.Clone(r.spans)
	s.mu.Unlock()

	t.draw(spans)
	return t, true
}

// draw puts the spans in order and their times relative to the first start.
func (t *Trace) draw(spans []span) {
	t.Spans = make([]Span, 0, len(spans))
	if len(spans) == 0 {
		return
	}
	// Seconds since any one start can be compared, whereas times with and without
	// a monotonic clock may contradict each other.
	origin := spans[0].start
	seconds := func(at time.Time) float64 { return at.Sub(origin).Seconds() }
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(seconds(a.start), seconds(b.start)) })
	first := seconds(spans[0].start)
	since := func(at time.Time) float64 { return max(0, seconds(at)-first) }
	walk(spans, func(s *span, depth int) {
		t.Spans = append(t.Spans, s.drawn(since, depth))
		t.Duration = max(t.Duration, since(s.start)+s.duration().Seconds())
	})
}

// walk visits each of the spans once: first those whose parent is not here, each
// followed by its children; then those that are their own ancestors. It takes
// them in the order of spans.
func walk(spans []span, visit func(s *span, depth int)) {
	here := make(map[trace.SpanID]bool, len(spans))
	children := make(map[trace.SpanID][]int, len(spans))
	for i := range spans {
		here[spans[i].id] = true
		if parent := spans[i].parent; parent.IsValid() {
			children[parent] = append(children[parent], i)
		}
	}
	visited := make([]bool, len(spans))
	var descend func(i, depth int)
	descend = func(i, depth int) {
		if visited[i] {
			return
		}
		visited[i] = true
		visit(&spans[i], depth)
		for _, child := range children[spans[i].id] {
			descend(child, depth+1)
		}
	}
	for i := range spans {
		if parent := spans[i].parent; !parent.IsValid() || !here[parent] {
			descend(i, 0)
		}
	}
	for i := range spans {
		descend(i, 0)
	}
}

func (s *span) drawn(since func(time.Time) float64, depth int) Span {
	drawn := Span{
		ID:         s.id.String(),
		Name:       s.name,
		Kind:       s.kind.String(),
		Scope:      s.scope,
		Start:      since(s.start),
		Duration:   s.duration().Seconds(),
		Status:     strings.ToLower(s.status.Code.String()),
		Message:    s.status.Description,
		Attributes: texts(s.attributes),
		Events:     make([]Event, len(s.events)),
		Links:      make([]Link, len(s.links)),
		Dropped:    s.dropped,
		Depth:      depth,
	}
	if s.parent.IsValid() {
		drawn.Parent = s.parent.String()
	}
	for i, e := range s.events {
		drawn.Events[i] = Event{Name: e.Name, At: since(e.Time), Attributes: texts(e.Attributes)}
	}
	for i, link := range s.links {
		drawn.Links[i] = Link{Trace: link.SpanContext.TraceID().String(), Span: link.SpanContext.SpanID().String()}
	}
	return drawn
}

func texts(attributes []attribute.KeyValue) []Attribute {
	list := make([]Attribute, len(attributes))
	for i, kv := range attributes {
		list[i] = Attribute{Name: string(kv.Key), Value: kv.Value.String()}
	}
	return list
}
