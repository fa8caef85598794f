package e2e_test

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/otelmon/toolkit/e2e/harness"
)

// loadCompose reads docker-compose.yaml as docker compose does, with env as its
// environment.
func loadCompose(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	root := harness.Root(t)
	options, err := cli.NewProjectOptions(
		[]string{filepath.Join(root, "docker-compose.yaml")},
		cli.WithWorkingDirectory(root),
		cli.WithEnv(env),
		cli.WithProfiles([]string{"*"}),
		cli.WithDiscardEnvFile,
	)
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func compose(t *testing.T) *types.Project {
	t.Helper()
	project, err := loadCompose(t, "GRAFANA_ADMIN_PASSWORD=secret")
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeAsksForAPassword(t *testing.T) {
	t.Parallel()
	_, err := loadCompose(t)
	if err == nil || !strings.Contains(err.Error(), "GRAFANA_ADMIN_PASSWORD") {
		t.Errorf("without a password: got %v, want an error about GRAFANA_ADMIN_PASSWORD", err)
	}
}

func TestComposeServicesAreConfined(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		check := func(ok bool, want string) {
			if !ok {
				t.Errorf("service %s: want %s", name, want)
			}
		}
		check(s.ReadOnly, "a read-only root")
		check(slices.Contains(s.CapDrop, "ALL"), "all capabilities dropped")
		check(slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "no new privileges")
		check(s.MemLimit > 0, "a memory limit")
		check(s.PidsLimit > 0, "a limit of processes")
		check(!s.Privileged, "no privileges")
		// It only changes the owner of volumes, without a network, and ends.
		handsOver := s.NetworkMode == "none" && slices.Equal(s.CapAdd, []string{"CHOWN"})
		check(handsOver || len(s.CapAdd) == 0, "no capabilities")
		check(handsOver || s.User != "" && !strings.HasPrefix(s.User, "0") && !strings.HasPrefix(s.User, "root"), "a user other than root")
		for _, p := range s.Ports {
			check(p.HostIP == "127.0.0.1", "port "+p.Published+" on loopback")
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			_, err := os.Stat(v.Source)
			check(err == nil, "an existing file: "+v.Source)
			check(v.ReadOnly, "read-only: "+v.Source)
		}
	}
}

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
		if !semver.IsValid("v" + strings.TrimPrefix(tag, "v")) {
			t.Errorf("service %s: image %s has no version", name, s.Image)
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

	// The module of Prometheus 3.15.0 is v0.315.0.
	version = required(t, "prometheus", "github.com/prometheus/prometheus")
	minor := strings.Split(version, ".")[1]
	want = "prom/prometheus:v" + minor[:1] + "." + strings.TrimPrefix(minor[1:], "0") + "." + strings.Split(version, ".")[2]
	if got := services["prometheus"].Image; got != want {
		t.Errorf("prometheus: got %s, want %s", got, want)
	}
}

func TestComposeGrafanaNeedsALogin(t *testing.T) {
	t.Parallel()
	env := compose(t).Services["grafana"].Environment
	for name, want := range map[string]string{
		"GF_AUTH_ANONYMOUS_ENABLED":  "false",
		"GF_USERS_ALLOW_SIGN_UP":     "false",
		"GF_SECURITY_ADMIN_PASSWORD": "secret",
	} {
		if got := env[name]; got == nil || *got != want {
			t.Errorf("%s: got %v, want %q", name, got, want)
		}
	}
}

// Every address in one file has to be one that another file makes a service
// listen on.
func TestComposeAddressesMeet(t *testing.T) {
	t.Parallel()
	services := compose(t).Services
	quickstart := services["quickstart"].Environment
	proxy := services["llm-proxy"].Environment

	var tempo struct {
		Server struct {
			Port string `yaml:"http_listen_port"`
		}
		Distributor struct {
			Receivers struct {
				OTLP struct {
					Protocols struct{ GRPC struct{ Endpoint string } }
				}
			}
		}
	}
	readYAML(t, "deploy/tempo/tempo.yaml", &tempo)
	collector := readCollector(t)
	listeners := []string{
		"tempo:" + tempo.Server.Port,
		"tempo:" + portOf(t, tempo.Distributor.Receivers.OTLP.Protocols.GRPC.Endpoint),
		"prometheus:9090", // the default, as no flag of compose changes it
		"localhost:9090",  // Prometheus, to itself
		"quickstart:" + *quickstart["OTEL_EXPORTER_PROMETHEUS_PORT"],
		"llm-proxy:" + *proxy["OTEL_EXPORTER_PROMETHEUS_PORT"],
	}
	for _, listener := range collector.listeners() {
		listeners = append(listeners, "collector:"+listener[strings.LastIndex(listener, ":")+1:])
	}

	used := []string{
		hostOf(t, *quickstart["OTEL_EXPORTER_OTLP_ENDPOINT"]),
		hostOf(t, *proxy["OTEL_EXPORTER_OTLP_ENDPOINT"]),
	}
	for _, e := range collector.Exporters {
		if e.Endpoint != "" {
			used = append(used, hostOf(t, e.Endpoint))
		}
	}
	var sources struct{ Datasources []struct{ URL string } }
	readYAML(t, "deploy/grafana/provisioning/datasources/datasources.yaml", &sources)
	for _, s := range sources.Datasources {
		used = append(used, hostOf(t, s.URL))
	}
	type targets []struct{ Targets []string }
	var config struct {
		Jobs []struct {
			Static targets `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "deploy/prometheus/prometheus.yml", &config)
	for _, name := range []string{"quickstart", "llm-proxy"} {
		var file targets
		readYAML(t, "deploy/prometheus/targets/"+name+".yml", &file)
		config.Jobs[0].Static = append(config.Jobs[0].Static, file...)
	}
	for _, job := range config.Jobs {
		for _, group := range job.Static {
			used = append(used, group.Targets...)
		}
	}

	if len(used) < 11 {
		t.Errorf("found only %d addresses: %v", len(used), used)
	}
	for _, address := range used {
		if !slices.Contains(listeners, address) {
			t.Errorf("nothing listens on %s; there are %v", address, listeners)
		}
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

// hostOf returns host:port of a URL or of an address without a scheme.
func hostOf(t *testing.T, endpoint string) string {
	t.Helper()
	if !strings.Contains(endpoint, "://") {
		return endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
