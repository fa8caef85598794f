package otelmon_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

// Not parallel: sets environment variables.
func TestSettingsOfPushes(t *testing.T) {
	const endpoint, traces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	testSettings(t, map[string]settingTest{
		"a signal's own variable wins for it": {
			variables: map[string]string{endpoint: "a:4317", traces: "b:4317"},
			want:      otelmon.Setting{Name: endpoint, Value: "a:4317", Origin: otelmon.FromEnvironment, Problem: traces + " wins"},
		},
		"a signal's own variable is shown": {
			variables: map[string]string{endpoint: "a:4317", traces: "b:4317"},
			want:      otelmon.Setting{Name: traces, Value: "b:4317", Origin: otelmon.FromEnvironment},
		},
		"a field wins over a signal's own variable": {
			cfg: otelmon.Config{OTLP: exporters.OTLP{Endpoint: "c:4317"}}, variables: map[string]string{traces: "b:4317"},
			want: otelmon.Setting{Name: traces, Value: "c:4317", Origin: otelmon.FromCode, Field: "OTLP.Endpoint", Problem: "OTLP.Endpoint wins"},
		},
		"an endpoint in code that is refused says so": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{Endpoint: "a b"}},
			want: otelmon.Setting{Name: endpoint, Value: "a b", Origin: otelmon.FromCode, Field: "OTLP.Endpoint", Problem: "not an address"},
		},
		"a signal that cannot be pushed says so": {
			variables: map[string]string{traces: "a b"},
			want:      otelmon.Setting{Name: "OTEL_TRACES_EXPORTER", Value: "otlp", Origin: otelmon.FromDefault, Problem: "nothing is pushed"},
		},
		"a path that is appended anyway is left out": {
			variables: map[string]string{endpoint: "http://a:4318/v1/traces"},
			want:      otelmon.Setting{Name: endpoint, Value: "http://a:4318/v1/traces", Origin: otelmon.FromEnvironment, Problem: "/v1/traces, which is left out"},
		},
		"the endpoint decides the protocol": {
			variables: map[string]string{endpoint: "a:4318"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "http/protobuf", Origin: otelmon.FromDefault},
		},
		"a signal's own endpoint decides its protocol": {
			variables: map[string]string{traces: "a:4318"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", Value: "http/protobuf", Origin: otelmon.FromDefault},
		},
		"a signal's own protocol leaves that of the others": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "grpc", Origin: otelmon.FromDefault},
		},
		"a signal's own protocol decides its endpoint": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
			want:      otelmon.Setting{Name: traces, Value: "localhost:4318", Origin: otelmon.FromDefault},
		},
		"a protocol in code that is refused leaves the default": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{Protocol: "udp"}},
			want: otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "grpc", Origin: otelmon.FromDefault, Problem: `OTLP.Protocol="udp"`},
		},
		"a scheme wins over the variable": {
			variables: map[string]string{endpoint: "https://a:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_INSECURE", Value: "false", Origin: otelmon.FromEnvironment, Problem: "the scheme of the endpoint wins for traces"},
		},
		"an address beyond loopback is spoken to over TLS": {
			variables: map[string]string{endpoint: "a:4317"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_INSECURE", Value: "false", Origin: otelmon.FromDefault},
		},
		"headers are not shown": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_HEADERS", Value: "(value not shown)", Origin: otelmon.FromEnvironment},
		},
		"a header in code wins": {
			cfg:       otelmon.Config{OTLP: exporters.OTLP{Headers: map[string]string{"API-Key": "b"}}},
			variables: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_HEADERS", Value: "(value not shown)", Origin: otelmon.FromEnvironment, Problem: "OTLP.Headers wins for a header"},
		},
		"headers in code are counted": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{Headers: map[string]string{"a": "b"}}},
			want: otelmon.Setting{Name: "OTLP.Headers", Value: "1 (values not shown)", Origin: otelmon.FromCode},
		},
		"certificates in code win": {
			cfg:       otelmon.Config{OTLP: exporters.OTLP{Endpoint: "a:4317", TLS: &tls.Config{MinVersion: tls.VersionTLS13}}},
			variables: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/nowhere/ca.pem"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", Value: "/nowhere/ca.pem", Origin: otelmon.FromEnvironment, Problem: "OTLP.TLS wins"},
		},
		"a file that is not there is told": {
			variables: map[string]string{endpoint: "https://a", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_CERTIFICATE", Value: "/nowhere/ca.pem", Origin: otelmon.FromEnvironment, Problem: "no such file"},
		},
		"a retry window in code is that of spans": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{RetryWindow: time.Minute}},
			want: otelmon.Setting{Name: "OTEL_BSP_EXPORT_TIMEOUT", Value: "1m0s", Origin: otelmon.FromCode, Field: "OTLP.RetryWindow"},
		},
		"a retry window in code is that of log records": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{RetryWindow: time.Minute}},
			want: otelmon.Setting{Name: "OTEL_BLRP_EXPORT_TIMEOUT", Value: "1m0s", Origin: otelmon.FromCode, Field: "OTLP.RetryWindow"},
		},
		"a timeout in code wins": {
			cfg: otelmon.Config{OTLP: exporters.OTLP{Timeout: time.Minute}}, variables: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "7"},
			want: otelmon.Setting{Name: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", Value: "1m0s", Origin: otelmon.FromCode, Field: "OTLP.Timeout", Problem: "OTLP.Timeout wins"},
		},
		"an interval in code is in force": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{MetricInterval: time.Second}},
			want: otelmon.Setting{Name: "OTEL_METRIC_EXPORT_INTERVAL", Value: "1s", Origin: otelmon.FromCode, Field: "OTLP.MetricInterval"},
		},
		"a queue in code is in force": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{QueueBytes: 1 << 20}},
			want: otelmon.Setting{Name: "OTELMON_OTLP_QUEUE_BYTES", Value: "1048576", Origin: otelmon.FromCode, Field: "OTLP.QueueBytes"},
		},
		"a queue in code that is refused leaves the default": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{QueueBytes: 1}},
			want: otelmon.Setting{Name: "OTELMON_OTLP_QUEUE_BYTES", Value: "67108864", Origin: otelmon.FromDefault, Problem: "OTLP.QueueBytes=1"},
		},
		"histograms in code are in force": {
			cfg: otelmon.Config{OTLP: exporters.OTLP{ExponentialHistograms: true}},
			want: otelmon.Setting{
				Name: "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", Value: "base2_exponential_bucket_histogram",
				Origin: otelmon.FromCode, Field: "OTLP.ExponentialHistograms",
			},
		},
		"an exporter that is switched off leaves the others": {
			cfg: otelmon.Config{DisableOTLP: true},
			want: otelmon.Setting{
				Name: "OTEL_METRICS_EXPORTER", Value: "prometheus", Origin: otelmon.FromCode, Field: "Config.DisableOTLP",
			},
		},
		"exporters that are all switched off are none": {
			cfg: otelmon.Config{DisablePrometheus: true, OTLP: exporters.OTLP{DisableMetrics: true}}, variables: map[string]string{"OTEL_METRICS_EXPORTER": "prometheus,otlp"},
			want: otelmon.Setting{
				Name: "OTEL_METRICS_EXPORTER", Value: "none", Origin: otelmon.FromCode, Field: "Config.DisablePrometheus, OTLP.DisableMetrics",
				Problem: "Config.DisablePrometheus, OTLP.DisableMetrics wins",
			},
		},
		"a switch without effect leaves the variable": {
			cfg: otelmon.Config{DisableOTLP: true}, variables: map[string]string{"OTEL_LOGS_EXPORTER": "none"},
			want: otelmon.Setting{Name: "OTEL_LOGS_EXPORTER", Value: "none", Origin: otelmon.FromEnvironment},
		},
		"a variable for what is off has no effect": {
			cfg: otelmon.Config{DisableOTLP: true}, variables: map[string]string{endpoint: "a:4317"},
			want: otelmon.Setting{Name: endpoint, Value: "a:4317", Origin: otelmon.FromEnvironment, Problem: "no effect, because no signal that it is for is pushed over OTLP"},
		},
		"a variable for a signal that is off has no effect": {
			variables: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_BSP_MAX_QUEUE_SIZE": "7"},
			want:      otelmon.Setting{Name: "OTEL_BSP_MAX_QUEUE_SIZE", Value: "7", Origin: otelmon.FromEnvironment, Problem: "spans are not pushed"},
		},
		"a variable for metrics that are not served has no effect": {
			cfg: otelmon.Config{DisablePrometheus: true}, variables: map[string]string{"OTEL_EXPORTER_PROMETHEUS_PORT": "7"},
			want: otelmon.Setting{Name: "OTEL_EXPORTER_PROMETHEUS_PORT", Value: "7", Origin: otelmon.FromEnvironment, Problem: "metrics are not served here"},
		},
		"nothing has effect when telemetry is off": {
			variables: map[string]string{"OTEL_SDK_DISABLED": "true", endpoint: "a:4317"},
			want:      otelmon.Setting{Name: endpoint, Value: "a:4317", Origin: otelmon.FromEnvironment, Problem: "OTEL_SDK_DISABLED is true"},
		},
		"that telemetry is off is shown": {
			variables: map[string]string{"OTEL_SDK_DISABLED": "TRUE"},
			want:      otelmon.Setting{Name: "OTEL_SDK_DISABLED", Value: "true", Origin: otelmon.FromEnvironment},
		},
		"propagation goes on when telemetry is off": {
			variables: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_PROPAGATORS": "b3"},
			want:      otelmon.Setting{Name: "OTEL_PROPAGATORS", Value: "b3", Origin: otelmon.FromEnvironment},
		},
	})
}
