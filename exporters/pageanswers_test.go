package exporters_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/exporters"
)

func TestNegotiation(t *testing.T) {
	t.Parallel()
	const text, openMetrics, protobuf = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8",
		"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	tests := map[string]struct {
		accept, encoding string
		wantType         string
		wantGzip         bool
	}{
		"nothing":                     {"", "", text, false},
		"a browser":                   {"text/html,*/*;q=0.8", "gzip, deflate, br", text, true},
		"Prometheus 3":                {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "gzip", openMetrics, true},
		"native histograms":           {acceptProtobuf + ";q=0.8," + acceptOpenMetrics + ";q=0.5", "gzip", protobuf, true},
		"another escaping":            {acceptOpenMetrics + "; escaping=dots", "", openMetrics, false},
		"protobuf as text":            {"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text", "", text, false},
		"gzip unwanted":               {"text/plain", "gzip;q=0, *", text, false},
		"gzip unwanted, with a space": {"text/plain", "gzip; q=0.000", text, false},
		"gzip in capitals, weighed":   {"text/plain", "br;q=1, GZIP;q=0.1", text, true},
		"gzip weighed by nonsense":    {"text/plain", "gzip;q=x", text, false},
	}
	server, provider := handler(t, nil)
	record(t, provider)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/metrics?name[]=none", http.NoBody)
			r.Header.Set("Accept", test.accept)
			r.Header.Set("Accept-Encoding", test.encoding)
			server.Handler().ServeHTTP(answer, r)
			header := answer.Header()
			if got := header.Get("Content-Type"); got != test.wantType+"; escaping=underscores" {
				t.Errorf("got type %q, want %q", got, test.wantType)
			}
			if got := header.Get("Content-Encoding"); (got == "gzip") != test.wantGzip || got != "" && got != "gzip" {
				t.Errorf("got encoding %q, want gzip %v", got, test.wantGzip)
			}
			if got := header.Get("Content-Length"); got != fmt.Sprint(answer.Body.Len()) {
				t.Errorf("got length %s of %d bytes", got, answer.Body.Len())
			}
			if body := unpack(t, answer); !strings.Contains(body, "orders_total") {
				t.Errorf("got page %q", body)
			}
		})
	}
}

func unpack(tb testing.TB, answer *httptest.ResponseRecorder) string {
	tb.Helper()
	var body io.Reader = bytes.NewReader(answer.Body.Bytes())
	if answer.Header().Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			tb.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestMethods(t *testing.T) {
	t.Parallel()
	server, provider := serve(t, exporters.Prometheus{})
	record(t, provider)
	for method, want := range map[string]int{
		http.MethodGet: http.StatusOK, http.MethodHead: http.StatusOK,
		http.MethodPost: http.StatusMethodNotAllowed, http.MethodOptions: http.StatusMethodNotAllowed, "QUERY": http.StatusMethodNotAllowed,
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(patience(t), method, server.URL(), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != want {
				t.Errorf("got status %d (%v), want %d", response.StatusCode, err, want)
			}
			if want == http.StatusOK && response.ContentLength <= 0 || (len(body) == 0) != (method == http.MethodHead) {
				t.Errorf("got length %d and %d bytes", response.ContentLength, len(body))
			}
			if allow := response.Header.Get("Allow"); (allow == "GET, HEAD") != (want == http.StatusMethodNotAllowed) {
				t.Errorf("got Allow %q", allow)
			}
		})
	}
}

func TestAPanickingCallbackFailsTheScrapeAlone(t *testing.T) {
	t.Parallel()
	log := newLines()
	server, provider := serve(t, exporters.Prometheus{Logger: slog.New(log)})
	failures := failuresOf(t, server)
	var calm atomic.Bool
	gauge(t, provider, func() int64 {
		if !calm.Load() {
			panic("secret of the service")
		}
		return 1
	})
	for range 3 {
		got, err := get(t, server.URL(), "", "", nil)
		if err != nil || got.status != http.StatusInternalServerError || strings.Contains(got.body, "secret") {
			t.Errorf("got status %d (%v) and %q, want 500 without the reason", got.status, err, got.body)
		}
	}
	calm.Store(true)
	checkBody(t, scrape(t, server, "").body, "value{")
	checkFailures(t, failures, map[string]int64{"panic": 3})
	if got := log.with(""); len(got) != 1 || !strings.Contains(got[0], "ERROR otelmon: collecting metrics panicked") || !strings.Contains(got[0], "secret of the service") {
		t.Errorf("got lines %q, want 1", got)
	}
}

// FuzzScrape sends any request.
func FuzzScrape(f *testing.F) {
	f.Add("GET", "/metrics", "", "", "", "")
	f.Add("GET", "/metrics", acceptOpenMetrics, "gzip", "", "")
	f.Add("HEAD", "/metrics?name[]=a&x=%zz", acceptOpenMetrics, "gzip", "Range", "bytes=1-2")
	f.Add("GET", "/metrics", acceptProtobuf+";escaping=values", "gzip;q=0, identity;q=0", "If-None-Match", "*")
	f.Add("POST", "/", "a/b;q=x,,;=,*/*;version", "gzip;q=1e999", "X-HTTP-Method-Override", "GET")
	f.Add("PRI", "*", "application/openmetrics-text;version=\xff", "\x00", "Expect", "100-continue")
	server, err := exporters.Prometheus{DisableListener: true, Logger: slog.New(slog.DiscardHandler)}.Start(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(server.Reader))
	f.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	recordMany(f, provider, 3)
	counter, err := provider.Meter("bad").Int64Counter("bad", metric.WithDescription("\xff"))
	if err != nil {
		f.Fatal(err)
	}
	counter.Add(f.Context(), 1, metric.WithAttributes(attribute.String("user", "\xff")))
	counter.Add(f.Context(), 1)
	f.Fuzz(func(t *testing.T, method, url, accept, encoding, name, value string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Method, r.RequestURI, r.URL.Path = method, url, url
		_, r.URL.RawQuery, _ = strings.Cut(url, "?")
		r.Header = http.Header{"Accept": {accept}, "Accept-Encoding": {encoding}}
		r.Header.Add(name, value)
		answer := httptest.NewRecorder()
		server.Handler().ServeHTTP(answer, r)
		switch {
		case method != http.MethodGet && method != http.MethodHead:
			if answer.Code != http.StatusMethodNotAllowed {
				t.Errorf("got status %d", answer.Code)
			}
		case answer.Code != http.StatusOK:
			t.Errorf("got status %d", answer.Code)
		case method == http.MethodGet:
			body := unpack(t, answer)
			if strings.HasPrefix(answer.Header().Get("Content-Type"), "application/openmetrics-text") {
				var whole bool // expfmt has no parser, and this end alone in it no text has
				if body, whole = strings.CutSuffix(body, "# EOF\n"); !whole {
					t.Errorf("the end of the page is missing:\n%s", body)
				}
				body = strings.ReplaceAll(body, "bad counter", "bad_total counter")
				answer.Header().Set("Content-Type", string(expfmt.FmtText))
			}
			got := families(t, page{answer.Code, answer.Header(), body})
			if len(got["duration_seconds"].GetMetric()) != 3 || len(got["bad_total"].GetMetric()) != 1 {
				t.Errorf("got %v", got)
			}
		}
	})
}
