// Package lint finds mistakes in dashboards and rules without running them: names
// that nothing emits, labels that are gone by the time they are used, rates of
// what is no counter, panels that lie on each other.
package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// A Catalogue has the labels of every metric of a job, as programs emit them.
type Catalogue map[string]map[string][]string

// Labels is a set of names of labels.
type Labels map[string]bool

// anyLabel stands for the labels of a metric that there is not, so that one mistake is
// not told again as others.
const anyLabel = "*"

func (l Labels) has(name string) bool { return l[name] || l[anyLabel] }

// A Linter knows which series there are.
type Linter struct {
	parser   parser.Parser
	raw      map[string]Labels // of metrics that programs emit
	recorded map[string]Labels // of series that rules make, ALERTS among them
	native   map[string]bool   // recorded series that hold native histograms
	uids     map[string][]string
}

// New returns a linter for what is in a catalogue. Rules and dashboards have to
// be made known to it, by AddRules and AddDashboards, before they are checked.
func New(c Catalogue) *Linter {
	l := &Linter{
		parser:   parser.NewParser(parser.Options{}),
		raw:      map[string]Labels{},
		recorded: map[string]Labels{},
		native:   map[string]bool{},
		uids:     map[string][]string{},
	}
	for _, metrics := range c {
		for name, names := range metrics {
			if l.raw[name] == nil {
				l.raw[name] = Labels{}
			}
			l.raw[name].add(names...)
		}
	}
	return l
}

func (l Labels) add(names ...string) {
	for _, name := range names {
		l[name] = true
	}
}

func (l Labels) with(names ...string) Labels {
	all := maps.Clone(l)
	if all == nil {
		all = Labels{}
	}
	all.add(names...)
	return all
}

func (l Labels) without(names ...string) Labels {
	left := maps.Clone(l)
	for _, name := range names {
		delete(left, name)
	}
	return left
}

func (l Labels) only(names ...string) Labels {
	kept := Labels{}
	for _, name := range names {
		if l.has(name) {
			kept[name] = true
		}
	}
	return kept
}

func (l Labels) union(other Labels) Labels {
	return l.with(slices.Collect(maps.Keys(other))...)
}

// problems collects what is wrong, each once.
type problems struct {
	where string
	found []string
}

func (p *problems) add(format string, args ...any) {
	text := p.where + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(p.found, text) {
		p.found = append(p.found, text)
	}
}
