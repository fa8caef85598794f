package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"github.com/otelmon/toolkit/middleware"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(m.Run())
}

func TestRoutersNameTheirRoutes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		router  func(middleware.Config) http.Handler
		prefix  string
		pattern string
	}{
		"chi":                        {chiRouter, "/chi", "/chi/users/{id}"},
		"gorilla":                    {gorillaRouter, "/gorilla", "/gorilla/users/{id}"},
		"gin":                        {ginRouter, "/gin", "/gin/users/:id"},
		"ServeMux behind middleware": {serveMux, "/mux", "/mux/users/{id}"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader := sdkmetric.NewManualReader()
			cfg := middleware.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}
			server := httptest.NewServer(tt.router(cfg))
			for id := range 3 {
				path := fmt.Sprintf("%s/users/%d", tt.prefix, id)
				if body := send(t, server, http.MethodGet, path); body != fmt.Sprint(id) {
					t.Errorf("%s: got %q, want the id", path, body)
				}
			}
			send(t, server, http.MethodDelete, tt.prefix+"/users/1")
			for id := range 2 {
				send(t, server, http.MethodGet, fmt.Sprintf("%s/nothing/%d", tt.prefix, id))
				send(t, server, http.MethodGet, fmt.Sprintf("%s/users/1/nothing/%d", tt.prefix, id))
			}
			server.Close() // waits for the last requests
			want := map[string]uint64{
				"GET " + tt.pattern + " 200":    3,
				"DELETE " + tt.pattern + " 204": 1,
				"GET _OTHER 404":                4,
			}
			if diff := cmp.Diff(want, counts(t, reader)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEachRouterAnswersUnderItsName(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	server := httptest.NewServer(all(middleware.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}))
	for _, name := range []string{"chi", "gorilla", "gin", "mux"} {
		if body := send(t, server, http.MethodGet, "/"+name+"/users/7"); body != "7" {
			t.Errorf("%s: got %q, want 7", name, body)
		}
	}
	send(t, server, http.MethodGet, "/chi/nothing")
	send(t, server, http.MethodGet, "/nothing")
	server.Close()
	want := map[string]uint64{
		"GET /chi/users/{id} 200": 1, "GET /gorilla/users/{id} 200": 1, "GET /gin/users/:id 200": 1, "GET /mux/users/{id} 200": 1,
		"GET _OTHER 404": 2,
	}
	if diff := cmp.Diff(want, counts(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// send returns the body of the response.
func send(t *testing.T, server *httptest.Server, method, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// counts returns how many requests were measured, by method, route and status.
func counts(t *testing.T, reader sdkmetric.Reader) map[string]uint64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	found := map[string]uint64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			histogram, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != "http.server.request.duration" {
				continue
			}
			for _, p := range histogram.DataPoints {
				method, _ := p.Attributes.Value("http.request.method")
				route, _ := p.Attributes.Value("http.route")
				status, _ := p.Attributes.Value("http.response.status_code")
				found[fmt.Sprintf("%s %s %d", method.AsString(), route.AsString(), status.AsInt64())] += p.Count
			}
		}
	}
	return found
}
