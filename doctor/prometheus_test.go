package doctor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

// recording is what a Prometheus 3.15.0 answered to the doctor when
// examples/quickstart was scraped by it (healthy), scraped and pushed with much
// else that is wrong (broken), or pushed with native histograms (pushed).
type recording struct {
	Recorded time.Time
	Answers  []struct {
		Path, Query string
		Future      bool
		Body        json.RawMessage
	}
}

// seconds are times of the recordings.
var seconds = regexp.MustCompile(`\b1795\d{6}(\.\d{1,3})?\b`)

// replay serves a recording as if it had been made now. Changes replace the body of
// an answer by its path, which is not found if that is empty.
func replay(t *testing.T, name string, changes map[string]string) *httptest.Server {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "prometheus-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	since := time.Since(r.Recorded).Seconds()
	return serve(t, func(w http.ResponseWriter, req *http.Request) {
		args := req.URL.Query()
		if body, ok := changes[req.URL.Path]; ok {
			if body == "" {
				http.NotFound(w, req)
				return
			}
			if strings.HasPrefix(body, `{"status":"error"`) {
				w.WriteHeader(http.StatusBadRequest)
			}
			fmt.Fprint(w, body)
			return
		}
		for _, a := range r.Answers {
			if a.Path == req.URL.Path && strings.Contains(args.Get("query"), a.Query) && a.Future == args.Has("time") {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, seconds.ReplaceAllStringFunc(string(a.Body), func(text string) string {
					at, _ := strconv.ParseFloat(text, 64)
					return strconv.FormatFloat(at+since, 'f', 3, 64)
				}))
				return
			}
		}
		http.NotFound(w, req)
	})
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// byCheck returns findings by the names of their checks.
func byCheck(findings []doctor.Finding) map[string]doctor.Finding {
	found := map[string]doctor.Finding{}
	for _, f := range findings {
		found[f.Check] = f
	}
	return found
}

// want is what a finding has to be; its texts have to contain these.
type want struct {
	level           doctor.Level
	message, advice string
}

func check(t *testing.T, found map[string]doctor.Finding, wanted map[string]want) {
	t.Helper()
	for name, want := range wanted {
		got, ok := found[name]
		if ok {
			documented(t, got)
		}
		switch {
		case !ok:
			t.Errorf("no finding %s in %v", name, found)
		case got.Level != want.level, !strings.Contains(got.Message, want.message), !strings.Contains(got.Advice, want.advice):
			t.Errorf("finding %s: got %v %q, advice %q; want %v, %q, %q", name, got.Level, got.Message, got.Advice, want.level, want.message, want.advice)
		case (got.Level == doctor.OK) != (got.Advice == ""):
			t.Errorf("finding %s: got %v with advice %q", name, got.Level, got.Advice)
		}
	}
}

func TestPrometheusWithNothingWrong(t *testing.T) {
	t.Parallel()
	found := byCheck(doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: replay(t, "healthy", nil).URL, Service: "shop"}))
	for _, f := range found {
		if f.Level != doctor.OK {
			t.Errorf("got %+v, want no warning", f)
		}
	}
	check(t, found, map[string]want{
		"reachable":         {message: "answers with Prometheus"},
		"clock":             {message: "agrees"},
		"configuration":     {message: "loaded last"},
		"targets":           {message: "1 targets, none is down"},
		"service":           {message: "shop is there by scrape, instances: 1"},
		"duplicate-series":  {message: "counted once"},
		"exemplars":         {message: "exemplars of the last 15 minutes"},
		"native-histograms": {message: "classic"},
		"rules":             {message: "2 groups with 9 rules, 2 of the groups shipped"},
		"rule-health":       {message: "no rule fails"},
		"rule-time":         {message: "within its interval"},
		"alerts":            {message: "no alert"},
		"alert-series":      {message: "4 of 5 alerts have the series that they need; 1 wait for what has not been: no call of an LLM"},
	})
}

func TestPrometheusWithNativeHistogramsPushed(t *testing.T) {
	t.Parallel()
	check(t, byCheck(doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: replay(t, "pushed", nil).URL, Service: "shop"})), map[string]want{
		"service":           {message: "shop is there by otlp"},
		"duplicate-series":  {message: "counted once"},
		"native-histograms": {message: "has native histograms"},
		"out-of-order":      {doctor.Warning, "no time window", "1d"},
		"rules":             {doctor.Warning, "none of 0 groups", "rule_files"},
	})
}

func TestPrometheusWithMuchWrong(t *testing.T) {
	t.Parallel()
	found := byCheck(doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: replay(t, "broken", nil).URL, Service: "shop"}))
	check(t, found, map[string]want{
		"configuration":    {doctor.Failure, "could not load its configuration", "promtool"},
		"targets":          {doctor.Warning, "1 of 2 targets down: http://127.0.0.1:1/metrics of job gone: dial tcp 127.0.0.1:1: connect: connection refused", "host of Prometheus"},
		"service":          {message: "by otlp and scrape"},
		"duplicate-series": {doctor.Failure, "shop is counted 2 times: otlp (job shop", "docs/paths.md"},
		"exemplars":        {doctor.Warning, "stores none", "exemplar-storage"},
		"rules":            {message: "1 of the groups shipped"},
		"rule-health":      {doctor.Failure, "1 rules fail: service:failing in otelmon-collector: invalid regular expression", "Correct"},
		"alerts":           {doctor.Warning, "OtelmonTargetDown", "runbooks"},
		"alert-series": {
			doctor.Warning,
			"2 of 3 alerts cannot fire, as nothing has a name that they need: OtelmonCollectorQueueFilling (otelcol_exporter_queue_capacity); OtelmonSLOBurnRate (renamed_requests_total)",
			"otelcol_",
		},
	})
	if text := fmt.Sprint(found); strings.Contains(text, "very-secret") {
		t.Errorf("the token of a target is shown: %s", text)
	}
}

const (
	queryPath  = "/api/v1/query"
	flagsPath  = "/api/v1/status/flags"
	configPath = "/api/v1/status/config"
	noSamples  = `{"status":"success","data":{"resultType":"vector","result":[]}}`
)

func TestPrometheusFindings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		recording string
		changes   map[string]string
		service   string
		wanted    map[string]want
	}{
		"a service that never was there": {"healthy", map[string]string{queryPath: noSamples}, "", map[string]want{
			"service": {doctor.Failure, "shop is not there; others are: shop", "docs/paths.md"},
		}},
		"a service that ended": {"healthy", map[string]string{queryPath: vector(`{}`, time.Now().Add(-2*time.Hour))}, "cart", map[string]want{
			"service": {doctor.Failure, "cart was last seen 2h0m0s ago", "docs/paths.md"},
		}},
		"a service that comes late": {"healthy", map[string]string{
			queryPath: vector(`{"service_name":"shop","service_instance_id":"1","instance":"1"}`, time.Now().Add(-4*time.Minute)),
		}, "", map[string]want{
			"service": {doctor.Warning, "newest sample: 4m", "clock"},
		}},
		"a service whose clock is ahead": {"healthy", map[string]string{
			queryPath: vector(`{"service_name":"shop","service_instance_id":"1","instance":"1"}`, time.Now().Add(100*time.Second)),
		}, "", map[string]want{
			"service-clock": {doctor.Warning, "in the future", "NTP"},
		}},
		"no service at all": {"healthy", map[string]string{"/api/v1/label/service_name/values": `{"status":"success","data":[]}`}, "-", map[string]want{
			"service": {doctor.Failure, "no series has a service_name", "promote_resource_attributes"},
		}},
		"every service if none is named": {"healthy", nil, "-", map[string]want{"service": {message: "shop is there"}}},
		"a name with quotes":             {"healthy", nil, `a"b\`, map[string]want{"service": {doctor.Failure, `a"b\ is not there; others are: shop`, "docs/paths.md"}}},
		"two targets that are the same process": {"healthy", map[string]string{
			queryPath: `{"status":"success","data":{"result":[` +
				sample(`{"service_name":"shop","service_instance_id":"1","job":"a","instance":"x"}`, time.Now()) + "," +
				sample(`{"service_name":"shop","service_instance_id":"1","job":"b","instance":"x"}`, time.Now()) + "]}}",
		}, "", map[string]want{
			"duplicate-series": {doctor.Failure, "shop is counted 2 times: scrape (job a, instance x); scrape (job b, instance x)", "two targets"},
		}},
		"an address that has just changed": {"healthy", map[string]string{
			queryPath: `{"status":"success","data":{"result":[` +
				sample(`{"service_name":"shop","service_instance_id":"1","job":"a","instance":"x"}`, time.Now()) + "," +
				sample(`{"service_name":"shop","service_instance_id":"1","job":"a","instance":"y"}`, time.Now().Add(-4*time.Minute)) + "]}}",
		}, "", map[string]want{
			"duplicate-series": {message: "counted once"},
		}},
		"the receiver of OTLP is off": {"pushed", map[string]string{flagsPath: `{"status":"success","data":{"web.enable-otlp-receiver":"false"}}`}, "", map[string]want{
			"otlp-receiver": {doctor.Warning, "is off", "--web.enable-otlp-receiver"},
		}},
		"scrapes in a format without exemplars": {"broken", map[string]string{flagsPath: ""}, "", map[string]want{
			"exemplars": {doctor.Warning, "format without them", "scrape_protocols"},
		}},
		"nothing is sampled": {"broken", map[string]string{flagsPath: "", configPath: ""}, "", map[string]want{
			"exemplars": {doctor.Warning, "no exemplars", "OTEL_TRACES_SAMPLER"},
		}},
		"a server that has the API of queries only": {"healthy", map[string]string{
			"/api/v1/status/buildinfo": "", flagsPath: "", configPath: "", "/api/v1/targets": "", "/api/v1/rules": "", "/api/v1/query_exemplars": "",
		}, "", map[string]want{
			"reachable": {message: "does not tell its version"},
			"targets":   {message: "not checked"},
			"rules":     {message: "not checked"},
			"exemplars": {message: "not checked"},
			"service":   {message: "shop is there"},
		}},
		"a server that parses no queries": {"healthy", map[string]string{"/api/v1/parse_query": ""}, "", map[string]want{
			"alert-series": {message: "not checked: /api/v1/parse_query answers 404"},
		}},
		"a group that takes too long": {"healthy", map[string]string{
			"/api/v1/rules": `{"status":"success","data":{"groups":[{"name":"otelmon-slow","interval":30,"evaluationTime":31.5,
				"rules":[{"type":"alerting","name":"OtelmonX","query":"up","state":"inactive"}]}]}}`,
		}, "", map[string]want{
			"rule-time": {doctor.Warning, "otelmon-slow takes 31.5s every 30s", "interval"},
		}},
		"a server that does not like an expression": {"healthy", map[string]string{
			"/api/v1/parse_query": `{"status":"error","errorType":"bad_data","error":"unknown function"}`,
		}, "", map[string]want{
			"alert-series": {message: "5 of 5 alerts"},
		}},
		"native histograms that are not taken": {"broken", map[string]string{queryPath: vector(`{"service_name":"shop"}`, time.Now())}, "", map[string]want{
			"native-histograms": {doctor.Failure, "the latency of shop has no buckets", "scrape_native_histograms"},
		}},
		"control characters": {"healthy", map[string]string{
			"/api/v1/rules": `{"status":"success","data":{"groups":[{"name":"a\u001b[31m\nb","rules":[{"name":"x","lastError":"bad\u0007"}]}]}}`,
		}, "", map[string]want{
			"rule-health": {doctor.Failure, "x in a[31m b: bad", ""},
		}},
		"data of another form": {"healthy", map[string]string{"/api/v1/rules": `{"status":"success","data":[1]}`}, "", map[string]want{
			"rules": {doctor.Failure, "data of another form", "log"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := map[string]string{"": "shop", "-": ""}[test.service]
			if service == "" && test.service != "-" {
				service = test.service
			}
			check(t, byCheck(doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: replay(t, test.recording, test.changes).URL, Service: service})), test.wanted)
		})
	}
}

// vector is the answer to a query with one sample, whose value is a time.
func vector(labels string, value time.Time) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + sample(labels, value) + "]}}"
}

func sample(labels string, value time.Time) string {
	return fmt.Sprintf(`{"metric":%s,"value":[%d,"%d"]}`, labels, time.Now().Unix(), value.Unix())
}

// The name of the service is on the page of metrics, if none is given.
func TestPrometheusTakesTheServiceFromThePage(t *testing.T) {
	t.Parallel()
	page := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		fmt.Fprint(w, "# TYPE target info\n"+`target_info{service_instance_id="1",service_name="cart"} 1`+"\n# EOF\n")
	})
	check(t, byCheck(doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: replay(t, "healthy", nil).URL, MetricsURL: page.URL + "/metrics"})), map[string]want{
		"service": {doctor.Failure, "cart is not there", ""},
	})
}

func TestNotPrometheus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		wanted  want
	}{
		"a web page":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>Grafana</title>") }, want{doctor.Failure, "answers 200 with a web page", "where the API of Prometheus begins"}},
		"a Collector": {http.NotFound, want{doctor.Failure, "/api/v1/query answers 404: 404 page not found", "where the API of Prometheus begins"}},
		"credentials are wanted": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		}, want{doctor.Failure, "answers 401: Unauthorized", "USER:PASSWORD"}},
		"it starts": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
		}, want{doctor.Failure, "answers 503", "try again"}},
		"a login elsewhere": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://login.example/?state=secret")
			w.WriteHeader(http.StatusFound)
		}, want{doctor.Failure, "answers 302: go to https://login.example/", "begins"}},
		"an answer that does not end": {func(w http.ResponseWriter, _ *http.Request) {
			for block := bytes.Repeat([]byte(" "), 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, want{doctor.Failure, "too large: more than 8 MiB", "begins"}},
		"a black hole":       {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want{doctor.Failure, "no answer", "reachable from here"}},
		"other JSON":         {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a":1}`) }, want{doctor.Failure, `answers 200: {"a":1}`, "begins"}},
		"JSON with a status": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"up"}`) }, want{doctor.Failure, `answers 200: {"status":"up"}`, "begins"}},
		"nothing":            {func(http.ResponseWriter, *http.Request) {}, want{doctor.Failure, "answers 200: nothing", "begins"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := doctor.Config{PrometheusURL: serve(t, test.handler).URL, Timeout: 2 * time.Second}
			found := byCheck(doctor.Prometheus(t.Context(), cfg))
			check(t, found, map[string]want{"reachable": test.wanted})
			if len(found) != 1 {
				t.Errorf("got %d findings, want one: %v", len(found), found)
			}
		})
	}
}

func TestPrometheusCredentialsInTheURL(t *testing.T) {
	t.Parallel()
	prometheus := replay(t, "healthy", nil)
	guard := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "very-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer, err := http.Get(prometheus.URL + r.URL.RequestURI())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})
	found := byCheck(doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: strings.Replace(guard.URL, "//", "//me:very-secret@", 1), Service: "shop"}))
	check(t, found, map[string]want{"service": {message: "shop is there"}})
	if text := fmt.Sprint(found); strings.Contains(text, "very-secret") {
		t.Errorf("the password is shown: %s", text)
	}
}
