package harness

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Rules returns the paths of the shipped rule files.
func Rules(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Root(t), "deploy/prometheus/rules/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("rule files: got %v, %v", files, err)
	}
	return files
}

// CopyRules copies the shipped rules into a folder and returns it.
func CopyRules(t testing.TB) string {
	t.Helper()
	return copyRules(t)
}

// copyRules copies the shipped rules into a folder, changed, and returns it.
func copyRules(t testing.TB, changes ...func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range Rules(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, change := range changes {
			text = change(text)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// oftener makes groups run once a [ScrapeInterval].
func oftener(rules string) string {
	interval := regexp.MustCompile(`(?m)^( +interval:) \S+$`)
	return interval.ReplaceAllString(rules, "$1 "+ScrapeInterval.String())
}

// shorter makes rates cover 15 seconds where they are shipped with 5 minutes, and
// alerts wait for one.
func shorter(rules string) string {
	wait := regexp.MustCompile(`(?m)^( +(?:for|keep_firing_for):) \S+$`)
	rules = wait.ReplaceAllString(rules, "$1 1s")
	return regexp.MustCompile(`\[5m\]`).ReplaceAllString(rules, "[15s]")
}
