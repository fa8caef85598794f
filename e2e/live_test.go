package e2e_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/otelmon/toolkit/internal/grafana"
	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

// rounds is how many seconds of traffic there are.
const rounds = 70

// TestDashboards runs the shipped stack, with the shipped rules, beside services
// whose metrics reach it by each path, and asks all that dashboards ask. All
// services are younger than 5 minutes: of the rules it sees the parts for counters
// that have just been born. The tests of rules and TestAlertPath see the others.
func TestDashboards(t *testing.T) {
	stack := harness.StartWholeStack(t)
	p := programs{quickstart: buildExample(t, "quickstart"), llm: buildExample(t, "llm"), otelmon: harness.BuildCommand(t)}
	all := worlds()
	for _, environment := range sorted(all) {
		all[environment].start(t, stack, p)
	}
	mutants := startMutants(t, stack)
	var running sync.WaitGroup
	for _, w := range all {
		running.Go(func() { w.run(t, rounds) })
	}
	mutants.run(t, rounds)
	running.Wait()
	for _, w := range all {
		w.proxy.Signal(t, syscall.SIGHUP)
	}
	makeCollectorFail(t, stack)
	waitTold(t, stack)
	asked := live{prometheus: stack.Prometheus, dashboards: dashboards(t), end: time.Now(), shown: timesOf(t, 5*time.Minute)}
	t.Run("the catalogue is what programs emit", func(t *testing.T) { testCatalogue(t, stack.Prometheus) })
	t.Run("every query has an answer", asked.testAnswers)
	t.Run("alerts of the stack are shown whatever is selected", asked.testAlerts)
	t.Run("requests and calls are the same by each path", asked.testTotals)
	t.Run("answers are the same by each path", asked.testPaths)
	t.Run("a changed name is noticed", func(t *testing.T) { mutants.test(t, asked) })
}

// waitTold waits until both paths have delivered what was measured last, and
// rules have seen it.
func waitTold(t *testing.T, stack *harness.Stack) {
	t.Helper()
	p := stack.Prometheus
	p.WaitIncrease(t, `sum(otelcol_receiver_accepted_metric_points_total{job="collector"})`, 1)
	p.WaitIncrease(t, `sum(otelcol_receiver_accepted_metric_points_total{job="collector"})`, 1)
	p.WaitIncrease(t, `min(count_over_time(up{job="otelmon"}[1h]))`, 3)
	p.WaitIncrease(t, `min(prometheus_rule_group_iterations_total)`, 3)
}

// live is a Prometheus that knows the worlds, and what dashboards ask it.
type live struct {
	prometheus *harness.Prometheus
	dashboards map[string]grafana.Dashboard
	end        time.Time
	shown      grafana.Times
}

// timesOf is what Grafana fills in when a range is shown of the provisioned
// Prometheus.
func timesOf(t *testing.T, shown time.Duration) grafana.Times {
	t.Helper()
	samples, err := time.ParseDuration(dataSources(t)["prometheus"].JSON.TimeInterval)
	if err != nil {
		t.Fatalf("timeInterval of Prometheus: %v", err)
	}
	return grafana.NewTimes(shown, samples)
}

func dashboards(t *testing.T) map[string]grafana.Dashboard {
	t.Helper()
	all, err := grafana.ReadDir(filepath.Join(harness.Root(t), "deploy", "grafana", "dashboards"))
	if err != nil || len(all) == 0 {
		t.Fatalf("dashboards: got %d, %v", len(all), err)
	}
	return all
}

func (l live) ask(d grafana.Dashboard, q grafana.Query, selected map[string][]string) (harness.Answer, error) {
	return l.prometheus.Ask(q, harness.View{End: l.end, Times: l.shown, Variables: d.Values(selected)})
}

// selections are what may be selected at the head of a dashboard.
func selections() map[string]map[string][]string {
	all := map[string]map[string][]string{"several of each": {
		"environment": {both, pushed},
		"service":     {shopService, llmService, proxyService, faultyService},
		"endpoint":    {"/products/{id}", "/orders", "/stream", "/slow", "/panic"},
		"model":       {"steady", "again", "silent", "unpriced", usdModel},
	}}
	for environment := range worlds() {
		all[environment] = map[string][]string{"environment": {environment}}
	}
	return all
}

// testAnswers wants an answer to every query, by each path.
func (l live) testAnswers(t *testing.T) {
	allowed := readAllowed(t)
	for selection, selected := range selections() {
		for _, problem := range l.unanswered(selected, allowed) {
			t.Errorf("with %s selected: %s", selection, problem)
		}
	}
	for _, entry := range allowed {
		if !entry.needed {
			t.Errorf("%s need not be allowed to be empty: it never was", entry.query)
		}
	}
}

// unanswered returns what is wrong with the answers.
func (l live) unanswered(selected map[string][]string, allowed map[string]*allowance) (problems []string) {
	for _, file := range sorted(l.dashboards) {
		d := l.dashboards[file]
		for _, q := range d.Queries() {
			name := d.UID + ": " + q.Where
			answer, err := l.ask(d, q, selected)
			if err == nil {
				err = sound(answer, allowed[name])
			}
			if err == nil && q.Exemplars && len(answer.Series) > 0 {
				err = l.exemplars(d, q, selected)
			}
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v: %s", name, err, strings.TrimSpace(q.Expr+" "+q.Label)))
			}
		}
	}
	return problems
}

// testAlerts wants the Tempo that cannot be scraped in the list of alerts of any
// environment, by its name.
func (l live) testAlerts(t *testing.T) {
	d := l.dashboards["overview.json"]
	queries := d.Queries()
	list := queries[slices.IndexFunc(queries, func(q grafana.Query) bool { return q.Where == "panel Firing alerts, A" })]
	for environment := range worlds() {
		answer, err := l.ask(d, list, map[string][]string{"environment": {environment}, "service": {shopService}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(answer.Series, func(alert harness.Line) bool {
			return alert.Labels["alertname"] == "OtelmonTargetDown" && strings.Contains(alert.Labels["what"], "tempo")
		}) {
			t.Errorf("with %s selected: no OtelmonTargetDown of tempo in %v", environment, answer.Series)
		}
	}
}

// exemplars wants some for a query that shows them.
func (l live) exemplars(d grafana.Dashboard, q grafana.Query, selected map[string][]string) error {
	found, err := l.prometheus.Exemplars(grafana.Expand(q.Expr, d.Values(selected), l.shown))
	if err == nil && len(found) == 0 {
		return errors.New("no exemplars")
	}
	return err
}

// sound returns what is wrong with an answer.
func sound(a harness.Answer, allowed *allowance) error {
	if len(a.Warnings) > 0 {
		return fmt.Errorf("Prometheus warns: %s", strings.Join(a.Warnings, "; "))
	}
	if len(a.Series) == 0 {
		if allowed != nil {
			allowed.needed = true
			return nil
		}
		return fmt.Errorf("no data")
	}
	for _, line := range a.Series {
		for _, value := range line.Values {
			if math.IsNaN(value) || math.IsInf(value, 0) {
				return fmt.Errorf("%v in %v", value, line.Labels)
			}
		}
	}
	return nil
}

// An allowance is for a query that has no answer when all is well.
type allowance struct {
	query  string
	needed bool
}

// readAllowed reads the queries that may be without data, each with its reason.
func readAllowed(t *testing.T) map[string]*allowance {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "allowed-empty.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var reasons map[string]string
	if err := yaml.Unmarshal(text, &reasons); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]*allowance{}
	for query, reason := range reasons {
		if reason == "" {
			t.Errorf("%s has no reason to be empty", query)
		}
		allowed[query] = &allowance{query: query}
	}
	return allowed
}

// paths are the environments that are told the same, by which way ever.
var paths = []string{both, pushed, scraped}

// totals are of what traffic determines alone.
var totals = map[string]string{
	"requests":      `sum by (service_name, http_route, http_request_method, http_response_status_code, error_type) (http_server_request_duration_seconds_count{deployment_environment_name=%q, http_route!="/healthz", service_name="quickstart"})`,
	"streams":       `sum by (service_name, http_route, error_type) (otelmon_http_server_stream_duration_seconds_count{deployment_environment_name=%q, service_name="quickstart"})`,
	"calls":         `sum by (service_name, gen_ai_request_model, otelmon_llm_outcome, otelmon_llm_attempt) (otelmon_llm_attempts_total{deployment_environment_name=%q, service_name=~"llm|llm-proxy"})`,
	"tokens":        `sum by (service_name, gen_ai_request_model, otelmon_llm_token_class) (otelmon_llm_tokens_total{deployment_environment_name=%q, service_name=~"llm|llm-proxy"})`,
	"wasted tokens": `sum by (service_name, gen_ai_request_model, otelmon_llm_reason) (otelmon_llm_wasted_tokens_total{deployment_environment_name=%q, service_name=~"llm|llm-proxy"})`,
}

// testTotals wants what was counted in all to be exactly the same by each path.
func (l live) testTotals(t *testing.T) {
	for _, what := range sorted(totals) {
		byPath := map[string]map[string]float64{}
		for _, environment := range paths {
			samples, err := l.prometheus.Query(fmt.Sprintf(totals[what], environment))
			if err != nil {
				t.Fatal(err)
			}
			byPath[environment] = map[string]float64{}
			for _, s := range samples {
				byPath[environment][fmt.Sprint(s.Labels)] = s.Value
			}
		}
		for _, path := range paths[1:] {
			if diff := cmp.Diff(byPath[both], byPath[path]); diff != "" || len(byPath[path]) == 0 {
				t.Errorf("%s by both paths and by one, %d of them (-both +%s):\n%s", what, len(byPath[path]), path, diff)
			}
		}
	}
}
