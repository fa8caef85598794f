package e2e_test

import (
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/otelmon/toolkit/e2e/harness"
)

// loadCompose reads docker-compose.yaml as docker compose does, with all profiles,
// and with env as its environment.
func loadCompose(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	return loadProfiles(t, []string{"*"}, env...)
}

func loadProfiles(t *testing.T, profiles []string, env ...string) (*types.Project, error) {
	t.Helper()
	root := harness.Root(t)
	options, err := cli.NewProjectOptions(
		[]string{filepath.Join(root, "docker-compose.yaml")},
		cli.WithWorkingDirectory(root),
		cli.WithEnv(env),
		cli.WithProfiles(profiles),
		cli.WithDiscardEnvFile,
	)
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func compose(t *testing.T, env ...string) *types.Project {
	t.Helper()
	project, err := loadCompose(t, append(env, "GRAFANA_ADMIN_PASSWORD=secret")...)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeAsksForAPassword(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"none": nil, "an empty one": {"GRAFANA_ADMIN_PASSWORD="}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := loadCompose(t, env...)
			if err == nil || !strings.Contains(err.Error(), "GRAFANA_ADMIN_PASSWORD") {
				t.Errorf("got %v, want an error about GRAFANA_ADMIN_PASSWORD", err)
			}
		})
	}
}

func TestComposeProfiles(t *testing.T) {
	t.Parallel()
	always := []string{"alertmanager", "collector", "grafana", "prometheus", "quickstart", "ready", "tempo", "volume-owner"}
	for name, test := range map[string]struct{ profiles, more []string }{
		"no profile":       {},
		"the profile llm":  {[]string{"llm"}, []string{"llm-proxy"}},
		"the profile logs": {[]string{"logs"}, []string{"loki"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project, err := loadProfiles(t, test.profiles, "GRAFANA_ADMIN_PASSWORD=secret")
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(slices.Concat(always, test.more)))
			if diff := cmp.Diff(want, slices.Sorted(slices.Values(project.ServiceNames()))); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
		})
	}
}

func TestComposeServicesAreConfined(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		check := func(ok bool, want string) {
			if !ok {
				t.Errorf("service %s: want %s", name, want)
			}
		}
		check(s.ReadOnly, "a read-only root")
		check(slices.Contains(s.CapDrop, "ALL"), "all capabilities dropped")
		check(slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "no new privileges")
		check(s.MemLimit > 0, "a memory limit")
		check(s.PidsLimit > 0, "a limit of processes")
		check(s.Logging != nil && s.Logging.Options["max-size"] != "" && s.Logging.Options["max-file"] != "", "a limit of logs")
		check(!s.Privileged && s.Pid == "" && s.Ipc == "" && len(s.Devices) == 0, "nothing of the host")
		// It only changes the owner of volumes, without a network, and ends.
		handsOver := s.NetworkMode == "none" && slices.Equal(s.CapAdd, []string{"CHOWN"})
		check(handsOver || len(s.CapAdd) == 0, "no capabilities")
		check(handsOver || s.User != "" && !strings.HasPrefix(s.User, "0") && !strings.HasPrefix(s.User, "root"), "a user other than root")
		check(handsOver || s.NetworkMode == "", "networks of its own")
		for _, p := range s.Ports {
			check(p.HostIP == "127.0.0.1", "port "+p.Published+" on loopback")
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			_, err := os.Stat(v.Source)
			check(err == nil, "an existing file: "+v.Source)
			check(v.ReadOnly, "read-only: "+v.Source)
			check(strings.HasPrefix(v.Source, harness.Root(t)), "a file of the repository: "+v.Source)
		}
		for _, file := range s.Tmpfs {
			check(strings.Contains(file, "size="), "a bound on "+file)
		}
		// Everything but busybox is written in Go.
		soft := s.Environment["GOMEMLIMIT"]
		check(strings.HasPrefix(s.Image, "busybox:") || soft != nil && fourFifths(*soft, int64(s.MemLimit)), "GOMEMLIMIT at 80 % of the memory limit")
	}
}

// `docker compose up --wait` waits until these checks pass: a service's own, or
// the one of the service ready, which asks those whose images cannot ask.
func TestComposeKnowsWhetherServicesAreReady(t *testing.T) {
	t.Parallel()
	services := compose(t).Services
	ready := services["ready"]
	asked := strings.Join(ready.HealthCheck.Test, " ")
	for name, s := range services {
		switch {
		case name == "volume-owner":
			// Compose waits for its end, as others depend on that.
			if s.Restart != "no" || s.HealthCheck != nil {
				t.Errorf("service %s does not just end", name)
			}
		case name == "llm-proxy":
			// Of a profile, so that ready cannot depend on it.
		case s.HealthCheck == nil:
			_, depends := ready.DependsOn[name]
			if !depends || !strings.Contains(asked, name+":") {
				t.Errorf("nobody asks whether the service %s is ready", name)
			}
		default:
			if s.HealthCheck.Retries == nil || *s.HealthCheck.Retries < 3 || s.HealthCheck.Timeout == nil || s.HealthCheck.Interval == nil {
				t.Errorf("service %s: the health check has no bounds", name)
			} else if within := time.Duration(*s.HealthCheck.Interval) * time.Duration(*s.HealthCheck.Retries); within > 3*time.Minute {
				t.Errorf("service %s: it may take %s to be called unhealthy", name, within)
			}
		}
	}
}

func TestComposeStartsInOrder(t *testing.T) {
	t.Parallel()
	services := compose(t).Services
	for _, want := range []struct{ service, after, condition string }{
		{"collector", "volume-owner", types.ServiceConditionCompletedSuccessfully},
		{"tempo", "volume-owner", types.ServiceConditionCompletedSuccessfully},
		{"loki", "volume-owner", types.ServiceConditionCompletedSuccessfully},
		{"prometheus", "alertmanager", types.ServiceConditionHealthy},
		{"collector", "prometheus", types.ServiceConditionHealthy},
		{"grafana", "prometheus", types.ServiceConditionHealthy},
		{"quickstart", "collector", types.ServiceConditionStarted},
	} {
		if got := services[want.service].DependsOn[want.after].Condition; got != want.condition {
			t.Errorf("%s waits for %s: got %q, want %q", want.service, want.after, got, want.condition)
		}
	}
	// What runs as somebody must own the volume it writes to.
	owner := services["volume-owner"]
	for name, s := range services {
		if s.User != owner.Command[1] {
			continue
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && !slices.Contains(owner.Command, "/"+v.Source) {
				t.Errorf("service %s does not own its volume %s", name, v.Source)
			}
		}
	}
}

func TestComposeNetworksKeepApart(t *testing.T) {
	t.Parallel()
	project := compose(t)
	if !project.Networks["backend"].Internal {
		t.Error("the network backend leads outside")
	}
	want := map[string][]string{
		"quickstart":   {"services"},
		"llm-proxy":    {"services"},
		"tempo":        {"backend"},
		"loki":         {"backend"},
		"grafana":      {"backend", "web"},
		"alertmanager": {"backend", "web"},
		"collector":    {"backend", "services"},
		"prometheus":   {"backend", "services"},
		"ready":        {"backend", "services"},
	}
	got := map[string][]string{}
	for name, s := range project.Services {
		if s.NetworkMode == "" {
			got[name] = slices.Sorted(maps.Keys(s.Networks))
		}
		// Docker publishes no port of a service that has internal networks only.
		if len(s.Ports) > 0 && slices.Equal(got[name], []string{"backend"}) {
			t.Errorf("service %s: its ports would not be published", name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
}

func TestComposePrometheusHasWhatItsConfigNeeds(t *testing.T) {
	t.Parallel()
	flags := flagsOf(compose(t).Services["prometheus"].Command)
	for _, name := range []string{"web.enable-otlp-receiver", "web.enable-remote-write-receiver"} {
		if _, ok := flags[name]; !ok {
			t.Errorf("there is no --%s", name)
		}
	}
	// Both change what is stored, and lifecycle would let services end Prometheus.
	for _, name := range []string{"web.enable-admin-api", "web.enable-lifecycle"} {
		if _, ok := flags[name]; ok {
			t.Errorf("there is --%s, which anyone on its networks could use", name)
		}
	}
	features := strings.Split(flags["enable-feature"], ",")
	for _, feature := range []string{"exemplar-storage", "created-timestamp-zero-ingestion"} {
		if !slices.Contains(features, feature) {
			t.Errorf("the feature %s is off", feature)
		}
	}
	kept, err := model.ParseDuration(flags["storage.tsdb.retention.time"])
	if err != nil || time.Duration(kept) < 32*24*time.Hour {
		t.Errorf("samples are kept for %s (%v), and objectives look 30 days back", kept, err)
	}
	if flags["storage.tsdb.retention.size"] == "" {
		t.Error("the disk is not bounded")
	}
}

// flagsOf returns --name=value by name.
func flagsOf(command []string) map[string]string {
	flags := map[string]string{}
	for _, arg := range command {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		flags[name] = value
	}
	return flags
}

func TestComposeGrafanaNeedsALogin(t *testing.T) {
	t.Parallel()
	env := compose(t).Services["grafana"].Environment
	for name, want := range map[string]string{
		"GF_AUTH_ANONYMOUS_ENABLED":          "false",
		"GF_USERS_ALLOW_SIGN_UP":             "false",
		"GF_USERS_AUTO_ASSIGN_ORG_ROLE":      "Viewer",
		"GF_PUBLIC_DASHBOARDS_ENABLED":       "false",
		"GF_SECURITY_ALLOW_EMBEDDING":        "false",
		"GF_UNIFIED_ALERTING_EXECUTE_ALERTS": "false",
		"GF_ANALYTICS_REPORTING_ENABLED":     "false",
		"GF_SECURITY_ADMIN_PASSWORD":         "secret",
	} {
		if got := env[name]; got == nil || *got != want {
			t.Errorf("%s: got %v, want %q", name, got, want)
		}
	}
}

// Each option of the Collector is a file that compose can merge with its
// configuration, alone and together with the others.
func TestComposeCollectorOptions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(harness.Root(t), "deploy/collector/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no options: %v", err)
	}
	var all []string
	for _, file := range files {
		all = append(all, "--config=/etc/otelcol/options/"+filepath.Base(file))
	}
	for _, options := range append(slices.Collect(slices.Chunk(all, 1)), nil, all) {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			t.Parallel()
			collector := compose(t, "COLLECTOR_OPTIONS="+strings.Join(options, " ")).Services["collector"]
			want := append(types.ShellCommand{"--config=/etc/otelcol/collector-config.yaml"}, options...)
			if diff := cmp.Diff(want, collector.Command); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			args := []string{"validate", "--config=" + harness.Rewrite(t, "collector-config.yaml", map[string]string{"/var/lib/otelcol": t.TempDir()})}
			for _, arg := range collector.Command[1:] {
				file := mounted(t, collector, strings.TrimPrefix(arg, "--config="))
				args = append(args, "--config="+filepath.Join(harness.Root(t), file))
			}
			run(t, harness.Tool(t, "collector"), args...)
		})
	}
}

// mounted returns the file of the repository that a service finds at a path.
func mounted(t *testing.T, s types.ServiceConfig, path string) string {
	t.Helper()
	for _, v := range s.Volumes {
		if rest, ok := strings.CutPrefix(path, v.Target); ok && v.Type == types.VolumeTypeBind {
			file, err := filepath.Rel(harness.Root(t), v.Source+rest)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
	}
	t.Fatalf("nothing is mounted on %s", path)
	return ""
}

// hostOf returns host:port of a URL or of an address without a scheme.
func hostOf(t *testing.T, endpoint string) string {
	t.Helper()
	if !strings.Contains(endpoint, "://") {
		return endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
