package harness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Collector runs shipped configuration files, with the addresses and the folder
// of its queues replaced. It can be ended and started again, and finds the same
// addresses and queues.
type Collector struct {
	OTLPEndpoint string // URL of its gRPC receiver

	address           string   // of its gRPC receiver
	configs           []string // merged in this order
	env               []string
	wrapper           []string // the command that runs it, if any
	health, telemetry string   // addresses
	process           *Process
}

// NewCollector prepares a Collector with collector-config.yaml that keeps its
// queues in a folder and sends spans to traces, metrics to the address of a
// Prometheus.
func NewCollector(t testing.TB, queue string, traces *TraceSink, prometheus string) *Collector {
	t.Helper()
	return newCollector(t, "collector-config.yaml", queue, traces, prometheus)
}

// NewAgent prepares a Collector of the first tier. It sends to one of the
// gateways each trace, and again to one of the replicas if there are any.
func NewAgent(t testing.TB, queue string, traces *TraceSink, gateways, replicas []*Collector) *Collector {
	t.Helper()
	c := NewCollector(t, queue, traces, FreeAddress(t))
	c.Option(t, "deploy/gateway/agent.yaml", nil, "OTELMON_GATEWAYS="+resolver(gateways))
	if len(replicas) > 0 {
		c.Option(t, "deploy/gateway/replicas.yaml", nil, "OTELMON_GATEWAY_REPLICAS="+resolver(replicas))
	}
	return c
}

// NewGateway prepares a Collector of the second tier, with variables for
// tail-sampling.yaml.
func NewGateway(t testing.TB, queue string, traces *TraceSink, env ...string) *Collector {
	t.Helper()
	c := newCollector(t, "deploy/gateway/gateway.yaml", queue, traces, FreeAddress(t))
	base := c.configs
	c.configs = nil
	c.Option(t, "deploy/collector/tail-sampling.yaml", nil, env...)
	c.configs = append(c.configs, base...)
	return c
}

func newCollector(t testing.TB, file, queue string, traces *TraceSink, prometheus string) *Collector {
	t.Helper()
	const bind = "${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}"
	c := &Collector{address: FreeAddress(t), health: FreeAddress(t), telemetry: FreeAddress(t)}
	c.OTLPEndpoint = "http://" + c.address
	c.Option(t, file, map[string]string{
		bind + ":4317":           c.address,
		bind + ":4318":           FreeAddress(t),
		bind + ":13133":          c.health,
		"port: 8888":             "port: " + c.telemetry[strings.LastIndex(c.telemetry, ":")+1:],
		"tempo:4317":             traces.address,
		"http://prometheus:9090": "http://" + prometheus,
		"/var/lib/otelcol":       queue,
	})
	return c
}

// resolver is what OTELMON_GATEWAYS says of gateways with known addresses.
func resolver(gateways []*Collector) string {
	var addresses []string
	for _, g := range gateways {
		addresses = append(addresses, fmt.Sprintf("%q", g.address))
	}
	return "{static: {hostnames: [" + strings.Join(addresses, ", ") + "]}}"
}

// Option merges another file, named from the repository's root, with texts
// replaced as by [Rewrite] and environment variables that it reads.
func (c *Collector) Option(t testing.TB, file string, replace map[string]string, env ...string) {
	t.Helper()
	c.configs = append(c.configs, Rewrite(t, file, replace))
	c.env = append(c.env, env...)
}

// Env adds environment variables, as NAME=value.
func (c *Collector) Env(env ...string) { c.env = append(c.env, env...) }

// PinToOneCore makes the Collector run on the first processor only.
func (c *Collector) PinToOneCore() { c.wrapper = []string{"taskset", "--cpu-list", "0"} }

// Start starts the Collector and waits until it is ready. It ends with the test.
func (c *Collector) Start(t testing.TB) {
	t.Helper()
	command := slices.Concat(c.wrapper, []string{Tool(t, "collector")})
	for _, config := range c.configs {
		command = append(command, "--config="+config)
	}
	c.process = Start(t, c.env, command[0], command[1:]...)
	waitReady(t, c.process, "http://"+c.health)
}

// Kill ends the Collector by SIGKILL, which it cannot prepare for.
func (c *Collector) Kill() { c.process.Kill() }

// Terminate ends the Collector by SIGTERM, as a container engine does.
func (c *Collector) Terminate(t testing.TB) {
	t.Helper()
	c.process.Terminate(t)
	c.process.Wait(t, 30*time.Second)
}

// Running returns an error once the Collector has ended.
func (c *Collector) Running() error { return c.process.Running() }

// PID returns the number of the Collector's process.
func (c *Collector) PID() int { return c.process.PID() }

// MetricsURL returns where the Collector's own metrics are.
func (c *Collector) MetricsURL() string { return "http://" + c.telemetry + "/metrics" }

// Metric returns one of the Collector's own metrics, since it was started, as
// the sum of the series that have all the labels; 0 if there is none yet.
func (c *Collector) Metric(name string, labels map[string]string) (float64, error) {
	page, err := ReadPage(c.MetricsURL())
	if err != nil {
		return 0, err
	}
	var by, values []string
	for label, value := range labels {
		by, values = append(by, label), append(values, value)
	}
	return page.Sums(name, by...)[strings.Join(values, ",")], nil
}
