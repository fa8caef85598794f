package doctor_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

const mebibyte = 1 << 20

// filled is a text of some bytes: a beginning, as many parts as there is room
// for, joined by commas, and an end.
func filled(bytes int, begin, part, end string) string {
	n := (bytes - len(begin) - len(end)) / (len(part) + 1)
	return begin + strings.TrimSuffix(strings.Repeat(part+",", n), ",") + end
}

// numbered is a text of some bytes of rows with numbers.
func numbered(bytes int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < bytes; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// nested is an expression of names that go as deep as JSON may.
func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, `{"rhs":{"name":"%d"},"lhs":`, i)
	}
	return b.String() + "{}" + strings.Repeat("}", depth)
}

// Answers that are small to send and large to hold, or slow to work on.
func TestBombs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes it slow, and allocates too")
	}
	const (
		most = 8*mebibyte - 1024 // of an API
		page = 31 * mebibyte
		data = `{"status":"success","data":`
	)
	api := func(path, body string) func(*testing.T) doctor.Config {
		return func(t *testing.T) doctor.Config {
			return doctor.Config{PrometheusURL: replay(t, "healthy", map[string]string{path: body}).URL, Service: "shop"}
		}
	}
	expressions := func(n int, parsed string) func(*testing.T) doctor.Config {
		rule := `{"type":"alerting","name":"OtelmonX","query":"` + strings.Repeat("a", 4096) + `"}`
		rules := filled(n*(len(rule)+1)+100, data+`{"groups":[{"name":"otelmon-x","rules":[`, rule, "]}]}}")
		return func(t *testing.T) doctor.Config {
			return doctor.Config{PrometheusURL: replay(t, "healthy", map[string]string{"/api/v1/rules": rules, "/api/v1/parse_query": parsed}).URL, Service: "shop"}
		}
	}
	metrics := func(page string) func(*testing.T) doctor.Config {
		return func(t *testing.T) doctor.Config {
			return doctor.Config{MetricsURL: serve(t, servesText("text/plain; version=0.0.4", page)).URL}
		}
	}
	for name, test := range map[string]struct {
		config func(*testing.T) doctor.Config
		want   expected
	}{
		"labels of one series": {
			metrics("m{" + numbered(page, `a%d="",`) + "} 1\n"), expected{"format", doctor.Failure, "more than 128 labels"},
		},
		"a label again and again": {
			metrics("m{" + strings.Repeat(`a="",`, page/5) + "} 1\n"), expected{"format", doctor.Failure, "more than 128 labels"},
		},
		"labels of many series": {
			metrics(strings.Repeat("m{"+labels(128)+"} 1\n", page/1000)), expected{"duplicate-series", doctor.Failure, "m "},
		},
		"types of metrics": {
			metrics(numbered(page, "# TYPE a%d gauge\n")), expected{"page-size", doctor.Warning, "its first 0 series"},
		},
		"many series": {
			metrics(numbered(page, `m{a="%d",b="the value of an ordinary label",c="another one"} 1`+"\n")), expected{"label-sets", doctor.Failure, "m 200000"},
		},
		"histograms": {
			metrics(numbered(page, "# TYPE a%[1]d histogram\na%[1]d_bucket{le=\"1\"} 1\n")), expected{"page-size", doctor.Warning, "looked at"},
		},
		"long values that look like something": {
			metrics(numbered(page, `m{a="a.%d`+strings.Repeat("a.-", 350)+`"} 1`+"\n")), expected{"labels", doctor.OK, ""},
		},
		"a long name": {
			func(t *testing.T) doctor.Config {
				return doctor.Config{CollectorURL: metrics("otelcol_" + strings.Repeat("a", page) + " 1\n")(t).MetricsURL}
			},
			expected{"format", doctor.Failure, "none of a Collector"},
		},
		"rules, in more bytes than are read": {
			api("/api/v1/rules", filled(page, data+`{"groups":[{"rules":[`, "{}", "]}]}}")), expected{"rules", doctor.OK, "not checked: the answer is too large"},
		},
		"rules": {
			api("/api/v1/rules", filled(most, data+`{"groups":[{"rules":[`, "{}", "]}]}}")), expected{"rules", doctor.OK, "not checked: the answer is too large"},
		},
		"groups of rules": {
			api("/api/v1/rules", filled(most, data+`{"groups":[`, "{}", "]}}")), expected{"rules", doctor.OK, "not checked: the answer is too large"},
		},
		"targets": {
			api("/api/v1/targets", filled(most, data+`{"activeTargets":[`, "{}", "]}}")), expected{"targets", doctor.OK, "not checked: the answer is too large"},
		},
		"targets, in more bytes than are read": {
			api("/api/v1/targets", filled(page, data+`{"activeTargets":[`, "{}", "]}}")), expected{"targets", doctor.OK, "not checked: the answer is too large"},
		},
		"series": {
			api("/api/v1/query_exemplars", filled(most, data+"[", `{"exemplars":[{},{},{}]}`, "]}")), expected{"exemplars", doctor.OK, "not checked: the answer is too large"},
		},
		"flags": {
			api("/api/v1/status/flags", data+"{"+numbered(most, `"%d":"",`)+`"a":""}}`), expected{"configuration", doctor.OK, ""},
		},
		"a configuration": {
			api("/api/v1/status/config", filled(most, data+`{"yaml":"a: [`, "a", `]"}}`)), expected{"configuration", doctor.OK, ""},
		},
		"a configuration that is just small enough": {
			api("/api/v1/status/config", filled(mebibyte, data+`{"yaml":"a: [`, "a", `]"}}`)), expected{"configuration", doctor.OK, ""},
		},
		"expressions": {
			api("/api/v1/parse_query", filled(most, data+`{"args":[`, "{}", "]}}")), expected{"alert-series", doctor.OK, "not checked: the answer is too large"},
		},
		"many expressions of many names": {
			expressions(1000, data+`{"args":[`+numbered(2*mebibyte, `{"name":"%d"},`)+"{}]}}"), expected{"alert-series", doctor.OK, "not checked: the answer is too large"},
		},
		"many expressions of one name that is long": {
			expressions(1000, data+`{"name":"`+strings.Repeat("a", most)+`"}}`), expected{"alert-series", doctor.OK, "not checked: the answer is too large"},
		},
		"an expression that is deep": {
			expressions(10, data+nested(9000)+"}"), expected{"alert-series", doctor.Warning, "1 of 1 alerts cannot fire"},
		},
		"traces": {
			func(t *testing.T) doctor.Config {
				trace := filled(most, `{"trace":{"resourceSpans":[{"scopeSpans":[`, `{"spans":[{},{}]}`, "]}]}}")
				tempo := serve(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, map[bool]string{true: "echo", false: trace}[r.URL.Path == "/api/echo"])
				})
				return doctor.Config{TempoURL: tempo.URL, MetricsURL: pageOf(t, map[string]time.Duration{oldTrace: time.Minute, otherTrace: time.Minute})}
			},
			expected{"trace", doctor.OK, "the traces of 2 exemplars are there"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			quiet().set(t)
			cfg := test.config(t)
			cfg.Timeout = 5 * time.Second
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			report := doctor.Run(t.Context(), cfg)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			allocated := int(after.TotalAlloc-before.TotalAlloc) / mebibyte
			t.Logf("took %v, allocated %d MiB", took, allocated)
			if took > 3*cfg.Timeout || allocated > 1024 {
				t.Errorf("took %v and allocated %d MiB", took, allocated)
			}
			expect(t, report.Findings, test.want)
		})
	}
}
