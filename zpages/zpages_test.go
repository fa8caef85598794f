package zpages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is that of a service with a page and nothing to push to.
func config() otelmon.Config {
	cfg := otelmon.Config{
		ServiceName:    "shop",
		Prometheus:     exporters.Prometheus{Address: "127.0.0.1:0"},
		DisableOTLP:    true,
		DisableGlobals: true,
		Logger:         slog.New(slog.DiscardHandler),
	}
	zpages.Install(&cfg)
	return cfg
}

func setUp(t *testing.T, cfg otelmon.Config) *otelmon.SDK {
	t.Helper()
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sdk.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return sdk
}

// serve answers n requests of /orders/{id}; every tenth fails.
func serve(t *testing.T, sdk *otelmon.SDK, n int) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.PathValue("id"), "9") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	handler := middleware.Handler(mux, middleware.Config{TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider()})
	for i := range n {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, fmt.Sprintf("/orders/%d", i), http.NoBody))
	}
}

// ask sends a request of which change makes something special.
func ask(t *testing.T, method, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	url := zpages.URL(setUp(t, config()))
	root := strings.TrimSuffix(url, "zpages/")
	host := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	tests := map[string]struct {
		method, url string
		change      func(*http.Request)
		status      int
		says        string
	}{
		"the page is HTML": {http.MethodGet, url, nil, 200, "<!doctype html>"},
		"the page can be asked for without its content":    {http.MethodHead, url, nil, 200, ""},
		"the root leads to the page":                       {http.MethodGet, root, nil, 302, ""},
		"the metrics are where they were":                  {http.MethodGet, root + "metrics", nil, 200, "target_info"},
		"what else is below the root is not there":         {http.MethodGet, root + "elsewhere", nil, 404, ""},
		"its files are there":                              {http.MethodGet, url + "uplot.js", nil, 200, "uPlot"},
		"so is the licence of the charts":                  {http.MethodGet, url + "uplot.LICENSE", nil, 200, "MIT License"},
		"a file that is not there":                         {http.MethodGet, url + "nothing.js", nil, 404, ""},
		"nothing leads out of its folder":                  {http.MethodGet, url + "..%2fzpages.go", nil, 404, ""},
		"a trace that is not there":                        {http.MethodGet, url + "trace?id=00", nil, 404, "not here"},
		"data of a window that is known":                   {http.MethodGet, url + "data?window=900&since=0", nil, 200, `"window":900`},
		"data of a window that is not known":               {http.MethodGet, url + "data?window=61", nil, 400, "60, 300 or 900"},
		"data since no number":                             {http.MethodGet, url + "data?since=x", nil, 400, "number"},
		"a route that is not there is no error":            {http.MethodGet, url + "data?route=%3Cscript%3E", nil, 200, `"route_points":null`},
		"nothing can be posted":                            {http.MethodPost, url + "data", nil, 405, "only read"},
		"nothing can be deleted":                           {http.MethodDelete, url, nil, 405, "only read"},
		"a host name that was made to lead here":           {http.MethodGet, url, host("evil.example"), 403, "localhost"},
		"the same for data":                                {http.MethodGet, url + "data", host("evil.example:9464"), 403, "localhost"},
		"a host name that only begins like this machine's": {http.MethodGet, url, host("localhost.evil.example"), 403, "localhost"},
		"a password that nobody asked for is no password": {http.MethodGet, url, func(r *http.Request) {
			r.Host = "evil.example"
			r.SetBasicAuth("ann", "secret")
		}, 403, "localhost"},
		"the host in capitals":           {http.MethodGet, url, host("LOCALHOST:1"), 200, ""},
		"an address as the host":         {http.MethodGet, url, host("127.0.0.1:1"), 200, ""},
		"an address of IPv6 as the host": {http.MethodGet, url, host("[::1]"), 200, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := ask(t, test.method, test.url, test.change)
			if response.StatusCode != test.status {
				t.Errorf("status: got %d, want %d: %s", response.StatusCode, test.status, body)
			}
			if !strings.Contains(body, test.says) {
				t.Errorf("the answer does not say %q: %s", test.says, body)
			}
			if location := response.Header.Get("Location"); test.status == 302 && location != "zpages/" {
				t.Errorf("location: got %q, want one that a path before it does not harm", location)
			}
			if strings.HasPrefix(test.url, url) && !strings.HasPrefix(response.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
				t.Errorf("Content-Security-Policy: got %q", response.Header.Get("Content-Security-Policy"))
			}
		})
	}
}

func TestOtherMachinesNeedAPassword(t *testing.T) {
	t.Parallel()
	const hash = "$2b$04$2aCRpLUSDjmXFpFMD1xpsOEBX1A5oqMOVEBa0HKYi4q7n8MKeuaTe" // of the password below
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("basic_auth_users:\n  ann: "+hash+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	password := func(r *http.Request) { r.SetBasicAuth("ann", "secret") }
	tests := map[string]struct {
		address, file string
		change        func(*http.Request)
		status        int
	}{
		"on all addresses without one":   {":0", "", nil, 403},
		"on all addresses with one":      {":0", file, password, 200},
		"on all addresses without using": {":0", file, nil, 401},
		"on loopback without one":        {"127.0.0.1:0", "", nil, 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config()
			cfg.Prometheus.Address, cfg.Prometheus.WebConfigFile = test.address, test.file
			sdk := setUp(t, cfg)
			if shown := zpages.URL(sdk) != ""; shown != (test.status != 403) {
				t.Errorf("address of the page: got %q", zpages.URL(sdk))
			}
			response, body := ask(t, http.MethodGet, strings.TrimSuffix(sdk.MetricsURL(), "metrics")+"zpages/data", test.change)
			if response.StatusCode != test.status {
				t.Errorf("status: got %d, want %d: %s", response.StatusCode, test.status, body)
			}
		})
	}
}

// data is the part of the answer that the tests look at.
type data struct {
	Seq    int64
	Total  struct{ Requests, Errors int64 }
	Points struct{ Age []float64 }
	Routes []struct {
		Key               string
		Requests          int64
		Sampled, P50, P99 *float64
	}
	Traces   struct{ Errors []struct{ ID, Name string } }
	Identity []struct{ Name, Value string }
	Settings []struct{ Name, Value, Origin string }
	Scrape   struct{ URL string }
}

func read(t *testing.T, url string) data {
	t.Helper()
	_, body := ask(t, http.MethodGet, url, nil)
	var d data
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return d
}

// readUntil asks as a browser does, until it sees what it waits for.
func readUntil(t *testing.T, url string, seen func(data) bool) data {
	t.Helper()
	deadline := time.After(20 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		d := read(t, url)
		if seen(d) {
			return d
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("not seen in time: %+v", d)
		}
	}
}

func TestPageShowsWhatTheServiceDid(t *testing.T) {
	t.Parallel()
	sdk := setUp(t, config())
	serve(t, sdk, 50)
	d := readUntil(t, zpages.URL(sdk)+"data", func(d data) bool { return d.Total.Requests == 50 && len(d.Points.Age) > 1 })
	if d.Total.Errors != 5 {
		t.Errorf("errors: got %d, want 5", d.Total.Errors)
	}
	if len(d.Routes) != 1 || d.Routes[0].Key != "GET /orders/{id}" || d.Routes[0].P99 == nil {
		t.Fatalf("routes: got %+v, want GET /orders/{id} with percentiles", d.Routes)
	}
	if sampled := d.Routes[0].Sampled; sampled == nil || *sampled != 1 {
		t.Errorf("sampled share: got %v, want 1", sampled)
	}
	if len(d.Traces.Errors) == 0 || d.Traces.Errors[0].Name != "GET /orders/{id}" {
		t.Fatalf("errors: got %+v, want those of GET /orders/{id}", d.Traces.Errors)
	}
	_, trace := ask(t, http.MethodGet, zpages.URL(sdk)+"trace?id="+d.Traces.Errors[0].ID, nil)
	if !strings.Contains(trace, `"http.response.status_code"`) {
		t.Errorf("the trace does not tell the status: %s", trace)
	}
	if d.Scrape.URL != sdk.MetricsURL() {
		t.Errorf("metrics: got %q, want %q", d.Scrape.URL, sdk.MetricsURL())
	}
}

func TestPageSaysWhoTheServiceIs(t *testing.T) {
	t.Parallel()
	d := read(t, zpages.URL(setUp(t, config()))+"data")
	identity := map[string]string{}
	for _, fact := range d.Identity {
		identity[fact.Name] = fact.Value
	}
	if identity["service.name"] != "shop" || identity["service.instance.id"] == "" {
		t.Errorf("identity: got %v", identity)
	}
	origins := map[string]string{}
	for _, s := range d.Settings {
		origins[s.Name] = s.Origin + " " + s.Value
	}
	if diff := cmp.Diff("code shop", origins["OTEL_SERVICE_NAME"]); diff != "" {
		t.Errorf("setting (-want +got):\n%s", diff)
	}
}

func TestPointsAreSentOnce(t *testing.T) {
	t.Parallel()
	url := zpages.URL(setUp(t, config())) + "data"
	first := readUntil(t, url, func(d data) bool { return len(d.Points.Age) > 0 })
	later := readUntil(t, fmt.Sprint(url, "?since=", first.Seq), func(d data) bool { return d.Seq > first.Seq })
	if got, want := int64(len(later.Points.Age)), later.Seq-first.Seq; got != want {
		t.Errorf("points since %d: got %d, want %d", first.Seq, got, want)
	}
}

func TestTwoPagesInOneProcess(t *testing.T) {
	t.Parallel()
	one, other := setUp(t, config()), setUp(t, config())
	serve(t, one, 3)
	serve(t, other, 7)
	for sdk, want := range map[*otelmon.SDK]int64{one: 3, other: 7} {
		readUntil(t, zpages.URL(sdk)+"data", func(d data) bool { return d.Total.Requests == want })
	}
}

func TestAPageIsOfOneSDK(t *testing.T) {
	t.Parallel()
	cfg := config()
	for _, want := range []string{"", "accepted: a Config that zpages.Install was called with for this one"} {
		sdk, err := otelmon.Setup(t.Context(), cfg)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("error: got %v, want %q", err, want)
		}
		_ = sdk.Shutdown(t.Context()) // the second says that the reader has ended
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	own := http.NotFoundHandler()
	tests := map[string]struct {
		cfg      otelmon.Config
		times    int
		patterns int
	}{
		"adds the page and leads the root to it": {otelmon.Config{}, 1, 2},
		"does so once":                           {otelmon.Config{}, 2, 2},
		"leaves a root that there is":            {otelmon.Config{Prometheus: exporters.Prometheus{Handlers: map[string]http.Handler{"/": own}}}, 1, 2},
		"leaves a page that there is":            {otelmon.Config{Prometheus: exporters.Prometheus{Handlers: map[string]http.Handler{"/zpages/": own}}}, 1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := test.cfg.Prometheus.Handlers
			length := len(before)
			for range test.times {
				zpages.Install(&test.cfg)
			}
			if got := len(test.cfg.Prometheus.Handlers); got != test.patterns {
				t.Errorf("patterns: got %d, want %d", got, test.patterns)
			}
			if len(before) != length {
				t.Errorf("the caller's map was changed: %v", before)
			}
		})
	}
	zpages.Install(nil) // does nothing
}

func TestNoPageWithoutAListener(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Prometheus.DisableListener = true
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "Handlers are not served") {
		t.Errorf("error: got %v, want that handlers are not served", err)
	}
	if got := zpages.URL(sdk); got != "" {
		t.Errorf("address: got %q, want none", got)
	}
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func ExampleInstall() {
	cfg := otelmon.Config{
		ServiceName: "shop",
		Prometheus:  exporters.Prometheus{Address: "localhost:0"},
		DisableOTLP: true,
		Logger:      slog.New(slog.DiscardHandler),
	}
	zpages.Install(&cfg)
	sdk, err := otelmon.Setup(context.Background(), cfg)
	if err != nil {
		slog.Error("telemetry is not complete", "error", err)
	}
	defer func() { _ = sdk.Shutdown(context.Background()) }()

	response, err := http.Get(zpages.URL(sdk))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status, response.Header.Get("Content-Type"))
	// Output: 200 OK text/html; charset=utf-8
}
