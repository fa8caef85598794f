package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A rule is one of a rule file.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

// A ruleTest is one of a file that promtool test rules takes. Its name says what it
// proves: "<alert> <case>: <in words>", see caseOf.
type ruleTest struct {
	Name   string
	Alerts []alertTest `yaml:"alert_rule_test"`
	Exprs  []struct {
		Expr string
		Want []any `yaml:"exp_samples"`
	} `yaml:"promql_expr_test"`
}

type alertTest struct {
	Time  string `yaml:"eval_time"`
	Alert string `yaml:"alertname"`
	Want  []any  `yaml:"exp_alerts"`
}

// What a test may prove of an alert.
const (
	fires       = "fires"
	staysQuiet  = "stays quiet"
	resolves    = "resolves"
	lowTraffic  = "low traffic"
	withoutData = "no data"
)

func TestRulesAreValid(t *testing.T) {
	t.Parallel()
	run(t, harness.Tool(t, "promtool"), append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, harness.Rules(t)...)...)
	pint := []string{
		"--offline", "--no-color", "--config", filepath.Join(harness.Root(t), "deploy/prometheus/pint.hcl"),
		"lint", "--min-severity=info", "--fail-on=info",
	}
	run(t, harness.Tool(t, "pint"), append(pint, harness.Rules(t)...)...)
}

// Rulers of Mimir and Cortex refuse groups with more rules.
func TestGroupsAreSmall(t *testing.T) {
	t.Parallel()
	const most = 20
	for _, file := range harness.Rules(t) {
		var f struct {
			Groups []struct {
				Name  string
				Rules []rule
			}
		}
		readYAML(t, "deploy/prometheus/rules/"+filepath.Base(file), &f)
		for _, g := range f.Groups {
			if len(g.Rules) > most {
				t.Errorf("%s: got %d rules in a group, want at most %d", g.Name, len(g.Rules), most)
			}
		}
	}
}

func TestRulesDoWhatTheirTestsSay(t *testing.T) {
	t.Parallel()
	for _, file := range ruleTestFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			run(t, harness.Tool(t, "promtool"), "test", "rules", file)
		})
	}
}

func TestEveryRuleIsTested(t *testing.T) {
	t.Parallel()
	var tests []ruleTest
	for _, file := range ruleTestFiles(t) {
		var f struct{ Tests []ruleTest }
		readYAML(t, "deploy/prometheus/rules/tests/"+filepath.Base(file), &f)
		tests = append(tests, f.Tests...)
	}
	for _, problem := range untested(readRules(t), tests) {
		t.Error(problem)
	}
}

// A check that finds nothing proves little unless it finds what is there.
func TestUntestedRulesAreFound(t *testing.T) {
	t.Parallel()
	rules := []rule{{Record: "service:a:rate5m"}, {Record: "service:a:rate5m_b"}, {Alert: "OtelmonHTTPHighErrorRate"}, {Alert: "Watchdog"}}
	var tests []ruleTest
	err := yaml.Unmarshal([]byte(`
- name: "Watchdog fires: always"
  alert_rule_test: [{alertname: Watchdog, eval_time: 1m, exp_alerts: [{}]}]
- name: "Watchdog no data: fires all the same"
  alert_rule_test: [{alertname: Watchdog, eval_time: 1m, exp_alerts: [{}]}]
- name: "OtelmonHTTPHighErrorRate fires: too many fail"
  alert_rule_test: [{alertname: OtelmonHTTPHighErrorRate, eval_time: 1m, exp_alerts: [{}]}]
- name: "OtelmonHTTPHighErrorRate stays quiet: but does not"
  alert_rule_test: [{alertname: OtelmonHTTPHighErrorRate, eval_time: 1m, exp_alerts: [{}]}]
- name: "OtelmonHTTPHighErrorRate resolves: before it fires"
  alert_rule_test:
    - {alertname: OtelmonHTTPHighErrorRate, eval_time: 1h, exp_alerts: [{}]}
    - {alertname: OtelmonHTTPHighErrorRate, eval_time: 5m}
- name: "OtelmonHTTPHighErrorRate no data: of another alert"
  alert_rule_test: [{alertname: Watchdog, eval_time: 1m}]
- name: "OtelmonNoSuch fires: no rule has this name"
- name: "records: a longer name, and nothing"
  promql_expr_test:
    - {expr: 'sum(service:a:rate5m_b)', exp_samples: [{value: 1}]}
    - {expr: 'service:a:rate5m', exp_samples: []}
`), &tests)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`OtelmonHTTPHighErrorRate: no test of the case "low traffic"`,
		`OtelmonHTTPHighErrorRate: no test of the case "no data"`,
		`OtelmonHTTPHighErrorRate: no test of the case "resolves"`,
		`OtelmonHTTPHighErrorRate: no test of the case "stays quiet"`,
		`service:a:rate5m: no test expects samples of it`,
		`test "OtelmonNoSuch fires: no rule has this name" is of no alert`,
	}
	if diff := cmp.Diff(want, untested(rules, tests)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// untested returns, sorted, what the tests do not show of the rules.
func untested(rules []rule, tests []ruleTest) []string {
	var problems []string
	for _, r := range rules {
		if r.Alert != "" {
			problems = append(problems, untestedCases(r.Alert, tests)...)
		} else if !recordIsTested(r.Record, tests) {
			problems = append(problems, r.Record+": no test expects samples of it")
		}
	}
	for _, test := range tests {
		alert, _ := caseOf(test)
		known := slices.ContainsFunc(rules, func(r rule) bool { return r.Alert == alert })
		if alert != "" && !known {
			problems = append(problems, fmt.Sprintf("test %q is of no alert", test.Name))
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems) // an alert may have several rules
}

func recordIsTested(record string, tests []ruleTest) bool {
	name := regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	for _, test := range tests {
		for _, e := range test.Exprs {
			if len(e.Want) > 0 && slices.Contains(name.FindAllString(e.Expr, -1), record) {
				return true
			}
		}
	}
	return false
}

func untestedCases(alert string, tests []ruleTest) []string {
	needed := []string{fires, staysQuiet, resolves, withoutData}
	if alert == "Watchdog" { // fires always
		needed = []string{fires, withoutData}
	}
	if needsTraffic.MatchString(alert) {
		needed = append(needed, lowTraffic)
	}
	var problems []string
	for _, c := range needed {
		if !slices.ContainsFunc(tests, func(test ruleTest) bool { return proves(test, alert, c) }) {
			problems = append(problems, fmt.Sprintf("%s: no test of the case %q", alert, c))
		}
	}
	return problems
}

// needsTraffic matches alerts about a share or a quantile of requests, which says
// nothing when there are few.
var needsTraffic = regexp.MustCompile(`^Otelmon(HTTP|SLOBurnRate|LLM(HighErrorRate|RateLimited|Refused|SlowFirstToken|Waste|UsageMissing)$)`)

// caseOf splits a test's name; tests of recorded series are of no alert.
func caseOf(test ruleTest) (alert, proven string) {
	head, _, _ := strings.Cut(test.Name, ":")
	alert, proven, _ = strings.Cut(head, " ")
	if alert != "Watchdog" && !strings.HasPrefix(alert, "Otelmon") {
		return "", ""
	}
	return alert, proven
}

// proves reports whether a test is named after a case of an alert and asks what the
// case takes.
func proves(test ruleTest, alert, wanted string) bool {
	if a, c := caseOf(test); a != alert || c != wanted {
		return false
	}
	var firing, quiet []model.Duration
	for _, a := range test.Alerts {
		at, err := model.ParseDuration(a.Time)
		switch {
		case a.Alert != alert:
		case err != nil:
			return false
		case len(a.Want) > 0:
			firing = append(firing, at)
		default:
			quiet = append(quiet, at)
		}
	}
	switch wanted {
	case fires:
		return len(firing) > 0
	case staysQuiet, lowTraffic:
		return len(firing) == 0 && len(quiet) > 0
	case resolves:
		return len(firing) > 0 && len(quiet) > 0 && slices.Max(quiet) > slices.Max(firing)
	default: // without data some fire, as that is what they are for
		return len(firing)+len(quiet) > 0
	}
}

// Whoever is woken up by an alert needs all of this.
func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const runbooks = "https://github.com/otelmon/toolkit/blob/main/"
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		check := func(ok bool, want string, got any) {
			if !ok {
				t.Errorf("%s: got %v, want %s", r.Alert, got, want)
			}
		}
		severity, description := r.Labels["severity"], r.Annotations["description"]
		page := "docs/runbooks/" + r.Alert + ".md"
		check(slices.Contains([]string{"critical", "warning", "info", "none"}, severity), "a severity", severity)
		check(r.Annotations["summary"] != "", "a summary", "none")
		check(strings.Contains(description, "$value"), "a description with the value", description)
		check(r.Annotations["runbook_url"] == runbooks+page, "the runbook "+page, r.Annotations["runbook_url"])
		_, err := os.Stat(filepath.Join(harness.Root(t), page))
		check(err == nil, "a page", err)
		check(r.Alert == "Watchdog" || strings.HasPrefix(r.Alert, "Otelmon"), "a name that begins with Otelmon", r.Alert)

		link := regexp.MustCompile(`^http://localhost:3000/d/otelmon-([a-z]+)(\?|$)`).FindStringSubmatch(r.Annotations["dashboard"])
		if link == nil {
			check(false, "a link to a dashboard", r.Annotations["dashboard"])
			continue
		}
		dashboard, err := os.ReadFile(filepath.Join(harness.Root(t), "deploy/grafana/dashboards", link[1]+".json"))
		check(err == nil && strings.Contains(string(dashboard), `"uid": "otelmon-`+link[1]+`"`), "a dashboard otelmon-"+link[1], err)
	}
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var rules []rule
	for _, file := range harness.Rules(t) {
		var f struct{ Groups []struct{ Rules []rule } }
		readYAML(t, "deploy/prometheus/rules/"+filepath.Base(file), &f)
		for _, g := range f.Groups {
			rules = append(rules, g.Rules...)
		}
	}
	return rules
}

func ruleTestFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(harness.Root(t), "deploy/prometheus/rules/tests/*_test.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of rules: got %v, %v", files, err)
	}
	return files
}
