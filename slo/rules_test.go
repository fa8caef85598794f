package slo_test

import (
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
		"a whole number":              {1, `le=~"1|1\\.0"`},
		"a whole number of tens":      {60, `le=~"60|60\\.0"`},
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

// As alerts of HTTP compare with it, it is about all requests.
func TestP99ObjectiveIsTheStrictest(t *testing.T) {
	t.Parallel()
	with := func(slos ...slo.SLO) slo.File {
		for i := range slos {
			slos[i].Name = string(rune('a' + i))
		}
		return slo.File{Service: "s", SLOs: slos}
	}
	tests := map[string]struct {
		file slo.File
		want string // "" for none
	}{
		"one of 99 %":          {with(slo.SLO{Objective: 99, Latency: time.Second}), "1 * group"},
		"two of 99 %":          {with(slo.SLO{Objective: 99, Latency: time.Second}, slo.SLO{Objective: 99, Latency: 250 * time.Millisecond}), "0.25 * group"},
		"another share":        {with(slo.SLO{Objective: 99.9, Latency: time.Second}), ""},
		"of routes":            {with(slo.SLO{Objective: 99, Latency: time.Second, Routes: []string{"/"}}), ""},
		"availability of 99 %": {with(slo.SLO{Objective: 99}), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, err := slo.Rules(test.file)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range rules.Groups[0].Rules {
				if r.Record == "service:http_server_request_duration_seconds:p99_objective" {
					got = r.Expr
				}
			}
			if (got == "") != (test.want == "") || !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
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
			if test.fine && len(groups) != 6 {
				t.Errorf("got groups %v, want 6", groups)
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
	seen := map[string]bool{}
	for _, g := range slo.Alerts().Groups {
		for _, r := range g.Rules {
			for _, name := range []string{"severity", "long", "short"} {
				if r.Labels[name] == "" {
					t.Errorf("%s: no label %s", r.Alert, name)
				}
			}
			for _, name := range []string{"summary", "description", "dashboard", "runbook_url"} {
				if r.Annotations[name] == "" {
					t.Errorf("%s: no annotation %s", r.Alert, name)
				}
			}
			if !strings.Contains(r.Annotations["description"], "$value") || r.For == "" || r.KeepFiringFor == "" {
				t.Errorf("%s: no value, for or keep_firing_for: %+v", r.Alert, r)
			}
			key := r.Alert + r.Labels["long"]
			if seen[key] {
				t.Errorf("%s: twice", key)
			}
			seen[key] = true
		}
	}
	if len(seen) != 5 {
		t.Errorf("got %v, want 5 alerts", seen)
	}
}
