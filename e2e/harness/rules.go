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

// A replacement is for all that a pattern matches in the rule files.
type replacement struct {
	from *regexp.Regexp
	to   string
}

// copyRules copies the shipped rules into a folder, changed, and returns it. Each
// replacement has to find something: otherwise the test would run other rules than
// intended.
func copyRules(t testing.TB, changes ...func() []replacement) string {
	t.Helper()
	text := map[string][]byte{}
	for _, file := range Rules(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text[filepath.Base(file)] = b
	}
	for _, change := range changes {
		for _, r := range change() {
			r.apply(t, text)
		}
	}
	dir := t.TempDir()
	for file, b := range text {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (r replacement) apply(t testing.TB, files map[string][]byte) {
	t.Helper()
	found := false
	for file, text := range files {
		found = found || r.from.Match(text)
		files[file] = r.from.ReplaceAll(text, []byte(r.to))
	}
	if !found {
		t.Fatalf("no rule file has %s", r.from)
	}
}

// oftener makes groups run once a [ScrapeInterval].
func oftener() []replacement {
	return []replacement{{regexp.MustCompile(`(?m)^( +interval:) \S+$`), "${1} " + ScrapeInterval.String()}}
}

// impatient makes alerts fire a second after their condition.
func impatient() []replacement {
	return []replacement{{regexp.MustCompile(`(?m)^( +for:) \S+$`), "${1} 1s"}}
}

// shorter makes rules look at 15 seconds where they are shipped with 5 minutes, and
// alerts fire and resolve within a second. An increase within 5 minutes is written
// in four ways, which have to stay the same time: as the range of a rate, by the
// distance to what was before, by the seconds that a birth is divided by, and by
// those that a rate is multiplied with. An instance is known that has begun within
// 450 s, or was there a minute before.
func shorter() []replacement {
	return []replacement{
		{regexp.MustCompile(`(?m)^( +(?:for|keep_firing_for):) \S+$`), "${1} 1s"},
		{regexp.MustCompile(`\[5m\]`), "[15s]"},
		{regexp.MustCompile(`\boffset 5m\b`), "offset 15s"},
		{regexp.MustCompile(`([/*]) 300\b`), "${1} 15"},
		{regexp.MustCompile(`\boffset 6m\b`), "offset 18s"},
		{regexp.MustCompile(`\btime\(\) - 450\b`), "time() - 23"},
		{regexp.MustCompile(`\[30m\]\) / 60\b`), "[30m]) / 5"}, // evaluations after which a service is missed
	}
}
