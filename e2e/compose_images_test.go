package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

func TestComposeImagesArePinned(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		if s.Build != nil {
			file := filepath.Join(s.Build.Context, s.Build.Dockerfile)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("service %s: %v", name, err)
			}
			continue
		}
		_, tag, _ := strings.Cut(s.Image, ":")
		version := "v" + strings.TrimPrefix(tag, "v")
		if !semver.IsValid(version) || semver.Canonical(version) != version {
			t.Errorf("service %s: image %s has no full version", name, s.Image)
		}
	}
}

// The tests run against programs built from source; what they show holds for
// the images only if these are the same versions.
func TestComposeImagesAreTheTestedVersions(t *testing.T) {
	t.Parallel()
	services := compose(t).Services

	version := required(t, "collector", "go.opentelemetry.io/collector/receiver/otlpreceiver")
	want := "otel/opentelemetry-collector-contrib:" + strings.TrimPrefix(version, "v")
	if got := services["collector"].Image; got != want {
		t.Errorf("collector: got %s, want %s", got, want)
	}

	want = "prom/alertmanager:" + required(t, "alertmanager", "github.com/prometheus/alertmanager")
	if got := services["alertmanager"].Image; got != want {
		t.Errorf("alertmanager: got %s, want %s", got, want)
	}

	// The module of Prometheus 3.15.0 is v0.315.0.
	version = required(t, "prometheus", "github.com/prometheus/prometheus")
	minor := strings.Split(version, ".")[1]
	want = "prom/prometheus:v" + minor[:1] + "." + strings.TrimPrefix(minor[1:], "0") + "." + strings.Split(version, ".")[2]
	if got := services["prometheus"].Image; got != want {
		t.Errorf("prometheus: got %s, want %s", got, want)
	}
}

// required returns the version that a tool module requires.
func required(t *testing.T, folder, module string) string {
	t.Helper()
	file := filepath.Join("tools", folder, "go.mod")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(file, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == module {
			return r.Mod.Version
		}
	}
	t.Fatalf("%s does not require %s", file, module)
	return ""
}
