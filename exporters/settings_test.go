package exporters_test

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// canary stands for a secret that no output may show.
const canary = "CANARY"

// checkError wants an error that says all the words, and no secret.
func checkError(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("got error %v, want it to say %q", err, word)
		}
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows the secret: %v", err)
	}
}

// parts names the signals that run.
func parts(s *sender) string {
	var running []string
	if s.Spans != nil {
		running = append(running, "traces")
	}
	if s.Metrics != nil {
		running = append(running, "metrics")
	}
	if s.Logs != nil {
		running = append(running, "logs")
	}
	return strings.Join(running, " ")
}

const everySignal = "traces metrics logs"

func TestWrongVariables(t *testing.T) { // not parallel: it sets variables
	directory := t.TempDir()
	garbage := filepath.Join(directory, "garbage.pem")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	authority := newAuthority(t)
	one, other := authority.issue(t), authority.issue(t)

	const p = "OTEL_EXPORTER_OTLP_"
	tests := map[string]struct {
		variables map[string]string
		want      string
		wantErr   []string
	}{
		"an unknown protocol is not used": {
			variables: map[string]string{p + "PROTOCOL": "http/json"},
			want:      everySignal,
			wantErr:   []string{p + `PROTOCOL="http/json": unknown value; accepted: grpc or http/protobuf`},
		},
		"an unknown compression is not used": {
			variables: map[string]string{p + "LOGS_COMPRESSION": "zstd"},
			want:      everySignal,
			wantErr:   []string{p + `LOGS_COMPRESSION="zstd"`, "accepted: gzip or none"},
		},
		"a timeout with a unit is not used": {
			variables: map[string]string{p + "TIMEOUT": "10s"},
			want:      everySignal,
			wantErr:   []string{p + `TIMEOUT="10s"`, "milliseconds"},
		},
		"an endpoint that is none leaves its signal out": {
			variables: map[string]string{p + "TRACES_ENDPOINT": "ftp://x"},
			want:      "metrics logs",
			wantErr:   []string{p + `TRACES_ENDPOINT="ftp://x"`, "accepted: host:port"},
		},
		"a general endpoint that is none leaves out the signals without their own": {
			variables: map[string]string{p + "ENDPOINT": "::1:4317", p + "LOGS_ENDPOINT": "http://localhost:4318/v1/logs"},
			want:      "logs",
			wantErr:   []string{p + `ENDPOINT="::1:4317"`},
		},
		"an endpoint with credentials is not shown": {
			variables: map[string]string{p + "ENDPOINT": "https://user:" + canary + "@collector"},
			wantErr:   []string{p + "ENDPOINT (value not shown): credentials belong in headers"},
		},
		"an endpoint with a query is not shown": {
			variables: map[string]string{p + "ENDPOINT": "https://collector/?api-key=" + canary},
			wantErr:   []string{p + "ENDPOINT (value not shown): a query or fragment has no meaning here"},
		},
		"an endpoint with a fragment is not shown": {
			variables: map[string]string{p + "METRICS_ENDPOINT": "collector:4317#" + canary},
			want:      "traces logs",
			wantErr:   []string{p + "METRICS_ENDPOINT (value not shown): a query or fragment has no meaning here"},
		},
		"a header that gRPC does not take leaves its signal out": {
			variables: map[string]string{p + "HEADERS": "x!y=" + canary, p + "LOGS_PROTOCOL": "http/protobuf"},
			want:      "logs",
			wantErr:   []string{p + "HEADERS (value not shown)", "header 1 is not valid over gRPC"},
		},
		"malformed headers leave their signal out": {
			variables: map[string]string{p + "METRICS_HEADERS": "api-key=%zz" + canary},
			want:      "traces logs",
			wantErr:   []string{p + "METRICS_HEADERS (value not shown)", "member 1"},
		},
		"headers with a bad key leave their signal out": {
			variables: map[string]string{p + "METRICS_HEADERS": "a=1,b c=" + canary},
			want:      "traces logs",
			wantErr:   []string{p + "METRICS_HEADERS (value not shown)", "header 2 is not valid"},
		},
		"headers with a line break leave their signal out": {
			variables: map[string]string{p + "METRICS_HEADERS": "a=%0d%0aSet-Cookie: " + canary},
			want:      "traces logs",
			wantErr:   []string{p + "METRICS_HEADERS (value not shown)", "header 1 is not valid"},
		},
		"malformed general headers are refused where a signal has its own too": {
			variables: map[string]string{p + "HEADERS": "Bearer " + canary, p + "TRACES_HEADERS": "a=1"},
			wantErr:   []string{p + "HEADERS (value not shown)"},
		},
		"a missing certificate leaves its signal out": {
			variables: map[string]string{p + "ENDPOINT": "https://localhost:4317", p + "LOGS_CERTIFICATE": filepath.Join(directory, "missing.pem")},
			want:      "traces metrics",
			wantErr:   []string{p + "LOGS_CERTIFICATE=", "missing.pem", "no such file", "accepted: path of a readable PEM file"},
		},
		"an unreadable certificate leaves its signal out": {
			variables: map[string]string{p + "ENDPOINT": "https://localhost:4317", p + "TRACES_CERTIFICATE": directory},
			want:      "metrics logs",
			wantErr:   []string{p + "TRACES_CERTIFICATE=", "is a directory"},
		},
		"a certificate of garbage leaves its signal out": {
			variables: map[string]string{p + "ENDPOINT": "https://localhost:4317", p + "METRICS_CERTIFICATE": garbage},
			want:      "traces logs",
			wantErr:   []string{p + "METRICS_CERTIFICATE=", "holds no PEM certificate"},
		},
		"a client certificate needs its key": {
			variables: map[string]string{p + "ENDPOINT": "https://localhost:4317", p + "CLIENT_CERTIFICATE": one.certificate},
			wantErr:   []string{p + "CLIENT_CERTIFICATE=", "there is no " + p + "CLIENT_KEY"},
		},
		"a client key needs its certificate": {
			variables: map[string]string{p + "ENDPOINT": "https://localhost:4317", p + "TRACES_CLIENT_KEY": one.key},
			want:      "metrics logs",
			wantErr:   []string{p + "TRACES_CLIENT_KEY=", "there is no " + p + "CLIENT_CERTIFICATE"},
		},
		"a client certificate does not take another's key": {
			variables: map[string]string{p + "ENDPOINT": "https://localhost:4317", p + "CLIENT_CERTIFICATE": one.certificate, p + "CLIENT_KEY": other.key},
			wantErr:   []string{p + "CLIENT_CERTIFICATE=", "private key does not match"},
		},
		"certificates do not go with plaintext": {
			variables: map[string]string{p + "ENDPOINT": "http://localhost:4317", p + "TRACES_CERTIFICATE": authority.certificate},
			want:      "metrics logs",
			wantErr:   []string{"traces endpoint localhost:4317 is plaintext, yet " + p + "TRACES_CERTIFICATE is set for it; accepted: an https URL"},
		},
		"insecure is true or false": {
			variables: map[string]string{p + "INSECURE": "yes"},
			want:      everySignal,
			wantErr:   []string{p + `INSECURE="yes"`},
		},
		"an interval that is too short is not used": {
			variables: map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "1"},
			want:      everySignal,
			wantErr:   []string{`OTEL_METRIC_EXPORT_INTERVAL="1"`, "1m0s is used"},
		},
		"an unknown temporality is not used": {
			variables: map[string]string{p + "METRICS_TEMPORALITY_PREFERENCE": "both"},
			want:      everySignal,
			wantErr:   []string{p + `METRICS_TEMPORALITY_PREFERENCE="both"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for variable, value := range test.variables {
				t.Setenv(variable, value)
			}
			s, err := startWithError(t, exporters.OTLP{})
			checkError(t, err, test.wantErr...)
			if got := parts(s); got != test.want {
				t.Errorf("got %q running, want %q", got, test.want)
			}
		})
	}
}

// The exporters of the SDK parse a variable that a field overrides all the same.
func TestSecretInAnOverriddenEndpoint(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "127.0.0.1:4317/?api-key="+canary)
	s, err := startWithError(t, exporters.OTLP{Endpoint: "127.0.0.1:4317"})
	checkError(t, err, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (value not shown): a query or fragment has no meaning here")
	if got, want := parts(s), "metrics logs"; got != want {
		t.Errorf("got %q running, want %q", got, want)
	}
}

func TestWrongFields(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config  exporters.OTLP
		want    string
		wantErr []string
	}{
		"an endpoint that is none":    {exporters.OTLP{Endpoint: "ftp://x"}, "", []string{`OTLP.Endpoint="ftp://x": unknown scheme; accepted: host:port`}},
		"an endpoint with a password": {exporters.OTLP{Endpoint: "https://user:" + canary + "@collector"}, "", []string{"OTLP.Endpoint (value not shown): credentials"}},
		"an unknown protocol":         {exporters.OTLP{Protocol: "http/json"}, everySignal, []string{`OTLP.Protocol="http/json"`, "accepted: grpc or http/protobuf"}},
		"a header with a bad key":     {exporters.OTLP{Headers: map[string]string{"a b": canary}}, "", []string{`OTLP.Headers: "a b"`, "value not shown"}},
		"an endpoint with a query":    {exporters.OTLP{Endpoint: "https://collector/?api-key=" + canary}, "", []string{"OTLP.Endpoint (value not shown): a query"}},
		"a header that gRPC refuses":  {exporters.OTLP{Headers: map[string]string{"x!y": canary}}, "", []string{`OTLP.Headers: "x!y"`, "over gRPC of letters, digits"}},
		"a tab that gRPC refuses":     {exporters.OTLP{Headers: map[string]string{"x": "\t" + canary}}, "", []string{`OTLP.Headers: "x"`}},
		"TLS with plaintext":          {exporters.OTLP{Endpoint: "http://collector:4317", TLS: &tls.Config{MinVersion: tls.VersionTLS12}, DisableMetrics: true, DisableLogs: true}, "", []string{"collector:4317 is plaintext, yet OTLP.TLS is set for it"}},
		"a header with a line break":  {exporters.OTLP{Headers: map[string]string{"a": "\n" + canary}}, "", []string{`OTLP.Headers: "a"`}},
	}
	for name, test := range tests {
		t.Run(name+" is refused", func(t *testing.T) {
			t.Parallel()
			s, err := startWithError(t, test.config)
			checkError(t, err, test.wantErr...)
			if got := strings.Count(err.Error(), "OTLP."); got != 1 {
				t.Errorf("got %v, want the error once for all signals", err)
			}
			if got := parts(s); got != test.want {
				t.Errorf("got %q running, want %q", got, test.want)
			}
		})
	}
}

func TestBatchVariables(t *testing.T) { // not parallel: it sets variables
	tests := map[string]struct {
		name, value string
		wantErr     []string
	}{
		"a negative queue":               {"MAX_QUEUE_SIZE", "-1", []string{`MAX_QUEUE_SIZE="-1"`, "65536 is used"}},
		"an empty queue":                 {"MAX_QUEUE_SIZE", "0", []string{`MAX_QUEUE_SIZE="0"`}},
		"a huge queue":                   {"MAX_QUEUE_SIZE", "9000000000000000000", []string{`MAX_QUEUE_SIZE="9000000000000000000"`}},
		"a negative batch":               {"MAX_EXPORT_BATCH_SIZE", "-512", []string{`MAX_EXPORT_BATCH_SIZE="-512"`, "512 is used"}},
		"a batch larger than the queue":  {"MAX_EXPORT_BATCH_SIZE", "100000", []string{`MAX_EXPORT_BATCH_SIZE="100000"`, "the queue of 65536"}},
		"a delay of zero":                {"SCHEDULE_DELAY", "0", []string{`SCHEDULE_DELAY="0"`, "1s is used"}},
		"a negative delay":               {"SCHEDULE_DELAY", "-1", []string{`SCHEDULE_DELAY="-1"`}},
		"a negative retry window":        {"EXPORT_TIMEOUT", "-1", []string{`EXPORT_TIMEOUT="-1"`, "10m0s is used"}},
		"a queue smaller than the batch": {"MAX_QUEUE_SIZE", "10", nil},
	}
	for name, test := range tests {
		t.Run(name+" does no harm", func(t *testing.T) {
			collector := faultcollector.Start(t)
			t.Setenv("OTEL_BSP_"+test.name, test.value)
			t.Setenv("OTEL_BLRP_"+test.name, test.value)
			s, err := startWithError(t, exporters.OTLP{Endpoint: collector.GRPC})
			for _, want := range test.wantErr {
				checkError(t, err, "OTEL_BSP_", "OTEL_BLRP_", want)
			}
			if test.wantErr == nil && err != nil {
				t.Errorf("got error %v", err)
			}
			s.emit(t)
			if err := s.flush(patience(t)); err != nil {
				t.Fatal(err)
			}
			checkContent(t, collector.Received())
		})
	}
}

// The exporters of the SDK read variables on their own, and print them.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	const p = "OTEL_EXPORTER_OTLP_"
	tests := map[string][]string{
		"malformed headers":                       {p + "HEADERS=Bearer " + canary},
		"headers with a bad escape":               {p + "HEADERS=key=%zz" + canary},
		"malformed headers of one signal":         {p + "LOGS_HEADERS=Bearer " + canary},
		"malformed headers that no signal uses":   {p + "HEADERS=Bearer " + canary, p + "TRACES_HEADERS=a=1", p + "METRICS_HEADERS=a=1", p + "LOGS_HEADERS=a=1"},
		"malformed headers over HTTP":             {p + "HEADERS=Bearer " + canary, p + "PROTOCOL=http/protobuf"},
		"an endpoint with a password":             {p + "ENDPOINT=http://user:" + canary + "@collector"},
		"an endpoint with a password and no port": {p + "ENDPOINT=http://user:" + canary + "@collector:port"},
		"an endpoint with a query":                {p + "ENDPOINT=127.0.0.1:4317/?api-key=" + canary},
		"an endpoint that no signal uses": {
			p + "ENDPOINT=127.0.0.1:4317/?api-key=" + canary,
			p + "TRACES_ENDPOINT=http://127.0.0.1:4317", p + "METRICS_ENDPOINT=http://127.0.0.1:4317", p + "LOGS_ENDPOINT=http://127.0.0.1:4317",
		},
	}
	for name, variables := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			executable, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			command := exec.CommandContext(patience(t), executable)
			command.Env = append(append(os.Environ(), startOnly+"=1", "GORACE=atexit_sleep_ms=0"), variables...)
			output, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			if text := string(output); strings.Contains(text, canary) || !strings.Contains(text, "value not shown") {
				t.Errorf("got output %q, want an error without the secret", text)
			}
		})
	}
}
