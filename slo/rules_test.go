package slo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/slo"
)

func TestRulesAreUpToDate(t *testing.T) {
	t.Parallel()
	rules, err := slo.Rules(complete())
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/complete.yml", readBack(t, rules))
}

// readBack returns the text of the rules, which says what they say.
func readBack(t *testing.T, rules slo.RuleFile) []byte {
	t.Helper()
	text, err := rules.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var got slo.RuleFile
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rules, got, cmpopts.IgnoreFields(slo.RuleFile{}, "Comment")); diff != "" {
		t.Errorf("rules, as read back (-want +got):\n%s", diff)
	}
	return text
}

func TestBoundariesAreMatchedAsTheyAreSpelled(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		boundary float64
		want     string
	}{
		"a fraction":                  {0.25, `le="0.25"`},
		"a whole number":              {1, `le="1"`},
		"a whole number of tens":      {60, `le="60"`},
		"a fraction with an exponent": {0.00002, `le=~"0\\.00002|2e-05"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			latency := time.Duration(test.boundary * float64(time.Second))
			rules, err := slo.Rules(slo.File{
				Service: "a", LatencyObjectives: []time.Duration{latency},
				SLOs: []slo.SLO{{Name: "a", Objective: 99, Latency: latency}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := rules.Groups[0].Rules[1].Expr; strings.Count(got, test.want+"}") != 1 {
				t.Errorf("got %s\nwant %s in it once", got, test.want)
			}
		})
	}
}

// As alerts of HTTP compare with them, each is about requests of its own.
func TestP99ObjectivesAreTheStrictest(t *testing.T) {
	t.Parallel()
	const (
		service = "service:http_server_request_duration_seconds:p99_objective: "
		route   = "service_route:http_server_request_duration_seconds:p99_objective: "
	)
	second := slo.SLO{Objective: 99, Latency: time.Second}
	quarter := slo.SLO{Objective: 99, Latency: 250 * time.Millisecond}
	of := func(s slo.SLO, routes ...string) slo.SLO { s.Routes = routes; return s }
	tests := map[string]struct {
		slos []slo.SLO
		want []string
	}{
		"one of 99 %":          {[]slo.SLO{second}, []string{service + `1 * group without () (service:http_server_requests:rate5m{service_name="s"})`}},
		"two of 99 %":          {[]slo.SLO{second, quarter}, []string{service + `0.25 * group without () (service:http_server_requests:rate5m{service_name="s"})`}},
		"another share":        {[]slo.SLO{{Objective: 99.9, Latency: time.Second}, {Objective: 99.9, Latency: time.Second, Routes: []string{"/"}}}, nil},
		"availability of 99 %": {[]slo.SLO{{Objective: 99}, {Objective: 99, Routes: []string{"/"}}}, nil},
		"of routes, and of all": {[]slo.SLO{second, of(quarter, "/b", "/a", "/a")}, []string{
			service + `1 * group without () (service:http_server_requests:rate5m{service_name="s"})`,
			route + `0.25 * group without () (service_route:http_server_requests:rate5m{service_name="s", http_route=~"/a|/b"})`,
		}},
		"of routes that are in both": {[]slo.SLO{of(second, "/a", "/b", "/c"), of(quarter, "/b")}, []string{
			route + `0.25 * group without () (service_route:http_server_requests:rate5m{service_name="s", http_route="/b"})` + "\nor\n" +
				`1 * group without () (service_route:http_server_requests:rate5m{service_name="s", http_route=~"/a|/c"})`,
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range test.slos {
				test.slos[i].Name = string(rune('a' + i))
			}
			rules, err := slo.Rules(slo.File{Service: "s", SLOs: test.slos})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range rules.Groups[0].Rules {
				if strings.HasSuffix(r.Record, ":p99_objective") {
					got = append(got, r.Record+": "+r.Expr)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("objectives (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoutesAreMatchedOnceEach(t *testing.T) {
	t.Parallel()
	rules, err := slo.Rules(slo.File{Service: "a", SLOs: []slo.SLO{{Name: "a", Objective: 99, Routes: []string{"/b", "/a", "/a"}}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `http_route=~"/a|/b"}`
	if got := rules.Groups[0].Rules[0].Expr; !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s in it", got, want)
	}
}

func TestGroupsAreSmall(t *testing.T) {
	t.Parallel()
	many := slo.File{Service: "many"}
	for i := range 15 { // 45 rules
		many.SLOs = append(many.SLOs, slo.SLO{Name: string(rune('a' + i)), Objective: 99.9})
	}
	few := slo.File{Service: "many-2", SLOs: many.SLOs[:1]}
	rules, err := slo.Rules(many, few)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range rules.Groups {
		got = append(got, fmt.Sprintf("%s %s %d", g.Name, g.Interval, len(g.Rules)))
	}
	want := []string{"otelmon-slo-many 30s 20", "otelmon-slo-many:2 30s 20", "otelmon-slo-many:3 30s 5", "otelmon-slo-many-2 30s 3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestFilesForTheSameRequestsAreRefused(t *testing.T) {
	t.Parallel()
	slos := []slo.SLO{{Name: "a", Objective: 99}}
	tests := map[string]struct {
		first, second slo.File
		fine          bool
	}{
		"the same service":                {slo.File{Service: "a"}, slo.File{Service: "a"}, false},
		"one of them in an environment":   {slo.File{Service: "a"}, slo.File{Service: "a", Environment: "prod"}, false},
		"an environment and a namespace":  {slo.File{Service: "a", Namespace: "shop"}, slo.File{Service: "a", Environment: "prod"}, false},
		"names that are the same in file": {slo.File{Service: "a b"}, slo.File{Service: "a_b"}, false},
		"parts that are the same in file": {slo.File{Service: "b-c", Namespace: "a"}, slo.File{Service: "c", Namespace: "a-b"}, false},
		"two services":                    {slo.File{Service: "a"}, slo.File{Service: "b"}, true},
		"two environments":                {slo.File{Service: "a", Environment: "prod"}, slo.File{Service: "a", Environment: "test"}, true},
		"two namespaces":                  {slo.File{Service: "a", Namespace: "shop"}, slo.File{Service: "a", Namespace: "bank"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.first.SLOs, test.second.SLOs = slos, slos
			rules, err := slo.Rules(test.first, test.second)
			if (err == nil) != test.fine {
				t.Fatalf("got error %v, want none: %t", err, test.fine)
			}
			groups := map[string]bool{}
			for _, g := range rules.Groups {
				if groups[g.Name] {
					t.Errorf("two groups are called %s", g.Name)
				}
				groups[g.Name] = true
			}
			if test.fine && len(groups) != 2 {
				t.Errorf("got groups %v, want 2", groups)
			}
			if got := test.second.Overlaps(test.first); got == test.fine {
				t.Errorf("overlaps, the other way round: got %t", got)
			}
		})
	}
}

// Files made in code are held to what Parse accepts.
func TestRulesRefuseWhatParseDoes(t *testing.T) {
	t.Parallel()
	_, err := slo.Rules(slo.File{Service: "a"}, slo.File{Service: "b", SLOs: []slo.SLO{{Name: "x", Objective: 100}}})
	const want = `service "a": slos: there is none; accepted: a list of at least one, each with a name and an objective
service "b": slos[0].objective: 100; accepted: percent from 50 to 99.999, such as 99.9`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestBudgetsAlone(t *testing.T) {
	t.Parallel()
	rules, err := slo.Rules(slo.File{Service: "a", LLMBudgets: []slo.LLMBudget{{Currency: "USD", PerDay: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) != 1 || rules.Groups[0].Rules[0].Record != "service_currency:llm_budget:per_day" {
		t.Errorf("got groups %+v, want one with the budget alone", rules.Groups)
	}
}

// The texts are compared by the tests of rules; here is what all alerts have.
func TestAlertsAreComplete(t *testing.T) {
	t.Parallel()
	rules, err := slo.Common("https://grafana.example.org/ops/")
	if err != nil {
		t.Fatal(err)
	}
	readBack(t, rules)
	seen := map[string]bool{}
	for _, r := range slices.Concat(rules.Groups[1].Rules, rules.Groups[2].Rules) {
		if r.Alert == "" {
			continue
		}
		for _, name := range []string{"severity", "long", "short"} {
			if r.Labels[name] == "" {
				t.Errorf("%s: no label %s", r.Alert, name)
			}
		}
		for name, want := range map[string]string{
			"summary": "{{ $labels.slo }}", "description": "{{ $value ", "runbook_url": "/docs/runbooks/" + r.Alert + ".md",
			"dashboard": "https://grafana.example.org/ops/d/otelmon-slo?var-environment={{ $labels.",
		} {
			if got := r.Annotations[name]; !strings.Contains(got, want) {
				t.Errorf("%s: annotation %s: got %q, want %s in it", r.Alert, name, got, want)
			}
		}
		if r.For == "" || r.KeepFiringFor == "" {
			t.Errorf("%s: no for or keep_firing_for: %+v", r.Alert, r)
		}
		key := r.Alert + r.Labels["long"]
		if seen[key] {
			t.Errorf("%s: twice", key)
		}
		seen[key] = true
	}
	if len(seen) != 5 {
		t.Errorf("got %v, want 5 alerts", seen)
	}
}

func TestGrafanaHasToBeAURL(t *testing.T) {
	t.Parallel()
	for _, grafana := range []string{
		"", "grafana.example.org", "grafana:3000", "ftp://grafana", "http://", "http://a b", "http://{{ . }}", "http://grafana?orgId=1", "http://grafana?", "http://grafana#top",
		"http://admin:secret@grafana",
	} {
		rules, err := slo.Common(grafana)
		if err == nil || len(rules.Groups) > 0 {
			t.Errorf("%q: got %d groups and error %v, want an error", grafana, len(rules.Groups), err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}
