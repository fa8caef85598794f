package doctor_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/otelmon/toolkit/doctor"
)

const (
	oldTrace   = "0af7651916cd43dd8448eb211c80319c"
	otherTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	youngTrace = "00000000000000000000000000000abc"
)

// traceOf is a trace with two spans as OTLP has it in JSON.
func traceOf(t *testing.T, id string) string {
	t.Helper()
	traceID, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	span := func(name string, id byte) *trace.Span {
		return &trace.Span{TraceId: traceID, SpanId: []byte{1, 2, 3, 4, 5, 6, 7, id}, Name: name, Kind: trace.Span_SPAN_KIND_SERVER}
	}
	body, err := protojson.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{
			Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "shop"}},
		}}},
		ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{span("GET /products/{id}", 1), span("stock", 2)}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// tempoOf speaks the part of Tempo's API that finds a trace by its ID, in its
// second version, or in its first only. There is no Tempo that could be built for
// tests.
func tempoOf(t *testing.T, secondVersion bool, traces ...string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/echo", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "echo") })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.HandleFunc("GET /api/status/buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"version":"2.10.8","revision":"f7a8b14","branch":"HEAD","goVersion":"go1.26"}`)
	})
	path, format := "GET /api/traces/", "%s"
	if secondVersion {
		path, format = "GET /api/v2/traces/", `{"trace":%s,"status":"COMPLETE"}`
	}
	for _, id := range traces {
		body := traceOf(t, id)
		if !secondVersion {
			body = strings.Replace(body, "resourceSpans", "batches", 1)
		}
		mux.HandleFunc(path+id, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, format, body) })
	}
	return serve(t, mux.ServeHTTP)
}

// pageOf is a page of metrics in OpenMetrics with exemplars, by their age.
func pageOf(t *testing.T, exemplars map[string]time.Duration) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text") {
			t.Errorf("Accept: got %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		fmt.Fprintln(w, "# TYPE http_server_request_duration_seconds histogram")
		n := 0
		for id, age := range exemplars {
			at := float64(time.Now().Add(-age).UnixMilli()) / 1000
			n++
			fmt.Fprintf(w, "http_server_request_duration_seconds_bucket{service_name=\"shop\",le=\"%d.0\"} 7 # {span_id=\"0102030405060708\",trace_id=\"%s\"} 0.001 %.3f\n", n, id, at)
		}
		fmt.Fprintln(w, "# EOF")
	}).URL + "/metrics"
}

func TestTempo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		exemplars map[string]time.Duration
		tempo     func(*testing.T) *httptest.Server
		wanted    want
	}{
		"every trace is there": {
			map[string]time.Duration{oldTrace: time.Minute, otherTrace: 2 * time.Minute},
			func(t *testing.T) *httptest.Server { return tempoOf(t, true, oldTrace, otherTrace) },
			want{message: "the traces of 2 exemplars are there, with 4 spans"},
		},
		"by the first version of the API": {
			map[string]time.Duration{oldTrace: time.Minute},
			func(t *testing.T) *httptest.Server { return tempoOf(t, false, oldTrace) },
			want{message: "the traces of 1 exemplars are there, with 2 spans"},
		},
		"some are not": {
			map[string]time.Duration{oldTrace: time.Minute, otherTrace: 2 * time.Minute},
			func(t *testing.T) *httptest.Server { return tempoOf(t, true, otherTrace) },
			want{doctor.Warning, "1 of 2 traces that exemplars lead to are not there, such as " + oldTrace + ", 1m", "tail sampling"},
		},
		"none is": {
			map[string]time.Duration{oldTrace: time.Minute},
			func(t *testing.T) *httptest.Server { return tempoOf(t, true) },
			want{doctor.Failure, "1 of 1 traces", "X-Scope-OrgID"},
		},
		"they are on their way": {
			map[string]time.Duration{youngTrace: time.Second},
			func(t *testing.T) *httptest.Server { return tempoOf(t, true) },
			want{doctor.Warning, "1 of 1 traces", "younger than 30 s"},
		},
		"an empty trace is none": {
			map[string]time.Duration{oldTrace: time.Minute},
			func(t *testing.T) *httptest.Server {
				return serve(t, func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w, map[bool]string{true: "echo", false: `{"trace":{},"status":"COMPLETE"}`}[r.URL.Path == "/api/echo"])
				})
			},
			want{doctor.Failure, "1 of 1 traces", "Spans do not arrive"},
		},
		"no tenant is given": {
			map[string]time.Duration{oldTrace: time.Minute},
			func(t *testing.T) *httptest.Server {
				return serve(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/api/echo" {
						fmt.Fprint(w, "echo")
						return
					}
					http.Error(w, "no org id", http.StatusUnauthorized)
				})
			},
			want{doctor.Failure, "answers 401: no org id", "multitenancy_enabled"},
		},
		"there is no exemplar": {
			nil,
			func(t *testing.T) *httptest.Server { return tempoOf(t, true) },
			want{doctor.Warning, "no exemplar", "sampled"},
		},
		"an ID that would be another path": {
			map[string]time.Duration{"../../../../flush/../shutdown/abc": time.Minute},
			func(t *testing.T) *httptest.Server { return tempoOf(t, true) },
			want{doctor.Warning, "no exemplar", "sampled"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := byCheck(doctor.Tempo(t.Context(), doctor.Config{TempoURL: test.tempo(t).URL, MetricsURL: pageOf(t, test.exemplars)}))
			check(t, found, map[string]want{"reachable": {message: "answers with Tempo"}, "clock": {message: "agrees"}, "trace": test.wanted})
		})
	}
}

// Of exemplars in Prometheus the newest are asked for that are not too young.
func TestTempoTakesExemplarsFromPrometheus(t *testing.T) {
	t.Parallel()
	at := func(age time.Duration) string { return fmt.Sprint(time.Now().Add(-age).Unix()) }
	var series []string
	for i := range 10 {
		series = append(series, fmt.Sprintf(`{"labels":{"trace_id":"%032x"},"value":"1","timestamp":%s}`, i, at(time.Duration(i)*10*time.Second)))
	}
	prometheus := replay(t, "healthy", map[string]string{
		"/api/v1/query_exemplars": `{"status":"success","data":[{"seriesLabels":{"service_name":"shop"},"exemplars":[` + strings.Join(series, ",") + `]}]}`,
	})
	var old []string
	for i := 3; i < 9; i++ { // from 30 s on, one more than are asked for
		old = append(old, fmt.Sprintf("%032x", i))
	}
	found := byCheck(doctor.Tempo(t.Context(), doctor.Config{TempoURL: tempoOf(t, true, old...).URL, PrometheusURL: prometheus.URL, Service: "shop"}))
	check(t, found, map[string]want{"trace": {message: "the traces of 5 exemplars are there, with 10 spans"}})
}

func TestTempoWithNothingThatHasExemplars(t *testing.T) {
	t.Parallel()
	found := byCheck(doctor.Tempo(t.Context(), doctor.Config{TempoURL: tempoOf(t, true).URL}))
	check(t, found, map[string]want{"trace": {doctor.Warning, "no exemplar", "--prometheus or --metrics"}})
}

func TestTempoThatIsNotReady(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			http.Error(w, "Ingester not ready: waiting for 15s after being ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "echo")
	})
	check(t, byCheck(doctor.Tempo(t.Context(), doctor.Config{TempoURL: server.URL})), map[string]want{
		"ready": {doctor.Warning, "Ingester not ready", "Wait"},
	})
}

func TestNotTempo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		wanted  want
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, want{doctor.Failure, "answers 200 with a web page", "Tempo begins"}},
		"Prometheus": {http.NotFound, want{doctor.Failure, "/api/echo answers 404", "Tempo begins"}},
		"black hole": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want{doctor.Failure, "no answer", "reachable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, byCheck(doctor.Tempo(t.Context(), doctor.Config{TempoURL: serve(t, test.handler).URL, Timeout: time.Second})), map[string]want{"reachable": test.wanted})
		})
	}
}
