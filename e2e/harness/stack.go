// Package harness runs the shipped configuration with real binaries on loopback:
// the Collector, Prometheus with its rules, and Alertmanager from
// collector-config.yaml, deploy/prometheus and deploy/alertmanager, of which only
// addresses, folders and intervals are replaced, and receivers for traces and
// notifications where Tempo and people would be.
package harness

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/e2e/tools"
)

// ScrapeInterval replaces the shipped one so that tests need not wait long.
const ScrapeInterval = time.Second

// A Stack is a running Collector, Prometheus and trace receiver.
type Stack struct {
	Collector  *Collector
	Prometheus *Prometheus
	Traces     *TraceSink

	targets string // folder that Prometheus watches
}

// StartStack starts a stack with the shipped rules, evaluated once a
// [ScrapeInterval], and waits until it is ready. It ends with the test.
func StartStack(t testing.TB) *Stack {
	t.Helper()
	return startStack(t, copyRules(t, oftener), FreeAddress(t))
}

// StartAlertingStack starts a stack that sends its alerts to an Alertmanager. So
// that alerts fire and resolve within seconds, rules look back seconds where they
// are shipped with minutes, and alerts wait a second.
func StartAlertingStack(t testing.TB, alertmanager *Alertmanager) *Stack {
	t.Helper()
	return startStack(t, copyRules(t, oftener, shorter), alertmanager.address)
}

func startStack(t testing.TB, rules, alertmanager string) *Stack {
	t.Helper()
	var (
		dir        = t.TempDir()
		queue      = filepath.Join(dir, "queue")
		targets    = filepath.Join(dir, "targets")
		prometheus = FreeAddress(t)
		traces     = StartTraceSink(t)
		collector  = NewCollector(t, queue, traces, prometheus)
	)
	for _, d := range []string{queue, targets} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	p := startPrometheus(t, prometheus, Rewrite(t, "deploy/prometheus/prometheus.yml", map[string]string{
		"scrape_interval: 15s":      "scrape_interval: " + ScrapeInterval.String(),
		"scrape_timeout: 10s":       "scrape_timeout: " + ScrapeInterval.String(),
		"evaluation_interval: 30s":  "evaluation_interval: " + ScrapeInterval.String(),
		"rules/*.yml":               filepath.Join(rules, "*.yml"),
		"targets/*.yml":             filepath.Join(targets, "*.yml"),
		"[quickstart., llm-proxy.]": "[services.invalid]", // a name that no DNS knows
		"[loki.]":                   "[loki.invalid]",
		"alertmanager:9093":         alertmanager,
		"collector:8888":            collector.telemetry,
		"localhost:9090":            prometheus,
		"tempo:3200":                FreeAddress(t),
	}))
	collector.Start(t)
	p.waitReady(t)
	return &Stack{Collector: collector, Prometheus: p, Traces: traces, targets: targets}
}

// Scrape makes Prometheus scrape a service's /metrics, as a file in
// deploy/prometheus/targets would.
func (s *Stack) Scrape(t testing.TB, address string) {
	t.Helper()
	name := strings.NewReplacer(":", "-", ".", "-").Replace(address) + ".yml"
	body := fmt.Sprintf("- targets: [%q]\n", address)
	if err := os.WriteFile(filepath.Join(s.targets, name), []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Root returns the folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "collector-config.yaml")); err == nil {
			return dir
		}
	}
	t.Fatal("no folder above holds collector-config.yaml")
	return ""
}

// Tool returns the path of a program that package tools builds.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := tools.Binary(t.Context(), filepath.Join(Root(t), "e2e"), name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Rewrite copies a configuration file, named from the repository's root, into a
// temporary folder with texts replaced and returns its path. Each text has to
// occur: otherwise the test would run something else than intended.
func Rewrite(t testing.TB, file string, replace map[string]string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for from, to := range replace {
		if !strings.Contains(text, from) {
			t.Fatalf("%s does not contain %q", file, from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	out := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

func waitReady(t testing.TB, p *Process, url string) {
	t.Helper()
	Eventually(t, 30*time.Second, url, func() error {
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := Get(url)
		return err
	})
}

// Get returns the body of a URL; a status other than 200 is an error.
func Get(url string) ([]byte, error) {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", url, resp.Status, body)
	}
	return body, nil
}
