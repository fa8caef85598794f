package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/e2e/harness"
)

// docker stands in for the real one, which tests cannot have: it notes what it is
// asked, and fails at one request if it is told to.
const docker = `#!/bin/bash
echo "$*" >>"$CALLS"
case "$*" in
"$FAIL") echo "$SAYS" >&2; exit 1 ;;
"compose config --services") printf '%s\n' $SERVICES ;;
"compose config") echo "command: $OPTIONS" ;;
esac
`

// up runs deploy/up.sh with the docker above, and returns what it prints and what
// docker was asked.
func up(t *testing.T, env ...string) (out, calls string, err error) {
	t.Helper()
	return upOf(t, filepath.Join(harness.Root(t), "deploy/up.sh"), env...)
}

// upOf is up with a copy of the script.
func upOf(t *testing.T, script string, env ...string) (out, calls string, err error) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(docker), 0o700); err != nil {
		t.Fatal(err)
	}
	noted := filepath.Join(folder, "calls")
	command := exec.CommandContext(t.Context(), "bash", script)
	command.Env = append([]string{"PATH=" + folder + ":/usr/bin:/bin", "CALLS=" + noted, "FAIL=none"}, env...)
	text, err := command.CombinedOutput()
	asked, readErr := os.ReadFile(noted)
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	return string(text), string(asked), err
}

func TestUpWaitsAndPrintsTheLinks(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"the stack":             {"SERVICES=grafana tempo"},
		"with the profile logs": {"SERVICES=grafana loki", "OPTIONS=--config=/etc/otelcol/options/loki.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, calls, err := up(t, env...)
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			if want := "compose up --detach --build --wait --wait-timeout 300\n"; !strings.HasSuffix(calls, want) {
				t.Errorf("docker was asked\n%swant %s last", calls, want)
			}
			// Every link leads to a port that compose publishes.
			for name, s := range compose(t).Services {
				for _, p := range s.Ports {
					if name != "llm-proxy" && !strings.Contains(out, "localhost:"+p.Published) && !strings.Contains(out, ", :"+p.Published) {
						t.Errorf("port %s of %s is not among the links:\n%s", p.Published, name, out)
					}
				}
			}
		})
	}
}

// What Alertmanager cannot do is said at the start, not with the first alert that
// nobody gets.
func TestUpSaysWhoIsNotified(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		receivers []string
		mode      os.FileMode
		want      string
	}{
		"nobody, as shipped":                      {nil, 0o644, "Nobody is notified of alerts yet: deploy/alertmanager/alertmanager.yml says how."},
		"a receiver is in use":                    {[]string{"slack_configs"}, 0o644, ""},
		"a secret that Alertmanager may not read": {[]string{"slack_configs"}, 0o600, "chmod 644 lets it: deploy/alertmanager/secrets/slack_url"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "deploy")
			secrets := filepath.Join(folder, "alertmanager/secrets")
			if err := os.MkdirAll(secrets, 0o755); err != nil {
				t.Fatal(err)
			}
			copyFile(t, harness.AlertmanagerConfig(t, secrets, test.receivers...), filepath.Join(folder, "alertmanager/alertmanager.yml"))
			copyFile(t, filepath.Join(harness.Root(t), "deploy/up.sh"), filepath.Join(folder, "up.sh"))
			if err := os.WriteFile(filepath.Join(secrets, "slack_url"), []byte("https://example.com"), test.mode); err != nil {
				t.Fatal(err)
			}
			out, _, err := upOf(t, filepath.Join(folder, "up.sh"), "SERVICES=grafana")
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			_, after, _ := strings.Cut(out, "make down stops the stack.\n")
			if !strings.Contains(after, test.want) || (test.want == "") != (after == "") {
				t.Errorf("got %q, want %q", after, test.want)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUpSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  []string
		want string
	}{
		"docker is not installed": {[]string{"PATH=" + onlyDirname(t)}, "docker is not installed"},
		"docker has no compose":   {[]string{"FAIL=compose version"}, "docker has no compose"},
		"docker does not run":     {[]string{"FAIL=info"}, "docker does not answer"},
		"there is no password": {
			[]string{"FAIL=compose config --quiet", "SAYS=required variable GRAFANA_ADMIN_PASSWORD is missing a value"},
			"up: required variable GRAFANA_ADMIN_PASSWORD is missing a value (see .env.example)",
		},
		"Loki would get nothing": {[]string{"SERVICES=grafana loki"}, "the profile logs needs COLLECTOR_OPTIONS="},
		"a service stays unhealthy": {
			[]string{"FAIL=compose up --detach --build --wait --wait-timeout 300", "SAYS=container tempo is unhealthy"},
			"container tempo is unhealthy\nup: not all of it is healthy",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, _, err := up(t, test.env...)
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("got %v, want a failure with %q:\n%s", err, test.want, out)
			}
			if strings.Contains(out, "The stack is up") {
				t.Errorf("it says that the stack is up:\n%s", out)
			}
		})
	}
}

// onlyDirname returns a folder of programs without docker, which may be installed
// where the tests run.
func onlyDirname(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("dirname")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Symlink(program, filepath.Join(folder, "dirname")); err != nil {
		t.Fatal(err)
	}
	return folder
}

// The program is run as `make check-grafana` runs it, against something that is
// no Grafana; package check has the tests of what it finds.
func TestCheckGrafanaTellsByItsExitCode(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "check-grafana")
	run(t, "go", "build", "-o", program, "./cmd/check-grafana")
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	secret := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(secret, []byte("GRAFANA_ADMIN_PASSWORD='a secret'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		env  string
		code int
		want string
	}{
		"without a password":         {[]string{"-env-file", "none"}, "A=b", 2, "GRAFANA_ADMIN_PASSWORD is not set"},
		"with an unknown flag":       {[]string{"-password", "x"}, "A=b", 2, "flag provided but not defined"},
		"without dashboards":         {[]string{"-dashboards", "none"}, "GRAFANA_ADMIN_PASSWORD=secret", 2, "there are no dashboards in none"},
		"a password in a file":       {[]string{"-url", web.URL, "-env-file", secret}, "A=b", 1, "grafana: GET /api/health: 404"},
		"a password in the variable": {[]string{"-url", web.URL, "-env-file", "none"}, "GRAFANA_ADMIN_PASSWORD=secret", 1, "grafana: GET /api/health: 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), program, test.args...)
			command.Env = []string{test.env}
			out, err := command.CombinedOutput()
			if got := command.ProcessState.ExitCode(); got != test.code || !strings.Contains(string(out), test.want) {
				t.Errorf("got %d (%v), want %d with %q:\n%s", got, err, test.code, test.want, out)
			}
		})
	}
}
