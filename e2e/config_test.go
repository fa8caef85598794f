package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

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
