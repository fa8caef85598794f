package doctor_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// Tests of the environment are not parallel: they set it.

// quiet keeps the OTLP endpoint out of a test.
func quiet() variables {
	return variables{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
}

func TestEnvironment(t *testing.T) {
	tests := map[string]struct {
		variables variables
		check     string
		level     doctor.Level
		message   []string
		advice    []string
	}{
		"a variable that is obeyed": {
			quiet().with("OTEL_ATTRIBUTE_COUNT_LIMIT", " 12 "),
			"variable", doctor.OK,
			[]string{"OTEL_ATTRIBUTE_COUNT_LIMIT=12"},
			nil,
		},
		"a variable of what is off": {
			quiet().with("OTEL_BSP_SCHEDULE_DELAY", "250"),
			"ignored-variable", doctor.Warning,
			[]string{"OTEL_BSP_SCHEDULE_DELAY=250"},
			[]string{"Remove it"},
		},
		"a value that is not accepted": {
			variables{"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"},
			"refused-value", doctor.Failure,
			[]string{`OTEL_EXPORTER_OTLP_COMPRESSION="zstd"`, `"gzip" is used`},
			[]string{"Accepted: gzip or none."},
		},
		"a declarative configuration": {
			quiet().with("OTEL_CONFIG_FILE", "otel.yaml"),
			"refused-value", doctor.Failure,
			[]string{"OTEL_CONFIG_FILE", "not supported"},
			[]string{"Accepted: nothing yet"},
		},
		"an endpoint that does not fit": {
			variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"},
			"refused-value", doctor.Failure,
			[]string{"OTEL_EXPORTER_OTLP_CERTIFICATE", "no such file"},
			[]string{"PEM"},
		},
		"a name with a slip": {
			quiet().with("OTEL_SERVICE_NAMES", "shop"),
			"unknown-variable", doctor.Warning,
			[]string{"OTEL_SERVICE_NAMES", "OTEL_SERVICE_NAME?"},
			[]string{"docs/configuration.md"},
		},
		"a name that nobody knows": {
			quiet().with("OTELMON_COLOUR", "red"),
			"unknown-variable", doctor.Warning,
			[]string{"OTELMON_COLOUR: not read"},
			[]string{"docs/configuration.md"},
		},
		"a variable that is overridden": {
			quiet().with("OTEL_RESOURCE_ATTRIBUTES", "service.name=cart"),
			"ignored-variable", doctor.Warning,
			[]string{"OTEL_RESOURCE_ATTRIBUTES"},
			[]string{"Remove it"},
		},
		"a service without a name": {
			quiet().with("OTEL_SERVICE_NAME", ""),
			"service-name", doctor.OK,
			[]string{"no variable names the service", "Config.ServiceName"},
			nil,
		},
		"a sampler that keeps nothing": {
			quiet().with("OTEL_TRACES_SAMPLER", "always_off"),
			"sampler", doctor.Warning,
			[]string{"always_off", "no trace"},
			[]string{"another sampler"},
		},
		"a ratio of nothing": {
			quiet().with("OTEL_TRACES_SAMPLER", "traceidratio").with("OTEL_TRACES_SAMPLER_ARG", "0.0"),
			"sampler", doctor.Warning,
			[]string{"OTEL_TRACES_SAMPLER_ARG"},
			nil,
		},
		"telemetry that is off": {
			variables{"OTEL_SDK_DISABLED": "TRUE"},
			"outcome", doctor.Warning,
			[]string{"off"},
			[]string{"OTEL_SDK_DISABLED"},
		},
		"what all of it leads to": {
			variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "0"},
			"outcome", doctor.OK,
			[]string{"pushes traces and logs to 127.0.0.1:1", "serves http://localhost:0/metrics"},
			nil,
		},
		"signals that go to different places": {
			variables{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:2",
			},
			"outcome", doctor.OK,
			[]string{"pushes traces and metrics to 127.0.0.1:1, logs to 127.0.0.1:2", "serves no metrics"},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.variables.set(t)
			findings := of(doctor.Run(t.Context(), doctor.Config{}), "environment", test.check)
			for _, f := range findings {
				if f.Level == test.level && says(f.Message, test.message...) && says(f.Advice, test.advice...) {
					documented(t, f)
					return
				}
			}
			t.Errorf("got %+v", findings)
		})
	}
}

func TestNoVariableIsSet(t *testing.T) {
	variables{"OTEL_METRICS_EXPORTER": "", "OTEL_SERVICE_NAME": ""}.set(t)
	got := of(doctor.Run(t.Context(), doctor.Config{Timeout: time.Second}), "environment", "")
	if len(got) != 2 || !says(got[0].Message, "no variable is set: defaults", "localhost:4317", "http://localhost:9464/metrics") || got[1].Check != "service-name" {
		t.Errorf("got %+v, want the defaults in one line, and a service without a name", got)
	}
}

func TestAllIsWell(t *testing.T) {
	grpcTo(faultcollector.Start(t).GRPC).set(t)
	report := doctor.Run(t.Context(), doctor.Config{})
	if report.Level() != doctor.OK || report.Count(doctor.OK) != len(report.Findings) {
		t.Errorf("got %+v, want findings that are ok", report.Findings)
	}
}

// The page that the environment leads to is looked at where there is one.
func TestPageOfTheEnvironment(t *testing.T) {
	address := plaintext(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	host, _, _ := strings.Cut(address, ":")
	web := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(web, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := quiet().with("OTEL_METRICS_EXPORTER", "prometheus").with("OTEL_EXPORTER_PROMETHEUS_HOST", host)
	tests := map[string]struct {
		variables variables
		config    doctor.Config
		why       string // no page is looked at
	}{
		"there is one":           {page.with("OTEL_EXPORTER_PROMETHEUS_PORT", portOf(address)), doctor.Config{}, ""},
		"there is none":          {quiet(), doctor.Config{}, "leads to no page"},
		"nobody serves it":       {quiet().with("OTEL_METRICS_EXPORTER", "prometheus").with("OTEL_EXPORTER_PROMETHEUS_PORT", portOf(nobody(t))), doctor.Config{}, "nothing serves http://localhost:"},
		"it may want a password": {quiet().with("OTEL_METRICS_EXPORTER", "prometheus").with("OTELMON_PROMETHEUS_WEB_CONFIG_FILE", web), doctor.Config{}, "may want a password"},
		"a flag names another":   {quiet(), doctor.Config{MetricsURL: "http://" + address}, ""},
		"it may be on any port":  {quiet().with("OTEL_METRICS_EXPORTER", "prometheus").with("OTEL_EXPORTER_PROMETHEUS_PORT", "0"), doctor.Config{}, "leads to no page"},
		"it is of other machine": {quiet().with("OTEL_METRICS_EXPORTER", "prometheus").with("OTEL_EXPORTER_PROMETHEUS_HOST", "198.51.100.1"), doctor.Config{}, "leads to no page"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.variables.set(t)
			report := doctor.Run(t.Context(), test.config)
			none := of(report, "metrics", "no-page")
			if (len(none) == 0) != (test.why == "") || len(none) > 0 && !says(none[0].Message, test.why, "--metrics URL") {
				t.Errorf("got %+v, want the reason %q for no page", report.Findings, test.why)
			}
			for _, f := range none {
				documented(t, f)
			}
		})
	}
}

func portOf(address string) string {
	_, port, _ := strings.Cut(address, ":")
	return port
}

// canary stands for a secret that no output may show.
const canary = "CANARY-5f0e"

// echo answers with all that it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	text := user + password + r.URL.String()
	for name, values := range r.Header {
		text += name + strings.Join(values, " ")
	}
	w.Header().Set("X-Echo", text)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, strings.Repeat(text+"\x1b[31m ", 3))
}

func TestSecretsAreNotShown(t *testing.T) {
	url := "http://user:" + canary + "-password@" + plaintext(t, echo) + "/page?token=" + canary + "-query"
	all := doctor.Config{MetricsURL: url, PrometheusURL: url, TempoURL: url, CollectorURL: url, Timeout: 2 * time.Second}
	const headers = "authorization=Bearer%20" + canary + "-header,api-key=" + canary + "%2Dkey"
	tests := map[string]func(*testing.T) variables{
		"headers, over HTTP": func(t *testing.T) variables { return httpTo(plaintext(t, echo)) },
		"headers, over gRPC": func(t *testing.T) variables {
			return answering(t, false, faultcollector.Always(faultcollector.Reply{
				Code: codes.Unauthenticated, Message: "Bearer " + canary + "-header is not " + canary + "-key",
			}))
		},
		"an endpoint with credentials": func(*testing.T) variables {
			return variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:" + canary + "@127.0.0.1:1"}
		},
		"an endpoint with a query": func(*testing.T) variables {
			return variables{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/?key=" + canary}
		},
		"a proxy and a Pushgateway": func(*testing.T) variables {
			return variables{"HTTP_PROXY": "http://user:" + canary + "@127.0.0.1:1", "OTELMON_PUSHGATEWAY_URL": "http://user:" + canary + "@127.0.0.1:1"}
		},
		"resource attributes": func(*testing.T) variables {
			return variables{"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,db.password=" + canary, "OTEL_EXPORTER_OTLP_PROTOCOL": "api-key=" + canary + "-x"}
		},
		"headers in the wrong variables": func(*testing.T) variables {
			return variables{"OTEL_EXPORTER_OTLP_HEADER": "api-key=" + canary, "OTEL_EXPORTER_OTLP_LOGS_HEADERS": canary}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test(t).with("OTEL_EXPORTER_OTLP_HEADERS", headers).set(t)
			report := doctor.Run(t.Context(), all)
			content, err := json.Marshal(report)
			if err != nil || len(report.Findings) < 6 {
				t.Fatalf("got %s, %v", content, err)
			}
			if strings.Contains(string(content), "CANARY") || strings.Contains(string(content), `\u001b`) {
				t.Errorf("a secret, or a control character, is in %s", content)
			}
		})
	}
}

func TestReportIsJSON(t *testing.T) {
	t.Parallel()
	for want, report := range map[string]doctor.Report{
		`{"findings":[],"level":"ok"}`: {},
		`{"findings":[{"part":"otlp","check":"clock","level":"warning","message":"m","advice":"a"},` +
			`{"part":"otlp","check":"export","level":"ok","message":"n"}],"level":"warning"}`: {Findings: []doctor.Finding{
			{"otlp", "clock", doctor.Warning, "m", "a"}, {Part: "otlp", Check: "export", Message: "n"},
		}},
	} {
		if got, err := json.Marshal(report); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
