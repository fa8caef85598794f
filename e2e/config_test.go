package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

// collectorConfig is what the rules below look at in collector-config.yaml.
type collectorConfig struct {
	Receivers map[string]struct {
		Protocols map[string]struct{ Endpoint string }
	}
	Exporters map[string]struct {
		Endpoint  string
		Verbosity string
		Retry     struct {
			Enabled        bool
			MaxElapsedTime *int `yaml:"max_elapsed_time"`
		} `yaml:"retry_on_failure"`
		Queue struct {
			Enabled bool
			Storage string
			Sizer   string
			Size    int `yaml:"queue_size"`
		} `yaml:"sending_queue"`
	}
	Extensions map[string]struct{ Endpoint string }
	Service    struct {
		Extensions []string
		Pipelines  map[string]struct{ Processors, Exporters []string }
		Telemetry  struct {
			Metrics struct {
				Readers []struct {
					Pull struct {
						Exporter struct {
							Prometheus struct{ Host, Port string }
						}
					}
				}
			}
		}
	}
}

// listeners returns every address that the Collector listens on.
func (c collectorConfig) listeners() []string {
	var addresses []string
	for _, r := range c.Receivers {
		for _, p := range r.Protocols {
			addresses = append(addresses, p.Endpoint)
		}
	}
	for _, e := range c.Extensions {
		if e.Endpoint != "" {
			addresses = append(addresses, e.Endpoint)
		}
	}
	for _, r := range c.Service.Telemetry.Metrics.Readers {
		p := r.Pull.Exporter.Prometheus
		addresses = append(addresses, p.Host+":"+p.Port)
	}
	return addresses
}

// problems returns what in the configuration would lose data or open a port.
func (c collectorConfig) problems() []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for name, p := range c.Service.Pipelines {
		if len(p.Processors) == 0 || p.Processors[0] != "memory_limiter" {
			report("pipeline %s: memory_limiter is not first", name)
		}
		if slices.ContainsFunc(p.Processors, func(s string) bool { return kind(s) == "batch" }) {
			report("pipeline %s: the batch processor holds data in memory", name)
		}
		for _, exporter := range p.Exporters {
			if kind(exporter) != "debug" {
				found = append(found, c.exporterProblems(exporter)...)
			} else if c.Exporters[exporter].Verbosity != "basic" {
				report("exporter %s prints contents", exporter)
			}
		}
	}
	for _, address := range c.listeners() {
		if !strings.HasPrefix(address, "${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}:") {
			report("listens on %s", address)
		}
	}
	return found
}

func (c collectorConfig) exporterProblems(name string) []string {
	var (
		e       = c.Exporters[name]
		found   []string
		require = func(ok bool, problem string) {
			if !ok {
				found = append(found, "exporter "+name+": "+problem)
			}
		}
	)
	require(e.Queue.Enabled && slices.Contains(c.Service.Extensions, e.Queue.Storage), "the queue is not kept in a storage that runs")
	require(e.Queue.Sizer == "bytes" && e.Queue.Size > 0, "the queue is not bounded in bytes")
	require(e.Retry.Enabled, "without retries a stored queue is deleted at shutdown")
	require(e.Retry.MaxElapsedTime != nil && *e.Retry.MaxElapsedTime == 0, "retries end while the queue could still wait")
	return found
}

func TestCollectorConfigIsSafe(t *testing.T) {
	t.Parallel()
	if problems := readCollector(t).problems(); len(problems) > 0 {
		t.Errorf("collector-config.yaml:\n%s", strings.Join(problems, "\n"))
	}
}

// Each fault is one replacement in the shipped file.
func TestCollectorConfigFaultsAreFound(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ from, to string }{
		"the memory limiter comes second":  {"[memory_limiter, filter/scraped]", "[filter/scraped, memory_limiter]"},
		"data is batched in memory":        {"[memory_limiter, filter/scraped]", "[memory_limiter, batch, filter/scraped]"},
		"queues are in memory":             {"storage: file_storage", "block_on_overflow: true"},
		"the storage is not started":       {"[health_check, file_storage]", "[health_check]"},
		"queues count requests":            {"sizer: bytes", "sizer: requests"},
		"failures are not retried":         {"retry_on_failure:\n      enabled: true", "retry_on_failure:\n      enabled: false"},
		"retries end after five minutes":   {"max_elapsed_time: 0", "max_elapsed_time: 300"},
		"retries end after the default":    {"max_elapsed_time: 0", "multiplier: 2"},
		"a receiver listens everywhere":    {"${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}:4317", "0.0.0.0:4317"},
		"health is shown everywhere":       {"${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}:13133", ":13133"},
		"own metrics are shown everywhere": {"host: ${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}", "host: 0.0.0.0"},
		"log records are printed":          {"verbosity: basic", "verbosity: detailed"},
	}
	shipped := readFile(t, "collector-config.yaml")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(shipped, test.from) {
				t.Fatalf("collector-config.yaml does not contain %q", test.from)
			}
			var c collectorConfig
			if err := yaml.Unmarshal([]byte(strings.ReplaceAll(shipped, test.from, test.to)), &c); err != nil {
				t.Fatal(err)
			}
			if len(c.problems()) == 0 {
				t.Error("got no problems")
			}
		})
	}
}

func TestCollectorAcceptsItsConfig(t *testing.T) {
	t.Parallel()
	config := harness.Rewrite(t, "collector-config.yaml", map[string]string{"/var/lib/otelcol": t.TempDir()})
	run(t, harness.Tool(t, "collector"), "validate", "--config="+config)
}

// The sources of the Collector are generated, by tools/collector/generate.sh.
func TestCollectorIsBuiltFromItsList(t *testing.T) {
	t.Parallel()
	var list map[string]yaml.Node
	readYAML(t, "e2e/tools/collector/builder.yaml", &list)
	sources := readFile(t, "e2e/tools/collector/components.go") + readFile(t, "e2e/tools/collector/main.go")
	count := 0
	for name, node := range list {
		var modules []struct{ GoMod string }
		if name == "dist" {
			continue
		}
		if err := node.Decode(&modules); err != nil {
			t.Fatal(err)
		}
		for _, m := range modules {
			count++
			path, version, _ := strings.Cut(m.GoMod, " ")
			if got := required(t, "collector", path); got != version {
				t.Errorf("go.mod requires %s %s, want %s", path, got, version)
			}
			if !strings.Contains(sources, `"`+m.GoMod+`"`) {
				t.Errorf("%s is not in the sources", m.GoMod)
			}
		}
	}
	if got := strings.Count(sources, ".NewFactory().Type(): \""); count == 0 || got+2 != count {
		t.Errorf("got %d components and 2 providers in the sources, want %d together", got, count)
	}
}

func TestPrometheusAcceptsItsConfig(t *testing.T) {
	t.Parallel()
	run(t, harness.Tool(t, "promtool"), "check", "config", filepath.Join(harness.Root(t), "deploy/prometheus/prometheus.yml"))
}

// kind returns the type in a component's name: otlp_http of otlp_http/prometheus.
func kind(component string) string {
	kind, _, _ := strings.Cut(component, "/")
	return kind
}

func readCollector(t *testing.T) collectorConfig {
	t.Helper()
	var c collectorConfig
	readYAML(t, "collector-config.yaml", &c)
	return c
}

// readYAML reads a file, named from the repository's root.
func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(harness.Root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
}
