package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/middleware"
)

func rawBusyMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ok/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	mux.HandleFunc("POST /body", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("GET /failing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic([]int{1}) })
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
	})
	mux.HandleFunc("GET /named/", func(_ http.ResponseWriter, r *http.Request) { middleware.SetRoute(r.Context(), "/named/{id}") })
	return mux
}

// rawServe calls h as net/http would, and takes a panic of the service's.
func rawServe(h http.Handler, w http.ResponseWriter, r *http.Request) (panicked any) {
	defer func() { panicked = recover() }()
	h.ServeHTTP(w, r)
	return nil
}

func TestRequestsAtTheSameTimeAreAllCounted(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 16, 50
	for name, root := range map[string]sdktrace.Sampler{
		"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.TraceIDRatioBased(0), "some sampled": sdktrace.TraceIDRatioBased(0.5),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRawSDK(root)
			h := middleware.Handler(rawBusyMux(), s.Config)
			ctx, cancel := context.WithCancel(t.Context())
			var requests, collectors sync.WaitGroup
			for range 2 {
				collectors.Go(func() {
					for ctx.Err() == nil {
						if n := s.active(t); n < 0 || n > goroutines {
							t.Errorf("%d requests are active at a time, of %d goroutines", n, goroutines)
						}
					}
				})
			}
			for range goroutines {
				requests.Go(func() {
					for i := range rounds {
						for _, r := range []*http.Request{
							httptest.NewRequest(http.MethodGet, fmt.Sprintf("/ok/%d", i), http.NoBody),
							httptest.NewRequest(http.MethodPost, "/body", strings.NewReader("hello")),
							httptest.NewRequest(http.MethodGet, "/failing", http.NoBody),
							httptest.NewRequest(http.MethodGet, "/panic", http.NoBody),
							httptest.NewRequest(http.MethodGet, "/stream", http.NoBody),
							httptest.NewRequest(http.MethodGet, fmt.Sprintf("/named/%d", i), http.NoBody),
							httptest.NewRequest(http.MethodGet, fmt.Sprintf("/none/%d", i), http.NoBody),
						} {
							rawServe(h, httptest.NewRecorder(), r)
						}
					}
				})
			}
			requests.Wait()
			cancel()
			collectors.Wait()
			want := []string{
				"800 GET /failing 500 500, 0 bytes",
				"800 GET /named/{id} 200, 0 bytes",
				"800 GET /ok/{id} 200, 4000 bytes",
				"800 GET /panic 500 []int, 0 bytes",
				"800 GET _OTHER 404, 15200 bytes",
				"800 POST /body 200, 4000 bytes",
				"800 stream GET /stream 200, 7200 bytes",
			}
			if diff := cmp.Diff(want, s.records(t)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if n := s.active(t); n != 0 {
				t.Errorf("%d requests are active after the end", n)
			}
			rawCheckSpans(t, s, name, 7*goroutines*rounds)
		})
	}
}

// rawCheckSpans expects a span for each request that is sampled, and for each that failed.
func rawCheckSpans(t *testing.T, s *rawSDK, name string, requests int) {
	t.Helper()
	failed := requests * 2 / 7
	got := len(s.spans.Ended())
	if got != len(s.spans.Started()) {
		t.Errorf("%d spans started and %d ended", len(s.spans.Started()), got)
	}
	switch name {
	case "sampled":
		failed = requests
	case "some sampled":
		if got <= failed || got >= requests {
			t.Errorf("%d spans of %d requests, of which %d failed", got, requests, failed)
		}
		return
	}
	if got != failed {
		t.Errorf("%d spans of %d requests, want %d", got, requests, failed)
	}
}
