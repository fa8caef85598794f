package otelmon_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
)

// setting returns one of the SDK's settings.
func setting(sdk *otelmon.SDK, name string) (found otelmon.Setting, ok bool) {
	for _, s := range sdk.Status().Settings {
		if s.Name == name {
			return s, true
		}
	}
	return otelmon.Setting{}, false
}

// explain sets variables and an SDK up that reaches nothing, as somebody does
// who only wants to know what holds.
func explain(t *testing.T, cfg otelmon.Config, variables map[string]string) *otelmon.SDK {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	refused := errors.New("refused by the test")
	cfg.DisableGlobals, cfg.Logger = true, slog.New(slog.DiscardHandler)
	cfg.OTLP.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, refused }
	cfg.Prometheus.Listen = func(ctx context.Context, network, _ string) (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, network, "127.0.0.1:0")
	}
	sdk, _ := otelmon.Setup(t.Context(), cfg)
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		_ = sdk.Shutdown(over)
	})
	return sdk
}

// settingTest is what one setting has to be.
type settingTest struct {
	cfg       otelmon.Config
	variables map[string]string
	want      otelmon.Setting // Problem: a part of it
}

// testSettings sets environment variables, so that its callers are not parallel.
func testSettings(t *testing.T, tests map[string]settingTest) {
	t.Helper()
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			got, ok := setting(explain(t, test.cfg, test.variables), test.want.Name)
			if !ok {
				t.Fatalf("%s is not there", test.want.Name)
			}
			if !strings.Contains(got.Problem, test.want.Problem) || (got.Problem == "") != (test.want.Problem == "") {
				t.Errorf("got problem %q, want %q", got.Problem, test.want.Problem)
			}
			test.want.Problem = got.Problem
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("setting differs (-want +got):\n%s", diff)
			}
		})
	}
}

// Not parallel: sets environment variables.
func TestSettings(t *testing.T) {
	testSettings(t, map[string]settingTest{
		"a variable is in force": {
			variables: map[string]string{"OTEL_SERVICE_NAME": "shop"},
			want:      otelmon.Setting{Name: "OTEL_SERVICE_NAME", Value: "shop", Origin: otelmon.FromEnvironment},
		},
		"a field is in force": {
			cfg:  otelmon.Config{ServiceName: "shop"},
			want: otelmon.Setting{Name: "OTEL_SERVICE_NAME", Value: "shop", Origin: otelmon.FromCode, Field: "Config.ServiceName"},
		},
		"a field wins over its variable": {
			cfg: otelmon.Config{ServiceName: "shop"}, variables: map[string]string{"OTEL_SERVICE_NAME": "other"},
			want: otelmon.Setting{Name: "OTEL_SERVICE_NAME", Value: "shop", Origin: otelmon.FromCode, Field: "Config.ServiceName", Problem: "ignored, because Config.ServiceName wins"},
		},
		"a service without a name has a default that is a problem": {
			want: otelmon.Setting{Name: "OTEL_SERVICE_NAME", Value: "unknown_service:otelmon.test", Origin: otelmon.FromDefault, Problem: "no name"},
		},
		"the name may come from the list of attributes": {
			variables: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"},
			want:      otelmon.Setting{Name: "OTEL_SERVICE_NAME", Value: "shop", Origin: otelmon.FromEnvironment},
		},
		"an attribute of the list gives way to its variable": {
			variables: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "service.name=other", "OTEL_SERVICE_NAME": "shop"},
			want:      otelmon.Setting{Name: "OTEL_RESOURCE_ATTRIBUTES", Value: "service.name=other", Origin: otelmon.FromEnvironment, Problem: "OTEL_SERVICE_NAME wins for service.name"},
		},
		"an attribute of the list gives way to a field": {
			cfg: otelmon.Config{Environment: "live"}, variables: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"},
			want: otelmon.Setting{Name: "OTEL_RESOURCE_ATTRIBUTES", Value: "deployment.environment.name=test", Origin: otelmon.FromEnvironment, Problem: "Config.Environment wins for deployment.environment.name"},
		},
		"a field that the list fills in is from the environment": {
			variables: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"},
			want:      otelmon.Setting{Name: "Config.Environment", Value: "test", Origin: otelmon.FromEnvironment},
		},
		"a field that another one fills in says which": {
			cfg:  otelmon.Config{Attributes: []attribute.KeyValue{attribute.String("service.version", "7")}},
			want: otelmon.Setting{Name: "Config.ServiceVersion", Value: "7", Origin: otelmon.FromCode, Field: "Config.Attributes"},
		},
		"the second name of a variable gives way": {
			variables: map[string]string{"POD_NAME": "b", "K8S_POD_NAME": "a"},
			want:      otelmon.Setting{Name: "POD_NAME", Value: "b", Origin: otelmon.FromEnvironment, Problem: "K8S_POD_NAME wins for k8s.pod.name"},
		},
		"a value that is refused is the default": {
			variables: map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "soon"},
			want:      otelmon.Setting{Name: "OTEL_BSP_SCHEDULE_DELAY", Value: "1s", Origin: otelmon.FromDefault, Problem: `"soon": not a whole number`},
		},
		"a batch is no larger than its queue": {
			variables: map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"},
			want:      otelmon.Setting{Name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", Value: "10", Origin: otelmon.FromDefault, Problem: "more than the queue of 10 holds"},
		},
		"a sampler in code is described": {
			cfg: otelmon.Config{Sampler: sampling.Ratio(0.5)}, variables: map[string]string{"OTEL_TRACES_SAMPLER": "always_on"},
			want: otelmon.Setting{
				Name: "OTEL_TRACES_SAMPLER", Value: sampling.ParentBased(sampling.Ratio(0.5)).Description(), Origin: otelmon.FromCode,
				Field: "Config.Sampler", Problem: "Config.Sampler wins",
			},
		},
		"an argument is ignored by a sampler in code": {
			cfg: otelmon.Config{Sampler: sampling.Ratio(0.5)}, variables: map[string]string{"OTEL_TRACES_SAMPLER_ARG": "0.1"},
			want: otelmon.Setting{Name: "OTEL_TRACES_SAMPLER_ARG", Value: "0.1", Origin: otelmon.FromEnvironment, Problem: "Config.Sampler wins"},
		},
		"an argument is ignored by a sampler without one": {
			variables: map[string]string{"OTEL_TRACES_SAMPLER_ARG": "0.1"},
			want:      otelmon.Setting{Name: "OTEL_TRACES_SAMPLER_ARG", Value: "0.1", Origin: otelmon.FromEnvironment, Problem: "not used by parentbased_always_on"},
		},
		"an argument that is refused is the safe ratio": {
			variables: map[string]string{"OTEL_TRACES_SAMPLER": "otelmon_ratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
			want:      otelmon.Setting{Name: "OTEL_TRACES_SAMPLER_ARG", Value: "0.01", Origin: otelmon.FromDefault, Problem: `"half": not a ratio`},
		},
		"a rate that is refused is another sampler": {
			variables: map[string]string{"OTEL_TRACES_SAMPLER": "otelmon_ratelimit", "OTEL_TRACES_SAMPLER_ARG": "-1"},
			want:      otelmon.Setting{Name: "OTEL_TRACES_SAMPLER", Value: "otelmon_ratio of 0.01", Origin: otelmon.FromDefault, Problem: "OTEL_TRACES_SAMPLER_ARG is not accepted"},
		},
		"a sampler has its own default argument": {
			variables: map[string]string{"OTEL_TRACES_SAMPLER": "otelmon_adaptive"},
			want:      otelmon.Setting{Name: "OTEL_TRACES_SAMPLER_ARG", Value: "10", Origin: otelmon.FromDefault},
		},
		"a sampler that is unknown is the safe ratio": {
			variables: map[string]string{"OTEL_TRACES_SAMPLER": "sometimes"},
			want:      otelmon.Setting{Name: "OTEL_TRACES_SAMPLER", Value: "parentbased_traceidratio of 0.01", Origin: otelmon.FromDefault, Problem: "unknown sampler"},
		},
		"no rescue is a rescue of none": {
			cfg: otelmon.Config{Rescue: sampling.Rescue{Disable: true}}, variables: map[string]string{"OTELMON_RESCUES_PER_SECOND": "7"},
			want: otelmon.Setting{Name: "OTELMON_RESCUES_PER_SECOND", Value: "0", Origin: otelmon.FromCode, Field: "Config.Rescue.Disable", Problem: "Config.Rescue.Disable wins"},
		},
		"a bound that is lifted is no limit": {
			cfg:  otelmon.Config{ForcedPerSecond: -1},
			want: otelmon.Setting{Name: "OTELMON_FORCED_PER_SECOND", Value: "no limit", Origin: otelmon.FromCode, Field: "Config.ForcedPerSecond"},
		},
		"a field that is refused leaves the default": {
			cfg:  otelmon.Config{Rescue: sampling.Rescue{SlowerThan: -1}},
			want: otelmon.Setting{Name: "OTELMON_RESCUE_SLOWER_THAN", Value: "1s", Origin: otelmon.FromDefault, Problem: "Config.Rescue.SlowerThan=-1ns"},
		},
		"an address in code is a host": {
			cfg:  otelmon.Config{Prometheus: exporters.Prometheus{Address: "127.0.0.2:7"}},
			want: otelmon.Setting{Name: "OTEL_EXPORTER_PROMETHEUS_HOST", Value: "127.0.0.2", Origin: otelmon.FromCode, Field: "Prometheus.Address"},
		},
		"an address in code is a port": {
			cfg: otelmon.Config{Prometheus: exporters.Prometheus{Address: "127.0.0.2:7"}}, variables: map[string]string{"OTEL_EXPORTER_PROMETHEUS_PORT": "8"},
			want: otelmon.Setting{Name: "OTEL_EXPORTER_PROMETHEUS_PORT", Value: "7", Origin: otelmon.FromCode, Field: "Prometheus.Address", Problem: "Prometheus.Address wins"},
		},
		"a host that is refused is localhost": {
			variables: map[string]string{"OTEL_EXPORTER_PROMETHEUS_HOST": "a b"},
			want:      otelmon.Setting{Name: "OTEL_EXPORTER_PROMETHEUS_HOST", Value: "localhost", Origin: otelmon.FromDefault, Problem: "not an address"},
		},
		"a web configuration that is missing is told": {
			variables: map[string]string{"OTELMON_PROMETHEUS_WEB_CONFIG_FILE": "/nowhere/web.yaml"},
			want:      otelmon.Setting{Name: "OTELMON_PROMETHEUS_WEB_CONFIG_FILE", Value: "/nowhere/web.yaml", Origin: otelmon.FromEnvironment, Problem: "metrics are not served"},
		},
		"a Pushgateway is for Run": {
			variables: map[string]string{"OTELMON_PUSHGATEWAY_URL": "http://gateway"},
			want:      otelmon.Setting{Name: "OTELMON_PUSHGATEWAY_URL", Value: "(value not shown)", Origin: otelmon.FromEnvironment, Problem: "otelmon.Run alone"},
		},
		"a path of metrics is decided": {
			cfg:  otelmon.Config{DisableOTLP: true},
			want: otelmon.Setting{Name: "OTELMON_METRICS_PATH", Value: "scrape", Origin: otelmon.FromDefault},
		},
		"a path of metrics in code that is refused is decided": {
			cfg:  otelmon.Config{MetricsPath: "both"},
			want: otelmon.Setting{Name: "OTELMON_METRICS_PATH", Value: "otlp", Origin: otelmon.FromDefault, Problem: `Config.MetricsPath="both"`},
		},
		"objectives have a default": {
			want: otelmon.Setting{Name: "Config.LatencyObjectives", Value: "250ms, 1s", Origin: otelmon.FromDefault},
		},
		"objectives are in force": {
			cfg:  otelmon.Config{LatencyObjectives: []time.Duration{time.Second, time.Minute}},
			want: otelmon.Setting{Name: "Config.LatencyObjectives", Value: "1s, 1m0s", Origin: otelmon.FromCode},
		},
		"objectives that are refused are told": {
			cfg:  otelmon.Config{LatencyObjectives: []time.Duration{-time.Second}},
			want: otelmon.Setting{Name: "Config.LatencyObjectives", Value: "-1s", Origin: otelmon.FromCode, Problem: "LatencyObjectives: -1s; accepted"},
		},
		"boundaries are shown": {
			cfg:  otelmon.Config{Boundaries: map[string][]float64{"b.*": {1, 2}, "a": {0.5}}},
			want: otelmon.Setting{Name: "Config.Boundaries", Value: "a [0.5], b.* [1 2]", Origin: otelmon.FromCode},
		},
		"boundaries that are refused are told": {
			cfg:  otelmon.Config{Boundaries: map[string][]float64{"a": nil}},
			want: otelmon.Setting{Name: "Config.Boundaries", Value: "a []", Origin: otelmon.FromCode, Problem: "empty"},
		},
		"metrics that are disabled in code are shown": {
			cfg: otelmon.Config{DisabledMetrics: []string{"a", "b"}}, variables: map[string]string{"OTELMON_METRICS_DISABLED": "c"},
			want: otelmon.Setting{Name: "Config.DisabledMetrics", Value: "a, b", Origin: otelmon.FromCode},
		},
		"metrics that the variable disables are added": {
			cfg: otelmon.Config{DisabledMetrics: []string{"a", "b"}}, variables: map[string]string{"OTELMON_METRICS_DISABLED": "c"},
			want: otelmon.Setting{Name: "OTELMON_METRICS_DISABLED", Value: "c", Origin: otelmon.FromEnvironment},
		},
		"a metric that the variable disables and is none is told there": {
			cfg: otelmon.Config{DisabledMetrics: []string{"a"}}, variables: map[string]string{"OTELMON_METRICS_DISABLED": "1"},
			want: otelmon.Setting{Name: "OTELMON_METRICS_DISABLED", Value: "1", Origin: otelmon.FromEnvironment, Problem: `"1"; accepted: an instrument name`},
		},
		"a metric that is disabled in code and is none is told there": {
			cfg: otelmon.Config{DisabledMetrics: []string{"1"}}, variables: map[string]string{"OTELMON_METRICS_DISABLED": "a"},
			want: otelmon.Setting{Name: "Config.DisabledMetrics", Value: "1", Origin: otelmon.FromCode, Problem: `"1"; accepted: an instrument name`},
		},
		"a limit has a default": {
			want: otelmon.Setting{Name: "Config.CardinalityLimit", Value: "2000", Origin: otelmon.FromDefault},
		},
		"a limit that is refused is the default": {
			cfg:  otelmon.Config{CardinalityLimit: -1},
			want: otelmon.Setting{Name: "Config.CardinalityLimit", Value: "2000", Origin: otelmon.FromDefault, Problem: "-1: the default is used"},
		},
		"parts in code are counted": {
			cfg:  otelmon.Config{Readers: []sdkmetric.Reader{sdkmetric.NewManualReader(), nil}},
			want: otelmon.Setting{Name: "Config.Readers", Value: "1", Origin: otelmon.FromCode},
		},
		"pages in code are named": {
			cfg:  otelmon.Config{Prometheus: exporters.Prometheus{Handlers: map[string]http.Handler{"/b": http.NotFoundHandler(), "/a": http.NotFoundHandler()}}},
			want: otelmon.Setting{Name: "Prometheus.Handlers", Value: "/a, /b", Origin: otelmon.FromCode},
		},
		"values that are not cut have no limit": {
			cfg:  otelmon.Config{OTLP: exporters.OTLP{MaxValueBytes: -1}},
			want: otelmon.Setting{Name: "OTLP.MaxValueBytes", Value: "no limit", Origin: otelmon.FromCode},
		},
		"a general limit says what wins": {
			variables: map[string]string{"OTEL_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "8"},
			want:      otelmon.Setting{Name: "OTEL_ATTRIBUTE_COUNT_LIMIT", Value: "7", Origin: otelmon.FromEnvironment, Problem: "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT wins"},
		},
		"a variable that is misspelt is not read": {
			variables: map[string]string{"OTEL_TRACE_SAMPLER": "always_off"},
			want:      otelmon.Setting{Name: "OTEL_TRACE_SAMPLER", Value: "(value not shown)", Origin: otelmon.FromEnvironment, Problem: "did you mean OTEL_TRACES_SAMPLER?"},
		},
		"what a terminal would obey is left out": {
			variables: map[string]string{"OTEL_SERVICE_NAME": "a\x1b[2J\u202eb"},
			want:      otelmon.Setting{Name: "OTEL_SERVICE_NAME", Value: "a\uFFFD[2J\uFFFDb", Origin: otelmon.FromEnvironment},
		},
	})
}

// Not parallel: the environment of the process is to be empty.
func TestSettingsHaveTheDefaultsOfTheReadme(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "../README.md"), "| Field of `otelmon.Config` |")
	table, _, _ = strings.Cut(table, "\n\n")
	names := regexp.MustCompile("`(OTEL[A-Z_]+)`").FindAllStringSubmatch(table, -1)
	if len(names) < 12 {
		t.Fatalf("found %d variables in the README", len(names))
	}
	sdk := explain(t, otelmon.Config{}, map[string]string{"OTEL_TRACES_SAMPLER": "otelmon_ratio"}) // which has an argument
	for _, name := range names {
		if _, ok := setting(sdk, name[1]); !ok {
			t.Errorf("%s is not there", name[1])
		}
	}
	for _, name := range []string{"Config.LatencyObjectives", "Config.CardinalityLimit", "Config.LogLevel", "Prometheus.NativeHistograms"} {
		if _, ok := setting(sdk, name); !ok {
			t.Errorf("%s is not there", name)
		}
	}
}

// Not parallel: sets environment variables.
func TestSettingsAreWhatRuns(t *testing.T) {
	tests := map[string]struct {
		cfg       otelmon.Config
		variables map[string]string
	}{
		"by default": {},
		"one endpoint for all": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"},
		},
		"an endpoint for one": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "a:4317", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://b:4318/logs"},
		},
		"a protocol for one": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"},
		},
		"an endpoint in code": {
			cfg:       otelmon.Config{OTLP: exporters.OTLP{Endpoint: "c:4317"}, MetricsPath: "scrape"},
			variables: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://b:4318/logs", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
		},
		"all endpoints of their own": {
			variables: map[string]string{
				"OTEL_SERVICE_NAME":                   "shop",
				"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  "a:4317",
				"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "b:4318",
				"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT":    "https://c:4317",
			},
		},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			sdk := explain(t, test.cfg, test.variables)
			status := sdk.Status()
			if len(status.Pushes) != 3 {
				t.Fatalf("got %d pushes, want 3", len(status.Pushes))
			}
			for _, push := range status.Pushes {
				held := func(suffix string) string {
					own, _ := setting(sdk, "OTEL_EXPORTER_OTLP_"+strings.ToUpper(push.Signal)+"_"+suffix)
					general, _ := setting(sdk, "OTEL_EXPORTER_OTLP_"+suffix)
					return cmp.Or(own.Value, general.Value)
				}
				if address := held("ENDPOINT"); !strings.Contains(address, push.Address) {
					t.Errorf("%s: got endpoint %q, want %s", push.Signal, address, push.Address)
				}
				if got := held("PROTOCOL"); got != push.Protocol {
					t.Errorf("%s: got protocol %q, want %s", push.Signal, got, push.Protocol)
				}
			}
			for name, key := range map[string]attribute.Key{"OTEL_SERVICE_NAME": "service.name", "OTELMON_METRICS_PATH": "otelmon.metrics.path"} {
				got, _ := setting(sdk, name)
				if want, _ := status.Resource.Set().Value(key); got.Value != want.AsString() || got.Value == "" {
					t.Errorf("%s: got %q, want %q", name, got.Value, want.AsString())
				}
			}
		})
	}
}
