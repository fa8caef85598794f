package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

// Requests of this size come from SDKs, and nothing larger has to be held in memory.
const (
	leastRequest = 4 << 20
	mostRequest  = 64 << 20
)

// collectorConfig is what the rules below look at in collector-config.yaml.
type collectorConfig struct {
	Receivers map[string]struct {
		Protocols map[string]struct {
			Endpoint      string
			MaxMessageMiB int `yaml:"max_recv_msg_size_mib"`
			MaxBodyBytes  int `yaml:"max_request_body_size"`
			Keepalive     struct {
				Enforcement struct {
					MinTime             time.Duration `yaml:"min_time"`
					PermitWithoutStream bool          `yaml:"permit_without_stream"`
				} `yaml:"enforcement_policy"`
			}
		}
	}
	Connectors map[string]any
	Exporters  map[string]struct {
		Endpoint  string
		Verbosity string
		Protocol  struct {
			OTLP struct {
				Queue struct{ Enabled *bool } `yaml:"sending_queue"`
			}
		}
		Retry struct {
			Enabled        bool
			MaxElapsedTime *int `yaml:"max_elapsed_time"`
		} `yaml:"retry_on_failure"`
		Queue struct {
			Enabled bool
			Storage string
			Sizer   string
			Size    int `yaml:"queue_size"`
			Batch   struct {
				MaxSize int `yaml:"max_size"`
			}
		} `yaml:"sending_queue"`
	}
	Extensions map[string]struct {
		Endpoint string
		MaxSize  int `yaml:"max_size"`
	}
	Service struct {
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
		if len(p.Processors) == 0 || kind(p.Processors[0]) != "memory_limiter" {
			report("pipeline %s: memory_limiter is not first", name)
		}
		if slices.ContainsFunc(p.Processors, func(s string) bool { return kind(s) == "batch" }) {
			report("pipeline %s: the batch processor holds data in memory", name)
		}
		for _, exporter := range p.Exporters {
			if _, connects := c.Connectors[exporter]; connects {
				continue // it hands over within the process
			}
			// Only debug sends nothing over a network.
			if kind(exporter) != "debug" {
				found = append(found, c.exporterProblems(exporter)...)
			} else if c.Exporters[exporter].Verbosity != "basic" {
				report("exporter %s prints contents", exporter)
			}
		}
	}
	found = append(found, c.receiverProblems()...)
	for _, address := range c.listeners() {
		if !strings.HasPrefix(address, "${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}:") {
			report("listens on %s", address)
		}
	}
	return found
}

// receiverProblems returns what would refuse the requests and pings of clients
// that are well set up, and what is without a bound.
func (c collectorConfig) receiverProblems() []string {
	var found []string
	for receiver, r := range c.Receivers {
		for protocol, p := range r.Protocols {
			require := func(ok bool, problem string) {
				if !ok {
					found = append(found, "receiver "+receiver+", "+protocol+": "+problem)
				}
			}
			if protocol == "http" {
				require(p.MaxBodyBytes >= leastRequest && p.MaxBodyBytes <= mostRequest, "bodies are not bounded between 4 and 64 MiB")
				continue
			}
			require(p.MaxMessageMiB<<20 >= leastRequest && p.MaxMessageMiB<<20 <= mostRequest, "messages are not bounded between 4 and 64 MiB")
			minTime := p.Keepalive.Enforcement.MinTime
			require(minTime > 0 && minTime <= 10*time.Second, "clients that ping every 10 s are disconnected")
			require(p.Keepalive.Enforcement.PermitWithoutStream, "clients that ping between requests are disconnected")
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
	require(e.Queue.Batch.MaxSize > 0 && e.Queue.Batch.MaxSize < 4<<20, "batches are larger than gRPC servers accept")
	if kind(name) == "load_balancing" {
		inner := e.Protocol.OTLP.Queue.Enabled
		require(inner != nil && !*inner, "the queue of each gateway is in memory")
	}
	// Full, the storage loses what the queue has accepted; see collector-config.yaml.
	storage := c.Extensions[e.Queue.Storage].MaxSize
	require(storage >= 4*e.Queue.Size, "the storage is not bounded at four times the queue or more")
	require(e.Retry.Enabled, "without retries a stored queue is deleted at shutdown")
	require(e.Retry.MaxElapsedTime != nil && *e.Retry.MaxElapsedTime == 0, "retries end while the queue could still wait")
	return found
}

// shippedConfigs are the files that docs/collector.md merges, in that order.
var shippedConfigs = map[string][]string{
	"one Collector":              {"collector-config.yaml"},
	"one with all options":       {"collector-config.yaml", "deploy/collector/host-metrics.yaml", "deploy/collector/loki.yaml", "deploy/collector/tail-sampling.yaml"},
	"an agent":                   {"collector-config.yaml", "deploy/gateway/agent.yaml"},
	"an agent with replicas":     {"collector-config.yaml", "deploy/gateway/agent.yaml", "deploy/gateway/replicas.yaml"},
	"an agent that measures too": {"collector-config.yaml", "deploy/gateway/agent.yaml", "deploy/collector/host-metrics.yaml"},
	"a gateway":                  {"deploy/collector/tail-sampling.yaml", "deploy/gateway/gateway.yaml"},
	"a gateway with logs":        {"deploy/collector/tail-sampling.yaml", "deploy/gateway/gateway.yaml", "deploy/collector/loki.yaml"},
}

func TestCollectorConfigIsSafe(t *testing.T) {
	t.Parallel()
	for title, files := range shippedConfigs {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if problems := mergeCollector(t, readFiles(t, files)...).problems(); len(problems) > 0 {
				t.Errorf("%v:\n%s", files, strings.Join(problems, "\n"))
			}
		})
	}
}

// Each fault is one replacement in the shipped file.
func TestCollectorConfigFaultsAreFound(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ from, to, want string }{
		"the memory limiter comes second":          {"[memory_limiter, filter/scraped]", "[filter/scraped, memory_limiter]", "memory_limiter is not first"},
		"data is batched in memory":                {"[memory_limiter, filter/scraped]", "[memory_limiter, batch, filter/scraped]", "the batch processor holds data in memory"},
		"queues are in memory":                     {"storage: file_storage", "block_on_overflow: true", "not kept in a storage that runs"},
		"the storage is not started":               {"[health_check, file_storage]", "[health_check]", "not kept in a storage that runs"},
		"queues count requests":                    {"sizer: bytes", "sizer: requests", "the queue is not bounded in bytes"},
		"failures are not retried":                 {"retry_on_failure:\n      enabled: true", "retry_on_failure:\n      enabled: false", "without retries"},
		"retries end after five minutes":           {"max_elapsed_time: 0", "max_elapsed_time: 300", "retries end"},
		"retries end after the default":            {"max_elapsed_time: 0", "multiplier: 2", "retries end"},
		"a receiver listens everywhere":            {"${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}:4317", "0.0.0.0:4317", "listens on 0.0.0.0:4317"},
		"health is shown everywhere":               {"${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}:13133", ":13133", "listens on :13133"},
		"own metrics are shown everywhere":         {"host: ${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}", "host: 0.0.0.0", "listens on 0.0.0.0:8888"},
		"clients may ping every 5 minutes":         {"min_time: 10s", "min_time: 5m", "ping every 10 s"},
		"clients may ping as gRPC has it":          {"            min_time: 10s\n", "", "ping every 10 s"},
		"clients may not ping between requests":    {"permit_without_stream: true", "permit_without_stream: false", "ping between requests"},
		"gRPC requests are bounded as gRPC has it": {"max_recv_msg_size_mib: 16", "read_buffer_size: 16", "messages are not bounded"},
		"gRPC requests may be 1 GiB":               {"max_recv_msg_size_mib: 16", "max_recv_msg_size_mib: 1024", "messages are not bounded"},
		"bodies over HTTP may be 1 GiB":            {"max_request_body_size: 16777216", "max_request_body_size: 1073741824", "bodies are not bounded"},
		"batches are larger than 4 MiB":            {"max_size: 3145728", "max_size: 4194305", "batches are larger"},
		"batches have no bound":                    {"        max_size: 3145728\n", "", "batches are larger"},
		"the storage is as large as the queue":     {"max_size: 1073741824", "max_size: 268435456", "the storage is not bounded"},
		"the storage has no bound":                 {"    max_size: 1073741824\n", "", "the storage is not bounded"},
		"an exporter has no queue":                 {"sending_queue:\n      enabled: true", "sending_queue:\n      enabled: false", "not kept in a storage that runs"},
		"queues have no bound":                     {"      queue_size: 268435456\n", "", "the queue is not bounded in bytes"},
		"log records are printed":                  {"verbosity: basic", "verbosity: detailed", "prints contents"},
	}
	shipped := readFile(t, "collector-config.yaml")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFault(t, shipped, test.from, test.to, test.want)
		})
	}
}

// Each fault is one replacement in deploy/gateway/agent.yaml.
func TestAgentConfigFaultsAreFound(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ from, to, want string }{
		"the queue of each gateway is in memory as usual": {"        sending_queue: {enabled: false}\n", "", "each gateway is in memory"},
		"the queue of each gateway is in memory":          {"sending_queue: {enabled: false}", "sending_queue: {enabled: true}", "each gateway is in memory"},
		"retries end after a minute":                      {"max_elapsed_time: 0", "max_elapsed_time: 60", "retries end"},
		"queues are in memory":                            {"storage: file_storage", "block_on_overflow: true", "not kept in a storage that runs"},
	}
	shipped, agent := readFile(t, "collector-config.yaml"), readFile(t, "deploy/gateway/agent.yaml")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFault(t, agent, test.from, test.to, test.want, shipped)
		})
	}
}

// checkFault fails the test unless a replacement in a configuration, merged into
// others, is found to be a problem.
func checkFault(t *testing.T, config, from, to, want string, before ...string) {
	t.Helper()
	if !strings.Contains(config, from) {
		t.Fatalf("the shipped file does not contain %q", from)
	}
	c := mergeCollector(t, append(before, strings.ReplaceAll(config, from, to))...)
	if problems := strings.Join(c.problems(), "\n"); !strings.Contains(problems, want) {
		t.Errorf("got problems %q, want one of %q", problems, want)
	}
}

func TestCollectorAcceptsItsConfig(t *testing.T) {
	t.Parallel()
	gateways := map[string]string{
		"are known":                `{static: {hostnames: ["gateway-0:4317", "gateway-1:4317"]}}`,
		"have one name":            `{dns: {hostname: gateway}}`,
		"are a Kubernetes service": `{k8s: {service: gateway.observability, return_hostnames: true}}`,
	}
	for title, files := range shippedConfigs {
		for which, resolver := range gateways {
			t.Run(title+", gateways "+which, func(t *testing.T) {
				t.Parallel()
				args := []string{"validate"}
				for _, file := range files {
					replace := map[string]string{}
					if strings.Contains(readFile(t, file), "/var/lib/otelcol") {
						replace["/var/lib/otelcol"] = t.TempDir()
					}
					args = append(args, "--config="+harness.Rewrite(t, file, replace))
				}
				validate := exec.CommandContext(t.Context(), harness.Tool(t, "collector"), args...)
				validate.Env = []string{"OTELMON_GATEWAYS=" + resolver, "OTELMON_GATEWAY_REPLICAS=" + resolver}
				if out, err := validate.CombinedOutput(); err != nil {
					t.Errorf("%v: %v\n%s", args, err, out)
				}
			})
		}
	}
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
	return mergeCollector(t, readFile(t, "collector-config.yaml"))
}

// mergeCollector reads configurations as the Collector merges them: mappings key
// by key, and of all else the last.
func mergeCollector(t *testing.T, configs ...string) collectorConfig {
	t.Helper()
	merged := map[string]any{}
	for _, config := range configs {
		var next map[string]any
		if err := yaml.Unmarshal([]byte(config), &next); err != nil {
			t.Fatal(err)
		}
		merge(merged, next)
	}
	text, err := yaml.Marshal(merged)
	if err != nil {
		t.Fatal(err)
	}
	var c collectorConfig
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func merge(into, from map[string]any) {
	for key, value := range from {
		below, isMap := value.(map[string]any)
		existing, wasMap := into[key].(map[string]any)
		if isMap && wasMap {
			merge(existing, below)
		} else {
			into[key] = value
		}
	}
}

// readYAML reads a file, named from the repository's root.
func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readFiles(t *testing.T, files []string) []string {
	t.Helper()
	var texts []string
	for _, file := range files {
		texts = append(texts, readFile(t, file))
	}
	return texts
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
