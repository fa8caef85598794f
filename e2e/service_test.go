package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A service is examples/quickstart, running under test.
type service struct {
	name    string
	url     string
	metrics string // address of its /metrics page
	process *harness.Process
}

const (
	namespace   = "shop"
	version     = "1.2.3"
	environment = "e2e"
	region      = "eu-central-1"
)

// startService starts the program quickstart so that it pushes to the stack's
// Collector and is scraped by its Prometheus. MetricsHost is
// OTEL_EXPORTER_PROMETHEUS_HOST, "" for its default.
func startService(t *testing.T, stack *harness.Stack, quickstart, name, metricsHost string) service {
	t.Helper()
	metrics := harness.FreeAddress(t)
	_, metricsPort, err := net.SplitHostPort(metrics)
	if err != nil {
		t.Fatal(err)
	}
	s := service{name: name, metrics: metrics}
	address := harness.FreeAddress(t)
	s.url = "http://" + address

	env := append(telemetryEnv(stack, name), "OTEL_EXPORTER_PROMETHEUS_PORT="+metricsPort)
	if metricsHost != "" {
		env = append(env, "OTEL_EXPORTER_PROMETHEUS_HOST="+metricsHost)
	}
	s.process = harness.Start(t, env, quickstart, "-addr", address, "-load", "0")
	harness.Eventually(t, 30*time.Second, "start of "+name, func() error {
		if err := s.process.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := harness.Get(s.url + "/healthz")
		return err
	})
	stack.Scrape(t, metrics)
	return s
}

// telemetryEnv is the environment that every program under test gets.
func telemetryEnv(stack *harness.Stack, name string) []string {
	return []string{
		"OTEL_SERVICE_NAME=" + name,
		"OTEL_RESOURCE_ATTRIBUTES=" + strings.Join([]string{
			"service.namespace=" + namespace,
			"service.version=" + version,
			"deployment.environment.name=" + environment,
			"cloud.region=" + region,
		}, ","),
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + stack.Collector.OTLPEndpoint,
		fmt.Sprintf("OTEL_METRIC_EXPORT_INTERVAL=%d", harness.ScrapeInterval.Milliseconds()),
	}
}

// buildExample builds a program of the root module's folder examples.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", harness.Root(t), "-o", bin, "./examples/"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build examples/%s: %v\n%s", name, err, out)
	}
	return bin
}

// A request is sent Times times to a service.
type request struct {
	method, path, body string
	route              string // the label http_route that it is to be counted under
	times              int
}

// A call is what one request is counted under.
type call struct{ route, method, status string }

// send sends requests, a few at a time, and returns how many were answered with
// which status.
func (s service) send(t *testing.T, concurrency int, requests ...request) map[call]float64 {
	t.Helper()
	var (
		queue    = make(chan request)
		mu       sync.Mutex
		answered = map[call]float64{}
		workers  sync.WaitGroup
		client   = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
	)
	for range concurrency {
		workers.Go(func() {
			for r := range queue {
				status, err := do(client, s.url, r)
				if err != nil {
					t.Errorf("%s %s: %v", r.method, r.path, err)
					continue
				}
				mu.Lock()
				answered[call{r.route, r.method, fmt.Sprint(status)}]++
				mu.Unlock()
			}
		})
	}
	for _, r := range requests {
		for range r.times {
			queue <- r
		}
	}
	close(queue)
	workers.Wait()
	client.CloseIdleConnections()
	if t.Failed() {
		t.FailNow()
	}
	return answered
}

func do(client *http.Client, url string, r request) (status int, err error) {
	req, err := http.NewRequest(r.method, url+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
