package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// A Rule is one of a file of Prometheus.
type Rule struct {
	File string `yaml:"-"`

	Record, Alert, Expr string
	Labels              map[string]string
	Annotations         map[string]string
}

// ParseRules reads the rules of a file.
func ParseRules(file string, content []byte) ([]Rule, error) {
	var read struct{ Groups []struct{ Rules []Rule } }
	if err := yaml.Unmarshal(content, &read); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var rules []Rule
	for _, group := range read.Groups {
		for _, rule := range group.Rules {
			rule.File = file
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// AddRules makes the series of rules known. They may read each other's in any
// order; the labels of one that reads itself are those of its other parts.
func (l *Linter) AddRules(rules []Rule) {
	for _, rule := range rules {
		if name, _ := rule.series(nil); l.recorded[name] == nil {
			l.recorded[name] = Labels{} // known, so that it does not have any label
		}
	}
	for changed := true; changed; {
		changed = false
		for _, rule := range rules {
			expr, err := l.parser.ParseExpr(rule.Expr)
			if err != nil {
				continue // is told when the rule is checked
			}
			name, found := rule.series(l.labelsOf(expr))
			before := l.recorded[name]
			found = found.union(before)
			if l.holdsHistograms(expr) && !l.native[name] {
				l.native[name], changed = true, true
			}
			if !maps.Equal(before, found) {
				l.recorded[name], changed = found, true
			}
			if rule.Alert != "" {
				l.recorded["ALERTS_FOR_STATE"] = found.without("alertstate")
			}
		}
	}
}

// AlertLabels returns the labels that alerts of the rules can have, in alphabetical order.
func (l *Linter) AlertLabels() []string {
	return slices.Sorted(maps.Keys(l.recorded["ALERTS"]))
}

// series returns the name and labels of what a rule makes of a result.
func (r Rule) series(result Labels) (name string, found Labels) {
	found = result.with(slices.Collect(maps.Keys(r.Labels))...)
	if r.Alert == "" {
		return r.Record, found
	}
	return "ALERTS", found.with("alertname", "alertstate")
}

// holdsHistograms says that a result consists of native histograms: it is made
// of them, and of no function that makes numbers of them.
func (l *Linter) holdsHistograms(expr parser.Expr) bool {
	holds, numbers := false, false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			holds = holds || l.isNative(n.Name)
		case *parser.Call:
			numbers = numbers || strings.HasPrefix(n.Func.Name, "histogram_")
		}
		return nil
	})
	return holds && !numbers
}

var (
	templateLabel = regexp.MustCompile(`\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)`)
	boardLink     = regexp.MustCompile(`/d/([a-zA-Z0-9_-]+)`)
	linkVariable  = regexp.MustCompile(`[?&]var-([a-zA-Z0-9_]+)=`)
)

// CheckRules returns what is wrong with rules.
func (l *Linter) CheckRules(rules []Rule) (found []string) {
	for _, rule := range rules {
		p := &problems{where: rule.File + ": " + rule.Record + rule.Alert}
		there := inspection{Linter: l, problems: p}.inspect(rule.Expr).with(slices.Collect(maps.Keys(rule.Labels))...)
		for _, name := range slices.Sorted(maps.Keys(rule.Annotations)) {
			text := rule.Annotations[name]
			for _, label := range templateLabel.FindAllStringSubmatch(text, -1) {
				if !there.has(label[1]) {
					p.add("%s shows label %s, which is not there", name, label[1])
				}
			}
			l.checkTarget(p, text)
		}
		found = append(found, p.found...)
	}
	return found
}

// checkTarget checks the dashboard that a URL leads to, and its variables.
func (l *Linter) checkTarget(p *problems, url string) {
	to := boardLink.FindStringSubmatch(url)
	if to == nil || len(l.uids) == 0 {
		return
	}
	variables, ok := l.uids[to[1]]
	if !ok {
		p.add("leads to dashboard %s, which there is not", to[1])
		return
	}
	for _, set := range linkVariable.FindAllStringSubmatch(url, -1) {
		if !slices.Contains(variables, set[1]) {
			p.add("sets variable %s, which dashboard %s has not", set[1], to[1])
		}
	}
}
