package otelmon_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

// Not parallel: sets environment variables.
func TestFieldsWinOverVariablesOverDetection(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "from variable")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=least,service.version=from variable,cloud.region=from variable,team=a")
	s := setUp(t, otelmon.Config{
		ServiceVersion:    "from field",
		ServiceNamespace:  "shops",
		ServiceInstanceID: "one",
		Environment:       "staging",
		Attributes:        []attribute.KeyValue{attribute.String("team", "from field")},
		Detectors:         []resource.Detector{detector{}},
	})
	got := resourceOf(t, s.deliver(t))
	for key, want := range map[string]string{
		"service.name":                "from variable",
		"service.version":             "from field",
		"service.namespace":           "shops",
		"service.instance.id":         "one",
		"deployment.environment.name": "staging",
		"cloud.region":                "from variable",
		"team":                        "from field",
		"telemetry.distro.name":       "otelmon",
		"process.runtime.name":        "go",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestIdentityIsOnEverySeriesOfTheScrape(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "shop", ServiceNamespace: "shops", ServiceVersion: "1", ServiceInstanceID: "one", Environment: "staging"})
	s.emit(t)
	const want = `deployment_environment_name="staging",otelmon_metrics_path="otlp",service_instance_id="one",service_name="shop",service_namespace="shops",service_version="1"`
	series := 0
	for line := range strings.Lines(s.scrape(t)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series++
		for label := range strings.SplitSeq(want, ",") {
			if !strings.Contains(line, label) {
				t.Errorf("%s is missing from %s", label, line)
			}
		}
		if strings.Contains(line, "otel_scope") {
			t.Errorf("a scope label is on %s", line)
		}
	}
	if series < 20 {
		t.Errorf("got %d series only", series)
	}
}

func TestAServiceWithoutANameIsWarnedAboutOnce(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	if n := strings.Count(s.log.String(), "OTEL_SERVICE_NAME"); n != 1 {
		t.Errorf("warned %d times:\n%s", n, s.log)
	}
	if got := resourceOf(t, s.deliver(t))["service.name"]; !strings.HasPrefix(got, "unknown_service:") {
		t.Errorf("got %q", got)
	}
	named := setUp(t, otelmon.Config{ServiceName: "shop"})
	if strings.Contains(named.log.String(), "WARN") {
		t.Errorf("a service with a name is warned about:\n%s", named.log)
	}
}

func TestMetricsPathSaysWhichCopyPrometheusKeeps(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		cfg  otelmon.Config
		want string
	}{
		"a listener on loopback":                         {otelmon.Config{Prometheus: exporters.Prometheus{Address: "127.0.0.1:0"}}, "otlp"},
		"a listener on all addresses":                    {otelmon.Config{Prometheus: exporters.Prometheus{Address: ":0"}}, "scrape"},
		"a listener on all addresses, decided otherwise": {otelmon.Config{Prometheus: exporters.Prometheus{Address: ":0"}, MetricsPath: "otlp"}, "otlp"},
		"no listener":                                    {otelmon.Config{DisablePrometheus: true}, "otlp"},
		"no metrics pushed":                              {otelmon.Config{OTLP: exporters.OTLP{DisableMetrics: true}}, "scrape"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := resourceOf(t, setUp(t, row.cfg).deliver(t))["otelmon.metrics.path"]; got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
