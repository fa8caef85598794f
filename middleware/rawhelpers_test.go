package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
)

// rawSDK is a real SDK in memory.
type rawSDK struct {
	middleware.Config

	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
}

// newRawSDK returns one that samples roots by the sampler and rescues what fails.
func newRawSDK(root sdktrace.Sampler) *rawSDK {
	s := &rawSDK{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	s.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	s.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	limits := tracer.Limits{ForcedPerSecond: math.Inf(1), RescuesPerSecond: math.Inf(1), SlowerThan: time.Hour}
	s.TracerProvider = tracer.New(sdktrace.ParentBased(root), limits, sdktrace.WithSpanProcessor(s.spans))
	return s
}

func (s *rawSDK) metrics(t testing.TB) map[string]metricdata.Aggregation {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	byName := map[string]metricdata.Aggregation{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m.Data
		}
	}
	return byName
}

// records returns what was recorded of requests, one line for each series: how many, of what
// kind and outcome, and the bytes of their responses.
func (s *rawSDK) records(t testing.TB) []string {
	t.Helper()
	metrics := s.metrics(t)
	sizes := map[attribute.Distinct]int64{}
	if size, ok := metrics[telemetry.ServerResponseBodySize].(metricdata.Histogram[int64]); ok {
		for _, p := range size.DataPoints {
			sizes[p.Attributes.Equivalent()] = p.Sum
		}
	}
	var lines []string
	for name, kind := range map[string]string{telemetry.ServerDuration: "", telemetry.ServerStreamDuration: " stream"} {
		durations, _ := metrics[name].(metricdata.Histogram[float64])
		for _, p := range durations.DataPoints {
			line := fmt.Sprintf("%d%s", p.Count, kind)
			for _, key := range []attribute.Key{telemetry.HTTPMethod, telemetry.HTTPRoute, telemetry.HTTPStatusCode, telemetry.ErrorType} {
				if v, ok := p.Attributes.Value(key); ok {
					line += " " + v.String()
				}
			}
			lines = append(lines, fmt.Sprintf("%s, %d bytes", line, sizes[p.Attributes.Equivalent()]))
		}
	}
	slices.Sort(lines)
	return lines
}

// active returns the number of requests that are being handled, for all methods.
func (s *rawSDK) active(t testing.TB) (sum int64) {
	t.Helper()
	active, _ := s.metrics(t)[telemetry.ServerActiveRequests].(metricdata.Sum[int64])
	for _, p := range active.DataPoints {
		sum += p.Value
	}
	return sum
}

// rawServer serves h until the test ends, quietly, and returns its address.
func rawServer(t testing.TB, h http.Handler, configure ...func(*httptest.Server)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, f := range configure {
		f(server)
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// rawServerForOne is rawServer for one request; wait returns when h has.
func rawServerForOne(t *testing.T, h http.Handler, configure ...func(*httptest.Server)) (address string, wait func()) {
	t.Helper()
	done := make(chan struct{})
	address = rawServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}), configure...)
	return address, func() {
		t.Helper()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the request did not reach the handler, or never left it")
		}
	}
}

var rawDate = regexp.MustCompile(`Date: [^\r]*\r\n`)

// rawExchange sends the bytes and returns all that comes back until the server closes, without dates.
func rawExchange(t testing.TB, address, request string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		_, _ = io.WriteString(conn, request) // the server may have had enough before the end
	}()
	response, _ := io.ReadAll(conn) // a reset is an end too
	<-stop
	return rawDate.ReplaceAllString(string(response), "")
}

// rawGet is a request for a path, after which the server is to close.
func rawGet(path string, headers ...string) string { return rawRequest("GET", path, "", headers...) }

func rawRequest(method, target, body string, headers ...string) string {
	head := append([]string{method + " " + target + " HTTP/1.1", "Host: raw.test", "Connection: close"}, headers...)
	return strings.Join(head, "\r\n") + "\r\n\r\n" + body
}

// rawHTTP1 is a ResponseWriter with all that the one of net/http's server for HTTP/1 has. It
// keeps the status code and counts bytes.
type rawHTTP1 struct {
	header http.Header
	status int
	bytes  int64
}

func (w *rawHTTP1) Header() http.Header { return w.header }

func (w *rawHTTP1) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
}

func (w *rawHTTP1) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.bytes += int64(len(p))
	return len(p), nil
}

func (w *rawHTTP1) WriteString(s string) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.bytes += int64(len(s))
	return len(s), nil
}

func (w *rawHTTP1) ReadFrom(src io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, src)
}

func (w *rawHTTP1) Flush()                           { w.WriteHeader(http.StatusOK) }
func (w *rawHTTP1) FlushError() error                { w.WriteHeader(http.StatusOK); return nil }
func (w *rawHTTP1) CloseNotify() <-chan bool         { return nil }
func (w *rawHTTP1) SetReadDeadline(time.Time) error  { return nil }
func (w *rawHTTP1) SetWriteDeadline(time.Time) error { return nil }
func (w *rawHTTP1) EnableFullDuplex() error          { return nil }

func (w *rawHTTP1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}

// reset makes the writer ready for the next response.
func (w *rawHTTP1) reset() {
	clear(w.header)
	w.status, w.bytes = 0, 0
}
