package middleware

import (
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// headers is a carrier that reads the headers of the W3C without making their
// names canonical for every request.
type headers http.Header

// Get returns the first value of the header.
func (h headers) Get(key string) string { return first(h.Values(key)) }

// Values returns all values of the header.
func (h headers) Values(key string) []string {
	switch key {
	case "traceparent":
		return h["Traceparent"]
	case "tracestate":
		return h["Tracestate"]
	case "baggage":
		return h["Baggage"]
	}
	return http.Header(h).Values(key)
}

// Set sets the header.
func (h headers) Set(key, value string) { http.Header(h).Set(key, value) }

// Keys returns the names of all headers.
func (h headers) Keys() []string { return propagation.HeaderCarrier(h).Keys() }

// setTraceResponse tells the client the trace of its request.
func setTraceResponse(w http.ResponseWriter, sc trace.SpanContext) {
	if sc.IsValid() {
		w.Header().Add("Server-Timing", fmt.Sprintf(`traceparent;desc="00-%s-%s-%s"`, sc.TraceID(), sc.SpanID(), sc.TraceFlags()))
	}
}
