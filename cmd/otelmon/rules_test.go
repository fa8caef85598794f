package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	want := "otelmon rules: open " + missing + ": no such file or directory\n" +
		"otelmon rules: " + changed + " is not what its SLO file says; run the command without --check\n"
	if code, _, stderr := answers(t, unset, check...); code != 1 || stderr != want {
		t.Errorf("checking others: got exit code %d and complaint\n%s\nwant 1 and\n%s", code, stderr, want)
	}
	if content, _ := os.ReadFile(changed); string(content) != "groups: []\n" {
		t.Error("--check wrote a file")
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
		"an unknown flag":       {[]string{"generate", bad, "--dir", "x"}, 2, "flag provided but not defined: --dir"},
		"nothing to check":      {[]string{"generate", bad, "--check"}, 2, "--out: missing beside --check; accepted: a folder with rule files"},
		"a file that is wrong":  {[]string{"generate", bad}, 2, bad + ":2: slos[0].objective: 100; accepted: "},
		"a file not there":      {[]string{"generate", nowhere}, 2, "reading the configuration: open " + nowhere},
		"a service twice":       {[]string{"generate", write(t, cart), write(t, cart)}, 2, `service "cart": there are two files`},
		"a service twice, out":  {[]string{"generate", write(t, cart), write(t, cart), "--out", nowhere}, 2, `service "cart": there are two files`},
		"a folder not there":    {[]string{"generate", write(t, cart), "--out", nowhere}, 1, "open " + nowhere},
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
