package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/internal/golden"
)

// Tests of the doctor are not parallel: they set the environment that it reads.

// within is how long something took.
var within = regexp.MustCompile(`within [0-9.]+m?s`)

// examine runs the doctor on variables alone.
func examine(t *testing.T, variables map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL") {
			t.Setenv(name, "")
		}
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
	var out, err bytes.Buffer
	code = run(patience(t), append([]string{"doctor"}, args...), os.Environ(), &out, &err)
	return code, out.String(), err.String()
}

func TestDoctorPrintsText(t *testing.T) {
	healthy := faultcollector.Start(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	t.Cleanup(refusing.Close)
	address := refusing.Listener.Addr().String()
	tests := map[string]struct {
		file      string
		code      int
		variables map[string]string
	}{
		"of what is fine": {"testdata/doctor-ok.txt", 0, map[string]string{
			"OTEL_SERVICE_NAME": "shop", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + healthy.GRPC,
		}},
		"of what is doubtful": {"testdata/doctor-warning.txt", 1, map[string]string{
			"OTEL_SERVICE_NAMES": "shop", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + healthy.GRPC,
		}},
		"of what fails": {"testdata/doctor-failure.txt", 2, map[string]string{
			"OTEL_SERVICE_NAME": "shop", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd",
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=CANARY",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := examine(t, test.variables)
			if code != test.code || stderr != "" || strings.Contains(stdout, "CANARY") {
				t.Errorf("got exit code %d, output\n%s\nand complaint %q, want %d", code, stdout, stderr, test.code)
			}
			steady := strings.NewReplacer(healthy.GRPC, "127.0.0.1:4317", address, "127.0.0.1:4318")
			golden.Check(t, test.file, []byte(within.ReplaceAllString(steady.Replace(stdout), "within 2ms")))
		})
	}
}

func TestDoctorPrintsJSON(t *testing.T) {
	healthy := faultcollector.Start(t)
	code, stdout, stderr := examine(t, map[string]string{
		"OTEL_SERVICE_NAME": "shop", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + healthy.GRPC,
	}, "--json")
	var report struct {
		Findings []map[string]string
		Level    string
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 || stderr != "" {
		t.Fatalf("got exit code %d, output\n%s\nand complaint %q, %v", code, stdout, stderr, err)
	}
	if report.Level != "ok" || len(report.Findings) < 4 || report.Findings[0]["part"] != "environment" {
		t.Errorf("got %+v", report)
	}
}

func TestDoctorLooksAtWhatFlagsName(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	code, stdout, stderr := examine(t, map[string]string{"OTEL_SDK_DISABLED": "true"},
		"--metrics", server.URL, "--prometheus", server.URL, "--tempo", server.URL, "--collector", server.URL, "--service", "shop", "--timeout", "5s")
	if code != 2 || stderr != "" {
		t.Errorf("got exit code %d and complaint %q, want 2 and none", code, stderr)
	}
	for _, part := range []string{"environment\n", "otlp\n", "metrics\n", "prometheus\n", "tempo\n", "collector\n"} {
		if !strings.Contains("\n"+stdout, "\n"+part) {
			t.Errorf("no part %q in\n%s", part, stdout)
		}
	}
}

func TestDoctorRefusesWrongFlags(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"an unknown flag":        {[]string{"--grafana", "x"}, "flag provided but not defined: --grafana;"},
		"a flag without value":   {[]string{"--metrics"}, "flag needs an argument: --metrics;"},
		"an argument":            {[]string{"localhost:9464"}, `unexpected argument "localhost:9464"; accepted: flags alone;`},
		"an address":             {[]string{"--metrics", "localhost:9464"}, "--metrics: not a URL of a server; accepted: a URL with scheme http or https"},
		"no host":                {[]string{"--tempo", "http://"}, "--tempo: not a URL of a server; accepted: "},
		"nothing":                {[]string{"--prometheus", ""}, "--prometheus: not a URL of a server; accepted: "},
		"a secret in a bad URL":  {[]string{"--collector", "ftp://user:CANARY@host/?CANARY"}, "--collector: not a URL of a server; accepted: "},
		"a time without a unit":  {[]string{"--timeout", "5"}, `--timeout="5": not such a time; accepted: a duration up to 10s`},
		"more time than it has":  {[]string{"--timeout", "11s"}, `--timeout="11s": not such a time; accepted: `},
		"no time":                {[]string{"--timeout", "0s"}, `--timeout="0s": not such a time; accepted: `},
		"wrong, with a question": {[]string{"--json=maybe"}, `invalid boolean value "maybe" for`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := answers(t, unset, append([]string{"doctor"}, test.args...)...)
			if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "otelmon doctor: "+test.want) || !strings.HasSuffix(stderr, "; see otelmon doctor --help\n") {
				t.Errorf("got exit code %d, output %q and complaint\n%s\nwant one that begins with\notelmon doctor: %s", code, stdout, stderr, test.want)
			}
			if strings.Contains(stderr, "CANARY") {
				t.Errorf("the complaint shows a secret: %s", stderr)
			}
		})
	}
}

func TestFindingsThatCannotBePrintedAreAFailure(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	var stderr strings.Builder
	code := run(t.Context(), []string{"doctor"}, os.Environ(), fullDisk{}, &stderr)
	if want := "otelmon doctor: printing findings: no space left on device\n"; code != 2 || stderr.String() != want {
		t.Errorf("got exit code %d and complaint %q, want 2 and %q", code, &stderr, want)
	}
}

// A process of its own, since a process has one proxy: net/http reads the
// variables once.
func TestDoctorTellsOfProxies(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			ctx, cancel := context.WithCancel(patience(t))
			defer cancel()
			command := exec.CommandContext(ctx, os.Args[0], "doctor", "--timeout", "5s")
			command.Env = []string{
				commandEnvironment + "=1", "OTEL_METRICS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
				"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.invalid:4317", "HTTPS_PROXY=http://user:CANARY@127.0.0.1:1",
			}
			output, err := command.CombinedOutput()
			text := string(output)
			if err == nil || command.ProcessState.ExitCode() != 2 || !strings.Contains(text, "through a proxy: HTTPS_PROXY") || strings.Contains(text, "CANARY") {
				t.Errorf("got exit code %d, %v and\n%s", command.ProcessState.ExitCode(), err, text)
			}
		})
	}
}

// What the SDK says of a variable is a finding, and no line of its log.
func TestDoctorWritesFindingsAlone(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(patience(t), os.Args[0], "doctor", "--json")
	command.Env = []string{
		commandEnvironment + "=1", "OTEL_SERVICE_NAME=shop", "OTEL_METRICS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_TIMEOUT=10s",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=5s",
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, _ := command.Output() // the exit code tells of findings
	if !json.Valid(output) || !strings.Contains(string(output), "OTEL_EXPORTER_OTLP_TIMEOUT") || stderr.Len() > 0 {
		t.Errorf("got output\n%s\nand complaint\n%s", output, &stderr)
	}
}

// The first signal ends it, with what is known by then.
func TestDoctorIsInterrupted(t *testing.T) {
	connected := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		connected <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	ctx := patience(t)
	command := exec.CommandContext(ctx, os.Args[0], "doctor")
	command.Env = []string{commandEnvironment + "=1", "OTEL_METRICS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-connected:
	case <-ctx.Done():
		t.Fatal("no export")
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // the exit code tells
	if code := command.ProcessState.ExitCode(); code != int(doctor.Failure) || !strings.Contains(output.String(), "interrupt") {
		t.Errorf("got exit code %d and\n%s", code, &output)
	}
}
