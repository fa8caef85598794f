package otelmon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
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

// The README lists what Setup and the middleware emit, no more and no less.
func TestReadmeListsTheTelemetryEmitted(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	s := setUp(t, otelmon.Config{Readers: []sdkmetric.Reader{reader}})
	callItself(t, s.SDK)
	misuse(t, s.MeterProvider())
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	emitted := map[string]string{"go.memory.limit": "By"} // only with GOMEMLIMIT
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			emitted[m.Name] = m.Unit
		}
	}
	_, section, _ := strings.Cut(read(t, "../README.md"), "## Telemetry emitted")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := make(map[string]string)
	for row := range strings.Lines(section) {
		cells := strings.Split(row, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			listed[strings.Trim(name, " `")] = strings.TrimSpace(cells[2])
		}
	}
	if diff := cmp.Diff(emitted, listed); diff != "" {
		t.Errorf("the README differs from what is emitted (- emitted, + listed):\n%s", diff)
	}
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
