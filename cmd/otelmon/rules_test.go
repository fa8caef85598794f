package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/golden"
)

const (
	cart = "service: cart\nslos: [{name: availability, objective: 99.9}]\n"
	till = "service: till\nenvironment: prod\nllm_budgets: [{currency: USD, per_day: 5}]\n"
)

func TestRulesArePrinted(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := answers(t, unset, "rules", "generate", write(t, cart), write(t, till))
	if code != 0 || stderr != "" {
		t.Errorf("got exit code %d and complaint %q, want neither", code, stderr)
	}
	golden.Check(t, "testdata/rules.yml", []byte(stdout))
}

func TestRulesAreWritten(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	args := []string{"rules", "generate", write(t, cart), "--out", out, write(t, till)}
	if code, stdout, stderr := answers(t, unset, args...); code != 0 || stdout+stderr != "" {
		t.Fatalf("got exit code %d, output %q and complaint %q", code, stdout, stderr)
	}
	for name, record := range map[string]string{
		"slo.yml": "alert: OtelmonSLOBurnRateCritical", "slo-cart.yml": "record: slo:requests:rate5m",
		"slo-prod-till.yml": "record: service_currency:llm_budget:per_day",
	} {
		content, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.Contains(string(content), record) {
			t.Errorf("%s: got %q, %v", name, content, err)
		}
	}
	check := append([]string{"rules", "generate", "--check"}, args[2:]...)
	if code, stdout, stderr := answers(t, unset, check...); code != 0 || stdout+stderr != "" {
		t.Errorf("checking: got exit code %d, output %q and complaint %q", code, stdout, stderr)
	}

	changed, missing := filepath.Join(out, "slo-cart.yml"), filepath.Join(out, "slo.yml")
	if err := os.WriteFile(changed, []byte("groups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	want := "otelmon rules: comparing rules: open " + missing + ": no such file or directory\n" +
		"otelmon rules: " + changed + " is not what its SLO file says; run the command without --check\n"
	if code, _, stderr := answers(t, unset, check...); code != 1 || stderr != want {
		t.Errorf("checking others: got exit code %d and complaint\n%s\nwant 1 and\n%s", code, stderr, want)
	}
	if content, _ := os.ReadFile(changed); string(content) != "groups: []\n" {
		t.Error("--check wrote a file")
	}
}

// Prometheus, which may reload at any time, reads nothing that is half written.
func TestRulesAreReplacedAtOnce(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	old := filepath.Join(out, "slo-cart.yml")
	if err := os.WriteFile(old, []byte("groups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(old)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }() // it was only read
	if code, _, stderr := answers(t, unset, "rules", "generate", write(t, cart), "--out", out); code != 0 {
		t.Fatal(stderr)
	}
	if content, err := io.ReadAll(reader); err != nil || string(content) != "groups: []\n" {
		t.Errorf("the file that was open: got %q, %v, want the old content", content, err)
	}
	names, err := filepath.Glob(filepath.Join(out, "*"))
	if diff := cmp.Diff([]string{old, filepath.Join(out, "slo.yml")}, names); diff != "" || err != nil {
		t.Errorf("files: %v (-want +got):\n%s", err, diff)
	}
	if info, err := os.Stat(old); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("got %v, %v, want a file that others can read", info.Mode(), err)
	}
}

// What an earlier run has left in the folder counts too.
func TestRulesOfOtherFilesAreNoticed(t *testing.T) {
	t.Parallel()
	out, first := t.TempDir(), write(t, cart)
	other := filepath.Join(out, "slo-cart.yml")
	if code, _, stderr := answers(t, unset, "rules", "generate", first, "--out", out); code != 0 {
		t.Fatal(stderr)
	}
	if err := os.WriteFile(filepath.Join(out, "slo-mine.yml"), []byte("groups: [] # made by hand\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	second := write(t, "environment: prod\n"+cart)
	code, _, stderr := answers(t, unset, "rules", "generate", second, "--out", out)
	want := "otelmon rules: " + other + " records the same as slo-prod-cart.yml would; remove it, or change environment or namespace\n"
	if code != 1 || stderr != want {
		t.Errorf("clashing: got exit code %d and complaint\n%s\nwant 1 and\n%s", code, stderr, want)
	}
	if _, err := os.Stat(filepath.Join(out, "slo-prod-cart.yml")); !os.IsNotExist(err) {
		t.Errorf("clashing: got %v, want no file", err)
	}

	third := write(t, till)
	if code, _, stderr := answers(t, unset, "rules", "generate", third, "--out", out); code != 0 || stderr != "" {
		t.Errorf("another service: got exit code %d and complaint %q, want neither", code, stderr)
	}
	code, _, stderr = answers(t, unset, "rules", "generate", third, "--out", out, "--check")
	want = "otelmon rules: " + other + " is of an SLO file that was not given; give that too, or remove it\n"
	if code != 1 || stderr != want {
		t.Errorf("checking one of two: got exit code %d and complaint\n%s\nwant 1 and\n%s", code, stderr, want)
	}
	if code, _, stderr := answers(t, unset, "rules", "generate", third, first, "--out", out, "--check"); code != 0 {
		t.Errorf("checking both: got exit code %d and complaint %q, want neither", code, stderr)
	}

	if err := os.WriteFile(other, []byte(madeByThis+"\n\t"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := answers(t, unset, "rules", "generate", third, "--out", out); code != 1 || !strings.HasPrefix(stderr, "otelmon rules: reading other rules: "+other) {
		t.Errorf("rules that cannot be read: got exit code %d and complaint %q", code, stderr)
	}
}

func TestRulesLinkToGrafana(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"https://grafana.example.org/ops"}, {}} {
		all, want := []string{"rules", "generate", write(t, cart)}, "dashboard: http://localhost:3000/d/otelmon-slo?"
		if len(args) > 0 {
			all, want = append(all, "--grafana", args[0]), "dashboard: "+args[0]+"/d/otelmon-slo?"
		}
		if code, stdout, stderr := answers(t, unset, all...); code != 0 || strings.Count(stdout, want) != 5 {
			t.Errorf("%v: got exit code %d, %d links and complaint %q, want 5", all, code, strings.Count(stdout, want), stderr)
		}
	}
}

// fullDisk cannot be written to.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestRulesThatCannotBePrintedAreAFailure(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	code := run(t.Context(), []string{"rules", "generate", write(t, cart)}, unset, fullDisk{}, &stderr)
	if want := "otelmon rules: printing rules: no space left on device\n"; code != 1 || stderr.String() != want {
		t.Errorf("got exit code %d and complaint %q, want 1 and %q", code, &stderr, want)
	}
}

func TestRulesThatCannotBeMadeAreRefused(t *testing.T) {
	t.Parallel()
	bad := write(t, "service: cart\nslos: [{name: a, objective: 100}]")
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	tests := map[string]struct {
		args []string
		code int
		want string
	}{
		"no command":            {nil, 2, "no command; accepted: generate"},
		"another command":       {[]string{"check", bad}, 2, `unknown command "check"; accepted: generate`},
		"no file":               {[]string{"generate"}, 2, "no file; accepted: SLO files in YAML"},
		"no URL of Grafana":     {[]string{"generate", write(t, cart), "--grafana", "grafana:3000"}, 2, "--grafana: not a URL of Grafana; accepted: "},
		"an unknown flag":       {[]string{"generate", bad, "--dir", "x"}, 2, "flag provided but not defined: --dir"},
		"nothing to check":      {[]string{"generate", bad, "--check"}, 2, "--out: missing beside --check; accepted: a folder with rule files"},
		"a file that is wrong":  {[]string{"generate", bad}, 2, bad + ":2: slos[0].objective: 100; accepted: "},
		"a file not there":      {[]string{"generate", nowhere}, 2, "reading the configuration: open " + nowhere},
		"a service twice":       {[]string{"generate", write(t, cart), write(t, cart)}, 2, `service "cart": there are two files`},
		"a service twice, out":  {[]string{"generate", write(t, cart), write(t, cart), "--out", nowhere}, 2, `service "cart": there are two files`},
		"a folder not there":    {[]string{"generate", write(t, cart), "--out", nowhere}, 1, "writing rules: open " + nowhere},
		"one file of two wrong": {[]string{"generate", bad, write(t, cart), "--out", nowhere}, 2, bad + ":2: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := answers(t, unset, append([]string{"rules"}, test.args...)...)
			if code != test.code || stdout != "" {
				t.Errorf("got exit code %d and output %q, want %d and none", code, stdout, test.code)
			}
			if !strings.HasPrefix(stderr, "otelmon rules: "+test.want) {
				t.Errorf("got complaint\n%s\nwant one that begins with\notelmon rules: %s", stderr, test.want)
			}
		})
	}
}

// The rules of the stack are those of its SLO files.
func TestDeployedRulesAreUpToDate(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/slo/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, %v", files, err)
	}
	const rules = "../../deploy/prometheus/rules"
	if code, _, stderr := answers(t, unset, append([]string{"rules", "generate", "--check", "--out", rules}, files...)...); code != 0 {
		t.Errorf("%sgo generate ./slo writes them", stderr)
	}
	made, err := filepath.Glob(rules + "/slo-*.yml")
	if err != nil || len(made) != len(files) {
		t.Errorf("got rules %v of files %v, %v", made, files, err)
	}
}
