package doctor_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

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
		"lines of Windows":          {"# TYPE a summary\r\n", false, "line 1: it ends in CR LF"},
		"too many labels of one":    {"a{" + labels(129) + "} 1\n", false, "more than 128 labels"},
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

// labels are n of them, with different names.
func labels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="",`, i)
	}
	return b.String()
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
