package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/proxy"
)

// patience is how long a test waits for what happens at once.
const patience = 20 * time.Second

// proxied is a proxy that serves on loopback, with an SDK in memory.
type proxied struct {
	*httptest.Server

	proxy  *proxy.Proxy
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
	logged *output
}

// newProxied serves the configuration. Each function changes the server before
// it starts, or starts it.
func newProxied(t testing.TB, cfg proxy.Config, start ...func(*httptest.Server)) *proxied {
	t.Helper()
	p := &proxied{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder(), logged: &output{}}
	cfg.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(p.reader))
	cfg.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p.spans))
	cfg.Logger = slog.New(slog.NewTextHandler(p.logged, nil))
	var err error
	if p.proxy, err = proxy.New(cfg); err != nil {
		t.Fatal(err)
	}
	p.Server = newServer(t, p.proxy, start...)
	p.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(p.logged, nil), slog.LevelError)
	t.Cleanup(p.proxy.Close)
	return p
}

// to returns the configuration with one upstream under "/".
func to(url string) proxy.Config {
	return proxy.Config{Upstreams: []proxy.Upstream{{URL: url, Name: "api"}}}
}

// newServer serves on loopback until the test ends.
func newServer(t testing.TB, handler http.Handler, start ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	for _, f := range start {
		f(server)
	}
	if server.URL == "" {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func withHTTP2(server *httptest.Server) {
	server.EnableHTTP2 = true
	server.StartTLS()
}

// output takes log lines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// series returns "attributes = value" for each series of a metric: how often it
// was recorded, or its sum. Addresses are left out.
func (p *proxied) series(t testing.TB, name string) []string {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := p.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var lines []string
	add := func(set attribute.Set, value any) {
		var line []string
		for _, kv := range set.ToSlice() {
			if kv.Key != "server.address" && kv.Key != "server.port" && kv.Key != "url.scheme" && kv.Key != "network.protocol.version" {
				line = append(line, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
			}
		}
		lines = append(lines, fmt.Sprintf("%s = %v", strings.Join(line, " "), value))
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					add(point.Attributes, point.Count)
				}
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					add(point.Attributes, point.Value)
				}
			default:
				t.Fatalf("%s is a %T", name, m.Data)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// eventually returns the series once there are as many as wanted: what is told
// of a request is there only after its client has all of the response.
func (p *proxied) eventually(t testing.TB, name string, want ...string) {
	t.Helper()
	var got []string
	until(t, "metrics", func() bool {
		got = p.series(t, name)
		return len(got) >= len(want)
	})
	same(t, name, want, got)
}

// until waits for a condition.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waiting for %s", what)
		}
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatalf("waiting for %s", what)
		panic("unreachable")
	}
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// conn is a client's connection, to which a test writes what it likes.
type conn struct {
	*net.TCPConn

	t      testing.TB
	reader *bufio.Reader
}

func dial(t testing.TB, url string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &conn{c.(*net.TCPConn), t, bufio.NewReader(c)}
}

func (c *conn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, text); err != nil {
		c.t.Fatal(err)
	}
}

// head reads the header of a response to a request with the method.
func (c *conn) head(method string) *http.Response {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading the response: %v", err)
	}
	return response
}

// read reads as many bytes of it.
func (c *conn) read(r io.Reader, n int) string {
	c.t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		c.t.Fatalf("reading %d bytes: %v", n, err)
	}
	return string(p)
}

// get requests a URL and returns status and body.
func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}
