package otelmon_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/otelmon"
)

// Not parallel: sets environment variables.
func TestEveryVariableThatIsSetIsShown(t *testing.T) {
	configs := map[string]otelmon.Config{
		"alone":                     {},
		"with everything off":       {DisableOTLP: true, DisablePrometheus: true},
		"with a sampler in code":    {Sampler: sdktrace.AlwaysSample(), ServiceName: "test"},
		"with an endpoint in code":  {OTLP: exporters.OTLP{Endpoint: "collector:4317", Protocol: "grpc", Timeout: time.Second}},
		"with certificates in code": {OTLP: exporters.OTLP{TLS: &tls.Config{MinVersion: tls.VersionTLS13}}},
	}
	for sentence, cfg := range configs {
		for _, variable := range env.Variables() {
			t.Run(variable.Name+" "+sentence, func(t *testing.T) {
				got, ok := setting(explain(t, cfg, map[string]string{variable.Name: "7"}), variable.Name)
				if !ok || got.Origin != otelmon.FromEnvironment && got.Problem == "" {
					t.Errorf("got %+v, want it from the environment or with a problem", got)
				}
			})
		}
	}
}

// Not parallel: sets environment variables.
func TestSettingsShowNoSecret(t *testing.T) {
	values := []string{
		"http://user:" + canary + "@collector:4318", "https://collector/?api-key=" + canary, "collector:4318#" + canary,
		canary + "@collector", "-----BEGIN PRIVATE KEY-----\n" + canary,
	}
	refuse := func(name, value string) {
		t.Run(name, func(t *testing.T) {
			wantNoSecret(t, explain(t, otelmon.Config{}, map[string]string{name: value}))
		})
	}
	for _, value := range values {
		for _, v := range env.Variables() {
			if env.Secret(v.Name, value) {
				refuse(v.Name, value)
			}
		}
		refuse("OTEL_EXPORTER_OTLP_HEADER", value) // misspelt
		refuse("OTEL_EXPORTER_JAEGER_PASSWORD", value)
	}
	t.Run("fields", func(t *testing.T) {
		wantNoSecret(t, explain(t, otelmon.Config{
			PushgatewayURL: "http://user:" + canary + "@gateway",
			OTLP:           exporters.OTLP{Endpoint: values[1], Headers: map[string]string{"api-key": canary, canary + " ": "a"}},
		}, map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": canary + "==,x-tenant=" + canary}))
	})
}

func wantNoSecret(t *testing.T, sdk *otelmon.SDK) {
	t.Helper()
	settings := sdk.Status().Settings
	if len(settings) == 0 {
		t.Error("got no settings, so that the search proves nothing")
	}
	for _, s := range settings {
		if strings.Contains(fmt.Sprint(s), canary) {
			t.Errorf("got %+v", s)
		}
	}
}

func TestSettingsFollowTheLogLevel(t *testing.T) {
	t.Parallel()
	var level slog.LevelVar
	s := setUp(t, otelmon.Config{LogLevel: &level})
	level.Set(slog.LevelError)
	got, _ := setting(s.SDK, "Config.LogLevel")
	if want := (otelmon.Setting{Name: "Config.LogLevel", Value: "ERROR", Origin: otelmon.FromCode}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStatusIsTheCallers(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	before := s.Status().Settings[0]
	s.Status().Settings[0].Value = "changed"
	if got := s.Status().Settings[0]; got != before {
		t.Errorf("got %+v, want %+v", got, before)
	}
	s.shutdown(t)
	if got := s.Status().Settings[0]; got != before {
		t.Errorf("got %+v after Shutdown, want %+v", got, before)
	}
	none := otelmon.FromContext(t.Context()).Status()
	if len(none.Settings) > 0 || len(none.Resource.Attributes()) > 0 {
		t.Errorf("got %+v of an SDK that does nothing", none)
	}
}

// Not parallel: sets environment variables.
func TestStatusWhenTelemetryIsOff(t *testing.T) {
	status := explain(t, otelmon.Config{ServiceName: "shop"}, map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_SERVICENAME": "x"}).Status()
	for _, s := range status.Settings {
		if strings.HasPrefix(s.Name, "Config.") || s.Field != "" {
			t.Errorf("got %+v, want nothing that is not in force", s)
		}
	}
	if len(status.Settings) < 3 || len(status.Pushes) > 0 || status.Resource.Len() > 0 {
		t.Errorf("got %+v", status)
	}
	if os.Getenv("OTEL_SDK_DISABLED") != "true" {
		t.Error("the variable was not set")
	}
}
