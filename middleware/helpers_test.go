package middleware_test

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
)

// serverPatience is how long tests wait for what must happen.
const serverPatience = 20 * time.Second

// serverTracers makes a TracerProvider that gives its spans to the processor.
type serverTracers func(sdktrace.SpanProcessor) trace.TracerProvider

// otelmonTracers are otelmon's, with the sampler for roots.
func otelmonTracers(root sdktrace.Sampler, limits tracer.Limits) serverTracers {
	return func(spans sdktrace.SpanProcessor) trace.TracerProvider {
		return tracer.New(sdktrace.ParentBased(root), limits, sdktrace.WithSpanProcessor(spans))
	}
}

var (
	serverForced   = tracer.Limits{ForcedPerSecond: math.Inf(1)}
	serverNoSlower = tracer.Limits{ForcedPerSecond: math.Inf(1), RescuesPerSecond: math.Inf(1), SlowerThan: math.MaxInt64}
	serverAll      = tracer.Limits{ForcedPerSecond: math.Inf(1), RescuesPerSecond: math.Inf(1)}

	serverSampled   = otelmonTracers(sdktrace.AlwaysSample(), serverForced)
	serverUnsampled = otelmonTracers(sdktrace.TraceIDRatioBased(0), serverForced)
	serverRescued   = otelmonTracers(sdktrace.TraceIDRatioBased(0), serverAll)
)

func serverForeign(spans sdktrace.SpanProcessor) trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
}

// serverPaths are all the ways that a request goes through a Handler.
func serverPaths() map[string]serverTracers {
	return map[string]serverTracers{
		"sampled": serverSampled, "not sampled": serverUnsampled, "rescued": serverRescued, "with spans of another SDK": serverForeign,
	}
}

// serverSDK is a real SDK in memory, put together as otelmon does it.
type serverSDK struct {
	middleware.Config
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
}

func newServerSDK(tracers serverTracers) *serverSDK {
	s := &serverSDK{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	instruments := meter.NewProvider()
	instruments.Set(sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(s.reader), sdkmetric.WithView(meter.Views(meter.Rules{})...)), meter.Rules{})
	s.MeterProvider = instruments
	s.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	s.TracerProvider = tracers(s.spans)
	return s
}

// handler returns a Handler with the SDK and what else the functions configure.
func (s *serverSDK) handler(next http.Handler, configure ...func(*middleware.Config)) http.Handler {
	cfg := s.Config
	for _, f := range configure {
		f(&cfg)
	}
	return middleware.Handler(next, cfg)
}

// collect returns all metrics by name.
func (s *serverSDK) collect(t testing.TB) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	found := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// metrics returns a line for each series: its metric, attributes and value.
// Seconds are not told.
func (s *serverSDK) metrics(t testing.TB) []string {
	t.Helper()
	var lines []string
	add := func(name string, set attribute.Set, value string) {
		lines = append(lines, strings.TrimPrefix(name, "http.server.")+": "+serverSeries(set)+" = "+value)
	}
	for name, m := range s.collect(t) {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				add(name, p.Attributes, fmt.Sprint(p.Count))
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				add(name, p.Attributes, fmt.Sprintf("%d, %d bytes", p.Count, p.Sum))
			}
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				add(name, p.Attributes, fmt.Sprint(p.Value))
			}
		default:
			t.Fatalf("%s is a %T", name, m.Data)
		}
	}
	slices.Sort(lines)
	return lines
}

// durations returns the attributes of the requests that were counted as such
// or as streams, in the order of names.
func (s *serverSDK) durations(t testing.TB) []string {
	t.Helper()
	var lines []string
	for _, line := range s.metrics(t) {
		if series, ok := strings.CutPrefix(line, "request.duration: "); ok {
			lines = append(lines, series)
		}
		if series, ok := strings.CutPrefix(line, telemetry.ServerStreamDuration+": "); ok {
			lines = append(lines, "stream "+series)
		}
	}
	return lines
}

// serverSeries tells the complete attributes in short.
func serverSeries(set attribute.Set) string {
	var line []string
	for _, key := range []attribute.Key{
		telemetry.HTTPMethod, telemetry.HTTPRoute, telemetry.HTTPStatusCode, telemetry.ErrorType,
		telemetry.ProtocolVersion, telemetry.URLScheme,
	} {
		if v, ok := set.Value(key); ok {
			line = append(line, v.String())
		}
	}
	for _, kv := range set.ToSlice() {
		switch kv.Key {
		case telemetry.HTTPMethod, telemetry.HTTPRoute, telemetry.HTTPStatusCode, telemetry.ErrorType,
			telemetry.ProtocolVersion, telemetry.URLScheme:
		default:
			line = append(line, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
		}
	}
	return strings.Join(line, " ")
}

// serverRequest is one request to a server on loopback.
type serverRequest struct {
	serve     http.HandlerFunc
	mux       *http.ServeMux // instead of serve
	configure func(*middleware.Config)
	around    func(http.Handler) http.Handler // instead of Handler
	method    string                          // default GET
	path      string                          // default /
	body      string
	header    http.Header
	tls, h2   bool
	send      func(t *testing.T, server *httptest.Server) // instead of all but serve
	log       io.Writer                                   // of net/http
}

// do sends the request and returns when the Handler has returned.
func (q serverRequest) do(t *testing.T, sdk *serverSDK) {
	t.Helper()
	mux := q.mux
	if mux == nil {
		mux = http.NewServeMux()
		mux.Handle("/", q.serve)
	}
	if q.configure == nil {
		q.configure = func(*middleware.Config) {}
	}
	if q.around == nil {
		q.around = func(next http.Handler) http.Handler { return sdk.handler(next, q.configure) }
	}
	handler := q.around(mux)
	done := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		handler.ServeHTTP(w, r)
	}))
	if q.log == nil {
		q.log = io.Discard
	}
	server.Config.ErrorLog = log.New(q.log, "", 0)
	server.EnableHTTP2 = q.h2
	if q.tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	defer server.Close()
	if q.send != nil {
		q.send(t, server)
	} else {
		q.round(t, server)
	}
	select {
	case <-done:
	case <-time.After(serverPatience):
		t.Fatal("the handler does not return")
	}
}

// round sends the request and reads the response, which may be broken.
func (q serverRequest) round(t *testing.T, server *httptest.Server) {
	t.Helper()
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	request, err := http.NewRequestWithContext(t.Context(), cmp.Or(q.method, "GET"), server.URL+cmp.Or(q.path, "/"), body)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, q.header)
	response, err := server.Client().Transport.RoundTrip(request)
	if err != nil {
		return // as after a panic
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

// serverGet handles a GET of the path without a server.
func serverGet(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// serverPanic calls f and returns what it panics with.
func serverPanic(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// serverSpan returns the one span that ended, of the middleware's.
func (s *serverSDK) serverSpan(t testing.TB) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, span := range s.spans.Ended() {
		if span.SpanKind() == trace.SpanKindServer {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		t.Fatalf("got %d server spans, want 1", len(found))
	}
	return found[0]
}

// serverAttributes returns attributes by name, without those of a server's
// address, which differ by run, and without stack traces.
func serverAttributes(attributes []attribute.KeyValue) map[string]string {
	found := map[string]string{}
	for _, kv := range attributes {
		switch kv.Key {
		case "server.address", "server.port", "network.peer.address", "network.peer.port", "client.address", telemetry.ExceptionStacktrace:
		default:
			found[string(kv.Key)] = kv.Value.String()
		}
	}
	return found
}

func serverDiff(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
