// Package spans keeps the traces that the live page shows, from the spans as
// they end: those that failed, those that panicked, and the slowest.
package spans

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

const (
	maxInFlight    = 4096         // traces
	maxFlightBytes = 4 << 20      // of all their spans
	maxSpans       = 200          // of a trace
	maxTraceBytes  = 256 << 10    // of a trace's spans
	maxKeptBytes   = 6 << 20      // of all traces that are kept
	maxFree        = 64           // records to be used again
	maxFreeSpans   = maxSpans / 8 // room for spans that such a record has
)

// Store is a span processor that keeps a bounded number of traces: whichever
// failed last, and the slowest of the last 15 minutes. It holds at most about
// 12 MiB. Safe for concurrent use.
//
// A trace is looked at whenever a local root in it ends: a span that began with
// nothing recorded around it in this process, such as that of a request, of a
// job, or of what a request left running. What ended inside it is held until
// then. The trace is an error if the root failed, or if a call of an LLM API
// inside it did, even if the root succeeded: these are worth a look, whereas
// other errors that a service could handle are not. It is a panic if the root
// says so.
//
// Spans that end after their root are added if its trace is kept.
type Store struct {
	requests requests
	began    time.Time

	mu      sync.Mutex
	closed  bool
	records map[trace.TraceID]*record
	flight  list.List // records that are not kept, oldest first
	kept    [classes][]*record
	free    []*record
	dropped int64 // traces in flight that had to make room
	floor   floor

	flightBytes, keptBytes int
}

// record is one trace.
type record struct {
	id        trace.TraceID
	spans     []span
	bytes     int
	leftOut   int            // spans
	open      []trace.SpanID // local roots that have not ended
	call      *failure       // of an LLM API
	inFlight  *list.Element  // of Store.flight, or nil once it is kept
	class     class          // why it is kept
	row       Row
	errorType string        // of the root in row
	duration  time.Duration // likewise
	ended     time.Time     // likewise, by this process's clock
}

// New returns an empty Store.
func New() *Store {
	return &Store{began: time.Now(), records: map[trace.TraceID]*record{}}
}

// OnStart implements [sdktrace.SpanProcessor].
func (s *Store) OnStart(ctx context.Context, started sdktrace.ReadWriteSpan) {
	sc := started.SpanContext()
	if started.SpanKind() == trace.SpanKindServer {
		s.requests.start(ctx, sc.SpanID())
	}
	if started.Parent().IsValid() && trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	r := s.records[sc.TraceID()]
	if r == nil {
		r = s.begin(sc.TraceID())
	}
	if len(r.open) < maxSpans {
		r.open = append(r.open, sc.SpanID())
	}
	s.evict()
}

// OnEnd implements [sdktrace.SpanProcessor].
func (s *Store) OnEnd(ended sdktrace.ReadOnlySpan) {
	sc := ended.SpanContext()
	if ended.SpanKind() == trace.SpanKindServer {
		s.requests.end(ended)
	}
	if s.passed(ended) {
		return
	}
	added := newSpan(ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[sc.TraceID()]
	root := r.close(added.id) || added.entry
	switch {
	case s.closed, r == nil && !root:
		return
	case r == nil:
		r = s.begin(sc.TraceID())
	}
	s.add(r, &added, root)
	if root {
		s.judge(r, &added)
	}
	s.evict()
}

// passed forgets a trace that is one span, and that span nothing to look at, as
// most are: it need not be measured.
func (s *Store) passed(ended sdktrace.ReadOnlySpan) bool {
	if ended.Status().Code == codes.Error || len(ended.Events()) > 0 {
		return false
	}
	sc, duration := ended.SpanContext(), max(0, ended.EndTime().Sub(ended.StartTime()))
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[sc.TraceID()]
	if r == nil || len(r.spans) > 0 || len(r.open) != 1 || r.open[0] != sc.SpanID() || s.isSlow(ended.Name(), duration, time.Now()) {
		return false
	}
	s.forget(r)
	return true
}

// close removes the span from the local roots that have not ended, and reports
// whether it was there.
func (r *record) close(id trace.SpanID) bool {
	if r == nil {
		return false
	}
	i := slices.Index(r.open, id)
	if i < 0 {
		return false
	}
	r.open = slices.Delete(r.open, i, i+1)
	return true
}

func (s *Store) begin(id trace.TraceID) *record {
	var r *record
	if last := len(s.free) - 1; last >= 0 {
		r, s.free = s.free[last], s.free[:last]
	} else {
		r = &record{}
	}
	r.id = id
	r.inFlight = s.flight.PushBack(r)
	s.records[id] = r
	return r
}

// add adds the span to its trace if there is room. Some is left for the root,
// which ends last.
func (s *Store) add(r *record, added *span, root bool) {
	if r.call == nil {
		r.call = added.failedCall()
	}
	spans, bytes := maxSpans, maxTraceBytes
	if !root {
		spans, bytes = maxSpans-1, maxTraceBytes-maxSpanBytes
	}
	if len(r.spans) >= spans || r.bytes+added.bytes > bytes {
		r.leftOut++
		return
	}
	if r.class != unremarkable {
		added.detach()
		s.keptBytes += added.bytes
	} else {
		s.flightBytes += added.bytes
	}
	r.spans = append(r.spans, *added)
	r.bytes += added.bytes
}

// evict makes room: the traces that are in flight for longest go first, and of
// those that are kept the oldest.
func (s *Store) evict() {
	for s.flight.Len() > maxInFlight || s.flightBytes > maxFlightBytes {
		s.dropped++
		s.forget(s.flight.Front().Value.(*record)) //nolint:forcetypeassert // there is nothing else in it
	}
	for s.keptBytes > maxKeptBytes {
		s.forget(s.oldest())
	}
}

// forget removes the trace, wherever it is.
func (s *Store) forget(r *record) {
	delete(s.records, r.id)
	s.unlist(r)
	if cap(r.spans) > maxFreeSpans || cap(r.open) > maxFreeSpans || len(s.free) == maxFree {
		return
	}
	clear(r.spans)
	*r = record{spans: r.spans[:0], open: r.open[:0]}
	s.free = append(s.free, r)
}

// unlist takes the trace out of the list that it is in.
func (s *Store) unlist(r *record) {
	if r.inFlight != nil {
		s.flight.Remove(r.inFlight)
		r.inFlight = nil
		s.flightBytes -= r.bytes
		return
	}
	s.floor = floor{}
	s.kept[r.class] = slices.DeleteFunc(s.kept[r.class], func(other *record) bool { return other == r })
	s.keptBytes -= r.bytes
}

// Traced returns how many requests left spans, by route, and how many are in
// flight. Requests count that a Handler of package middleware measures, so that
// methods and routes are those of http.server.request.duration. Of a request
// whose route is known only while it is handled, the one in flight is that of
// unmatched requests. At most 2,000 are told apart, the others do not count.
func (s *Store) Traced() map[metrics.Route]metrics.Traced { return s.requests.traced() }

// ForceFlush implements [sdktrace.SpanProcessor]. It does nothing.
func (*Store) ForceFlush(context.Context) error { return nil }

// Shutdown implements [sdktrace.SpanProcessor]. It forgets everything, and what
// comes after.
func (s *Store) Shutdown(context.Context) error {
	s.requests.shutdown()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.records, s.kept, s.free = nil, [classes][]*record{}, nil
	s.flight.Init()
	s.flightBytes, s.keptBytes = 0, 0
	return nil
}
