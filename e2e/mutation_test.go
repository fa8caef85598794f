package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A mutant is the program quickstart, built with one line of package telemetry
// changed, in an environment of its own.
type mutant struct {
	from, to string
	gone     string   // of the catalogue
	queries  []string // that have no answer any more
	world    *world
}

type mutants map[string]*mutant

// startMutants starts the programs by which the tests above are tested.
func startMutants(t *testing.T, stack *harness.Stack) mutants {
	t.Helper()
	all := mutants{
		"renamed": {
			from: `"http.server.request.duration"`, to: `"http.server.request.length"`,
			gone: "http_server_request_duration_seconds_count", queries: []string{"http_server_request"},
		},
		"unlabelled": {
			from: `semconv.HTTPRouteKey`, to: `attribute.Key("http.path.template")`,
			gone: "http_server_request_duration_seconds_count{http_route}", queries: []string{"http_route"},
		},
	}
	for _, environment := range sorted(all) {
		m := all[environment]
		m.world = &world{environment: environment}
		m.world.shop = m.world.startShop(t, stack, m.build(t))
	}
	return all
}

// build builds the program with another file in the place of that of the names.
func (m *mutant) build(t *testing.T) string {
	t.Helper()
	const names = "internal/telemetry/telemetry.go"
	changed := harness.Rewrite(t, names, map[string]string{m.from: m.to})
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(harness.Root(t), names): changed}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, shopService)
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", harness.Root(t), "-overlay", file, "-o", program, "./examples/quickstart")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build a mutant: %v\n%s", err, out)
	}
	return program
}

// run sends all mutants the traffic that their originals get.
func (all mutants) run(t *testing.T, rounds int) {
	var running sync.WaitGroup
	for _, m := range all {
		running.Go(func() { m.world.run(t, rounds) })
	}
	running.Wait()
}

// test wants the tests of the catalogue and of queries to notice what changed.
func (all mutants) test(t *testing.T, l live) {
	of := func(environment string) map[string][]string {
		return capture(t, l.prometheus, fmt.Sprintf(`{deployment_environment_name=%q, service_name=%q}`, environment, shopService))
	}
	selected := func(environment string) map[string][]string {
		return map[string][]string{"environment": {environment}, "service": {shopService}}
	}
	well := l.unanswered(selected(both), nil)
	for _, environment := range sorted(all) {
		m := all[environment]
		if gone := absentNames(of(both), of(environment)); !slices.Contains(gone, m.gone) {
			t.Errorf("%s: the catalogue lacks %q, want %s among them", environment, gone, m.gone)
		}
		ill := slices.DeleteFunc(l.unanswered(selected(environment), nil), func(problem string) bool { return slices.Contains(well, problem) })
		for _, query := range m.queries {
			if !slices.ContainsFunc(ill, func(problem string) bool { return strings.Contains(problem, query) }) {
				t.Errorf("%s: no query with %s is without data, only: %q", environment, query, ill)
			}
		}
		t.Logf("%s: %d queries have no answer", environment, len(ill))
	}
}
