package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

// serverCopying is middleware that hands a copy of the request on, as all do
// that add to its context.
func serverCopying(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied := r.Clone(r.Context())
		next.ServeHTTP(w, copied)
	})
}

// serverMux returns a ServeMux whose handlers answer 200.
func serverMux(patterns ...string) *http.ServeMux {
	mux := http.NewServeMux()
	for _, pattern := range patterns {
		mux.HandleFunc(pattern, serverOK)
	}
	return mux
}

// serverMounted returns a ServeMux with h for the pattern.
func serverMounted(pattern string, h http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(pattern, h)
	return mux
}

func serverHook(pattern string) func(*middleware.Config) {
	return func(cfg *middleware.Config) { cfg.Route = func(*http.Request) string { return pattern } }
}

func serverNamed(names ...string) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			middleware.SetRoute(r.Context(), name)
		}
	})
}

func TestRoutesArePatterns(t *testing.T) {
	t.Parallel()
	type build func(*serverSDK) http.Handler
	around := func(next http.Handler, configure ...func(*middleware.Config)) build {
		return func(s *serverSDK) http.Handler { return s.handler(next, configure...) }
	}
	shop := serverMux("GET /items/{id}", "/tree/", "example.com/host", "GET example.com/both/{rest...}", "/{$}")
	withMux := func(cfg *middleware.Config) { cfg.Mux = shop }
	tests := map[string]struct {
		handler build
		method  string
		url     string
		status  int
		route   string
	}{
		"a pattern with a method":                     {around(shop), "GET", "/items/3", 200, "/items/{id}"},
		"a pattern with a host":                       {around(shop), "GET", "http://example.com/host", 200, "/host"},
		"a pattern with method and host":              {around(shop), "GET", "http://example.com/both/a/b", 200, "/both/{rest...}"},
		"the root alone":                              {around(shop), "GET", "/", 200, "/{$}"},
		"a folder":                                    {around(shop), "GET", "/tree/a/b", 200, "/tree/"},
		"no pattern for the path":                     {around(shop), "GET", "/nothing", 404, "_OTHER"},
		"no pattern for the method":                   {around(shop), "POST", "/items/3", 405, "_OTHER"},
		"a redirect to the folder":                    {around(shop), "GET", "/tree", 307, "/tree/"},
		"a redirect to the clean path":                {around(shop), "GET", "/x/../items/3", 307, "/items/{id}"},
		"HEAD of a GET":                               {around(shop), "HEAD", "/items/3", 200, "/items/{id}"},
		"no router at all":                            {around(http.HandlerFunc(serverOK)), "GET", "/items/3", 200, "_OTHER"},
		"a router behind another":                     {around(serverMounted("/", shop)), "GET", "/items/3", 200, "/items/{id}"},
		"a router behind another, without a pattern":  {around(serverMounted("/api/", serverMux("/api/items"))), "GET", "/api/nothing", 404, "_OTHER"},
		"a router behind StripPrefix is not seen":     {around(serverMounted("/api/", http.StripPrefix("/api", shop))), "GET", "/api/items/3", 200, "/api/"},
		"middleware that copies the request":          {around(serverCopying(shop), withMux), "GET", "/items/3", 200, "/items/{id}"},
		"middleware that copies an unmatched request": {around(serverCopying(shop), withMux), "GET", "/nothing", 404, "_OTHER"},
		"middleware that copies, and no Mux":          {around(serverCopying(shop)), "GET", "/items/3", 200, "_OTHER"},
		"middleware that does not copy, and no Mux":   {around(serverUncopying(shop)), "GET", "/items/3", 200, "/items/{id}"},
		"a CONNECT makes no route of the path":        {around(serverMux("/{a}/{b}/")), "CONNECT", "/x1/x2", 307, "_OTHER"},
		"a CONNECT of a pattern makes none either":    {around(shop), "CONNECT", "/tree/a", 200, "_OTHER"},
		"the hook":                                       {around(http.HandlerFunc(serverOK), serverHook("GET /orders/{id}")), "GET", "/orders/3", 200, "/orders/{id}"},
		"the hook goes before the router":                {around(shop, serverHook("/hook")), "GET", "/items/3", 200, "/hook"},
		"the hook knows no route":                        {around(http.HandlerFunc(serverOK), serverHook("")), "GET", "/items/3", 200, "_OTHER"},
		"SetRoute":                                       {around(serverNamed("/orders/{id}")), "GET", "/orders/3", 200, "/orders/{id}"},
		"the last SetRoute counts":                       {around(serverNamed("/a", "/b")), "GET", "/orders/3", 200, "/b"},
		"SetRoute of a name with a space":                {around(serverNamed("list orders/today")), "POST", "/x", 200, "list orders/today"},
		"SetRoute of a name that is no path":             {around(serverNamed("shop.Orders/List")), "POST", "/x", 200, "shop.Orders/List"},
		"an empty SetRoute is none":                      {around(serverMounted("/a/", serverNamed(""))), "GET", "/a/3", 200, "/a/"},
		"SetRoute goes before the hook":                  {around(serverNamed("/set"), serverHook("/hook")), "GET", "/", 200, "/set"},
		"SetRoute goes before the router":                {around(serverMounted("/a/", serverNamed("/set"))), "GET", "/a/", 200, "/set"},
		"SetRoute with a copied request":                 {around(serverCopying(serverNamed("/set"))), "GET", "/", 200, "/set"},
		"SetRoute in a Handler that a Handler is around": {func(s *serverSDK) http.Handler { return s.handler(s.handler(serverNamed("/set"))) }, "GET", "/", 200, "/set"},
		"a Handler below a router that names the route": {func(s *serverSDK) http.Handler {
			return serverMounted("GET /leaf/{id}", s.handler(http.HandlerFunc(serverOK)))
		}, "GET", "/leaf/3", 200, "/leaf/{id}"},
		"below a router, a CONNECT makes no route":   {func(s *serverSDK) http.Handler { return serverMounted("/{a}/", s.handler(http.HandlerFunc(serverOK))) }, "CONNECT", "/x1/", 200, "_OTHER"},
		"a router below a router":                    {func(s *serverSDK) http.Handler { return serverMounted("/", s.handler(shop)) }, "GET", "/items/3", 200, "/items/{id}"},
		"a router below a router, without a pattern": {func(s *serverSDK) http.Handler { return serverMounted("/", s.handler(shop)) }, "GET", "/nothing", 404, "_OTHER"},
		"the same, and middleware that copies":       {func(s *serverSDK) http.Handler { return serverMounted("/", s.handler(serverCopying(shop), withMux)) }, "GET", "/nothing", 404, "_OTHER"},
		"the hook is believed before the router around": {func(s *serverSDK) http.Handler {
			return serverMounted("/leaf/", s.handler(http.HandlerFunc(serverOK), serverHook("")))
		}, "GET", "/leaf/3", 200, "_OTHER"},
		"the hook returns what is no text":                 {around(http.HandlerFunc(serverOK), serverHook("/\xff/{id}")), "GET", "/", 200, "/\uFFFD/{id}"},
		"the hook returns a megabyte":                      {around(http.HandlerFunc(serverOK), serverHook("/"+strings.Repeat("a", 1<<20))), "GET", "/", 200, "/" + strings.Repeat("a", 254)},
		"the hook returns a character over the limit":      {around(http.HandlerFunc(serverOK), serverHook("/"+strings.Repeat("é", 1000))), "GET", "/", 200, "/" + strings.Repeat("é", 127)},
		"the hook returns half a character over the limit": {around(http.HandlerFunc(serverOK), serverHook("/a"+strings.Repeat("é", 1000))), "GET", "/", 200, "/a" + strings.Repeat("é", 126) + "\uFFFD"},
	}
	for name, tt := range tests {
		for path, tracers := range serverPaths() {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk, w := newServerSDK(tracers), httptest.NewRecorder()
				tt.handler(sdk).ServeHTTP(w, httptest.NewRequest(tt.method, tt.url, http.NoBody))
				serverDiff(t, "requests differ", []string{fmt.Sprintf("%s %s %d 1.1 http = 1", tt.method, tt.route, tt.status)}, sdk.durations(t))
				if path == "not sampled" {
					return
				}
				span := sdk.serverSpan(t)
				wantName, wantRoute := tt.method+" "+tt.route, tt.route
				if tt.route == "_OTHER" {
					wantName, wantRoute = tt.method, ""
				}
				if span.Name() != wantName {
					t.Errorf("the span is called %q, want %q", span.Name(), wantName)
				}
				if got := serverAttributes(span.Attributes())[string(telemetry.HTTPRoute)]; got != wantRoute && wantRoute != "" {
					t.Errorf("the span has the route %q, want %q", got, wantRoute)
				}
			})
		}
	}
}

// serverUncopying is middleware that does not copy the request.
func serverUncopying(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}

func TestSetRouteOutsideAHandlerDoesNothing(t *testing.T) {
	t.Parallel()
	if got := serverPanic(func() { middleware.SetRoute(t.Context(), "/orders/{id}") }); got != nil {
		t.Errorf("it panics with %v", got)
	}
}

func TestSetRouteAfterTheHandlerDoesNothing(t *testing.T) {
	t.Parallel()
	sdk := newServerSDK(serverSampled)
	var late *http.Request
	serverGet(sdk.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { late = r })), "/")
	middleware.SetRoute(late.Context(), "/orders/{id}")
	serverDiff(t, "requests differ", []string{"GET _OTHER 200 1.1 http = 1"}, sdk.durations(t))
}

// The hook sees the request as it came, whatever the handler does to it.
func TestHookIsAskedBeforeTheHandler(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			rewriting := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.URL.Path = "/rewritten" })
			serverGet(sdk.handler(rewriting, func(cfg *middleware.Config) {
				cfg.Route = func(r *http.Request) string { return r.URL.Path }
			}), "/original")
			serverDiff(t, "requests differ", []string{"GET /original 200 1.1 http = 1"}, sdk.durations(t))
			if path == "not sampled" {
				return
			}
			if got := serverAttributes(sdk.serverSpan(t).Attributes())["url.path"]; got != "/original" {
				t.Errorf("the span has the path %q", got)
			}
		})
	}
}

func TestRoutesHaveALimit(t *testing.T) {
	t.Parallel()
	const limit, more = 1000, 7
	routers := map[string]func(*serverSDK) http.Handler{
		"of the hook": func(s *serverSDK) http.Handler {
			return s.handler(http.HandlerFunc(serverOK), func(cfg *middleware.Config) {
				cfg.Route = func(r *http.Request) string { return r.URL.Path }
			})
		},
		"of SetRoute": func(s *serverSDK) http.Handler {
			return s.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { middleware.SetRoute(r.Context(), r.URL.Path) }))
		},
	}
	for name, handler := range routers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(serverUnsampled)
			h := handler(sdk)
			for i := range limit + more {
				serverGet(h, fmt.Sprintf("/%d", i))
			}
			serverGet(h, "/0")
			counts := map[string]uint64{}
			for _, p := range sdk.collect(t)["http.server.request.duration"].Data.(metricdata.Histogram[float64]).DataPoints {
				route, _ := p.Attributes.Value(telemetry.HTTPRoute)
				counts[route.AsString()] = p.Count
			}
			if len(counts) != limit+1 || counts["_OTHER"] != more || counts["/0"] != 2 {
				t.Errorf("got %d routes, %d requests of others and %d of the first; want %d, %d and 2",
					len(counts), counts["_OTHER"], counts["/0"], limit+1, more)
			}
		})
	}
}

func TestOptionsOfRoutes(t *testing.T) {
	t.Parallel()
	quiet := map[string]middleware.RouteOptions{
		"/items/{id}": {Disable: middleware.Duration | middleware.ActiveRequests | middleware.ResponseBodySize},
	}
	routes := func(cfg *middleware.Config) { cfg.Routes = quiet }
	shop := serverMux("GET /items/{id}", "/items/{id}/more")
	tests := map[string]struct {
		handler func(*serverSDK) http.Handler
		path    string
		want    int // series
	}{
		"hold for their pattern": {func(s *serverSDK) http.Handler { return s.handler(shop, routes) }, "/items/3", 0},
		"do not hold for others": {func(s *serverSDK) http.Handler { return s.handler(shop, routes) }, "/items/3/more", 3},
		"hold below the router that knows the pattern": {func(s *serverSDK) http.Handler {
			return serverMounted("/items/{id}", s.handler(http.HandlerFunc(serverOK), routes))
		}, "/items/3", 0},
		"hold with the hook": {func(s *serverSDK) http.Handler {
			return s.handler(http.HandlerFunc(serverOK), routes, serverHook("/items/{id}"))
		}, "/items/3", 0},
		"hold with Mux": {func(s *serverSDK) http.Handler {
			return s.handler(serverCopying(shop), routes, func(cfg *middleware.Config) { cfg.Mux = shop })
		}, "/items/3", 0},
		"hold after SetRoute, but for active requests": {func(s *serverSDK) http.Handler { return s.handler(serverNamed("/items/{id}"), routes) }, "/items/3", 1},
	}
	for name, tt := range tests {
		for path, tracers := range serverPaths() {
			t.Run(name+", "+path, func(t *testing.T) {
				t.Parallel()
				sdk := newServerSDK(tracers)
				serverGet(tt.handler(sdk), tt.path)
				if got := sdk.metrics(t); len(got) != tt.want {
					t.Errorf("got %d series, want %d:\n%s", len(got), tt.want, strings.Join(got, "\n"))
				}
			})
		}
	}
}

// Any pattern becomes a label that is valid, bounded and not empty.
func FuzzRoute(f *testing.F) {
	for _, pattern := range []string{"/", "GET /items/{id}", "\xff", "a", " ", "/" + strings.Repeat("é", 300)} {
		f.Add(pattern)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		sdk := newServerSDK(serverUnsampled)
		serverGet(sdk.handler(http.HandlerFunc(serverOK), serverHook(pattern)), "/")
		points := sdk.collect(t)["http.server.request.duration"].Data.(metricdata.Histogram[float64]).DataPoints
		route, _ := points[0].Attributes.Value(telemetry.HTTPRoute)
		const longest = 2*255 + 1 // every second byte may be replaced by three
		if label := route.AsString(); label == "" || len(label) > longest || !utf8.ValidString(label) {
			t.Errorf("got the label %q", label)
		}
	})
}

func TestAHookThatPanicsFailsNoRequest(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sdk := newServerSDK(tracers)
			w := serverGet(sdk.handler(http.HandlerFunc(serverOK), func(cfg *middleware.Config) {
				cfg.Route = func(*http.Request) string { panic("in the hook") }
			}), "/")
			if w.Body.String() != "ok" {
				t.Errorf("got %q, want the answer of the handler", w.Body)
			}
			serverDiff(t, "requests differ", []string{"GET _OTHER 200 1.1 http = 1"}, sdk.durations(t))
		})
	}
}

func TestOptionsAreFoundByThePatternOfTheRouter(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"/orders/{id}", "GET /orders/{id}", "GET example.com/orders/{id}"} {
		sdk := newServerSDK(serverSampled)
		serverGet(sdk.handler(serverMux(pattern), func(cfg *middleware.Config) {
			cfg.Routes = map[string]middleware.RouteOptions{pattern: {Disable: middleware.Traces}, "POST /orders/{id}": {}}
		}), "http://example.com/orders/3")
		if got := len(sdk.spans.Ended()); got != 0 {
			t.Errorf("%s: got %d spans, want none", pattern, got)
		}
	}
}

func TestMiddlewareAroundSeesThePattern(t *testing.T) {
	t.Parallel()
	for path, tracers := range serverPaths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/orders/3", http.NoBody)
			newServerSDK(tracers).handler(serverMux("GET /orders/{id}")).ServeHTTP(httptest.NewRecorder(), r)
			if r.Pattern != "GET /orders/{id}" {
				t.Errorf("got %q, want the pattern that the router found", r.Pattern)
			}
		})
	}
}
