package harness

import (
	"strings"
	"testing"
	"time"
)

// A Collector runs collector-config.yaml, with the addresses and the folder of
// its queues replaced. It can be ended and started again, and finds the same
// addresses and queues.
type Collector struct {
	OTLPEndpoint string // URL of its gRPC receiver

	config            string
	health, telemetry string // addresses
	process           *Process
}

// NewCollector prepares a Collector that keeps its queues in a folder and sends
// spans to traces, metrics to the address of a Prometheus.
func NewCollector(t testing.TB, queue string, traces *TraceSink, prometheus string) *Collector {
	t.Helper()
	const bind = "${env:OTELMON_COLLECTOR_BIND:-127.0.0.1}"
	otlp, c := FreeAddress(t), &Collector{health: FreeAddress(t), telemetry: FreeAddress(t)}
	c.OTLPEndpoint = "http://" + otlp
	c.config = Rewrite(t, "collector-config.yaml", map[string]string{
		bind + ":4317":                otlp,
		bind + ":4318":                FreeAddress(t),
		bind + ":13133":               c.health,
		"port: 8888":                  "port: " + c.telemetry[strings.LastIndex(c.telemetry, ":")+1:],
		"tempo:4317":                  traces.address,
		"http://prometheus:9090":      "http://" + prometheus,
		"directory: /var/lib/otelcol": "directory: " + queue,
	})
	return c
}

// Start starts the Collector and waits until it is ready. It ends with the test.
func (c *Collector) Start(t testing.TB) {
	t.Helper()
	c.process = Start(t, nil, Tool(t, "collector"), "--config="+c.config)
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

// Metric returns one of the Collector's own metrics, since it was started, as
// the sum of the series that have all the labels; 0 if there is none yet.
func (c *Collector) Metric(name string, labels map[string]string) (float64, error) {
	page, err := ReadPage("http://" + c.telemetry + "/metrics")
	if err != nil {
		return 0, err
	}
	var by, values []string
	for label, value := range labels {
		by, values = append(by, label), append(values, value)
	}
	return page.Sums(name, by...)[strings.Join(values, ",")], nil
}
