package sampling

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// Rule gives the traces that meet its conditions to a sampler. All conditions
// that are set must hold; a Rule without any matches every trace.
//
// What is known of the request comes from the toolkit's HTTP middleware, or for
// spans that others start from the span's attributes http.route,
// http.request.method and url.path; its headers are then not known, and a rule
// with a Header does not match.
//
// A request that the middleware's Transport sends outside of any trace begins
// one, and rules meet it as they meet a server's: Method, PathPrefix and Header
// are those of the request that is sent. It has no route, so that a rule with a
// Route never matches it; one with a PathPrefix alone can be meant for requests
// served and match those sent. What is sent while a request is served follows
// that request.
type Rule struct {
	// Route is the pattern, such as /orders/{id}, as in the attribute
	// http.route. It is compared as a whole. Of a pattern of [http.ServeMux] with
	// a method, such as "GET /orders/{id}", the method is a condition as Method
	// is, and a host is ignored: routes have none.
	Route string
	// Method is one of the known methods, in any case, or _OTHER, as in the
	// attribute http.request.method. A rule with another one in its Route never
	// matches. GET does not stand for HEAD.
	Method string
	// PathPrefix is what the request's path begins with.
	PathPrefix string
	// Header is the name, in any case, of a header that the request has. It is
	// known to otelmon's TracerProvider while it decides about a request of the
	// middleware, and to nobody else.
	// Clients choose their headers: on a public service, anyone who knows the
	// name can use up the sampler's budget. Each rule with a Header costs a
	// decision about 15 ns; rules by route cost nothing that grows.
	Header string
	// Attribute is one that the span is started with, equal in key, type and
	// value. Rules with attributes other than http.request.method, http.route,
	// url.path and url.scheme make all decisions take longer, because spans
	// must be prepared before they can be dropped.
	Attribute attribute.KeyValue
	// Sampler decides about what matches. Default [Drop]. Rules that share a
	// sampler share its limits.
	Sampler sdktrace.Sampler
}

// Rules returns a sampler that asks the sampler of the first rule that
// matches, and fallback when none does. A nil fallback is [Keep].
func Rules(fallback sdktrace.Sampler, list ...Rule) sdktrace.Sampler {
	if fallback == nil {
		fallback = Keep()
	}
	r := &rules{ofRoute: make(map[string][]*Rule), fallback: fallback}
	possible := normalised(list)
	for _, rule := range possible {
		r.ofRoute[rule.Route] = nil
	}
	var description strings.Builder
	for _, rule := range possible {
		for route := range r.ofRoute {
			if rule.Route == "" || rule.Route == route {
				r.ofRoute[route] = append(r.ofRoute[route], &rule)
			}
		}
		r.byHeader = r.byHeader || rule.Header != ""
		description.WriteString(rule.description() + ",")
	}
	r.ofOthers = r.ofRoute[""]
	r.description = "Rules{" + description.String() + "fallback:" + fallback.Description() + "}"
	return r
}

// normalised returns the rules that can match, as requests are compared with
// them.
func normalised(list []Rule) (possible []Rule) {
	for _, rule := range list {
		rule.Header = http.CanonicalHeaderKey(rule.Header)
		rule.Method = strings.ToUpper(rule.Method)
		if rule.Sampler == nil {
			rule.Sampler = Drop()
		}
		method, route := headsample.SplitPattern(rule.Route)
		if method != "" && rule.Method != "" && method != rule.Method {
			continue
		}
		rule.Method, rule.Route = cmp.Or(rule.Method, method), route
		possible = append(possible, rule)
	}
	return possible
}

type rules struct {
	ofRoute     map[string][]*Rule // for each route in a rule, those that can match
	ofOthers    []*Rule            // for other routes
	fallback    sdktrace.Sampler
	byHeader    bool // some rule looks at headers
	description string
}

func (*rules) IsRootSampler() {}

func (r *rules) Description() string { return r.description }

func (r *rules) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return r.choose(&p).ShouldSample(p)
}

func (r *rules) dropsFinally(p sdktrace.SamplingParameters) bool {
	chosen, ok := r.choose(&p).(finalizer)
	return ok && chosen.dropsFinally(p)
}

// choose returns the sampler that decides.
func (r *rules) choose(p *sdktrace.SamplingParameters) sdktrace.Sampler {
	var attributed headsample.Request
	request := &attributed
	if known := measured(p); known != nil {
		request = &known.Request
	} else {
		attributed = fromAttributes(p.Attributes)
	}
	var header http.Header
	if r.byHeader && p.ParentContext != nil {
		header = headsample.Header(p.ParentContext)
	}
	list, ok := r.ofRoute[request.Route]
	if !ok {
		list = r.ofOthers
	}
	for _, rule := range list {
		if hasPrefix(request.Path, rule.PathPrefix) && rule.matches(request, header, p.Attributes) {
			return rule.Sampler
		}
	}
	return r.fallback
}

// matches reports whether the conditions besides route and path hold.
func (r *Rule) matches(request *headsample.Request, header http.Header, attributes []attribute.KeyValue) bool {
	return (r.Method == "" || r.Method == request.Method) &&
		(r.Header == "" || len(header[r.Header]) > 0) &&
		(r.Attribute.Key == "" || r.hasAttribute(request, attributes))
}

// hasPrefix is [strings.HasPrefix], and quick where prefixes differ at the end,
// as those of one service do.
func hasPrefix(path, prefix string) bool {
	n := len(prefix)
	return n == 0 || n <= len(path) && path[n-1] == prefix[n-1] && path[:n] == prefix
}

func (r *Rule) hasAttribute(request *headsample.Request, attributes []attribute.KeyValue) bool {
	if fact := factOf(request, r.Attribute.Key); fact != nil {
		return r.Attribute.Value == attribute.StringValue(*fact)
	}
	return slices.Contains(attributes, r.Attribute)
}

// description marks a sampler that cannot be chosen before the span's
// attributes are known, or not without headers.
func (r *Rule) description() string {
	text := r.Sampler.Description()
	if r.Header != "" {
		text = "header:" + text
	}
	if r.Attribute.Key != "" && factOf(&headsample.Request{}, r.Attribute.Key) == nil {
		text = "attribute:" + text
	}
	return text
}

// factOf returns the part of the request that the attribute repeats, or nil.
func factOf(request *headsample.Request, key attribute.Key) *string {
	switch key {
	case telemetry.HTTPRoute:
		return &request.Route
	case telemetry.HTTPMethod:
		return &request.Method
	case telemetry.URLPath:
		return &request.Path
	case telemetry.URLScheme:
		return &request.Scheme
	}
	return nil
}

func fromAttributes(attributes []attribute.KeyValue) (request headsample.Request) {
	for _, a := range attributes {
		if fact := factOf(&request, a.Key); fact != nil {
			*fact = a.Value.AsString()
		}
	}
	return request
}

// measured returns what the middleware knows of the request, or nil.
func measured(p *sdktrace.SamplingParameters) *headsample.Context {
	if p.ParentContext == nil {
		return nil
	}
	return headsample.Of(p.ParentContext)
}
