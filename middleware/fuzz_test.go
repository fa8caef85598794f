package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/otlp"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

// rawEncoder encodes spans as the exporter of the toolkit does, and keeps how many a Collector
// could read and the errors.
type rawEncoder struct {
	mu    sync.Mutex
	spans int
	err   error
}

func (*rawEncoder) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (*rawEncoder) Shutdown(context.Context) error                  { return nil }
func (*rawEncoder) ForceFlush(context.Context) error                { return nil }

func (e *rawEncoder) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	var encoder otlp.Encoder
	message, _ := encoder.AppendSpan(nil, span)
	item := otlp.Item{Origin: encoder.NewOrigin(span.Resource(), span.InstrumentationScope()), Message: message}
	var request traces.ExportTraceServiceRequest
	err := proto.Unmarshal(otlp.AppendRequest(nil, []otlp.Item{item}), &request)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = errors.Join(e.err, err)
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			e.spans += len(scope.Spans)
		}
	}
}

// take returns what happened since the last call.
func (e *rawEncoder) take() (spans int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	spans, err, e.spans, e.err = e.spans, e.err, 0, nil
	return spans, err
}

// rawAnyRequest is a request with the texts as they are, also where net/http would refuse them.
func rawAnyRequest(method, target, host, headers string) *http.Request {
	r := &http.Request{
		Method: method, Host: host, RequestURI: target, URL: &url.URL{Path: target}, Header: http.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, RemoteAddr: "192.0.2.1:1",
	}
	if parsed, err := url.ParseRequestURI(target); err == nil {
		r.URL = parsed
	}
	for line := range strings.Lines(headers) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

func rawFuzzMux() *http.ServeMux {
	mux := rawBusyMux()
	mux.HandleFunc("/any/{rest...}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.PathValue("rest")) })
	mux.HandleFunc("raw.test/", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// rawScrape fails unless the page of metrics has status 200 and is what its Content-Type says.
func rawScrape(t *testing.T, sdk *otelmon.SDK, accept string) {
	t.Helper()
	page, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", accept)
	sdk.MetricsHandler().ServeHTTP(page, r)
	if page.Code != http.StatusOK {
		t.Fatalf("the metrics page has status %d: %s", page.Code, page.Body)
	}
	families := 0
	for decoder := expfmt.NewDecoder(page.Body, expfmt.ResponseFormat(page.Header())); ; families++ {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the metrics page cannot be parsed: %v", err)
		}
	}
	if families == 0 {
		t.Fatal("the metrics page is empty")
	}
}

// FuzzHandler sends any request through two Handlers: after each the page of metrics can be
// parsed, and the spans can be sent.
func FuzzHandler(f *testing.F) {
	f.Add("GET", "/ok/1", "example.com", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nTracestate: ot=th:8")
	f.Add("G\xffT", "/any/\xff\xfe", "\xff:port", "User-Agent: \xff\nX-Forwarded-For: \xff\nBaggage: \xff=\xff,a=b")
	f.Add("", "", "", "")
	f.Add("CONNECT", "*", "[::1]:99999999", "Traceparent: 00-00-00-00\nTraceparent: x")
	f.Add("GET", "/panic", "raw.test", "Upgrade: \x00")
	f.Add("POST", "//../any/%2e%2e/\n", "raw.test:", "Content-Length: -1\nTracestate: "+strings.Repeat("a=b,", 50))
	f.Add("GET", "/stream?q=\xff", "a b", "Server-Timing: x\nAccept: text/event-stream")
	encoder := &rawEncoder{}
	// The processor runs in the goroutine that ends a span, so that each input answers for its own.
	sdk := rawSetup(f, otelmon.Config{
		DisableRuntimeMetrics: true, DisableProcessMetrics: true, ForcedPerSecond: -1,
		SpanProcessors: []sdktrace.SpanProcessor{encoder},
	})
	cfg := rawConfigOf(sdk)
	cfg.TraceResponse = true
	public := cfg
	public.Public = true
	trusting, edge := middleware.Handler(rawFuzzMux(), cfg), middleware.Handler(rawFuzzMux(), public)
	executions := 0

	f.Fuzz(func(t *testing.T, method, target, host, headers string) {
		panicked := rawServe(trusting, httptest.NewRecorder(), rawAnyRequest(method, target, host, headers))
		if _, ours := panicked.([]int); panicked != nil && !ours {
			t.Fatalf("panic: %v", panicked)
		}
		if _, err := encoder.take(); err != nil {
			t.Fatalf("spans cannot be sent: %v", err)
		}
		panicked = rawServe(edge, httptest.NewRecorder(), rawAnyRequest(method, target, host, headers))
		if _, ours := panicked.([]int); panicked != nil && !ours {
			t.Fatalf("panic at the edge: %v", panicked)
		}
		// At the edge each request is a root, and every root is sampled.
		spans, err := encoder.take()
		if err != nil {
			t.Fatalf("spans at the edge cannot be sent: %v", err)
		}
		if spans != 1 {
			t.Fatalf("%d spans at the edge, want 1", spans)
		}
		// A page costs more than a hundred requests. A bad series would stay on it.
		if executions++; executions <= 10 || executions%200 == 0 {
			rawScrape(t, sdk, "text/plain")
			rawScrape(t, sdk, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
		}
	})
}
