package otelmon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/proxy"
)

// The page is made from the same table that variables are read by.
func TestConfigurationPageIsUpToDate(t *testing.T) {
	t.Parallel()
	var page bytes.Buffer
	page.WriteString(`# Environment variables

Made by ` + "`go test ./otelmon -update`" + ` from internal/env/variables.go.

A field set in code wins over its variable, a variable over the default; an empty variable counts as unset. A value that
is not accepted is an error of ` + "`otelmon.Setup`" + ` that names the variable, the value and what is accepted; the default is
used and everything else runs. Without a usable endpoint, headers or certificates a signal is not pushed. Durations are whole milliseconds, as the OpenTelemetry specification has them. What has
no variable is a field of ` + "`otelmon.Config`" + `.

| Variable | Accepted | Default | Meaning |
| --- | --- | --- | --- |
`)
	for _, v := range env.Variables() {
		byDefault := v.Default
		if byDefault == "" {
			byDefault = "-"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", v.Name, v.Accepted, byDefault, v.Meaning)
	}
	golden.Check(t, "../docs/configuration.md", page.Bytes())
}

// The README shows the smallest example as it is, so that it compiles.
func TestReadmeShowsTheSmallestExample(t *testing.T) {
	t.Parallel()
	_, code, _ := strings.Cut(read(t, "../examples/hello/main.go"), "package main\n")
	if !strings.Contains(read(t, "../README.md"), "```go\npackage main\n"+code+"```") {
		t.Error("the README's code is not examples/hello/main.go")
	}
}

// The README lists what Setup, the middleware, llm and proxy emit, no more and
// no less, and docs/llm.md says what of it is about LLM APIs, also in the terms
// of Prometheus.
func TestPagesListTheTelemetryEmitted(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	s := setUp(t, otelmon.Config{Readers: []sdkmetric.Reader{reader}})
	callItself(t, s.SDK)
	callModels(t, s.SDK)
	misuse(t, s.MeterProvider())
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	emitted := map[string]string{
		"go.memory.limit":       "By",       // only with GOMEMLIMIT
		"otelmon.proxy.reloads": "{reload}", // only by the command
	}
	ofModels := make(map[string]string)
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			emitted[m.Name] = m.Unit
			if strings.HasPrefix(m.Name, "gen_ai.") || strings.HasPrefix(m.Name, "otelmon.llm.") {
				ofModels[m.Name] = m.Unit
			}
		}
	}
	readme, page := read(t, "../README.md"), read(t, "../docs/llm.md")
	if diff := cmp.Diff(emitted, listed(readme, "## Telemetry emitted", 2)); diff != "" {
		t.Errorf("the README differs from what is emitted (- emitted, + listed):\n%s", diff)
	}
	if diff := cmp.Diff(ofModels, listed(page, "## Metrics", 3)); diff != "" {
		t.Errorf("docs/llm.md differs from what is emitted (- emitted, + listed):\n%s", diff)
	}
	for key := range llmAttributes(collected) {
		if !strings.Contains(page, "`"+key+"`") {
			t.Errorf("docs/llm.md does not have the attribute %s", key)
		}
	}
	scraped := s.scrape(t)
	for _, row := range rows(page, "## Metrics") {
		name := strings.Trim(row[2], " `")
		if !strings.Contains(scraped, "\n"+name+"{") && !strings.Contains(scraped, "\n"+name+"_bucket{") {
			t.Errorf("%s is not on the metrics page", name)
		}
	}
}

// rows returns the cells of the tables of a section whose first cell has names.
func rows(page, heading string) (rows [][]string) {
	_, section, _ := strings.Cut(page, heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	section, _, _ = strings.Cut(section, "\n### ")
	for row := range strings.Lines(section) {
		if cells := strings.Split(row, "|"); len(cells) > 4 && strings.Contains(cells[1], "`") {
			rows = append(rows, cells)
		}
	}
	return rows
}

// listed returns the units of metrics, from the given column.
func listed(page, heading string, unit int) map[string]string {
	units := make(map[string]string)
	for _, cells := range rows(page, heading) {
		for name := range strings.SplitSeq(cells[1], ",") {
			units[strings.Trim(name, " `")] = strings.TrimSpace(cells[unit])
		}
	}
	return units
}

// llmAttributes returns the keys of all attributes of metrics of LLM APIs.
func llmAttributes(collected metricdata.ResourceMetrics) map[string]bool {
	keys := make(map[string]bool)
	add := func(set attribute.Set) {
		for _, a := range set.ToSlice() {
			keys[string(a.Key)] = true
		}
	}
	for _, scope := range collected.ScopeMetrics {
		if !strings.HasSuffix(scope.Scope.Name, "/llm") {
			continue
		}
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes)
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes)
				}
			}
		}
	}
	return keys
}

// misuse makes two instruments that record nothing: one of a value that is
// refused, and one whose callback fails.
func misuse(t *testing.T, meters metric.MeterProvider) {
	t.Helper()
	gauge, err := meters.Meter("test").Float64Gauge("misused.gauge")
	if err != nil {
		t.Fatal(err)
	}
	gauge.Record(t.Context(), math.NaN())
	_, err = meters.Meter("test").Int64ObservableGauge("misused.observable",
		metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error { panic("misused") }))
	if err != nil {
		t.Fatal(err)
	}
}

// callItself sends, through the middleware at both ends, a request with a body
// and one that is answered by a stream.
func callItself(t *testing.T, sdk *otelmon.SDK) {
	t.Helper()
	cfg := middleware.Config{TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider()}
	server := httptest.NewServer(middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Accept"))
		_, _ = io.Copy(w, r.Body)
	}), cfg))
	defer server.Close()
	client := http.Client{Transport: middleware.Transport(server.Client().Transport, cfg)}
	for _, accept := range []string{"text/plain", "text/event-stream"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("data: 1\n\n"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// callModels calls LLM APIs through the proxy: a stream that waits in the queue
// and is truncated, one without usage, a model without a price, and an API that
// is down.
func callModels(t *testing.T, sdk *otelmon.SDK) {
	t.Helper()
	used := fakellm.Usage{UncachedInput: 10, AnswerTokens: 10}
	api := httptest.NewServer(fakellm.New(fakellm.ByModel(map[string]fakellm.Answer{
		"deepseek-flash": {Text: "Some text.", Usage: used, FinishReason: "length", Queue: time.Millisecond},
	})))
	defer api.Close()
	side, err := proxy.New(proxy.Config{
		Upstreams: []proxy.Upstream{
			{URL: api.URL, Provider: "deepseek"},
			{URL: "http://127.0.0.1:1", Prefix: "/down"}, // nobody listens there
		},
		Caller:         proxy.Caller{KeyFingerprint: true},
		TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	server := httptest.NewServer(side)
	defer server.Close()
	for _, call := range []struct{ path, body string }{
		{"/chat/completions", `{"model":"deepseek-flash","stream":true,"stream_options":{"include_usage":true}}`},
		{"/chat/completions", `{"model":"deepseek-flash","stream":true}`},
		{"/chat/completions", `{"model":"without-price"}`},
		{"/down/chat/completions", `{"model":"deepseek-flash"}`},
	} {
		response, err := server.Client().Post(server.URL+call.path, "application/json", strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// quietEnvironment marks the process that TestSetupWritesNothingByItself runs.
const quietEnvironment = "OTELMON_TEST_QUIET"

// Whatever the variables hold, only the caller's log is written to: the SDK's
// own messages would show the secret in a malformed headers variable. Left out
// are the span limits, about which a package of the OpenTelemetry API writes a
// line before any program starts.
func TestSetupWritesNothingByItself(t *testing.T) {
	t.Parallel()
	if os.Getenv(quietEnvironment) != "" {
		sdk, err := otelmon.Setup(t.Context(), otelmon.Config{ServiceName: "test", Logger: newLines().logger()})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("got error %v", err)
		}
		(&service{SDK: sdk}).shutdown(t)
		return
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSetupWritesNothingByItself$")
	command.Env = append(os.Environ(), quietEnvironment+"=1",
		"OTEL_EXPORTER_PROMETHEUS_PORT=0",
		"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:1",
		"OTEL_EXPORTER_OTLP_HEADERS=api-key=%zzcanary",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS=ok=1",
		"OTEL_EXPORTER_OTLP_LOGS_HEADERS=Bearer canary",
		"OTEL_BSP_SCHEDULE_DELAY=often",
		"OTEL_TRACES_SAMPLER=dice",
		"OTEL_RESOURCE_ATTRIBUTES=a,b=%zz",
		"OTEL_METRIC_EXPORT_INTERVAL=now",
		"OTEL_PROPAGATORS=telepathy",
	)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	if text := strings.TrimSpace(string(out)); text != "PASS" && !strings.HasPrefix(text, "PASS\ncoverage:") {
		t.Errorf("written to the standard streams:\n%s", text)
	}
}

// Who does not ask for the live page or the doctor has nothing of them.
func TestExtensionsAreNotLinkedIn(t *testing.T) {
	t.Parallel()
	const module = "github.com/otelmon/toolkit/"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"otelmon", module+"middleware", module+"llm", module+"proxy").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for dependency := range strings.Lines(string(out)) {
		if strings.HasPrefix(dependency, module+"zpages") || strings.HasPrefix(dependency, module+"doctor") {
			t.Errorf("%s is linked in", strings.TrimSpace(dependency))
		}
	}
}
