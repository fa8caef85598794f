package spans_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

func attributeOf(i int, value string) attribute.KeyValue {
	return attribute.String(fmt.Sprint("key ", i), value)
}

// counted returns the requests by method and route, as the metrics have them.
func (s *service) counted(t *testing.T) map[metrics.Route]int64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	counted := map[metrics.Route]int64{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if m.Name != telemetry.ServerDuration {
			continue
		}
		for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
			method, _ := p.Attributes.Value(telemetry.HTTPMethod)
			route, _ := p.Attributes.Value(telemetry.HTTPRoute)
			counted[metrics.Route{Method: method.AsString(), Route: route.AsString()}] += int64(p.Count)
		}
	}
	return counted
}

// router answers /late as routers do that name the route while they handle a
// request, and has spans inside its spans.
func router(s **service) http.Handler {
	mux := http.NewServeMux()
	ok := func(_ http.ResponseWriter, r *http.Request) {
		(*s).run(r.Context(), "inside", nil, trace.WithSpanKind(trace.SpanKindServer))
	}
	mux.HandleFunc("GET /items/{id}", ok)
	mux.HandleFunc("shop.example/items/", ok)
	mux.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) { middleware.SetRoute(r.Context(), "/late/{named}") })
	mux.HandleFunc("/fails", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	return mux
}

func TestRoutesAreThoseOfTheMetrics(t *testing.T) {
	t.Parallel()
	for name, sampler := range map[string]sdktrace.Sampler{
		"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *service
			s = newService(sampler, router(&s))
			for _, method := range []string{"GET", "POST", "QUERY", "BREW"} {
				for _, url := range []string{"/items/1", "http://shop.example/items/2", "/late", "/fails", "/nowhere"} {
					s.handler.ServeHTTP(discard{}, newRequest(t, method, url))
				}
			}
			want := map[metrics.Route]metrics.Traced{}
			for route, n := range s.counted(t) {
				switch {
				case name == "sampled":
					want[route] = metrics.Traced{Sampled: n}
				case route.Route == "/fails":
					want[route] = metrics.Traced{Rescued: n}
				}
			}
			got := s.Traced()
			for route, traced := range got {
				if traced == (metrics.Traced{}) { // was in flight as that
					delete(got, route)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
		})
	}
}

func TestRequestsInFlight(t *testing.T) {
	t.Parallel()
	var s *service
	mux := http.NewServeMux()
	var inside []map[metrics.Route]metrics.Traced
	mux.HandleFunc("GET /items/{id}", func(http.ResponseWriter, *http.Request) { inside = append(inside, s.Traced()) })
	s = newService(sdktrace.AlwaysSample(), mux)
	s.get(t, "/items/1")
	s.get(t, "/items/2")
	route := metrics.Route{Method: "GET", Route: "/items/{id}"}
	want := []map[metrics.Route]metrics.Traced{{route: {InFlight: 1}}, {route: {InFlight: 1, Sampled: 1}}}
	if diff := cmp.Diff(want, inside); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff(map[metrics.Route]metrics.Traced{route: {Sampled: 2}}, s.Traced()); diff != "" {
		t.Errorf("in the end (- want, + got):\n%s", diff)
	}
}

func TestRoutesAreBounded(t *testing.T) {
	t.Parallel()
	s := newService(sdktrace.AlwaysSample(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		trace.SpanFromContext(r.Context()).SetAttributes(telemetry.HTTPRoute.String(r.URL.Path))
	}))
	for i := range 3000 {
		s.get(t, fmt.Sprintf("/%d", i))
	}
	got := s.Traced()
	if len(got) != 2000 {
		t.Errorf("got %d routes, want 2000", len(got))
	}
	for route, traced := range got {
		if traced.InFlight != 0 || !slices.Contains([]int64{0, 1}, traced.Sampled) {
			t.Errorf("got %+v of %v", traced, route)
		}
	}
}
