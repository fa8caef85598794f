package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A diagnosis is what `otelmon doctor --json` prints.
type diagnosis struct {
	Findings []struct{ Part, Check, Level, Message, Advice string }
	code     int // of the exit
}

// diagnose runs the doctor in an environment.
func diagnose(t *testing.T, command string, env []string, flags ...string) diagnosis {
	t.Helper()
	p := harness.Start(t, env, command, append([]string{"doctor", "--json"}, flags...)...)
	d := diagnosis{code: p.ExitCode(t, patience)}
	if err := json.Unmarshal([]byte(p.Output()), &d); err != nil {
		t.Fatalf("otelmon doctor: %v: %s", err, p.Output())
	}
	return d
}

// expect wants findings, as the level and a text of the message by the part and the
// check.
func (d diagnosis) expect(t *testing.T, wanted map[string][2]string) {
	t.Helper()
	for name, want := range wanted {
		found := false
		for _, f := range d.Findings {
			found = found || name == f.Part+"/"+f.Check && f.Level == want[0] && strings.Contains(f.Message, want[1]) && (f.Level == "ok") == (f.Advice == "")
		}
		if !found {
			t.Errorf("no finding %s: %s: %q in\n%s", name, want[0], want[1], d)
		}
	}
}

// worse returns the findings that are not ok, by part and check.
func (d diagnosis) worse() map[string]string {
	worse := map[string]string{}
	for _, f := range d.Findings {
		if f.Level != "ok" {
			worse[f.Part+"/"+f.Check] = f.Level
		}
	}
	return worse
}

func (d diagnosis) String() string {
	var b strings.Builder
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "%s %s/%s: %s (%s)\n", f.Level, f.Part, f.Check, f.Message, f.Advice)
	}
	return b.String()
}

// startTempo serves the traces that a receiver has got as Tempo does: the part of
// its API that finds a trace by its ID. Tempo itself cannot be built here.
func startTempo(t *testing.T, traces *harness.TraceSink) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/echo", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "echo") })
	mux.HandleFunc("GET /api/v2/traces/{id}", func(w http.ResponseWriter, r *http.Request) {
		type span struct {
			TraceID string `json:"traceId"`
			SpanID  string `json:"spanId"`
			Name    string `json:"name"`
		}
		var spans []span
		for _, s := range traces.Trace(r.PathValue("id")) {
			spans = append(spans, span{s.TraceID, s.SpanID, s.Name})
		}
		if len(spans) == 0 {
			http.NotFound(w, r)
			return
		}
		scopes := []any{map[string]any{"scopeSpans": []any{map[string]any{"spans": spans}}}}
		_ = json.NewEncoder(w).Encode(map[string]any{"trace": map[string]any{"resourceSpans": scopes}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestDoctor(t *testing.T) {
	command, quickstart := harness.BuildCommand(t), buildExample(t, "quickstart")
	t.Run("nothing is wrong", func(t *testing.T) { testDoctorHealthy(t, command, quickstart) })
	t.Run("much is wrong", func(t *testing.T) { testDoctorBroken(t, command, quickstart) })
}

// The service is scraped and pushes, and is counted once.
func testDoctorHealthy(t *testing.T, command, quickstart string) {
	stack := harness.StartWholeStack(t)
	tempo := startTempo(t, stack.Traces)
	s := startService(t, stack, quickstart, "shop", "0.0.0.0")
	s.send(t, 4, request{http.MethodGet, "/products/7", "", "/products/{id}", 50})
	harness.Eventually(t, arrival, "exemplars and their traces", func() error { return arrived(stack, "shop") })
	waitTold(t, stack)

	env := telemetryEnv(stack, "shop")
	metrics := []string{"--metrics", "http://" + s.metrics, "--collector", stack.Collector.MetricsURL(), "--tempo", tempo}
	if d := diagnose(t, command, env, metrics...); d.code != 0 {
		t.Errorf("without Prometheus: got exit code %d, want 0:\n%s", d.code, d)
	}
	d := diagnose(t, command, env, append(metrics, "--prometheus", stack.Prometheus.URL())...)
	d.expect(t, map[string][2]string{
		"otlp/export":                  {"ok", ""},
		"metrics/reachable":            {"ok", ""},
		"collector/losses":             {"ok", "nothing was refused"},
		"prometheus/service":           {"ok", "shop is there by scrape, instances: 1"},
		"prometheus/duplicate-series":  {"ok", "shop is counted once"},
		"prometheus/exemplars":         {"ok", "exemplars of the last"},
		"prometheus/native-histograms": {"ok", "classic"},
		"prometheus/configuration":     {"ok", ""},
		"prometheus/rules":             {"ok", "of the groups shipped"},
		"prometheus/rule-health":       {"ok", "no rule fails"},
		"prometheus/alert-series":      {"ok", "no call of an LLM"},
		"tempo/trace":                  {"ok", "exemplars are there"},
		// The stack runs no Tempo.
		"prometheus/targets": {"warning", "of job tempo"},
		"prometheus/alerts":  {"warning", "OtelmonTargetDown"},
	})
	if worse := d.worse(); len(worse) != 2 || d.code != 1 {
		t.Errorf("got exit code %d and %v, want 1 and two warnings:\n%s", d.code, worse, d)
	}
}

// arrived says whether every exemplar's trace has arrived.
func arrived(stack *harness.Stack, service string) error {
	exemplars, err := stack.Prometheus.Exemplars(fmt.Sprintf("{service_name=%q}", service))
	if err != nil || len(exemplars) == 0 {
		return fmt.Errorf("%d exemplars, %w", len(exemplars), err)
	}
	for _, e := range exemplars {
		if len(stack.Traces.Trace(e.TraceID)) == 0 {
			return fmt.Errorf("no trace %s", e.TraceID)
		}
	}
	return nil
}

// A Collector with a backend that is gone, and without pipelines for metrics and
// logs.
const brokenCollector = `
receivers:
  otlp: {protocols: {grpc: {endpoint: %[1]s}, http: {endpoint: %[2]s}}}
exporters:
  otlp_grpc/gone: {endpoint: %[3]s, tls: {insecure: true}, retry_on_failure: {max_elapsed_time: 0}}
extensions:
  health_check: {endpoint: %[4]s}
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_grpc/gone]}
  telemetry:
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %[5]s, without_type_suffix: false, without_units: false, without_scope_info: true}}}}]
`

// A Prometheus that scrapes what is also pushed to it, and more.
const brokenPrometheus = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%[1]s]
otlp:
  keep_identifying_resource_attributes: true
  promote_resource_attributes: [service.name, service.namespace, deployment.environment.name, service.instance.id, otelmon.metrics.path]
scrape_configs:
  - {job_name: scraped, static_configs: [{targets: [%[2]q]}]}
  - {job_name: gone, static_configs: [{targets: [%[3]q]}]}
  - {job_name: native, static_configs: [{targets: [%[4]q]}]}
`

const brokenRules = `
groups:
  - name: own
    rules: [{record: service:broken, expr: 'label_replace(vector(1), "a", "$1", "b", "(")'}]
`

// brokenSetup is where things are with which much is wrong.
type brokenSetup struct{ grpc, http, collector, prometheus string }

func startBroken(t *testing.T, quickstart string) brokenSetup {
	t.Helper()
	b := brokenSetup{harness.FreeAddress(t), harness.FreeAddress(t), harness.FreeAddress(t), harness.FreeAddress(t)}
	gone, health, page := harness.FreeAddress(t), harness.FreeAddress(t), harness.FreeAddress(t)
	rules := writeFile(t, "rules.yml", brokenRules)
	harness.Start(t, nil, harness.Tool(t, "collector"),
		"--config="+writeFile(t, "collector.yaml", fmt.Sprintf(brokenCollector, b.grpc, b.http, gone, health, portOf(t, b.collector))))
	prometheus := harness.Start(t, nil, harness.Tool(t, "prometheus"), "--web.enable-otlp-receiver", "--storage.tsdb.path="+t.TempDir(),
		"--config.file="+writeFile(t, "prometheus.yml", fmt.Sprintf(brokenPrometheus, rules, page, gone, startNative(t))), "--web.listen-address="+b.prometheus)
	waitURL(t, "http://"+health)
	waitURL(t, "http://"+b.prometheus+"/-/ready")
	harness.Start(t, []string{
		"OTEL_SERVICE_NAME=shop", "OTEL_EXPORTER_PROMETHEUS_PORT=" + portOf(t, page), "OTELMON_METRICS_PATH=scrape",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + b.grpc,
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://" + b.prometheus + "/api/v1/otlp/v1/metrics", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf",
		"OTEL_METRIC_EXPORT_INTERVAL=1000",
	}, quickstart, "-addr", harness.FreeAddress(t), "-load", "20")
	harness.Eventually(t, arrival, "shop by both ways", func() error { return twoWays("http://" + b.prometheus) })
	harness.Eventually(t, arrival, "a queue of a Collector that is not young", func() error { return waiting("http://" + b.collector + "/metrics") })
	if err := os.WriteFile(rules, []byte("groups: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus.Signal(t, syscall.SIGHUP)
	prometheus.WaitOutput(t, "Error reloading config")
	return b
}

func testDoctorBroken(t *testing.T, command, quickstart string) {
	b := startBroken(t, quickstart)
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + b.grpc}
	d := diagnose(t, command, env, "--prometheus", "http://"+b.prometheus, "--collector", "http://"+b.collector, "--service", "shop")
	d.expect(t, map[string][2]string{
		"prometheus/duplicate-series": {"failure", "shop is counted 2 times: otlp (job shop"},
		"prometheus/exemplars":        {"warning", "stores none"},
		"prometheus/configuration":    {"failure", "could not load"},
		"prometheus/rules":            {"warning", "none of 1 groups"},
		"prometheus/rule-health":      {"failure", "service:broken in own"},
		"prometheus/targets":          {"warning", "connection refused"},
		"collector/queue":             {"failure", "otlp_grpc/gone"},
		"otlp/pipeline":               {"failure", "metrics"},
	})
	if d.code != 2 {
		t.Errorf("got exit code %d, want 2", d.code)
	}

	d = diagnose(t, command, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + b.http, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"})
	d.expect(t, map[string][2]string{"otlp/protocol": {"failure", b.http}})
	d = diagnose(t, command, env, "--prometheus", "http://"+b.prometheus, "--service", "native")
	d.expect(t, map[string][2]string{
		"prometheus/service":           {"ok", "native is there by scrape"},
		"prometheus/native-histograms": {"failure", "no buckets"},
	})
	d = diagnose(t, command, env, "--prometheus", "http://"+b.http, "--tempo", "http://"+b.prometheus, "--service", "shop")
	d.expect(t, map[string][2]string{"prometheus/reachable": {"failure", "404"}, "tempo/reachable": {"failure", "404"}})
}

// twoWays says whether two jobs of a Prometheus have the service.
func twoWays(prometheus string) error {
	query := url.Values{"query": {`count(count by (job) (target_info{service_name="shop"})) == 2`}}
	answer, err := harness.Get(prometheus + "/api/v1/query?" + query.Encode())
	if err == nil && !strings.Contains(string(answer), `"2"`) {
		err = fmt.Errorf("got %s", answer)
	}
	return err
}

// waiting says whether something waits in a Collector that has run for a while.
func waiting(metrics string) error {
	page, err := harness.ReadPage(metrics)
	if err != nil {
		return err
	}
	queued, uptime := page.Sums("otelcol_exporter_queue_size")[""], page.Sums("otelcol_process_uptime_seconds_total")[""]
	if queued == 0 || uptime < 11 {
		return fmt.Errorf("%v are queued after %v s", queued, uptime)
	}
	return nil
}

// startNative returns the address of a page whose only histogram is a native one.
func startNative(t *testing.T) string {
	t.Helper()
	address := harness.FreeAddress(t)
	sdk, err := otelmon.Setup(t.Context(), otelmon.Config{
		ServiceName: "native", MetricsPath: "scrape", DisableGlobals: true, DisableOTLP: true,
		Prometheus: exporters.Prometheus{Address: address, NativeHistograms: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sdk.Shutdown(context.Background()) })
	latency, err := sdk.MeterProvider().Meter("e2e").Float64Histogram("http.server.request.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	latency.Record(t.Context(), 0.1)
	return address
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func waitURL(t *testing.T, url string) {
	t.Helper()
	harness.Eventually(t, patience, url, func() error {
		_, err := harness.Get(url)
		return err
	})
}
