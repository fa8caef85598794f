package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// service is an instrumented service, and what it recorded.
type service struct {
	setup
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
}

// newService records in memory what the setup makes of the signals. All is sampled
// unless they say otherwise.
func newService(t *testing.T, makeSetup func(signals) (setup, error), with signals) *service {
	t.Helper()
	s := &service{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	with.reader, with.processor = s.reader, sdktrace.NewSimpleSpanProcessor(s.spans)
	if with.sampler == nil {
		with.sampler = sdktrace.AlwaysSample()
	}
	var err error
	if s.setup, err = makeSetup(with); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// server listens on loopback.
type server struct {
	*httptest.Server
	handled chan struct{}
}

// serve starts a server with one route, GET /items/{id}.
func (s *service) serve(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", handler)
	return listen(t, s.handler(mux, mux))
}

func listen(t *testing.T, handler http.Handler) *server {
	t.Helper()
	srv := &server{handled: make(chan struct{}, 1)}
	srv.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { srv.handled <- struct{}{} }()
		handler.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // panics are on purpose
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// get asks for the path, reads the answer if there is one, and waits until the
// instrumentation has seen the end of it.
func (srv *server) get(t *testing.T, path string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, srv.URL+path, http.NoBody)
	r.RequestURI = ""
	maps.Copy(r.Header, header)
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	response, err := srv.Client().Do(r)
	if err == nil {
		_, _ = io.Copy(io.Discard, response.Body) // some answers break off
		_ = response.Body.Close()
	}
	<-srv.handled
	return response
}

// point is a data point of a histogram.
type point struct {
	attributes attribute.Set
	count      uint64
	bounds     []float64
	buckets    []uint64
}

func (p point) value(key string) string {
	v, ok := p.attributes.Value(attribute.Key(key))
	if !ok {
		return ""
	}
	return v.String()
}

// points returns those of a histogram, of any number type.
func (s *service) points(t *testing.T, name string) []point {
	t.Helper()
	var points []point
	for _, m := range s.collect(t, name) {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			points = append(points, pointsOf(data)...)
		case metricdata.Histogram[int64]:
			points = append(points, pointsOf(data)...)
		default:
			t.Fatalf("%s is a %T", name, m.Data)
		}
	}
	return points
}

func pointsOf[N int64 | float64](h metricdata.Histogram[N]) []point {
	points := make([]point, 0, len(h.DataPoints))
	for _, p := range h.DataPoints {
		points = append(points, point{p.Attributes, p.Count, p.Bounds, p.BucketCounts})
	}
	return points
}

func (s *service) collect(t *testing.T, name string) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var found []metricdata.Metrics
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				found = append(found, m)
			}
		}
	}
	return found
}

// outcome tells what metrics and traces say of the requests.
func (s *service) outcome(t *testing.T, side string) string {
	t.Helper()
	var said []string
	for _, p := range s.points(t, "http."+side+".request.duration") {
		said = append(said, counted(p, ""))
	}
	for _, p := range s.points(t, "otelmon.http."+side+".stream.duration") {
		said = append(said, counted(p, " among the streams"))
	}
	if len(said) == 0 {
		said = []string{"not counted"}
	}
	slices.Sort(said)
	return strings.Join(append(said, s.span(side)), "; ")
}

func counted(p point, among string) string {
	text := "counted"
	if p.count != 1 {
		text += fmt.Sprintf(" %d times", p.count)
	}
	text += among
	if status := p.value("http.response.status_code"); status != "" {
		text += " as " + status
	}
	if kind := p.value("error.type"); kind != "" {
		text += ", `error.type` " + kind
	}
	return text
}

func (s *service) span(side string) string {
	var said []string
	for _, span := range s.spans.GetSpans() {
		switch {
		case span.SpanKind.String() != side:
		case span.Status.Code == codes.Error:
			said = append(said, "span marked as failed")
		default:
			said = append(said, "span without error")
		}
	}
	if len(said) == 0 {
		return "no span"
	}
	return strings.Join(said, ", ")
}

// attribute returns a span attribute of the only span, or "".
func (s *service) attribute(t *testing.T, key string) string {
	t.Helper()
	spans := s.spans.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	set := attribute.NewSet(spans[0].Attributes...)
	return point{attributes: set}.value(key)
}
