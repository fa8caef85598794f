package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A Proxy is a running "otelmon proxy".
type Proxy struct {
	*Process

	URL     string // where it takes requests
	Metrics string // URL of its page of metrics, without /metrics
}

// BuildCommand builds the command otelmon, statically as for its container, and
// returns its path.
func BuildCommand(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "otelmon")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", Root(t), "-o", path, "./cmd/otelmon")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build cmd/otelmon: %v\n%s", err, out)
	}
	return path
}

// NoOTLP is the environment of a program that pushes nothing.
func NoOTLP() []string {
	return []string{"OTEL_TRACES_EXPORTER=none", "OTEL_LOGS_EXPORTER=none", "OTEL_METRICS_EXPORTER=prometheus"}
}

// StartProxy starts the proxy on free ports and waits until it serves. It ends
// with the test.
func StartProxy(t testing.TB, otelmon string, env []string, args ...string) *Proxy {
	t.Helper()
	args = append([]string{"proxy", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, args...)
	p := &Proxy{Process: Start(t, env, otelmon, args...)}
	found := p.WaitOutput(t, `msg=serving listen=(\S+) .*metrics=(\S+)/metrics `)
	p.URL, p.Metrics = "http://"+found[1], found[2]
	return p
}

// Page reads the proxy's page of metrics.
func (p *Proxy) Page(t testing.TB) Page {
	t.Helper()
	page, err := ReadPage(p.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return page
}
