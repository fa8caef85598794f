package middleware

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
		host = normalHost(withoutPort(strings.TrimSpace(host)))
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
	host := normalHost(u.Hostname())
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

// normalHost returns the one way of writing a host's name.
func normalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// outgoingHeaders are those of a request that is to be sent, for a propagator
// to write to. They are copied with the first write, since the original is the
// caller's.
type outgoingHeaders struct {
	header http.Header
	copied bool
}

// Get implements [propagation.TextMapCarrier].
func (h *outgoingHeaders) Get(key string) string { return headers(h.header).Get(key) }

// Set implements [propagation.TextMapCarrier].
func (h *outgoingHeaders) Set(key, value string) {
	if !h.copied {
		header := make(http.Header, len(h.header)+2)
		maps.Copy(header, h.header) // the values are shared: setting replaces them
		h.header, h.copied = header, true
	}
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
