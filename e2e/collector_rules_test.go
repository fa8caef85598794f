package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
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
