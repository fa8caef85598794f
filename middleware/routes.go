package middleware

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	maxRoutes      = 1000 // told apart by one Handler
	maxRouteSeries = 500  // remembered for one route; the SDK's limit is another
	maxLabel       = 255  // bytes of a route's name
)

// routes tells what is known of the route of a request.
type routes struct {
	mux     *http.ServeMux
	direct  bool // the router gets the request itself, and leaves its pattern there
	hook    func(*http.Request) string
	early   bool // the route must be known first: for its options, or because that was promised
	disable Part
	options map[string]RouteOptions      // by route, or by path
	known   *bounded.Map[string, *route] // by pattern or name
	other   *route                       // of unmatched requests, and of what exceeds maxRoutes
}

// route is one route with its series.
type route struct {
	label      string // pattern without method and host; empty for the other
	options    RouteOptions
	configured bool // options were given, or are a default
	names      bounded.Map[method, string]
	series     bounded.Map[routeSeriesKey, []metric.RecordOption]
}

// routeSeriesKey is what tells the series of one route apart. All values are bounded.
type routeSeriesKey struct {
	method       method
	https        bool
	major, minor uint8 // of the protocol
	status       int32
	errorType    string
}

func newRoutes(cfg Config, next http.Handler) routes {
	options := map[string]RouteOptions{}
	for _, path := range []string{
		"/health", "/healthz", "/live", "/livez", "/ready", "/readyz", "/-/healthy", "/-/ready", "/metrics",
	} {
		options[path] = RouteOptions{Disable: Traces}
	}
	given := map[string]RouteOptions{}
	for pattern, one := range cfg.Routes {
		_, route := headsample.SplitPattern(pattern)
		all := given[route] // of patterns that differ in method
		given[route] = RouteOptions{Disable: all.Disable | one.Disable, Stream: all.Stream || one.Stream}
	}
	maps.Copy(options, given)
	mux := cfg.Mux
	own, direct := next.(*http.ServeMux)
	if direct && mux == nil {
		mux = own
	}
	return routes{
		mux: mux, direct: direct, hook: cfg.Route,
		early:   len(cfg.Routes) > 0 || cfg.Route != nil || cfg.Mux != nil,
		disable: cfg.Disable, options: options,
		known: &bounded.Map[string, *route]{}, other: &route{options: RouteOptions{Disable: cfg.Disable}},
	}
}

// of returns the route that will handle the request.
func (t *routes) of(r *http.Request) *route {
	switch {
	case t.hook != nil:
		return t.named(t.ask(r))
	case t.mux != nil && patternIsBounded(r):
		_, pattern := t.mux.Handler(r)
		return t.matched(pattern)
	case t.mux == nil && patternIsBounded(r):
		return t.matched(r.Pattern) // of a router around the Handler
	}
	return t.other
}

// ask calls the hook. A panic in it is no reason to fail the request.
func (t *routes) ask(r *http.Request) (pattern string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			report(fmt.Errorf("asking Config.Route for the route of a request: panic: %v", panicked))
		}
	}()
	return t.hook(r)
}

// patternIsBounded is false where ServeMux may give a path of the client's for
// the pattern: when it redirects a CONNECT.
func patternIsBounded(r *http.Request) bool { return r.Method != http.MethodConnect && r.URL != nil }

// matched returns the route of a pattern of ServeMux, without its method and
// host.
func (t *routes) matched(pattern string) *route {
	if found, ok := t.known.Get(pattern); ok {
		return found
	}
	return t.add(pattern, pathOf(pattern))
}

// named returns the route that the service names, by a pattern of ServeMux with
// a method or by what it likes.
func (t *routes) named(name string) *route {
	_, name = headsample.SplitPattern(name)
	if found, ok := t.known.Get(name); ok && found.label == name {
		return found
	}
	name = validUTF8(name[:min(len(name), maxLabel)])
	return t.add(name, name)
}

// add returns the route known by the key, which is a new one with the label if
// there is room.
func (t *routes) add(key, label string) *route {
	if key == "" {
		return t.other
	}
	added, ok := t.known.Add(key, maxRoutes, func() *route {
		options, configured := t.options[label]
		options.Disable |= t.disable
		return &route{label: label, options: options, configured: configured}
	})
	if !ok {
		return t.other
	}
	return added
}

// pathOf returns a pattern of ServeMux without its method and host.
func pathOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i > 0 {
		return pattern[i:]
	}
	return pattern
}

// optionsOf returns what holds for a request: the options of its route, where
// they were given, else those of its path.
func (t *routes) optionsOf(known *route, path string) RouteOptions {
	if known != nil && known.configured {
		return known.options
	}
	options := t.options[path]
	options.Disable |= t.disable
	return options
}

// spanName returns the name of the conventions: method and route, or the method
// alone.
func (r *route) spanName(m method) string {
	return r.names.GetOrMake(m, int(otherMethod)+1, func() string {
		if r.label == "" {
			return m.spanName()
		}
		return m.spanName() + " " + r.label
	})
}

// attributes returns the options to record with in the series, without
// allocating for one that was there before.
func (r *route) attributes(key routeSeriesKey) []metric.RecordOption {
	return r.series.GetOrMake(key, maxRouteSeries, func() []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(r.set(key))}
	})
}

func (r *route) set(key routeSeriesKey) attribute.Set {
	label := r.label
	if label == "" {
		label = telemetry.Other
	}
	attributes := []attribute.KeyValue{
		telemetry.HTTPMethod.String(key.method.String()),
		telemetry.HTTPRoute.String(label),
		telemetry.URLScheme.String(scheme(key.https)),
	}
	if version := protocolVersion(int(key.major), int(key.minor)); version != "" {
		attributes = append(attributes, telemetry.ProtocolVersion.String(version))
	}
	if key.status != 0 {
		attributes = append(attributes, telemetry.HTTPStatusCode.Int(int(key.status)))
	}
	if key.errorType != "" {
		attributes = append(attributes, telemetry.ErrorType.String(key.errorType))
	}
	return attribute.NewSet(attributes...)
}
