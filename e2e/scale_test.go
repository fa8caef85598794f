package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/grafana"

	"github.com/otelmon/toolkit/e2e/harness"
)

// TestScale measures all rules, and all queries of all dashboards, on 50 services
// of 20 routes and a history of 30 days, and prints what docs/stack.md tells. It
// asserts no time.
func TestScale(t *testing.T) {
	if os.Getenv("OTELMON_SCALE") == "" {
		t.Skip("measures for minutes; make scale runs it")
	}
	rules := harness.CopyRules(t)
	writeSLOs(t, rules, 50)
	p := harness.StartHistory(t, rules)
	measureRules(t, p)
	end := time.Now()
	one := map[string][]string{"service": {"service-05"}}
	for _, view := range []struct {
		title    string
		times    grafana.Times
		selected map[string][]string
	}{
		{"all services, one hour", timesOf(t, time.Hour), nil},
		{"one service, one hour", timesOf(t, time.Hour), one},
		{"all services, 30 days", timesOf(t, 30*24*time.Hour), nil},
		{"one service, 30 days", timesOf(t, 30*24*time.Hour), one},
	} {
		t.Logf("queries, %s: with data, of all; the slowest", view.title)
		all := dashboards(t)
		for _, file := range sorted(all) {
			d := all[file]
			measureQueries(t, p, d, harness.View{End: end, Times: view.times, Variables: d.Values(view.selected)})
		}
	}
}

// writeSLOs gives each service of the history two objectives.
func writeSLOs(t *testing.T, rules string, services int) {
	t.Helper()
	args := []string{"rules", "generate", "--out", rules}
	dir := t.TempDir()
	for i := range services {
		file := filepath.Join(dir, fmt.Sprintf("service-%02d.yaml", i))
		text := fmt.Sprintf("service: service-%02d\nslos:\n  - {name: availability, objective: 99.9}\n  - {name: latency, objective: 99, latency: 250ms}\n", i)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if out, err := exec.CommandContext(t.Context(), harness.BuildCommand(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("otelmon rules generate: %v\n%s", err, out)
	}
}

// measureRules prints how long the groups of each kind take, the median of the
// last evaluations.
func measureRules(t *testing.T, p *harness.Prometheus) {
	t.Helper()
	harness.Eventually(t, 5*time.Minute, "evaluation of all groups", func() error {
		least, err := p.Scalar("min(prometheus_rule_group_iterations_total)")
		if err == nil && least < 3 {
			err = fmt.Errorf("least of all evaluations: %v, want 3", least)
		}
		return err
	})
	if failures, err := p.Scalar("sum(prometheus_rule_evaluation_failures_total)"); err != nil || failures != 0 {
		t.Errorf("failures of rules: got %v, %v", failures, err)
	}
	const median = `quantile_over_time(0.5, prometheus_rule_group_last_duration_seconds[3m])`
	for _, q := range []struct{ title, expr string }{
		{"all groups together", "sum(" + median + ")"},
		{"the slowest group", "max(" + median + ")"},
	} {
		seconds, err := p.Scalar(q.expr)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("rules, %s: %.0f ms", q.title, seconds*1000)
	}
	groups, err := p.Query("topk(12, " + median + ")")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		t.Logf("  %-40s %4.0f ms", g.Labels["rule_group"][strings.LastIndex(g.Labels["rule_group"], "/")+1:], g.Value*1000)
	}
}

// measureQueries prints how many queries of a dashboard have data, and which of
// them takes longest, the median of three times each.
func measureQueries(t *testing.T, p *harness.Prometheus, d grafana.Dashboard, view harness.View) {
	t.Helper()
	var (
		answered int
		slowest  string
		longest  time.Duration
	)
	for _, q := range d.Queries() {
		var (
			times  []time.Duration
			answer harness.Answer
			err    error
		)
		for range 3 {
			start := time.Now()
			if answer, err = p.Ask(q, view); err != nil {
				t.Errorf("%s: %s: %v", d.UID, q.Where, err)
			}
			times = append(times, time.Since(start))
		}
		if len(answer.Series) > 0 {
			answered++
		}
		slices.Sort(times)
		if times[1] > longest {
			slowest, longest = q.Where, times[1]
		}
	}
	t.Logf("  %-24s %2d of %2d  %4d ms  %s", d.UID, answered, len(d.Queries()), longest.Milliseconds(), slowest)
}
