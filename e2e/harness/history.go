package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/meter"
)

// StartHistory starts a Prometheus that has watched 50 services for 30 days, with
// the rules of a folder, each run once a minute at least, and the shipped features,
// and waits until it is ready. It scrapes itself. It ends with the test.
func StartHistory(t testing.TB, rules string) *Prometheus {
	t.Helper()
	hasten(t, rules)
	dir, address := t.TempDir(), FreeAddress(t)
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "prometheus.yml")
	args := []string{
		"-out", data, "-latency", boundaries("http.server.request.duration", "s"),
		"-llm", boundaries("gen_ai.client.operation.duration", "s"), "-size", boundaries("http.server.request.body.size", "By"),
	}
	if out, err := exec.CommandContext(t.Context(), Tool(t, "history"), args...).CombinedOutput(); err != nil {
		t.Fatalf("write a history: %v\n%s", err, out)
	}
	text := fmt.Sprintf(`
rule_files: [%q]
scrape_configs:
  - job_name: prometheus
    scrape_interval: 5s
    static_configs: [{targets: [%q]}]
`, filepath.Join(rules, "*.yml"), address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	flags := append(shippedFeatures(t),
		"--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address="+address)
	p := &Prometheus{url: "http://" + address, process: Start(t, nil, Tool(t, "prometheus"), flags...)}
	p.waitReady(t)
	return p
}

// boundaries are those that the library gives a histogram, separated by commas.
func boundaries(name, unit string) string {
	var texts []string
	for _, b := range meter.Boundaries(name, unit, nil, meter.Rules{}) {
		texts = append(texts, strconv.FormatFloat(b, 'g', -1, 64))
	}
	return strings.Join(texts, ",")
}

// hasten makes groups of a folder that run every few minutes do so once a minute.
func hasten(t testing.TB, rules string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(rules, "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("rule files in %s: got %d, %v", rules, len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, minutes.ReplaceAll(text, []byte("$1 1m")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var minutes = regexp.MustCompile(`(?m)^( +interval:) \d+m$`)
