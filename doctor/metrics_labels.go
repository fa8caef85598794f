package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	// maxLooked is as much of a value as its shape needs, in bytes.
	maxLooked = 1024
	// maxValues is how many labels with different values are looked at, in
	// maxValueBytes, which bound the time; maxSuspicions is how many findings
	// that gives.
	maxValues     = 50_000
	maxValueBytes = 4 << 20
	maxSuspicions = 10
)

// manyRoutes is more than a service has that names its routes by patterns.
const manyRoutes = 200

// shape is what a label's value looks like. Values are not shown, their shape is.
type shape string

const (
	secretShape shape = "credentials"
	emailShape  shape = "e-mail addresses"
	pathShape   shape = "paths with identifiers in them"
	uuidShape   shape = "UUIDs"
	hexShape    shape = "hexadecimal identifiers"
	hostShape   shape = "hosts or IP addresses"
	numberShape shape = "numbers"
)

// suspectedFrom is how many values of a shape are suspicious: a label may have
// a few hosts or the hash of a version, but never an e-mail address.
func suspectedFrom(s shape) int {
	switch s {
	case uuidShape, hexShape:
		return 3
	case hostShape:
		return 10
	case numberShape:
		return 50
	case secretShape, emailShape, pathShape:
	}
	return 1
}

// patterns of values that are not to be in labels.
type patterns struct{ secret, email, uuid, hex *regexp.Regexp }

func newPatterns() patterns {
	return patterns{
		secret: regexp.MustCompile(`(?i:^(?:bearer|basic) )|^eyJ[\w-]+\.|^sk-[\w-]{16,}|^A(?:KIA|SIA)[A-Z0-9]{16}|^gh[a-z]_\w{20,}|^xox[a-z]-|^AIza[\w-]{30,}|PRIVATE KEY|://[^/@]+:[^/@]+@`),
		email:  regexp.MustCompile(`[\w.+-]+(?:@|%40)[\w-]+\.[A-Za-z]{2,}`),
		uuid:   regexp.MustCompile(`^(?i:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`),
		hex:    regexp.MustCompile(`^(?i:[0-9a-f]{16,})$`),
	}
}

// shapeOf returns the shape of a label's value, "" for one that is none of
// these.
func (p patterns) shapeOf(name, value string) shape {
	value = value[:min(len(value), maxLooked)]
	switch {
	case p.secret.MatchString(value):
		return secretShape
	case p.email.MatchString(value):
		return emailShape
	case p.uuid.MatchString(value):
		return uuidShape
	case strings.Contains(value, "/") && p.pathWithIdentifier(value):
		return pathShape
	case isNumber(value):
		return numberShape
	case p.hex.MatchString(value):
		return hexShape
	case isHost(name, value):
		return hostShape
	}
	return ""
}

func (p patterns) pathWithIdentifier(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if len(segment) > 1 && isNumber(segment) || p.uuid.MatchString(segment) || p.hex.MatchString(segment) {
			return true
		}
	}
	return false
}

func isNumber(value string) bool {
	_, err := strconv.ParseUint(value, 10, 64)
	return err == nil
}

// isHost tells hosts by the label's name, as their values may be any word.
func isHost(name, value string) bool {
	if _, err := netip.ParseAddr(value); err == nil {
		return true
	}
	return slices.Contains([]string{"server_address", "client_address", "network_peer_address", "net_host_name", "net_peer_name", "host", "http_host"}, name)
}

// use is where a label is, and its values.
type use struct {
	metrics []string
	values  map[string]struct{}
}

// uses returns the labels that the service chooses the values of, up to
// the bounds of values.
func (p *page) uses() map[string]*use {
	all, values, bytes := make(map[string]*use), 0, 0
	for f, s := range p.all() {
		if f.kind == "info" || strings.HasSuffix(f.name, "_info") {
			continue
		}
		for _, l := range s.labels {
			u, known := all[l.name]
			if !known {
				if !ownLabel(l.name) {
					u = &use{values: make(map[string]struct{})}
				}
				all[l.name] = u
			}
			if u != nil && u.add(f.name, l.value) {
				values++
				bytes += min(len(l.value), maxLooked)
			}
		}
		if values > maxValues || bytes > maxValueBytes {
			break
		}
	}
	maps.DeleteFunc(all, func(_ string, u *use) bool { return u == nil })
	return all
}

// add reports whether the value is new.
func (u *use) add(metric, value string) bool {
	if n := len(u.metrics); n == 0 || u.metrics[n-1] != metric {
		u.metrics = append(u.metrics, metric)
	}
	before := len(u.values)
	u.values[value] = struct{}{}
	return len(u.values) > before
}

// ownLabel reports whether a label is one of the format or of the resource.
func ownLabel(name string) bool {
	if name == "le" || name == "quantile" || strings.HasPrefix(name, "otel_scope_") {
		return true
	}
	for _, key := range telemetry.Identity() {
		if exposed(string(key)) == name {
			return true
		}
	}
	return false
}

// suspicious finds labels with values that are without bound, or private.
func suspicious(p *page) []Finding {
	var found []Finding
	known, all := newPatterns(), p.uses()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		counts := make(map[shape]int)
		for value := range all[name].values {
			counts[known.shapeOf(name, value)]++
		}
		for _, s := range slices.Sorted(maps.Keys(counts)) {
			if s != "" && counts[s] >= suspectedFrom(s) {
				found = append(found, suspicion(name, all[name], s, counts[s]))
			}
		}
	}
	if len(found) == 0 {
		return []Finding{{Part: "metrics", Check: "labels", Message: "no label looks like an identifier, an address or credentials"}}
	}
	return found[:min(len(found), maxSuspicions)]
}

func suspicion(name string, u *use, s shape, count int) Finding {
	f := Finding{
		Part: "metrics", Check: "labels", Level: Warning,
		Message: fmt.Sprintf("label %s of %s has %s that look like %s", printable(name), listedNames(u.metrics), counted(count, "value"), s),
		Advice:  "Leave this attribute out of metrics, and put it on spans if need be: every value makes series that stay.",
	}
	switch s {
	case secretShape:
		f.Level = Failure
		f.Advice = "Leave this attribute out at once, and replace the credentials: metrics are kept and read by many."
	case emailShape:
		f.Level = Failure
		f.Advice = "Leave this attribute out: it is personal data, and every person makes series of their own."
	case pathShape:
		f.Advice = "Record the route's pattern, such as /orders/{id}: set Mux or Route of middleware.Config."
	case hostShape:
		f.Advice = "Clients can choose such values by the header Host, or there are too many: drop the attribute by a view; middleware.Handler does not record it."
	case uuidShape, hexShape, numberShape:
	}
	return f
}

// routes looks at how requests are told apart.
func routes(p *page) []Finding {
	named, requests, others := make(map[string]struct{}), 0.0, 0.0
	for _, metric := range []string{telemetry.ServerDuration, telemetry.ServerStreamDuration} {
		for s := range p.named(exposed(metric) + "_seconds_count") {
			requests += s.value
			route := s.get(exposed(string(telemetry.HTTPRoute)))
			switch route {
			case "":
			case telemetry.Other:
				others += s.value
			default:
				named[route] = struct{}{}
			}
		}
	}
	f := Finding{Part: "metrics", Check: "routes", Level: Warning}
	switch {
	case requests == 0:
		return nil
	case len(named) == 0:
		f.Message = fmt.Sprintf("none of %.0f requests has a route, %.0f have %s", requests, others, telemetry.Other)
		f.Advice = "Set Mux or Route of middleware.Config, so that requests are told apart by the pattern of their route."
	case len(named) > manyRoutes:
		f.Message = fmt.Sprintf("requests have %d routes", len(named))
		f.Advice = "Look whether http_route has paths in place of patterns: set Mux or Route of middleware.Config."
	default:
		f.Level, f.Message = OK, fmt.Sprintf("requests have %d routes", len(named))
	}
	return []Finding{f}
}
