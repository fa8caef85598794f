package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartHistory starts a Prometheus that has watched 50 services for 30 days, with
// rules from a folder and the shipped features, and waits until it is ready. It
// scrapes itself. It ends with the test.
func StartHistory(t testing.TB, rules string) *Prometheus {
	t.Helper()
	dir, address := t.TempDir(), FreeAddress(t)
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "prometheus.yml")
	if out, err := exec.CommandContext(t.Context(), Tool(t, "history"), "-out", data).CombinedOutput(); err != nil {
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

// CopyRules copies the shipped rules into a folder and makes groups that run less
// often than once a minute do so.
func CopyRules(t testing.TB) string {
	t.Helper()
	return copyRules(t, func(rules string) string { return slowGroups.ReplaceAllString(rules, "$1 1m") })
}
