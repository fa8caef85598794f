package otelmon_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// Not parallel: sets environment variables.
func TestEveryVariableIsObeyed(t *testing.T) {
	rows := generalRows()
	maps.Copy(rows, otlpRows())
	maps.Copy(rows, batchingRows())
	maps.Copy(rows, limitRows())
	maps.Copy(rows, limitVariableRows())
	for _, variable := range env.Variables() {
		row, ok := rows[variable.Name]
		if !ok {
			t.Errorf("%s has no row", variable.Name)
			continue
		}
		delete(rows, variable.Name)
		t.Run(variable.Name, row)
	}
	for name := range rows {
		t.Errorf("%s is not in the table of variables", name)
	}
}

// with sets variables and an SDK up, without globals.
func with(t *testing.T, variables map[string]string) *service {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	s := setUp(t, otelmon.Config{})
	for name, value := range variables {
		if shown, ok := setting(s.SDK, name); value != "" && (!ok || shown.Origin != otelmon.FromEnvironment && shown.Problem == "") {
			t.Errorf("%s is shown as %+v", name, shown)
		}
	}
	return s
}

// pushing sets variables and an SDK up whose endpoint is left to them.
func pushing(t *testing.T, collector *faultcollector.Collector, variables map[string]string) *service {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	s := &service{collector: collector, log: newLines()}
	s.SDK, s.setupErr = otelmon.Setup(t.Context(), otelmon.Config{
		DisableGlobals: true,
		Logger:         s.log.logger(),
		Prometheus:     exporters.Prometheus{Address: "127.0.0.1:0"},
	})
	t.Cleanup(func() { s.shutdown(t) })
	return s
}

func resourceRow(variable, key string) func(*testing.T) {
	return func(t *testing.T) {
		s := with(t, map[string]string{variable: "it is " + key})
		if got := resourceOf(t, s.deliver(t))[key]; got != "it is "+key {
			t.Errorf("got %q, want the variable's value", got)
		}
	}
}

func generalRows() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"OTEL_SDK_DISABLED": func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_SDK_DISABLED": "TRUE"})
			if got := s.deliver(t); len(got.Paths) > 0 || s.MetricsURL() != "" {
				t.Errorf("got requests %v and metrics at %q, want nothing", got.Paths, s.MetricsURL())
			}
		},
		"OTEL_CONFIG_FILE": func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_CONFIG_FILE": "otel.yaml"})
			wantError(t, s.setupErr, "OTEL_CONFIG_FILE", "otel.yaml")
			if got := s.deliver(t); len(spansOf(got)) != 1 {
				t.Errorf("got %d spans, want the rest to run", len(spansOf(got)))
			}
		},
		"OTEL_SERVICE_NAME": resourceRow("OTEL_SERVICE_NAME", "service.name"),
		"OTEL_RESOURCE_ATTRIBUTES": func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,team=a%2Cb,deployment.environment.name=staging"})
			got := resourceOf(t, s.deliver(t))
			if got["service.name"] != "shop" || got["team"] != "a,b" || got["deployment.environment.name"] != "staging" {
				t.Errorf("got %v", got)
			}
		},
		"OTEL_PROPAGATORS": func(t *testing.T) {
			t.Setenv("OTEL_PROPAGATORS", "b3,baggage")
			setUpGlobal(t, otelmon.Config{DisableOTLP: true})
			fields := otel.GetTextMapPropagator().Fields()
			if !slices.Contains(fields, "b3") || !slices.Contains(fields, "baggage") || slices.Contains(fields, "traceparent") {
				t.Errorf("the propagator's fields are %v", fields)
			}
		},
		"OTEL_TRACES_EXPORTER": func(t *testing.T) {
			stdout := captureStdout(t)
			got := with(t, map[string]string{"OTEL_TRACES_EXPORTER": "console"}).deliver(t)
			if len(got.Traces) > 0 || len(got.Logs) == 0 {
				t.Errorf("got %d trace and %d log requests, want logs alone", len(got.Traces), len(got.Logs))
			}
			if out := stdout(); !strings.Contains(out, `"Name":"operation"`) {
				t.Errorf("no span on the console: %s", out)
			}
		},
		"OTEL_METRICS_EXPORTER": func(t *testing.T) {
			stdout := captureStdout(t)
			s := with(t, map[string]string{"OTEL_METRICS_EXPORTER": "otlp, console"})
			if got := s.deliver(t); metricOf(got, "operation.duration") == nil || s.MetricsURL() != "" {
				t.Errorf("got metrics %d and a page at %q, want a push alone", len(got.Metrics), s.MetricsURL())
			}
			if out := stdout(); !strings.Contains(out, `"operation.duration"`) {
				t.Errorf("no metric on the console: %s", out)
			}
		},
		"OTEL_LOGS_EXPORTER": func(t *testing.T) {
			stdout := captureStdout(t)
			got := with(t, map[string]string{"OTEL_LOGS_EXPORTER": "none,console"}).deliver(t)
			if len(got.Logs) > 0 {
				t.Error("log records were pushed")
			}
			if out := stdout(); !strings.Contains(out, "operation done") {
				t.Errorf("no record on the console: %s", out)
			}
		},
		"OTEL_TRACES_SAMPLER": func(t *testing.T) {
			for sampler, want := range map[string]int{
				"always_on": 1, "always_off": 0, "traceidratio": 1, "parentbased_always_on": 1, "parentbased_always_off": 0, "parentbased_traceidratio": 1,
				"otelmon_ratio": 1, "otelmon_ratelimit": 1, "otelmon_adaptive": 1,
			} {
				s := with(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler})
				if got := s.deliver(t); len(spansOf(got)) != want || s.setupErr != nil {
					t.Errorf("%s: got %d spans and error %v, want %d", sampler, len(spansOf(got)), s.setupErr, want)
				}
			}
		},
		"OTEL_TRACES_SAMPLER_ARG": func(t *testing.T) {
			for sampler, want := range map[string]map[string]int{
				"traceidratio":      {"0": 0, "1": 1},
				"otelmon_ratio":     {"0": 0, "1": 1},
				"otelmon_ratelimit": {"0.001": 1},
				"otelmon_adaptive":  {"0.001": 1},
			} {
				for argument, want := range want {
					got := with(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}).deliver(t)
					if len(spansOf(got)) != want {
						t.Errorf("%s %s: got %d spans, want %d", sampler, argument, len(spansOf(got)), want)
					}
				}
			}
		},
		"OTEL_METRICS_EXEMPLAR_FILTER": func(t *testing.T) {
			for filter, want := range map[string]bool{"trace_based": true, "always_off": false} {
				s := with(t, map[string]string{"OTEL_METRICS_EXEMPLAR_FILTER": filter})
				s.emit(t)
				if got := strings.Contains(s.scrape(t), "trace_id="); got != want {
					t.Errorf("%s: an exemplar is there: %v, want %v", filter, got, want)
				}
			}
		},
		"OTEL_METRIC_EXPORT_INTERVAL": func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "100"})
			s.collector.Wait(patience(t), t, func(got faultcollector.Received) bool { return len(got.Metrics) > 2 })
		},
		"OTEL_METRIC_EXPORT_TIMEOUT": timeoutRow("OTEL_METRIC_EXPORT_TIMEOUT", "metrics"),
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"})
			got := metricOf(s.deliver(t), "operation.duration").GetHistogram().GetAggregationTemporality()
			if got != metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
				t.Errorf("got %v", got)
			}
			s.log.wait(t, "delta temporality")
		},
		"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": func(t *testing.T) {
			s := with(t, map[string]string{"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"})
			if got := metricOf(s.deliver(t), "operation.duration"); got.GetExponentialHistogram() == nil {
				t.Errorf("got %v, want an exponential histogram", got)
			}
			if body := s.scrape(t); !strings.Contains(body, `le="0.25"`) {
				t.Error("the scrape has lost its explicit boundaries")
			}
		},
		"OTEL_EXPORTER_PROMETHEUS_HOST": func(t *testing.T) {
			s := fromListenVariables(t, "0.0.0.0", "0")
			if got := resourceOf(t, s.deliver(t))["otelmon.metrics.path"]; got != "scrape" {
				t.Errorf("got path %q, want scrape for a listener on all addresses", got)
			}
		},
		"OTEL_EXPORTER_PROMETHEUS_PORT": func(t *testing.T) {
			port := freePort(t)
			if s := fromListenVariables(t, "", port); s.MetricsURL() != "http://localhost:"+port+"/metrics" {
				t.Errorf("got %q, want port %s", s.MetricsURL(), port)
			}
		},
		"OTELMON_METRICS_DISABLED": func(t *testing.T) {
			body := with(t, map[string]string{"OTELMON_METRICS_DISABLED": "go.*, process.uptime"}).scrape(t)
			if strings.Contains(body, "go_goroutine_count") || strings.Contains(body, "process_uptime") || !strings.Contains(body, "process_memory_usage_bytes") {
				t.Errorf("got\n%s", body)
			}
		},
		"OTELMON_METRICS_PATH": resourcePathRow,
		"OTELMON_PROMETHEUS_WEB_CONFIG_FILE": func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "web.yml")
			write(t, file, "basic_auth_users:\n  admin: $2y$04$2aCRpLUSDjmXFpFMD1xpsOPdPOdMSh4OdDpJpTkkWjYFeJUyy8zCu\n")
			s := with(t, map[string]string{"OTELMON_PROMETHEUS_WEB_CONFIG_FILE": file})
			if _, status := get(t, s.MetricsURL()); status != http.StatusUnauthorized {
				t.Errorf("got status %d, want %d", status, http.StatusUnauthorized)
			}
		},
		"OTELMON_PUSHGATEWAY_URL": func(t *testing.T) {
			gateway := startPushgateway(t)
			t.Setenv("OTELMON_PUSHGATEWAY_URL", gateway.url)
			_, err := runJob(t, otelmon.Config{})
			wantNoError(t, err)
			gateway.wantPush(t, "test", "job_items_total")
		},
		"K8S_CLUSTER_NAME":    resourceRow("K8S_CLUSTER_NAME", "k8s.cluster.name"),
		"K8S_NAMESPACE_NAME":  resourceRow("K8S_NAMESPACE_NAME", "k8s.namespace.name"),
		"K8S_NODE_NAME":       resourceRow("K8S_NODE_NAME", "k8s.node.name"),
		"K8S_POD_NAME":        resourceRow("K8S_POD_NAME", "k8s.pod.name"),
		"K8S_POD_UID":         resourceRow("K8S_POD_UID", "k8s.pod.uid"),
		"K8S_CONTAINER_NAME":  resourceRow("K8S_CONTAINER_NAME", "k8s.container.name"),
		"K8S_DEPLOYMENT_NAME": resourceRow("K8S_DEPLOYMENT_NAME", "k8s.deployment.name"),
		"POD_NAMESPACE":       resourceRow("POD_NAMESPACE", "k8s.namespace.name"),
		"NODE_NAME":           resourceRow("NODE_NAME", "k8s.node.name"),
		"POD_NAME":            resourceRow("POD_NAME", "k8s.pod.name"),
		"POD_UID":             resourceRow("POD_UID", "k8s.pod.uid"),
	}
}

func resourcePathRow(t *testing.T) {
	s := with(t, map[string]string{"OTELMON_METRICS_PATH": "scrape"})
	if got := resourceOf(t, s.deliver(t))["otelmon.metrics.path"]; got != "scrape" {
		t.Errorf("got %q, want scrape", got)
	}
	if body := s.scrape(t); !strings.Contains(body, `otelmon_metrics_path="scrape"`) {
		t.Error("the label is missing from the scrape")
	}
}

// fromListenVariables sets an SDK up whose metrics listener is left to
// variables.
func fromListenVariables(t *testing.T, host, port string) *service {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", host)
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", port)
	s := &service{collector: faultcollector.Start(t), log: newLines()}
	s.SDK, s.setupErr = otelmon.Setup(t.Context(), otelmon.Config{
		DisableGlobals: true,
		Logger:         s.log.logger(),
		OTLP:           exporters.OTLP{Endpoint: s.collector.GRPC},
	})
	t.Cleanup(func() { s.shutdown(t) })
	if s.setupErr != nil {
		t.Error(s.setupErr)
	}
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// timeoutRow proves that the variable ends a signal's retries: the flush fails
// before its own context does. The other signals are off.
func timeoutRow(variable, signal string) func(*testing.T) {
	return func(t *testing.T) {
		variables := map[string]string{variable: "50"}
		for other := range strings.FieldsSeq(others(signal)) {
			variables["OTEL_"+strings.ToUpper(other)+"_EXPORTER"] = "none"
		}
		s := with(t, variables)
		s.collector.Hang()
		s.emit(t)
		ctx := patience(t)
		err := s.ForceFlush(ctx)
		if err == nil || !strings.Contains(err.Error(), signal) {
			t.Errorf("got %v, want %s not delivered", err, signal)
		}
		if ctx.Err() != nil {
			t.Error("the flush lasted until its own deadline")
		}
	}
}

// wantError checks that an error names the variable or field and the value.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one with %q", parts)
		return
	}
	for _, part := range append(parts, "accepted: ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing from the error: %v", part, err)
		}
	}
}

// flushUntil flushes with a bound, for signals that cannot be delivered.
func flushUntil(t *testing.T, s *service, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return s.ForceFlush(ctx)
}

func endpointVariables(signal string) string {
	if signal == "" {
		return "OTEL_EXPORTER_OTLP_"
	}
	return fmt.Sprintf("OTEL_EXPORTER_OTLP_%s_", strings.ToUpper(signal))
}
