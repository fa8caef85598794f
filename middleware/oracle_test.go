package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

// serverDifference is one that is meant to be, with its reason.
type serverDifference struct {
	field   string // of the span
	reason  string
	applies func(otelhttp, otelmon string) bool
}

func serverAbsent(otelhttp, _ string) bool { return otelhttp == "" }

func serverDifferences() []serverDifference {
	return []serverDifference{
		{"http.route", "otelhttp sets its attributes before the router has found the route, which is then in the name of the span alone.", serverAbsent},
		{"name", "otelhttp finds the route only if the router was given the very request that it passed on. Here it is found also if middleware copied the request (Config.Mux), and before a handler panics.", func(o, m string) bool { return strings.HasPrefix(m, o+" /") }},
		{"name", "The service knows its route better than the router around (SetRoute).", func(o, m string) bool { return o == "GET /" && m == "GET /orders/{id}" }},
		{"name", "For a CONNECT the router names the client's path, so that every client could make names.", func(o, m string) bool { return strings.HasPrefix(o, m+" /") }},
		{"name", "Methods are case-sensitive, and QUERY is one of those known.", func(_, m string) bool {
			return strings.HasPrefix(m, "HTTP /") || strings.HasPrefix(m, "QUERY /")
		}},
		{"http.request.method", "Methods are case-sensitive, and QUERY is one of those known.", func(string, string) bool { return true }},
		{"network.protocol.version", "The conventions write 2.", func(o, m string) bool { return o == "2.0" && m == "2" }},
		{"error.type", "otelhttp does not set it. It is the status code, the type of the panic, response_aborted or client_disconnected.", serverAbsent},
		{"status", "A panic is an error of the service, and so is a response that it broke off.", func(o, m string) bool { return o == "Unset" && m != "Unset" }},
		{"status", "The conventions leave the description empty where the status code says all.", func(o, m string) bool {
			return strings.HasPrefix(o, "Error Invalid HTTP status code") && m == "Error"
		}},
		{"http.response.status_code", "A panic counts as 500, and after a response was broken off it has the code that was sent. otelhttp sets none when a handler panics.", serverAbsent},
		{"http.response.status_code", "The client left and never had a complete response, or the connection was taken over and nobody knows the code: otelhttp says 200.", func(o, m string) bool { return o == "200" && m == "" }},
		{"http.response.status_code", "The connection was upgraded; otelhttp says 200.", func(o, m string) bool { return o == "200" && m == "101" }},
		{"http.response.body.size", "otelhttp does not count what is copied by ReadFrom, as io.Copy does, and sets nothing when a handler panics.", func(_, m string) bool { return m != "" }},
		{"http.response.body.size", "net/http does not send the body that a handler writes for HEAD.", func(_, m string) bool { return m == "" }},
		{"http.request.body.size", "otelhttp sets none when a handler panics.", serverAbsent},
		{"event", "http.ErrAbortHandler is how a handler breaks a response off, and no exception.", func(_, m string) bool { return m == "" }},
		{"event", "The type is written as in error.type. The SDK writes .string for a text and adds the path of a package.", func(o, m string) bool { return o != "" && m != "" }},
	}
}

// serverOracleRequests are requests of all kinds.
func serverOracleRequests() map[string]func() serverRequest {
	requests := map[string]func() serverRequest{}
	add := func(name string, request func() serverRequest) { requests[name] = request }
	fixed := func(name string, q serverRequest) { requests[name] = func() serverRequest { return q } }
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "BREW", "get", "Post"} {
		fixed("method "+method, serverRequest{mux: serverMux("/items/{id}"), method: method, path: "/items/3"})
	}
	for _, status := range []int{200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 409, 418, 422, 429, 499, 500, 501, 502, 503, 504, 599, 799} {
		fixed(fmt.Sprint("status ", status), serverRequest{serve: serverWrites(status, "text")})
	}
	for name, value := range map[string]any{
		"an error": errors.New("oh"), "a text": "oh", "a list": []int{1}, "a type of its own": serverUncomparable{1}, "an abort": http.ErrAbortHandler,
	} {
		fixed("panic with "+name, serverRequest{serve: serverPanics(value)})
	}
	shop := serverMux("GET /items/{id}", "/tree/")
	fixed("matched route", serverRequest{mux: shop, path: "/items/3"})
	fixed("unmatched route", serverRequest{mux: shop, path: "/nothing"})
	fixed("unmatched method", serverRequest{mux: shop, method: "POST", path: "/items/3"})
	fixed("redirect to the folder", serverRequest{mux: shop, path: "/tree"})
	fixed("middleware that copies the request", serverRequest{mux: serverMounted("/", serverCopying(shop)), path: "/items/3", configure: func(cfg *middleware.Config) { cfg.Mux = shop }})
	fixed("SetRoute", serverRequest{serve: func(_ http.ResponseWriter, r *http.Request) { middleware.SetRoute(r.Context(), "/orders/{id}") }, configure: func(cfg *middleware.Config) { cfg.Mux = http.NewServeMux() }})
	fixed("CONNECT that is redirected", serverRequest{mux: serverMux("/{a}/{b}/"), send: serverRaw("CONNECT /x1/x2 HTTP/1.1\r\nHost: shop\r\n\r\n", "\r\n\r\n")})
	fixed("CONNECT to a host", serverRequest{mux: shop, send: serverRaw("CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n", "\r\n\r\n")})
	fixed("body that is read", serverRequest{serve: func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, method: "POST", body: "hello"})
	fixed("body that is not read", serverRequest{serve: serverOK, method: "POST", body: "hello"})
	fixed("body that is read before a panic", serverRequest{serve: func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); panic("oh") }, method: "POST", body: "hello"})
	fixed("response by Write", serverRequest{serve: serverWrites(200, "hello")})
	fixed("response by WriteString", serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }})
	fixed("response by ReadFrom", serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("hello"))
	}})
	fixed("response of nothing", serverRequest{serve: func(http.ResponseWriter, *http.Request) {}})
	fixed("early hints", serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(200) }})
	fixed("end of the goroutine", serverRequest{serve: func(http.ResponseWriter, *http.Request) { runtime.Goexit() }})
	add("client that leaves before the response", func() serverRequest { return serverLeaves(nil) })
	fixed("client that leaves in the middle", serverRequest{serve: serverAwaits(func(w http.ResponseWriter) { _, _ = w.Write([]byte("half")) }), send: serverRaw(serverPlain, "half")})
	fixed("server-sent events", serverRequest{serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: 1\n\n"))
	}})
	fixed("upgraded connection", serverRequest{serve: serverHijack("HTTP/1.1 101 Switching Protocols\r\n\r\n"), send: serverRaw(serverUpgrade, "\r\n\r\n")})
	fixed("connection taken over", serverRequest{serve: serverHijack("HTTP/1.1 418 Teapot\r\n\r\n"), send: serverRaw(serverPlain, "\r\n\r\n")})
	fixed("HTTP/1.0", serverRequest{serve: serverWrites(200, "hello"), send: serverRaw("GET / HTTP/1.0\r\n\r\n", "hello")})
	fixed("HTTP/1.1 over TLS", serverRequest{serve: serverWrites(200, "hello"), tls: true})
	fixed("HTTP/2", serverRequest{serve: serverWrites(200, "hello"), tls: true, h2: true})
	fixed("HTTP/2 and a failure", serverRequest{serve: serverWrites(503, "hello"), tls: true, h2: true})
	fixed("proxy before the service", serverRequest{serve: serverWrites(200, ""), header: http.Header{"X-Forwarded-For": {"192.0.2.1, 192.0.2.2"}}})
	fixed("user agent", serverRequest{serve: serverWrites(200, ""), header: http.Header{"User-Agent": {"browser"}}})
	fixed("query that is not recorded", serverRequest{serve: serverWrites(200, ""), path: "/a/b?secret=1"})
	fixed("parent", serverRequest{serve: serverWrites(200, ""), header: http.Header{"Traceparent": {serverSampledParent}, "Tracestate": {"vendor=1"}}})
	return requests
}

// serverFields tells all that is to be compared of a span.
func serverFields(span sdktrace.ReadOnlySpan) map[string]string {
	fields := map[string]string{}
	for _, kv := range span.Attributes() {
		switch kv.Key {
		case "server.port", "network.peer.port": // differ by run
		default:
			fields[string(kv.Key)] = kv.Value.String()
		}
	}
	fields["name"], fields["kind"] = span.Name(), span.SpanKind().String()
	fields["status"] = strings.TrimSpace(span.Status().Code.String() + " " + span.Status().Description)
	fields["parent"] = span.Parent().SpanID().String() + " " + span.Parent().TraceState().String()
	fields["scope"] = span.InstrumentationScope().Name
	for i, event := range span.Events() {
		key := "event"
		if i > 0 {
			key = fmt.Sprint("event ", i)
		}
		attributes := serverAttributes(event.Attributes)
		fields[key] = event.Name + " " + attributes["exception.type"] + " " + attributes["exception.message"]
	}
	return fields
}

// The spans are those of otelhttp, but for what it gets wrong; docs/otelhttp-differences.md is the list.
func TestSpansAreThoseOfOtelhttpButForTheList(t *testing.T) {
	t.Parallel()
	differences := serverDifferences()
	found := make([]map[string]string, len(differences)) // otelhttp and otelmon: the first request
	for i := range found {
		found[i] = map[string]string{}
	}
	requests := serverOracleRequests()
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		run := func(tracers serverTracers, around func(*serverSDK, http.Handler) http.Handler) map[string]string {
			sdk, q := newServerSDK(tracers), requests[name]()
			if around != nil {
				q.around = func(next http.Handler) http.Handler { return around(sdk, next) }
			}
			q.do(t, sdk)
			return serverFields(sdk.serverSpan(t))
		}
		theirs := run(serverForeign, func(s *serverSDK, next http.Handler) http.Handler {
			return otelhttp.NewHandler(next, "", otelhttp.WithTracerProvider(s.TracerProvider),
				otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), otelhttp.WithPropagators(s.Propagator))
		})
		ours := run(serverSampled, nil)
		serverDiff(t, name+": with another SDK the span differs", ours, run(serverForeign, nil))
		if name != "parent" { // which samples it
			rescued := run(serverRescued, nil)
			if rescued[string(telemetry.SamplingRescued)] != "true" {
				t.Errorf("%s: the span is not marked", name)
			}
			delete(rescued, string(telemetry.SamplingRescued))
			serverDiff(t, name+": the rescued span differs", ours, rescued)
		}
		for _, field := range slices.Sorted(maps.Keys(serverUnion(theirs, ours))) {
			o, m := theirs[field], ours[field]
			if o == m {
				continue
			}
			i := slices.IndexFunc(differences, func(d serverDifference) bool { return d.field == field && d.applies(o, m) })
			if i < 0 {
				t.Errorf("%s: %s is %q in otelhttp and %q here", name, field, o, m)
				continue
			}
			if row := serverCell(o) + " | " + serverCell(m); found[i][row] == "" {
				found[i][row] = name
			}
		}
	}
	if len(requests) < 60 {
		t.Errorf("got %d requests, want 60 or more", len(requests))
	}
	golden.Check(t, "../docs/otelhttp-differences.md", serverPage(t, differences, found, len(requests)))
}

func serverUnion(a, b map[string]string) map[string]string {
	union := maps.Clone(a)
	maps.Copy(union, b)
	return union
}

func serverCell(value string) string {
	if value == "" {
		return "none"
	}
	return "`" + value + "`"
}

func serverPage(t *testing.T, differences []serverDifference, found []map[string]string, requests int) []byte {
	t.Helper()
	var page strings.Builder
	fmt.Fprintf(&page, `# How server spans differ from otelhttp's

The middleware lets otelhttp make the spans of servers, and adds to them what it leaves out. A test sends %d kinds of
requests through otelhttp alone and through the middleware, and compares names, kinds, statuses, parents, events and all
attributes. Spans that are made at the end, because their request failed or was slow, are equal to these but for
%s. Whatever is not in this list is equal.

This page is written by the test: %s.
`, requests, "`"+string(telemetry.SamplingRescued)+"`", "`go test ./middleware -run Otelhttp -update`")
	for i, d := range differences {
		if len(found[i]) == 0 {
			t.Errorf("no request shows the difference of %s: %s", d.field, d.reason)
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| otelhttp | otelmon | for example |\n| --- | --- | --- |\n", d.field, d.reason)
		for _, row := range slices.Sorted(maps.Keys(found[i])) {
			fmt.Fprintf(&page, "| %s | %s |\n", row, found[i][row])
		}
	}
	return []byte(page.String())
}
