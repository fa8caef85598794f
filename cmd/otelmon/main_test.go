package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// commandEnvironment marks the process that is the command.
const commandEnvironment = "OTELMON_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnvironment) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// unset is an environment without variables.
var unset environment

// answers runs what ends by itself.
func answers(t *testing.T, environ environment, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // should it begin to serve
	code = run(ctx, args, environ, &out, &err)
	return code, out.String(), err.String()
}

func TestHelpIsUpToDate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		file string
	}{
		"of the command":                {[]string{"--help"}, "testdata/help.txt"},
		"of the command, as Go has it":  {[]string{"-h"}, "testdata/help.txt"},
		"of the command, as a word":     {[]string{"help"}, "testdata/help.txt"},
		"of the proxy":                  {[]string{"proxy", "--help"}, "testdata/proxy.txt"},
		"of the proxy, as Go has it":    {[]string{"proxy", "-h"}, "testdata/proxy.txt"},
		"of the proxy, among its flags": {[]string{"proxy", "--listen", "nowhere", "--help"}, "testdata/proxy.txt"},
		"of the rules":                  {[]string{"rules", "--help"}, "testdata/rules.txt"},
		"of the rules, among its files": {[]string{"rules", "generate", "slo.yaml", "-h"}, "testdata/rules.txt"},
		"of the doctor":                 {[]string{"doctor", "--help"}, "testdata/doctor.txt"},
		"of the doctor, as Go has it":   {[]string{"doctor", "-h"}, "testdata/doctor.txt"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := answers(t, unset, test.args...)
			if code != 0 || stderr != "" {
				t.Errorf("got exit code %d and complaint %q, want neither", code, stderr)
			}
			golden.Check(t, test.file, []byte(stdout))
			for line := range strings.Lines(stdout) {
				if len(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("wider than 80 columns: %q", line)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--version"}, {"version"}, {"proxy", "--version"}} {
		code, stdout, stderr := answers(t, unset, args...)
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "otelmon "+telemetry.Version+", go") {
			t.Errorf("%v: got exit code %d, output %q and complaint %q", args, code, stdout, stderr)
		}
	}
}

func TestUnknownCommandsAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"no command":            {nil, "otelmon: no command; accepted: proxy, rules, doctor; see otelmon --help\n"},
		"a command of others":   {[]string{"porxy"}, "otelmon: unknown command \"porxy\"; accepted: proxy, rules, doctor; see otelmon --help\n"},
		"a flag of the command": {[]string{"--listen", ":1"}, "otelmon: unknown command \"--listen\"; accepted: proxy, rules, doctor; see otelmon --help\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := answers(t, unset, test.args...)
			if code != 2 || stdout != "" {
				t.Errorf("got exit code %d and output %q, want 2 and none", code, stdout)
			}
			if diff := cmp.Diff(test.want, stderr); diff != "" {
				t.Errorf("complaint (-want +got):\n%s", diff)
			}
		})
	}
}
