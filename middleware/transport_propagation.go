package middleware

import (
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/propagation"

	"github.com/otelmon/toolkit/internal/peer"
)

// allowList are the hosts that get trace context. A nil one has all.
type allowList struct {
	exact    map[string]bool
	suffixes []string // with the leading dot
}

// newAllowList returns that of Config.PropagateTo. Hosts given with a port or
// in brackets are taken without.
func newAllowList(hosts []string) *allowList {
	if hosts == nil {
		return nil
	}
	list := &allowList{exact: map[string]bool{}}
	for _, host := range hosts {
		host = peer.Host(withoutPort(strings.TrimSpace(host)))
		domain, subdomains := strings.CutPrefix(host, ".")
		if domain == "" {
			continue
		}
		list.exact[domain] = true
		if subdomains {
			list.suffixes = append(list.suffixes, host)
		}
	}
	return list
}

// contains reports whether the host of the URL is in the list.
func (l *allowList) contains(u *url.URL) bool {
	if l == nil {
		return true
	}
	host := peer.Host(u.Hostname())
	return l.exact[host] || slices.ContainsFunc(l.suffixes, func(s string) bool { return strings.HasSuffix(host, s) })
}

func withoutPort(host string) string {
	if address, ok := strings.CutPrefix(host, "["); ok {
		address, _, _ = strings.Cut(address, "]")
		return address
	}
	if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	return host
}

// traceHeaders are those that tell the trace and baggage, for the propagator
// that was asked last.
type traceHeaders struct{ last atomic.Pointer[headerNames] }

type headerNames struct {
	propagator propagation.TextMapPropagator
	own        []string // of the propagator, besides the known, as in http.Header and in lower case
	written    bool     // the propagator writes any
}

// of returns those of the propagator.
func (t *traceHeaders) of(propagator propagation.TextMapPropagator) *headerNames {
	last := t.last.Load()
	if last != nil && last.written && same(last.propagator, propagator) {
		return last
	}
	fields := propagator.Fields()
	if last != nil && !last.written && len(fields) == 0 { // asked again, since the global one may get some
		return last
	}
	names := &headerNames{propagator: propagator, written: len(fields) > 0}
	for _, field := range fields {
		if !isTraceHeader(http.CanonicalHeaderKey(field)) {
			names.own = append(names.own, http.CanonicalHeaderKey(field), strings.ToLower(field))
		}
	}
	t.last.Store(names)
	return names
}

func (n *headerNames) contains(name string) bool {
	return isTraceHeader(name) || slices.Contains(n.own, name)
}

// isTraceHeader knows the headers of all propagators of OTEL_PROPAGATORS: what a
// propagator reads is more than what it says that it writes. Names are as in
// http.Header, or in lower case as one may put them there.
func isTraceHeader(name string) bool {
	switch name {
	case "Traceparent", "Tracestate", "Baggage", "B3", "Uber-Trace-Id", "X-Amzn-Trace-Id",
		"traceparent", "tracestate", "baggage", "b3", "uber-trace-id", "x-amzn-trace-id":
		return true
	}
	if len(name) < 5 {
		return false
	}
	switch name[:5] {
	case "X-B3-", "x-b3-", "Ot-Tr", "ot-tr", "Ot-Ba", "ot-ba", "Uberc", "uberc":
		name = strings.ToLower(name)
		return strings.HasPrefix(name, "x-b3-") || strings.HasPrefix(name, "ot-tracer-") ||
			strings.HasPrefix(name, "ot-baggage-") || strings.HasPrefix(name, "uberctx-")
	}
	return false
}

// same reports whether both are surely the same propagator. A composite one is a
// slice, for which == panics.
func same(a, b propagation.TextMapPropagator) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	switch {
	case x.Type() != y.Type():
		return false
	case x.Kind() == reflect.Slice:
		return x.Pointer() == y.Pointer() && x.Len() == y.Len()
	}
	return x.Comparable() && a == b
}

// outgoingHeaders are those of a request that is to be sent, for a propagator
// to write to. They are copied with the first change, since the original is the
// caller's.
type outgoingHeaders struct {
	header http.Header
	copied bool
}

// Get implements [propagation.TextMapCarrier].
func (h *outgoingHeaders) Get(key string) string { return headers(h.header).Get(key) }

// copy makes the headers our own. The values are shared: setting replaces them.
func (h *outgoingHeaders) copy() {
	if h.copied {
		return
	}
	header := make(http.Header, len(h.header)+2)
	maps.Copy(header, h.header)
	h.header, h.copied = header, true
}

// remove removes the headers that tell a trace.
func (h *outgoingHeaders) remove(names *headerNames) {
	for name := range h.header {
		if names.contains(name) {
			h.copy()
			delete(h.header, name)
		}
	}
}

// Set implements [propagation.TextMapCarrier].
func (h *outgoingHeaders) Set(key, value string) {
	h.copy()
	switch key {
	case "traceparent": // the usual one, without making its name canonical
		h.header["Traceparent"] = []string{value}
	default:
		h.header.Set(key, value)
	}
}

// Keys implements [propagation.TextMapCarrier].
func (h *outgoingHeaders) Keys() []string { return headers(h.header).Keys() }

// Values implements [propagation.ValuesGetter].
func (h *outgoingHeaders) Values(key string) []string { return headers(h.header).Values(key) }
