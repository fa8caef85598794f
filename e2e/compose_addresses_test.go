package e2e_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// connection is an address that a service has to reach.
type connection struct{ from, to string }

// Every address in one file has to be one that another file makes a service
// listen on, in a network that both are in.
func TestComposeAddressesMeet(t *testing.T) {
	t.Parallel()
	project := compose(t)
	listeners := composeListeners(t, project)
	used := slices.Concat(serviceConnections(t, project), prometheusConnections(t, project))
	if len(used) < 20 {
		t.Errorf("found only %d addresses: %v", len(used), used)
	}
	for _, c := range used {
		host, _, _ := strings.Cut(c.to, ":")
		if !slices.Contains(listeners, c.to) {
			t.Errorf("%s asks %s, and nothing listens there; there are %v", c.from, c.to, listeners)
		}
		if host != "localhost" && !meet(project.Services[c.from], project.Services[host]) {
			t.Errorf("%s asks %s, in whose networks it is not", c.from, c.to)
		}
	}
}

// meet reports whether two services share a network.
func meet(a, b types.ServiceConfig) bool {
	for name := range a.Networks {
		if _, ok := b.Networks[name]; ok {
			return true
		}
	}
	return false
}

// composeListeners are the addresses that services listen on.
func composeListeners(t *testing.T, project *types.Project) []string {
	t.Helper()
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
	var loki struct {
		Server struct {
			Port string `yaml:"http_listen_port"`
		}
	}
	readYAML(t, "deploy/loki/loki.yaml", &loki)
	listeners := []string{
		"tempo:" + tempo.Server.Port,
		"tempo:" + portOf(t, tempo.Distributor.Receivers.OTLP.Protocols.GRPC.Endpoint),
		"loki:" + loki.Server.Port,
		// The defaults, as no flag of compose changes them.
		"prometheus:9090", "localhost:9090", "alertmanager:9093", "grafana:3000",
		"quickstart:" + portOf(t, project.Services["quickstart"].Command[1]),
	}
	for _, name := range []string{"quickstart", "llm-proxy"} {
		listeners = append(listeners, name+":"+*project.Services[name].Environment["OTEL_EXPORTER_PROMETHEUS_PORT"])
	}
	for _, listener := range readCollector(t).listeners() {
		listeners = append(listeners, "collector:"+listener[strings.LastIndex(listener, ":")+1:])
	}
	return listeners
}

// serviceConnections are what all but Prometheus ask.
func serviceConnections(t *testing.T, project *types.Project) []connection {
	t.Helper()
	used := []connection{}
	for _, name := range []string{"quickstart", "llm-proxy"} {
		used = append(used, connection{name, hostOf(t, *project.Services[name].Environment["OTEL_EXPORTER_OTLP_ENDPOINT"])})
	}
	for _, file := range []string{"collector-config.yaml", "deploy/collector/loki.yaml"} {
		var config collectorConfig
		readYAML(t, file, &config)
		for _, e := range config.Exporters {
			if e.Endpoint != "" {
				used = append(used, connection{"collector", hostOf(t, e.Endpoint)})
			}
		}
	}
	for _, s := range dataSources(t) {
		used = append(used, connection{"grafana", hostOf(t, s.URL)})
	}
	var tempo struct {
		Generator struct {
			Storage struct {
				RemoteWrite []struct{ URL string } `yaml:"remote_write"`
			}
		} `yaml:"metrics_generator"`
	}
	readYAML(t, "deploy/tempo/tempo.yaml", &tempo)
	for _, w := range tempo.Generator.Storage.RemoteWrite {
		used = append(used, connection{"tempo", hostOf(t, w.URL)})
	}
	for _, address := range regexp.MustCompile(`[a-z]+:\d+`).FindAllString(strings.Join(project.Services["ready"].HealthCheck.Test, " "), -1) {
		used = append(used, connection{"ready", address})
	}
	return used
}

// prometheusConnections are what Prometheus scrapes, and whom it tells of alerts.
func prometheusConnections(t *testing.T, project *types.Project) []connection {
	t.Helper()
	type group []struct{ Targets []string }
	var config struct {
		Jobs []struct {
			Static group `yaml:"static_configs"`
			DNS    []struct {
				Names []string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
		Alerting struct {
			Alertmanagers []struct {
				Static group `yaml:"static_configs"`
			}
		}
	}
	readYAML(t, mounted(t, project.Services["prometheus"], "/etc/prometheus/prometheus.yml"), &config)
	var groups group
	for _, a := range config.Alerting.Alertmanagers {
		groups = append(groups, a.Static...)
	}
	var used []connection
	for _, job := range config.Jobs {
		groups = append(groups, job.Static...)
		for _, dns := range job.DNS {
			for _, name := range dns.Names {
				used = append(used, connection{"prometheus", fmt.Sprintf("%s:%d", strings.TrimSuffix(name, "."), dns.Port)})
			}
		}
	}
	for _, g := range groups {
		for _, target := range g.Targets {
			used = append(used, connection{"prometheus", target})
		}
	}
	return used
}

// variable matches what compose replaces: the name, and a default if there is one.
var variable = regexp.MustCompile(`\$\{([A-Z_]+)(?::-([^}]*))?`)

// The file shows every variable of compose once, with the value it has without,
// and no other but the one that docker compose knows itself.
func TestEnvExampleHasEveryVariable(t *testing.T) {
	t.Parallel()
	want := map[string]string{"COMPOSE_PROFILES": ""}
	for _, m := range variable.FindAllStringSubmatch(readFile(t, "docker-compose.yaml"), -1) {
		if before, ok := want[m[1]]; ok && before != m[2] {
			t.Errorf("%s has two defaults, %q and %q", m[1], before, m[2])
		}
		want[m[1]] = m[2]
	}
	got := map[string]string{}
	for line := range strings.Lines(readFile(t, ".env.example")) {
		name, value, isVariable := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "#"), "=")
		if !isVariable || strings.Contains(name, " ") {
			continue // an explanation
		}
		if _, twice := got[name]; twice {
			t.Errorf("%s stands there twice", name)
		}
		got[name] = value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables and defaults (-compose +.env.example):\n%s", diff)
	}
}

// What the file has to be copied for is the password; without one compose refuses
// to start, and says so.
func TestEnvExampleHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(readFile(t, ".env.example")) {
		name, value, isVariable := strings.Cut(strings.TrimSpace(line), "=")
		if !isVariable || strings.HasPrefix(name, "#") {
			continue
		}
		if name != "GRAFANA_ADMIN_PASSWORD" || value != "" {
			t.Errorf("%s is set to %q", name, value)
		}
	}
}
