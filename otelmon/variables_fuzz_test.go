package otelmon_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/otelmon"
)

// FuzzEnvironment sets any variable to any value: Setup returns a running SDK, and shows no
// secret.
func FuzzEnvironment(f *testing.F) {
	const canary = "c0ffee-canary"
	variables := env.Variables()
	for i := range variables {
		for _, value := range []string{"", "-1", "999999999999999999999", "NaN", "\xff", "a=b,c=%zz", "http://a:b@c?d#e", "[::%25]]", "/nowhere"} {
			f.Add(uint(i), value)
		}
	}
	f.Fuzz(func(t *testing.T, i uint, value string) {
		name := variables[i%uint(len(variables))].Name
		switch {
		case strings.ContainsRune(value, 0):
			t.Skip("no variable holds that")
		case strings.HasPrefix(value, "/") && len(value) > 1 && !strings.HasPrefix(value, "/nowhere"):
			t.Skip("it may name a device of this machine")
		case strings.HasSuffix(name, "_EXPORTER") && strings.Contains(value, "console"):
			t.Skip("it would fill the screen")
		}
		for _, suffix := range []string{"_HEADERS", "_ENDPOINT", "_URL"} { // where credentials are
			if strings.HasSuffix(name, suffix) && env.Secret(name, value) {
				value += canary
			}
		}
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:1")
		t.Setenv(name, value)
		log := newLines()
		sdk, err := otelmon.Setup(t.Context(), otelmon.Config{ServiceName: "test", DisableGlobals: true, Logger: log.logger()})
		if sdk == nil {
			t.Fatal("got no SDK")
		}
		ctx, span := sdk.TracerProvider().Tracer("test").Start(t.Context(), "span")
		span.End()
		over, cancel := context.WithCancel(ctx)
		cancel()
		said := log.String() + fmt.Sprint(sdk.Status().Settings)
		for _, e := range []error{err, sdk.Shutdown(over)} {
			if e != nil {
				said += e.Error()
			}
		}
		if _, shown := setting(sdk, name); !shown && strings.TrimSpace(value) != "" {
			t.Errorf("%s is not among the settings", name)
		}
		if strings.Contains(said, canary) {
			t.Errorf("%s: the secret is shown: %s", name, said)
		}
	})
}
