package sampling_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/sampling"
)

// spanOf is a span that other instrumentation starts.
func spanOf(attributes ...attribute.KeyValue) sdktrace.SamplingParameters {
	return sdktrace.SamplingParameters{Attributes: attributes}
}

func requestOf(request headsample.Request) sdktrace.SamplingParameters {
	return sdktrace.SamplingParameters{ParentContext: serving(request)}
}

// sending is a request that the middleware's Transport sends in ctx.
func sending(ctx context.Context, request headsample.Request) sdktrace.SamplingParameters {
	sent := &headsample.Context{Context: ctx, Request: request, Kind: trace.SpanKindClient}
	return sdktrace.SamplingParameters{ParentContext: headsample.WithHeader(sent, request.Header)}
}

func TestARuleMatchesWhenAllItsConditionsHold(t *testing.T) {
	t.Parallel()
	order := headsample.Request{
		Method: http.MethodPost, Route: "/orders/{id}", Path: "/orders/7", Scheme: "https",
		Header: http.Header{"X-Debug": {"1"}, "X-Empty": {}},
	}
	withTeam := requestOf(order)
	withTeam.Attributes = []attribute.KeyValue{attribute.String("team", "shop"), attribute.Int("n", 1)}
	for name, row := range map[string]struct {
		rule sampling.Rule
		span sdktrace.SamplingParameters
		want bool
	}{
		"no condition":                            {sampling.Rule{}, requestOf(order), true},
		"no condition, nothing known":             {sampling.Rule{}, sdktrace.SamplingParameters{}, true},
		"the route":                               {sampling.Rule{Route: "/orders/{id}"}, requestOf(order), true},
		"only the beginning of the route":         {sampling.Rule{Route: "/orders"}, requestOf(order), false},
		"the path in place of the route":          {sampling.Rule{Route: "/orders/7"}, requestOf(order), false},
		"the method":                              {sampling.Rule{Method: "POST"}, requestOf(order), true},
		"another method":                          {sampling.Rule{Method: "GET"}, requestOf(order), false},
		"the whole path":                          {sampling.Rule{PathPrefix: "/orders/7"}, requestOf(order), true},
		"the beginning of the path":               {sampling.Rule{PathPrefix: "/ord"}, requestOf(order), true},
		"more than the path":                      {sampling.Rule{PathPrefix: "/orders/77"}, requestOf(order), false},
		"a prefix that ends like the path":        {sampling.Rule{PathPrefix: "/oxdexs/7"}, requestOf(order), false},
		"the header":                              {sampling.Rule{Header: "X-Debug"}, requestOf(order), true},
		"the header in small letters":             {sampling.Rule{Header: "x-debug"}, requestOf(order), true},
		"another header":                          {sampling.Rule{Header: "X-Other"}, requestOf(order), false},
		"a header without values":                 {sampling.Rule{Header: "X-Empty"}, requestOf(order), false},
		"all of them":                             {sampling.Rule{Route: "/orders/{id}", Method: "POST", PathPrefix: "/", Header: "X-Debug"}, requestOf(order), true},
		"all but the method":                      {sampling.Rule{Route: "/orders/{id}", Method: "PUT", PathPrefix: "/", Header: "X-Debug"}, requestOf(order), false},
		"all but the header":                      {sampling.Rule{Route: "/orders/{id}", Method: "POST", PathPrefix: "/", Header: "X-Other"}, requestOf(order), false},
		"a known attribute from the request":      {sampling.Rule{Attribute: attribute.String("url.scheme", "https")}, requestOf(order), true},
		"a known attribute that differs":          {sampling.Rule{Attribute: attribute.String("http.route", "/")}, requestOf(order), false},
		"a known attribute of another type":       {sampling.Rule{Attribute: attribute.Int("url.path", 7)}, requestOf(order), false},
		"an attribute of the span":                {sampling.Rule{Attribute: attribute.String("team", "shop")}, withTeam, true},
		"an attribute with another value":         {sampling.Rule{Attribute: attribute.String("team", "pay")}, withTeam, false},
		"an attribute with another type":          {sampling.Rule{Attribute: attribute.String("n", "1")}, withTeam, false},
		"an attribute and a method that differs":  {sampling.Rule{Method: "GET", Attribute: attribute.String("team", "shop")}, withTeam, false},
		"an attribute that the span has not":      {sampling.Rule{Attribute: attribute.String("team", "shop")}, requestOf(order), false},
		"a list among the attributes":             {sampling.Rule{Attribute: attribute.StringSlice("l", []string{"a", "b"})}, spanOf(attribute.StringSlice("l", []string{"a", "b"})), true},
		"the route among the attributes":          {sampling.Rule{Route: "/a"}, spanOf(attribute.String("http.route", "/a")), true},
		"the method among the attributes":         {sampling.Rule{Method: "GET"}, spanOf(attribute.String("http.request.method", "GET")), true},
		"the path among the attributes":           {sampling.Rule{PathPrefix: "/a"}, spanOf(attribute.String("url.path", "/a/b")), true},
		"the scheme among the attributes":         {sampling.Rule{Attribute: attribute.String("url.scheme", "http")}, spanOf(attribute.String("url.scheme", "http")), true},
		"headers are not known from attributes":   {sampling.Rule{Header: "X-Debug"}, spanOf(attribute.String("http.request.header.x-debug", "1")), false},
		"the request counts and not the span":     {sampling.Rule{Route: "/a"}, sdktrace.SamplingParameters{ParentContext: serving(order), Attributes: []attribute.KeyValue{attribute.String("http.route", "/a")}}, false},
		"a route where none is known":             {sampling.Rule{Route: "/a"}, sdktrace.SamplingParameters{}, false},
		"a method where none is known":            {sampling.Rule{Method: "GET"}, sdktrace.SamplingParameters{}, false},
		"a path where none is known":              {sampling.Rule{PathPrefix: "/"}, sdktrace.SamplingParameters{}, false},
		"a method in small letters":               {sampling.Rule{Method: "post"}, requestOf(order), true},
		"a method in small letters, span":         {sampling.Rule{Method: "get"}, spanOf(attribute.String("http.request.method", "GET")), true},
		"other methods":                           {sampling.Rule{Method: "_OTHER"}, requestOf(headsample.Request{Method: "_OTHER"}), true},
		"a pattern with the method":               {sampling.Rule{Route: "POST /orders/{id}"}, requestOf(order), true},
		"a pattern with spaces and tabs":          {sampling.Rule{Route: "POST \t /orders/{id}"}, requestOf(order), true},
		"a pattern with another method":           {sampling.Rule{Route: "GET /orders/{id}"}, requestOf(order), false},
		"a pattern with another route":            {sampling.Rule{Route: "POST /orders"}, requestOf(order), false},
		"a name that is no path":                  {sampling.Rule{Route: "shop.Orders/List"}, requestOf(headsample.Request{Route: "shop.Orders/List"}), true},
		"a pattern with method and host":          {sampling.Rule{Route: "POST example.com/orders/{id}"}, requestOf(order), true},
		"another method before a host":            {sampling.Rule{Route: "PUT example.com/orders/{id}"}, requestOf(order), false},
		"a pattern and the same method":           {sampling.Rule{Route: "POST /orders/{id}", Method: "post"}, requestOf(order), true},
		"methods of which both cannot hold":       {sampling.Rule{Route: "POST /orders/{id}", Method: "GET"}, requestOf(order), false},
		"both methods turned round":               {sampling.Rule{Route: "GET /orders/{id}", Method: "POST"}, requestOf(order), false},
		"a pattern with GET is not for HEAD":      {sampling.Rule{Route: "GET /a"}, requestOf(headsample.Request{Method: "HEAD", Route: "/a"}), false},
		"a route that is no path":                 {sampling.Rule{Route: "shop.Orders List"}, spanOf(attribute.String("http.route", "shop.Orders List")), true},
		"the method of a request sent":            {sampling.Rule{Method: "POST"}, sending(t.Context(), order), true},
		"the path of a request sent":              {sampling.Rule{PathPrefix: "/orders"}, sending(t.Context(), order), true},
		"another path of a request sent":          {sampling.Rule{PathPrefix: "/pay"}, sending(t.Context(), order), false},
		"the header of a request sent":            {sampling.Rule{Header: "X-Debug"}, sending(t.Context(), order), true},
		"the request sent and not the one served": {sampling.Rule{Method: "POST"}, sending(serving(headsample.Request{Method: "GET"}), order), true},
		"not the one served but the request sent": {sampling.Rule{Method: "GET"}, sending(serving(headsample.Request{Method: "GET"}), order), false},
		"another type where nothing is told":      {sampling.Rule{Attribute: attribute.Int("url.path", 0)}, sdktrace.SamplingParameters{}, false},
		"a known attribute where nothing is told": {sampling.Rule{Attribute: attribute.String("url.path", "/")}, sdktrace.SamplingParameters{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.rule.Sampler = sampling.Keep()
			if got := kept(sampling.Rules(sampling.Drop(), row.rule).ShouldSample(row.span)); got != row.want {
				t.Errorf("matches: got %v, want %v", got, row.want)
			}
		})
	}
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	t.Parallel()
	keep, drop := sampling.Keep(), sampling.Drop()
	get := func(route string) sdktrace.SamplingParameters {
		return requestOf(headsample.Request{Method: "GET", Route: route, Path: route})
	}
	for name, row := range map[string]struct {
		sampler sdktrace.Sampler
		want    map[string]bool // kept, by route
	}{
		"a rule of a route before one of all":    {sampling.Rules(nil, sampling.Rule{Route: "/a", Sampler: keep}, sampling.Rule{Sampler: drop}), map[string]bool{"/a": true, "/b": false}},
		"a rule of all before one of a route":    {sampling.Rules(nil, sampling.Rule{Sampler: drop}, sampling.Rule{Route: "/a", Sampler: keep}), map[string]bool{"/a": false, "/b": false}},
		"a rule between two of the same route":   {sampling.Rules(nil, sampling.Rule{Route: "/a", Method: "PUT", Sampler: keep}, sampling.Rule{PathPrefix: "/a", Sampler: drop}, sampling.Rule{Route: "/a", Sampler: keep}), map[string]bool{"/a": false, "/b": true}},
		"a rule without a sampler drops":         {sampling.Rules(nil, sampling.Rule{Route: "/a"}), map[string]bool{"/a": false, "/b": true}},
		"without rules the fallback decides":     {sampling.Rules(drop), map[string]bool{"/a": false}},
		"without anything all is kept":           {sampling.Rules(nil), map[string]bool{"/a": true, "": true}},
		"rules within rules":                     {sampling.Rules(drop, sampling.Rule{PathPrefix: "/a", Sampler: sampling.Rules(keep, sampling.Rule{Route: "/ab"})}), map[string]bool{"/a": true, "/ab": false, "/b": false}},
		"an unknown route meets rules for paths": {sampling.Rules(drop, sampling.Rule{Route: "/a", Sampler: keep}, sampling.Rule{Method: "GET", Sampler: keep}), map[string]bool{"": true, "/x": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for route, want := range row.want {
				if got := kept(row.sampler.ShouldSample(get(route))); got != want {
					t.Errorf("route %q: kept: got %v, want %v", route, got, want)
				}
			}
		})
	}
}

// The sampler keeps to what it was made of.
func TestRulesDoNotChangeWithTheirCallersList(t *testing.T) {
	t.Parallel()
	list := []sampling.Rule{{Header: "x-debug", Sampler: sampling.Drop()}}
	sampler := sampling.Rules(nil, list...)
	list[0].Sampler = sampling.Keep()
	if kept(sampler.ShouldSample(requestOf(headsample.Request{Header: http.Header{"X-Debug": {"1"}}}))) {
		t.Error("the rule was changed from outside")
	}
	if list[0].Header != "x-debug" {
		t.Errorf("the caller's rule was changed to %q", list[0].Header)
	}
}

// Only what Drop drops leaves no span when it fails.
func TestOnlyDropIsFinal(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		sampler sdktrace.Sampler
		final   bool
	}{
		"Drop":                    {sampling.Drop(), true},
		"a rule without sampler":  {sampling.Rules(nil, sampling.Rule{}), true},
		"a rule with Drop":        {sampling.ParentBased(sampling.Rules(nil, sampling.Rule{Sampler: sampling.Drop()})), true},
		"Ratio":                   {sampling.Ratio(0), false},
		"a rule with Ratio":       {sampling.Rules(nil, sampling.Rule{Sampler: sampling.Ratio(0)}), false},
		"RateLimit":               {sampling.RateLimit(0), false},
		"Adaptive":                {sampling.Adaptive(0), false},
		"ParentBased with Ratio":  {sampling.ParentBased(sampling.Ratio(0)), false},
		"the SDK's never as rule": {sampling.Rules(nil, sampling.Rule{Sampler: sdktrace.NeverSample()}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := row.sampler.ShouldSample(sdktrace.SamplingParameters{})
			if kept(result) {
				t.Fatal("it was kept")
			}
			set := attribute.NewSet(result.Attributes...)
			if value, ok := set.Value(headsample.FinalKey); ok != row.final || value.AsBool() != row.final {
				t.Errorf("final: got %v, want %v", ok, row.final)
			}
		})
	}
}

// A caller that did not sample leaves nothing to decide, but whether the request
// may leave a span when it fails.
func TestDropIsFinalForAnUnsampledCallerToo(t *testing.T) {
	t.Parallel()
	ofHealth := sampling.Rule{Route: "/healthz"}
	for name, row := range map[string]struct {
		root  sdktrace.Sampler
		final bool
	}{
		"Drop":                       {sampling.Drop(), true},
		"a rule that matches":        {sampling.Rules(nil, ofHealth), true},
		"a rule that does not match": {sampling.Rules(nil, sampling.Rule{Route: "/orders"}), false},
		"an earlier rule that keeps": {sampling.Rules(nil, sampling.Rule{Method: "GET", Sampler: sampling.Ratio(0)}, ofHealth), false},
		"the fallback":               {sampling.Rules(sampling.Drop()), true},
		"rules within rules":         {sampling.Rules(sampling.Rules(nil, sampling.Rule{Sampler: sampling.Rules(nil, ofHealth)})), true},
		"parent-based within":        {sampling.Rules(nil, sampling.Rule{Sampler: sampling.ParentBased(sampling.Drop())}), true},
		"parent-based that keeps":    {sampling.Rules(nil, sampling.Rule{Sampler: sampling.ParentBased(nil)}), false},
		"Keep":                       {sampling.Keep(), false},
		"Adaptive of none":           {sampling.Adaptive(0), false},
		"the SDK's never":            {sdktrace.NeverSample(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := serving(headsample.Request{Method: "GET", Route: "/healthz"})
			for _, remote := range []bool{true, false} {
				p := child(t, "ot=th:c;a:b,congo=1", idWith(t, high), 0)
				parent := trace.SpanContextFromContext(p.ParentContext).WithRemote(remote)
				p.ParentContext = trace.ContextWithSpanContext(request, parent)
				result := sampling.ParentBased(row.root).ShouldSample(p)
				if kept(result) || result.Tracestate.String() != "ot=a:b,congo=1" {
					t.Errorf("remote %v: kept %v with tracestate %q", remote, kept(result), result.Tracestate)
				}
				set := attribute.NewSet(result.Attributes...)
				value, _ := set.Value(headsample.FinalKey)
				if want := row.final && remote; value.AsBool() != want {
					t.Errorf("remote %v: final: got %v, want %v", remote, value.AsBool(), want)
				}
			}
		})
	}
}

func TestUnsampledCallersCountTowardsNoLimit(t *testing.T) {
	t.Parallel()
	for name, limited := range map[string]func(perSecond float64) sdktrace.Sampler{"RateLimit": sampling.RateLimit, "Adaptive": sampling.Adaptive} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sampler := sampling.ParentBased(sampling.Rules(nil, sampling.Rule{Sampler: limited(1)}))
				for range 1000 {
					sampler.ShouldSample(child(t, "", idWith(t, low), 0))
				}
				if !kept(sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: idWith(t, low)})) {
					t.Error("the first root was dropped")
				}
			})
		})
	}
}

// Package middleware and the TracerProvider recognise samplers by these.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	team := attribute.String("team", "shop")
	for want, sampler := range map[string]sdktrace.Sampler{
		"Ratio{0.1}":     sampling.Ratio(0.1),
		"Ratio{0}":       sampling.Ratio(nan),
		"Ratio{1}":       sampling.Ratio(2),
		"RateLimit{100}": sampling.RateLimit(100),
		"Adaptive{10}":   sampling.Adaptive(10),
		"Adaptive{0}":    sampling.Adaptive(0),
		"Drop":           sampling.Drop(),
		"Keep":           sampling.Keep(),
		"Rules{Drop,Ratio{0.5},fallback:Adaptive{10}}":                        sampling.Rules(sampling.Adaptive(10), sampling.Rule{Route: "/healthz"}, sampling.Rule{Method: "POST", Sampler: sampling.Ratio(0.5)}),
		"Rules{fallback:Keep}":                                                sampling.Rules(nil),
		"Rules{Keep,fallback:Drop}":                                           sampling.Rules(sampling.Drop(), sampling.Rule{Route: "PUT /", Method: "GET"}, sampling.Rule{Sampler: sampling.Keep()}),
		"Rules{attribute:Keep,Drop,fallback:Drop}":                            sampling.Rules(sampling.Drop(), sampling.Rule{Attribute: team, Sampler: sampling.Keep()}, sampling.Rule{Attribute: attribute.String("http.request.method", "GET")}),
		"Rules{Drop,Drop,Drop,fallback:Keep}":                                 sampling.Rules(nil, sampling.Rule{Attribute: attribute.String("http.route", "/")}, sampling.Rule{Attribute: attribute.String("url.path", "/")}, sampling.Rule{Attribute: attribute.String("url.scheme", "http")}),
		"Rules{Rules{attribute:Drop,fallback:Keep},fallback:AlwaysOnSampler}": sampling.Rules(sdktrace.AlwaysSample(), sampling.Rule{Sampler: sampling.Rules(nil, sampling.Rule{Attribute: team})}),
		"ParentBased{root:Ratio{0.1}}":                                        sampling.ParentBased(sampling.Ratio(0.1)),
		"ParentBased{root:Keep}":                                              sampling.ParentBased(nil),
	} {
		if got := sampler.Description(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		_, root := sampler.(headsample.RootSampler)
		if wrapped := want[0] == 'P'; root == wrapped {
			t.Errorf("%s: a root sampler: got %v, want %v", want, root, !wrapped)
		}
	}
}
