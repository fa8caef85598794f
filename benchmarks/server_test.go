package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func write(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }

func fail(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "out of stock", http.StatusInternalServerError)
}

func panics(t *testing.T, s *service) string {
	s.serve(t, func(http.ResponseWriter, *http.Request) { panic("boom") }).get(t, "/items/1", nil)
	return s.outcome(t, "server")
}

func panicStack(t *testing.T, s *service) string {
	s.serve(t, func(http.ResponseWriter, *http.Request) { panic("boom") }).get(t, "/items/1", nil)
	events, stacks := 0, 0
	for _, event := range s.spans.GetSpans()[0].Events {
		for _, a := range event.Attributes {
			switch {
			case a.Key == "exception.message" && a.Value.String() == "boom":
				events++
			case a.Key == "exception.stacktrace" && strings.Contains(a.Value.String(), "panicStack"):
				stacks++
			}
		}
	}
	return fmt.Sprintf("%d exception, %d stack", events, stacks)
}

func aborts(t *testing.T, s *service) string {
	s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		write(w, r)
		panic(http.ErrAbortHandler)
	}).get(t, "/items/1", nil)
	return s.outcome(t, "server")
}

func answers500(t *testing.T, s *service) string {
	s.serve(t, fail).get(t, "/items/1", nil)
	return s.outcome(t, "server")
}

func answers200(t *testing.T, s *service) string {
	s.serve(t, write).get(t, "/items/1", nil)
	return s.outcome(t, "server")
}

func inProgress(t *testing.T, s *service) string {
	const name = "http.server.active_requests"
	text := "not measured"
	s.serve(t, func(http.ResponseWriter, *http.Request) {
		for _, m := range s.collect(t, name) {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && len(sum.DataPoints) == 1 {
				text = fmt.Sprintf("%d in `%s`", sum.DataPoints[0].Value, name)
			}
		}
	}).get(t, "/items/1", nil)
	return text
}

func manyHosts(t *testing.T, s *service) string {
	srv := s.serve(t, write)
	for i := range 50 {
		srv.get(t, "/items/1", http.Header{"Host": {fmt.Sprintf("made-up-%d.example", i)}})
	}
	return fmt.Sprintf("%d series", len(s.points(t, "http.server.request.duration")))
}

type someKey struct{}

// copied is a middleware of the service's own, such as many are.
func copied(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), someKey{}, "user 7")))
	})
}

func copiesRequest(t *testing.T, s *service) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", write)
	listen(t, s.handler(copied(mux), mux)).get(t, "/items/1", nil)
	points, spans := s.points(t, "http.server.request.duration"), s.spans.GetSpans()
	if len(points) != 1 || len(spans) != 1 {
		t.Fatalf("%d points, %d spans", len(points), len(spans))
	}
	return fmt.Sprintf("%s on the metric; span called %s", routeOr(points[0].value("http.route")), spans[0].Name)
}

func spanRoute(t *testing.T, s *service) string {
	s.serve(t, write).get(t, "/items/1", nil)
	return routeOr(s.attribute(t, "http.route"))
}

func routeOr(route string) string {
	if route == "" {
		return "no `http.route`"
	}
	return "`http.route` " + route
}

func eventStream(t *testing.T, s *service) string {
	s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: tick\n\n")
			_ = http.NewResponseController(w).Flush()
		}
	}).get(t, "/items/1", nil)
	return s.outcome(t, "server")
}

func webSocket(t *testing.T, s *service) string {
	s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = stream.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = stream.Flush()
		_ = conn.Close()
	}).get(t, "/items/1", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}})
	return s.outcome(t, "server")
}

func clientLeaves(t *testing.T, s *service) string {
	started := make(chan struct{})
	srv := s.serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-started
		leave()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/items/1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := srv.Client().Do(r); err == nil {
		t.Fatal("an answer:", response.Status)
	}
	<-srv.handled
	return s.outcome(t, "server")
}

func nested(t *testing.T, s *service) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", write)
	listen(t, s.handler(s.handler(mux, mux), mux)).get(t, "/items/1", nil)
	return s.outcome(t, "server")
}

func healthCheck(t *testing.T, s *service) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", write)
	listen(t, s.handler(mux, mux)).get(t, "/healthz", nil)
	return s.outcome(t, "server")
}

func largeBody(t *testing.T, s *service) string {
	const size = 100_000
	s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	}).get(t, "/items/1", nil)
	points := s.points(t, "http.server.response.body.size")
	if len(points) != 1 {
		t.Fatalf("%d points", len(points))
	}
	return bucket(points[0])
}

// bucket tells between which boundaries the only value lies.
func bucket(p point) string {
	for i, count := range p.buckets {
		switch {
		case count == 0:
		case i == len(p.bounds):
			return fmt.Sprintf("above the last boundary, %.0f B", p.bounds[i-1])
		case i == 0:
			return fmt.Sprintf("up to %.0f B", p.bounds[0])
		default:
			return fmt.Sprintf("between %.0f and %.0f B", p.bounds[i-1], p.bounds[i])
		}
	}
	return "in no bucket"
}

func slowest(t *testing.T, s *service) string {
	s.serve(t, write).get(t, "/items/1", nil)
	points := s.points(t, "http.server.request.duration")
	if len(points) != 1 {
		t.Fatalf("%d points", len(points))
	}
	bounds := points[0].bounds
	return fmt.Sprintf("all above %v s is one bucket", bounds[len(bounds)-1])
}

func forced(_ *testing.T, s *service) string {
	const requests = 1000
	handler := s.handler(newMux(), nil)
	for range requests {
		r := httptest.NewRequest(http.MethodGet, "/items/1", http.NoBody)
		r.Header.Set("Traceparent", sampledParent)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	sampled := "some"
	switch len(s.spans.GetSpans()) {
	case 0:
		sampled = "none"
	case requests:
		sampled = "all"
	}
	return fmt.Sprintf("%s of %d at once are sampled", sampled, requests)
}

func traceOfAnswer(t *testing.T, s *service) string {
	response := s.serve(t, write).get(t, "/items/1", nil)
	spans := s.spans.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	trace := spans[0].SpanContext.TraceID().String()
	for name, values := range response.Header {
		if strings.Contains(strings.Join(values, " "), trace) {
			return "the trace is in the header " + name
		}
	}
	return "no header tells it"
}

func exemplars(t *testing.T, s *service) string {
	s.serve(t, write).get(t, "/items/1", nil)
	scrape := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	scrape.Header.Set("Accept", "application/openmetrics-text;version=1.0.0") // as Prometheus does
	page := httptest.NewRecorder()
	s.metrics.ServeHTTP(page, scrape)
	body := page.Body.String()
	switch trace := s.spans.GetSpans()[0].SpanContext.TraceID().String(); {
	case strings.Contains(body, trace):
		return "the page links to the trace"
	case strings.Contains(body, "http_server_request_duration_seconds_bucket"):
		return "no link on the page"
	}
	return "no metric on the page"
}
