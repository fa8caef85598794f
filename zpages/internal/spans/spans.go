// Package spans keeps the traces that the live page shows, from the spans as
// they end: those that failed, those that panicked, and the slowest.
package spans

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

const (
	maxInFlight    = 4096         // traces
	maxFlightBytes = 2 << 20      // of all their spans
	maxSpans       = 200          // of a trace
	maxTraceBytes  = 256 << 10    // of a trace's spans
	maxKeptBytes   = 3 << 20      // of all traces that are kept
	maxFree        = 64           // records to be used again
	maxFreeSpans   = maxSpans / 8 // room for spans that such a record has
)

// Store is a span processor that keeps a bounded number of traces: whichever
// failed last, and the slowest of the last 15 minutes. Of failures that are alike it
// keeps one a second. It holds at most about 8 MiB. Safe for concurrent use.
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
	began time.Time

	mu        sync.Mutex
	closed    bool
	requests  requests
	records   map[trace.TraceID]*record
	flight    flight
	kept      [classes][]*record // oldest first
	keptBytes int
	free      []*record
	dropped   int64 // traces in flight that had to make room
	floor     floor
}

// record is one trace.
type record struct {
	id       trace.TraceID
	spans    []span
	bytes    int
	leftOut  int            // spans
	open     []trace.SpanID // local roots that have not ended
	call     *failure       // of an LLM API
	class    class          // why it is kept
	row      Row
	kind     string        // of the root in row: the type of its error
	duration time.Duration // likewise
	ended    time.Time     // likewise, by this process's clock

	flying       bool // it is in flight, between these two
	older, newer *record
}

// New returns an empty Store.
func New() *Store {
	return &Store{began: time.Now(), records: map[trace.TraceID]*record{}}
}

// OnStart implements [sdktrace.SpanProcessor].
func (s *Store) OnStart(ctx context.Context, started sdktrace.ReadWriteSpan) {
	around := trace.SpanFromContext(ctx)
	root := !around.IsRecording() || !started.Parent().IsValid()
	var request *headsample.Request
	if started.SpanKind() == trace.SpanKindServer {
		request = served(ctx, around)
	}
	if !root && request == nil {
		return
	}
	sc := started.SpanContext()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if request != nil {
		s.requests.start(sc.SpanID(), request)
	}
	if root {
		s.open(sc)
	}
}

// open notes that a local root has begun.
func (s *Store) open(sc trace.SpanContext) {
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
	parent, server := ended.Parent(), ended.SpanKind() == trace.SpanKindServer
	entry := !parent.IsValid() || parent.IsRemote()
	if (entry || server) && s.passed(ended, server) {
		return
	}
	sc, added := ended.SpanContext(), newSpan(ended)
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
	s.add(r, &added, root && (entry || len(r.open) == 0))
	if root {
		s.judge(r, &added)
	}
	s.evict()
}

// passed counts a request that has ended. It reports whether the span is the root of
// a trace with nothing to look at, as most are: then that is forgotten, and the span
// need not be measured.
func (s *Store) passed(ended sdktrace.ReadOnlySpan, server bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if server {
		s.requests.end(ended)
	}
	sc := ended.SpanContext()
	r := s.records[sc.TraceID()]
	if r == nil || r.class != unremarkable || r.call != nil || len(r.open) != 1 || r.open[0] != sc.SpanID() {
		return false
	}
	if ended.Status().Code == codes.Error || len(ended.Events()) > 0 ||
		s.isSlow(ended.Name(), max(0, ended.EndTime().Sub(ended.StartTime())), time.Now()) {
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
	s.flight.add(r)
	s.records[id] = r
	return r
}

// add adds the span to its trace if there is room. Some is left for the outermost,
// which ends last.
func (s *Store) add(r *record, added *span, outermost bool) {
	if r.call == nil {
		r.call = added.failedCall()
	}
	spans, bytes := maxSpans, maxTraceBytes
	if !outermost {
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
		s.flight.bytes += added.bytes
	}
	r.spans = append(r.spans, *added)
	r.bytes += added.bytes
}

// evict makes room: the traces that are in flight for longest go first, and of
// those that are kept the oldest.
func (s *Store) evict() {
	for s.flight.traces > maxInFlight || s.flight.bytes > maxFlightBytes {
		s.dropped++
		s.forget(s.flight.oldest)
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
	if r.flying {
		s.flight.remove(r)
		return
	}
	if r.class == slow {
		s.floor = floor{}
	}
	s.kept[r.class] = slices.DeleteFunc(s.kept[r.class], func(other *record) bool { return other == r })
	s.keptBytes -= r.bytes
}

// Traced returns how many requests left spans, by route, and how many are in
// flight. Requests count that a Handler of package middleware measures, so that
// methods and routes are those of http.server.request.duration. Of a request
// whose route is known only while it is handled, the one in flight is that of
// unmatched requests. At most 2,000 are told apart, the others do not count.
func (s *Store) Traced() map[metrics.Route]metrics.Traced {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests.traced()
}

// ForceFlush implements [sdktrace.SpanProcessor]. It does nothing.
func (*Store) ForceFlush(context.Context) error { return nil }

// Shutdown implements [sdktrace.SpanProcessor]. It forgets everything, and what
// comes after.
func (s *Store) Shutdown(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.requests, s.flight = requests{}, flight{}
	s.records, s.kept, s.keptBytes, s.free = nil, [classes][]*record{}, 0, nil
	return nil
}
