package spans

import (
	"cmp"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
)

const maxLine = 256 // bytes of a text in a row

// View is what the page lists.
type View struct {
	Errors []Row `json:"errors"` // newest first
	Panics []Row `json:"panics"` // newest first
	Slow   []Row `json:"slow"`   // slowest first
	// Dropped counts the traces that had not ended when they made room for others.
	// If they fail, they are kept with what ends then.
	Dropped int64 `json:"dropped"`
}

// Row is one trace, named by its local root that failed or was slow.
type Row struct {
	ID  string  `json:"id"`
	Age float64 `json:"age"` // seconds since the root ended
	// Name is the root's.
	Name string `json:"name"`
	// Route is that of http.server.request.duration, or empty where the root is
	// not an HTTP request that is served.
	Route    string  `json:"route"`
	Duration float64 `json:"duration"` // seconds
	// Status is the HTTP status code, or nil where there is none.
	Status *int64 `json:"status"`
	// Error is a message, or else a type; empty if the trace did not fail.
	Error   string `json:"error"`
	Spans   int    `json:"spans"`
	Rescued bool   `json:"rescued"` // the trace has no other spans of this service
}

// View returns what is kept, at most 50 traces in each list.
func (s *Store) View(now time.Time) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	rows := func(c class) []Row {
		list := make([]Row, 0, len(s.kept[c]))
		for _, r := range slices.Backward(s.kept[c]) {
			row := r.row
			row.Age = max(0, now.Sub(r.ended).Seconds())
			row.Spans = len(r.spans) + r.leftOut
			list = append(list, row)
		}
		return list
	}
	slowest := rows(slow)
	slices.SortStableFunc(slowest, func(a, b Row) int { return cmp.Compare(b.Duration, a.Duration) })
	return View{Errors: rows(failed), Panics: rows(panicked), Slow: slowest[:min(len(slowest), maxSlow)], Dropped: s.dropped}
}

// newRow returns what is listed of the trace with the root.
func newRow(r *record, root *span) Row {
	row := Row{
		ID:       r.id.String(),
		Name:     cut(root.name, maxLine),
		Route:    cut(textOf(root.attributes, telemetry.HTTPRoute), maxLine),
		Duration: root.duration().Seconds(),
		Rescued:  root.rescued(),
	}
	if _, isHTTP := root.attribute(telemetry.HTTPMethod); isHTTP && root.kind == trace.SpanKindServer {
		row.Route = cmp.Or(row.Route, telemetry.Other)
	}
	if status, ok := root.attribute(telemetry.HTTPStatusCode); ok {
		row.Status = new(status.AsInt64())
	}
	switch {
	case root.failed(), root.panicked():
		row.Error = root.failure()
	case r.call != nil:
		row.Error = r.call.text
	}
	return row
}

// errorType returns that of the root, or else of a call inside it.
func (r *record) errorType(root *span) string {
	if r.call == nil || root.failed() || root.panicked() {
		return root.errorType()
	}
	return r.call.errorType
}

func (s *span) rescued() bool {
	value, _ := s.attribute(telemetry.SamplingRescued)
	return value.AsBool()
}

// errorType returns what the span says of the type of its error.
func (s *span) errorType() string {
	errorType := textOf(s.attributes, telemetry.ErrorType)
	if e := s.exception(); e != nil {
		errorType = cmp.Or(errorType, textOf(e.Attributes, telemetry.ExceptionType))
	}
	return errorType
}

// failure returns what the span says of its error: a message, if there is more
// than a type.
func (s *span) failure() string {
	message := s.status.Description
	if message == textOf(s.attributes, telemetry.ErrorType) {
		message = ""
	}
	if e := s.exception(); e != nil {
		message = cmp.Or(message, textOf(e.Attributes, telemetry.ExceptionMessage))
	}
	return cut(cmp.Or(message, s.errorType(), "error"), maxLine)
}

// failure is what went wrong with a call.
type failure struct{ text, errorType string }

// failedCall returns what went wrong with a call of an LLM API, or nil.
func (s *span) failedCall() *failure {
	if !s.failed() {
		return nil
	}
	if _, ok := s.attribute(telemetry.GenAIOperation); !ok {
		return nil
	}
	return &failure{cut(s.name+": "+s.failure(), maxLine), cut(s.errorType(), maxLine)}
}
