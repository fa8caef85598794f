package middleware_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
)

// rawSetup returns an SDK as a service has it, without network.
func rawSetup(t testing.TB, cfg otelmon.Config) *otelmon.SDK {
	t.Helper()
	cfg.ServiceName = "raw"
	cfg.DisableGlobals, cfg.DisableOTLP = true, true
	cfg.Prometheus = exporters.Prometheus{DisableListener: true}
	cfg.Logger = slog.New(slog.DiscardHandler)
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sdk.Shutdown(t.Context()) }) // nothing is pushed
	return sdk
}

func rawConfigOf(sdk *otelmon.SDK) middleware.Config {
	return middleware.Config{TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(), Propagator: sdk.Propagator()}
}

// rawSeries returns the lines of the metrics page that are series, by their beginning.
func rawSeries(t testing.TB, sdk *otelmon.SDK, beginning string) (lines []string) {
	t.Helper()
	page := httptest.NewRecorder()
	sdk.MetricsHandler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if page.Code != http.StatusOK {
		t.Fatalf("the metrics page has status %d: %s", page.Code, page.Body)
	}
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, beginning) {
			lines = append(lines, line)
		}
	}
	return lines
}

// rawClient makes up requests, as a hostile client does.
type rawClient struct {
	*rand.Rand

	w       rawHTTP1
	request http.Request
	url     url.URL
}

func newRawClient(seed uint64) *rawClient {
	return &rawClient{
		Rand:    rand.New(rand.NewPCG(seed, 1)),
		w:       rawHTTP1{header: http.Header{}},
		request: http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, RemoteAddr: "192.0.2.1:1"},
	}
}

func (c *rawClient) next() *http.Request {
	word := strconv.FormatUint(c.Uint64(), 36)
	r := &c.request
	r.Method = []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", word}[c.IntN(8)]
	r.Host = word + ".example"
	c.url = url.URL{Path: []string{"/orders/", "/failing/", "/other/", "/"}[c.IntN(4)] + word}
	r.URL, r.RequestURI = &c.url, c.url.Path
	r.Header["User-Agent"] = []string{word}
	r.Header["Traceparent"] = []string{[]string{
		fmt.Sprintf("00-%016x%016x-%016x-0%d", c.Uint64(), c.Uint64(), c.Uint64(), c.IntN(2)), word, "",
	}[c.IntN(3)]}
	return r
}

// send sends requests and takes what comes.
func (c *rawClient) send(h http.Handler, requests int) {
	for range requests {
		c.w.reset()
		h.ServeHTTP(&c.w, c.next())
	}
}

func rawHeap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers held in the first
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Not parallel: it measures the heap of the process.
func TestAMillionDifferentRequestsMakeNoFurtherSeries(t *testing.T) {
	const first, mostGrowth = 10_000, 8 << 20
	requests := 1_000_000
	if testing.Short() || rawRaceDetector {
		requests /= 10
	}
	sdk := rawSetup(t, otelmon.Config{Sampler: sampling.Ratio(1e-4)})
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }
	mux.HandleFunc("/orders/{id}", ok)
	mux.HandleFunc("/failing/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("GET /other/{id}", ok)
	mux.HandleFunc("GET /late/{id}", ok)
	h := middleware.Handler(mux, rawConfigOf(sdk))

	newRawClient(0).send(h, first)
	series, heap := len(rawSeries(t, sdk, "")), rawHeap()
	var clients sync.WaitGroup
	for i := range 2 {
		clients.Go(func() { newRawClient(uint64(i+1)).send(h, (requests-first)/2) })
	}
	clients.Wait()
	growth := rawHeap() - heap
	t.Logf("%d requests made %d lines of metrics; the heap grew by %d KiB", requests, series, growth>>10)
	if got := len(rawSeries(t, sdk, "")); got != series {
		t.Errorf("after %d requests there are %d lines of metrics, %d after the first %d", requests, got, series, first)
	}
	if growth > mostGrowth {
		t.Errorf("the heap grew by %d bytes", growth)
	}

	late := httptest.NewRequest(http.MethodGet, "/late/1", http.NoBody)
	h.ServeHTTP(httptest.NewRecorder(), late)
	lines := rawSeries(t, sdk, "http_server_request_duration_seconds_count{")
	counted := 0
	for _, line := range lines {
		if strings.Contains(line, `http_route="/late/{id}"`) && strings.HasSuffix(line, " 1\n") {
			counted++
		}
	}
	if counted != 1 {
		t.Errorf("the route that is used for the first time is not counted under its name:\n%s", strings.Join(lines, ""))
	}
}
