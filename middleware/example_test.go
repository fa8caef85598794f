package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/middleware"
)

// The Handler is given the router, and names spans and metrics by its patterns.
func ExampleHandler() {
	spans := tracetest.NewInMemoryExporter()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "order %s", r.PathValue("id"))
	})
	handler := middleware.Handler(mux, middleware.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), // otelmon.Setup sets a global one
	})

	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest("GET", "/orders/7", nil))
	fmt.Println(response.Body)
	fmt.Println(spans.GetSpans()[0].Name)
	// Output:
	// order 7
	// GET /orders/{id}
}

// A router that is no http.ServeMux tells the pattern while it handles the
// request.
func ExampleSetRoute() {
	spans := tracetest.NewInMemoryExporter()
	router := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		middleware.SetRoute(r.Context(), "/customers/:name")
	})
	handler := middleware.Handler(router, middleware.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
	})

	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/customers/ada", nil))
	fmt.Println(spans.GetSpans()[0].Name)
	// Output: GET /customers/:name
}
