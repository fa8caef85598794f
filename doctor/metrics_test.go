package doctor_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

// complaints are the findings that are not ok, as "check level: message".
func complaints(found []doctor.Finding) []string {
	var texts []string
	for _, f := range found {
		if f.Level != doctor.OK {
			texts = append(texts, fmt.Sprintf("%s %s: %s", f.Check, f.Level, f.Message))
		}
	}
	return texts
}

// expected is a finding; text is part of its message.
type expected struct {
	check string
	level doctor.Level
	text  string
}

func expect(t *testing.T, found []doctor.Finding, w expected) {
	t.Helper()
	i := slices.IndexFunc(found, func(f doctor.Finding) bool {
		return f.Check == w.check && f.Level == w.level && strings.Contains(f.Message, w.text)
	})
	switch {
	case i < 0:
		t.Errorf("no %s of %s with %q, but:\n%s", w.level, w.check, w.text, strings.Join(complaints(found), "\n"))
	case w.level != doctor.OK && found[i].Advice == "":
		t.Errorf("no advice: %+v", found[i])
	}
}

// serviceOf is a real one with otelmon, and its configuration of middleware.
func serviceOf(t *testing.T, cfg otelmon.Config) (*otelmon.SDK, middleware.Config) {
	t.Helper()
	cfg.ServiceName = "shop"
	cfg.DisableGlobals = true
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Prometheus = exporters.Prometheus{Address: "localhost:0"}
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = sdk.Shutdown(ctx)
	})
	return sdk, middleware.Config{TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(), Propagator: sdk.Propagator()}
}

// ask sends requests to a handler, as many as there are paths.
func ask(t *testing.T, h http.Handler, paths ...string) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	for _, path := range paths {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if host := r.URL.Query().Get("host"); host != "" {
			r.Host = host
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

func shop() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an order") })
	return mux
}

func TestHealthyService(t *testing.T) {
	t.Parallel()
	sdk, config := serviceOf(t, otelmon.Config{OTLP: exporters.OTLP{Endpoint: "http://" + faultcollector.Start(t).GRPC}})
	ask(t, middleware.Handler(shop(), config), slices.Repeat([]string{"/orders/1234", "/nothing"}, 30)...)
	found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: strings.TrimSuffix(sdk.MetricsURL(), "/metrics")})
	if bad := complaints(found); len(bad) > 0 {
		t.Errorf("a healthy service has\n%s", strings.Join(bad, "\n"))
	}
	for _, w := range []expected{
		{"exemplars", doctor.OK, "lead to traces"},
		{"identity", doctor.OK, `service_name="shop"`},
		{"routes", doctor.OK, "1 routes"},
		{"requests", doctor.OK, "60 HTTP requests"},
		{"openmetrics", doctor.OK, ""},
		{"age", doctor.OK, "runs for"},
	} {
		expect(t, found, w)
	}
}

func TestServiceThatNobodyAsked(t *testing.T) {
	t.Parallel()
	sdk, _ := serviceOf(t, otelmon.Config{DisableOTLP: true})
	found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: sdk.MetricsURL()})
	if bad := complaints(found); len(bad) > 0 {
		t.Errorf("a new service has\n%s", strings.Join(bad, "\n"))
	}
	expect(t, found, expected{"requests", doctor.OK, "no HTTP request"})
	expect(t, found, expected{"exemplars", doctor.OK, "no histogram has counts"})
}

func TestServiceInTrouble(t *testing.T) {
	t.Parallel()
	sdk, config := serviceOf(t, otelmon.Config{DisableOTLP: true, CardinalityLimit: 20, Sampler: sdktrace.NeverSample()})
	handler := middleware.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), config)
	ask(t, handler, "/a", "/b")
	meter := sdk.MeterProvider().Meter("test")
	visits, _ := meter.Int64Counter("visits")
	wait, _ := meter.Float64Histogram("wait", metric.WithUnit("s"))
	wait.Record(t.Context(), math.NaN())
	for i := range 30 {
		visits.Add(t.Context(), 1, metric.WithAttributes(attribute.String("user.email", fmt.Sprintf("ann%d@example.com", i))))
		wait.Record(t.Context(), 100_000)
	}
	_, _ = meter.Int64ObservableGauge("broken", metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error { panic("no") }))
	page := doctor.Config{MetricsURL: sdk.MetricsURL()}
	_ = doctor.Metrics(t.Context(), page) // after which the page tells of the callback
	found := doctor.Metrics(t.Context(), page)
	for _, w := range []expected{
		{"overflow", doctor.Warning, "visits (limit 20)"},
		{"labels", doctor.Failure, "label user_email of visits has 19 values that look like e-mail addresses"},
		{"refused-values", doctor.Warning, "1 values were refused as no measurements (wait 1)"},
		{"callbacks", doctor.Warning, "callbacks failed"},
		{"exemplars", doctor.Warning, "none of 2 spans was sampled"},
		{"routes", doctor.Warning, "none of 2 requests has a route"},
		{"observations", doctor.Warning, "wait_seconds has 30 of 30 above 60, the last"},
	} {
		expect(t, found, w)
	}
	for _, f := range found {
		if strings.Contains(f.Message+f.Advice, "@example") {
			t.Errorf("shows an address: %+v", f)
		}
	}
}

func TestUndelivered(t *testing.T) {
	t.Parallel()
	collector := faultcollector.Start(t)
	collector.Refuse()
	sdk, config := serviceOf(t, otelmon.Config{OTLP: exporters.OTLP{Endpoint: "http://" + collector.GRPC}})
	ask(t, middleware.Handler(shop(), config), "/orders/1")
	later := clockOf(t, sdk.MetricsURL(), 20*time.Second)
	expect(t, doctor.Metrics(t.Context(), doctor.Config{MetricsURL: later}), expected{"delivery-traces", doctor.Failure, "of 1 spans none was delivered"})
}

// clockOf serves a page with another time in the header Date.
func clockOf(t *testing.T, url string, ahead time.Duration) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		again, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, url, http.NoBody)
		again.Header = r.Header.Clone()
		response, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.Header().Set("Content-Encoding", response.Header.Get("Content-Encoding"))
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// What one gets from the SDK, otelhttp and promhttp alone.
func TestServiceWithTheSDKAlone(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	reader, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutCounterSuffixes()) //nolint:staticcheck // which is what makes the trouble
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { _ = meters.Shutdown(context.WithoutCancel(t.Context())) })
	meter := meters.Meter("test")
	duration, _ := meter.Float64Histogram("job.duration", metric.WithUnit("s"))
	runs, _ := meter.Int64Counter("job.runs")
	for range 30 {
		duration.Record(t.Context(), 0.02)
		runs.Add(t.Context(), 1)
	}
	var paths []string
	for i := range 12 {
		paths = append(paths, fmt.Sprintf("/?host=h%d.example.com", i))
	}
	ask(t, otelhttp.NewHandler(http.NotFoundHandler(), "all", otelhttp.WithMeterProvider(meters)), paths...)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: server.URL})
	for _, w := range []expected{
		{"boundaries", doctor.Warning, "job_duration_seconds has those of the SDK for milliseconds (0 to 10000)"},
		{"identity", doctor.Warning, "no series has the label service_name"},
		{"openmetrics", doctor.Warning, "classic format"},
		{"labels", doctor.Warning, "label server_address of http_server_"},
		{"counter-names", doctor.Warning, "job_runs"},
		{"routes", doctor.Warning, "none of 12 requests has a route"},
	} {
		expect(t, found, w)
	}
}

const identityLabels = `service_name="shop",service_instance_id="1",otelmon_metrics_path="otlp"`

func TestPage(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", i)
		}
		return b.String()
	}
	for name, tc := range map[string]struct {
		page string
		want expected
	}{
		"a series that is there twice": {
			"a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n", expected{"duplicate-series", doctor.Failure, "a 1"},
		},
		"a boundary written in two ways": {
			"# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"1.0\"} 1\n", expected{"duplicate-series", doctor.Failure, "a_bucket 1"},
		},
		"an empty label, which is none": {
			"a{x=\"\"} 1\na 2\n", expected{"duplicate-series", doctor.Failure, "a 1"},
		},
		"names that differ in a dot": {
			"{\"a.b\"} 1\na_b 2\n", expected{"duplicate-series", doctor.Failure, "a_b 1"},
		},
		"two values of an identity": {
			"a{service_instance_id=\"1\"} 1\na{service_instance_id=\"2\"} 1\n", expected{"identity", doctor.Warning, "service_instance_id has 2 values"},
		},
		"an identity of some only": {
			"a{service_name=\"shop\"} 1\nb 1\n", expected{"identity", doctor.Warning, "some metrics have no service_name, but others have: b"},
		},
		"a service without a name": {
			"a{service_name=\"unknown_service:shop\"} 1\n", expected{"identity", doctor.Warning, "has no name"},
		},
		"bytes with boundaries of seconds": {
			"# TYPE body_bytes histogram\nbody_bytes_bucket{le=\"0.005\"} 0\nbody_bytes_bucket{le=\"10\"} 0\nbody_bytes_bucket{le=\"+Inf\"} 0\n",
			expected{"boundaries", doctor.Warning, "body_bytes has those of seconds"},
		},
		"all in the first bucket": {
			"# TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"1\"} 30\nwait_seconds_bucket{le=\"5\"} 30\nwait_seconds_bucket{le=\"+Inf\"} 30\nwait_seconds_sum 1.5\nwait_seconds_count 30\n",
			expected{"observations", doctor.Warning, "wait_seconds has all 30 up to 1, the first"},
		},
		"a histogram without boundaries": {
			"# TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"+Inf\"} 30\nwait_seconds_sum 1.5\nwait_seconds_count 30\n",
			expected{"native-histograms", doctor.OK, "wait_seconds"},
		},
		"many label sets":                        {many(1000, `a{x="%d"} 1`), expected{"label-sets", doctor.Warning, "a 1000"}},
		"too many label sets":                    {many(10_000, `a{x="%d"} 1`), expected{"label-sets", doctor.Failure, "a 10000"}},
		"a label of numbers":                     {many(60, `a{user_id="%d"} 1`), expected{"labels", doctor.Warning, "label user_id of a has 60 values that look like numbers"}},
		"a path with a number":                   {`a{http_route="/orders/123"} 1` + "\n", expected{"labels", doctor.Warning, "paths with identifiers"}},
		"a path with a UUID":                     {`a{http_route="/o/9f6438b2-966e-4d7c-a847-79503cc2c575/x"} 1` + "\n", expected{"labels", doctor.Warning, "paths with identifiers"}},
		"UUIDs":                                  {many(3, `a{x="9f6438b2-966e-4d7c-a847-79503cc2c57%d"} 1`), expected{"labels", doctor.Warning, "UUIDs"}},
		"long hexadecimal numbers":               {many(3, `a{x="9f6438b2966e4d7c%d"} 1`), expected{"labels", doctor.Warning, "hexadecimal"}},
		"IP addresses":                           {many(12, `a{client="10.0.0.%d"} 1`), expected{"labels", doctor.Warning, "IP addresses"}},
		"an API key":                             {`a{key="sk-abcdefghijklmnopqrstuv"} 1` + "\n", expected{"labels", doctor.Failure, "credentials"}},
		"the start of the process in the future": {"process_start_time_seconds 9e9\n", expected{"age", doctor.Warning, "in the future"}},
		"requests of no known route": {
			"# TYPE http_server_request_duration_seconds histogram\nhttp_server_request_duration_seconds_count{http_route=\"_OTHER\"} 5\n",
			expected{"routes", doctor.Warning, "none of 5 requests has a route, 5 have _OTHER"},
		},
		"many routes": {
			"# TYPE http_server_request_duration_seconds histogram\n" + many(201, `http_server_request_duration_seconds_count{http_route="/r%d"} 5`),
			expected{"routes", doctor.Warning, "201 routes"},
		},
		"spans that are lost": {
			"# TYPE otel_sdk_processor_span_processed_total counter\notel_sdk_processor_span_processed_total{error_type=\"queue_full\"} 7\notel_sdk_processor_span_processed_total 90\n",
			expected{"delivery-traces", doctor.Warning, "7 spans are lost (queue_full 7)"},
		},
		"log records that wait": {
			fmt.Sprintf("otelmon_export_accepted_total{otelmon_signal=\"logs\"} 9\notel_sdk_exporter_log_exported_total 5\notel_sdk_processor_log_queue_size 4\notelmon_export_last_success_time_seconds{otelmon_signal=\"logs\"} %d\n", time.Now().Unix()-600),
			expected{"delivery-logs", doctor.Failure, "though 4 wait"},
		},
		"scrapes that fail": {
			"otelmon_scrape_failures_total{error_type=\"invalid\"} 3\n", expected{"scrape-failures", doctor.Warning, "3 series or scrapes could not be served (invalid 3)"},
		},
		"a name that a terminal would obey": {
			"{\"a\x1b[31m\"} 1\n{\"a\x1b[31m\"} 1\n", expected{"duplicate-series", doctor.Failure, "a[31m 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, pageFindings(t, "text/plain; version=0.0.4", tc.page), tc.want)
		})
	}
}

func TestPageOfAnotherContentType(t *testing.T) {
	t.Parallel()
	expect(t, pageFindings(t, "application/octet-stream", "a 1\n"), expected{"content-type", doctor.Warning, `"application/octet-stream"`})
}

// pageFindings are those of a page that a server has.
func pageFindings(t *testing.T, contentType, page string) []doctor.Finding {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, page)
	}))
	defer server.Close()
	return doctor.Metrics(t.Context(), doctor.Config{MetricsURL: server.URL})
}

func TestExemplarsThatAreMissing(t *testing.T) {
	t.Parallel()
	const histogram = "# TYPE a histogram\na_bucket{le=\"1\"} 3\na_bucket{le=\"+Inf\"} 5\na_count 5\na_sum 9\n"
	const spans = "# TYPE otel_sdk_span_started counter\n" + `otel_sdk_span_started_total{otel_span_sampling_result="%s"} 8` + "\n"
	for name, tc := range map[string]struct{ page, text string }{
		"no spans":      {histogram, "no span was started"},
		"none sampled":  {histogram + fmt.Sprintf(spans, "DROP"), "none of 8 spans was sampled"},
		"but for spans": {histogram + fmt.Sprintf(spans, "RECORD_AND_SAMPLE"), "although 8 spans were sampled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := pageFindings(t, "application/openmetrics-text; version=1.0.0; charset=utf-8", tc.page+"# EOF\n")
			expect(t, found, expected{"exemplars", doctor.Warning, tc.text})
		})
	}
}

func TestPageThatPrometheusRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		page        string
		openMetrics bool
		text        string
	}{
		"no end":                    {"a 1\n", true, "# EOF is missing"},
		"something after the end":   {"# EOF\na 1\n", true, "line 2 follows # EOF"},
		"an empty line":             {"a 1\n\n# EOF\n", true, "line 2: it has no name"},
		"two spaces":                {"a  1\n# EOF\n", true, "is no number"},
		"no value":                  {"a\n", false, "is no number"},
		"no number":                 {"a{b=\"c\"} one\n", false, `"one" is no number`},
		"a label twice":             {"a{b=\"1\",b=\"2\"} 1\n", false, `the label "b" twice`},
		"a quote that does not end": {"a{b=\"1} 1\n", false, "a quote does not end"},
		"a label without a value":   {"a{b} 1\n", false, `label "b" has no value`},
		"no comma":                  {"a{b=\"1\"c=\"2\"} 1\n# EOF\n", true, "no comma"},
		"a wrong type":              {"# TYPE a number\na 1\n", false, `"number" is no type`},
		"a wrong unit":              {"# TYPE a_seconds gauge\n# UNIT a_seconds bytes\na_seconds 1\n# EOF\n", true, "does not end in its unit"},
		"not UTF-8":                 {"a{b=\"\xff\"} 1\n", false, "not UTF-8"},
		"a time that is none":       {"a 1 noon\n", false, `time "noon"`},
		"an exemplar in classic":    {"a_total 1 # {trace_id=\"1\"} 1\n", false, "time"},
		"a bad exemplar":            {"a_total 1 # {trace_id=\"1\"}\n# EOF\n", true, "its exemplar"},
		"too many series":           {strings.Repeat("a 1\n", 200_001), false, "more than 200000 series"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := "text/plain; version=0.0.4"
			if tc.openMetrics {
				kind = "application/openmetrics-text; version=1.0.0"
			}
			expect(t, pageFindings(t, kind, tc.page), expected{"format", doctor.Failure, tc.text})
		})
	}
}

func FuzzParsePage(f *testing.F) {
	for _, page := range []string{
		"# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\",x=\"\\\\\\\"\\n\"} 1 # {trace_id=\"1\"} 0.5 1.5\na_count 1\na_sum 1\n# EOF\n",
		"{\"a.b\",\"c.d\"=\"e\"} NaN 123\n", "a{b=\"c\",} +Inf\n", "# UNIT a_seconds seconds\n# EOF", "\t # x\n\n a\t{ b = \"c\" } 1 \t2\n", "a{" + identityLabels + "} 1\n",
	} {
		f.Add(page, true)
		f.Add(page, false)
	}
	f.Fuzz(func(t *testing.T, text string, openMetrics bool) {
		found, err := doctor.ParsePage(text, openMetrics)
		for _, finding := range found {
			if len(finding.Message) > 2000 || strings.ContainsAny(finding.Message, "\n\x1b") {
				t.Errorf("%q", finding.Message)
			}
		}
		if err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\x1b")) {
			t.Errorf("%q", err)
		}
	})
}
