package lint

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/grafana"
)

// Times that no dashboard names itself, so that a range tells where it is from.
var times = grafana.Times{Range: 3607 * time.Second, Interval: 17 * time.Second, RateInterval: 433 * time.Second}

// source is the variable that every query of Prometheus goes to.
const source = "${datasource}"

// AddDashboards makes dashboards known as targets of links.
func (l *Linter) AddDashboards(boards map[string]grafana.Dashboard) {
	for _, d := range boards {
		names := []string{}
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
		}
		l.uids[d.UID] = names
	}
}

// CheckDashboards returns what is wrong with dashboards, by the names of their
// files. Sources are the UIDs of the data sources that are provisioned.
func (l *Linter) CheckDashboards(boards map[string]grafana.Dashboard, sources []string) (found []string) {
	uids := map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(boards)) {
		d, p := boards[file], &problems{where: file}
		if other := uids[d.UID]; other != "" || d.UID == "" {
			p.add("its uid %q is empty or that of %s", d.UID, other)
		}
		uids[d.UID] = file
		l.checkQueries(p, d)
		checkVariables(p, d)
		checkIdentifiers(p, d)
		checkGrid(p, d)
		for _, panel := range d.AllPanels() {
			l.checkPanel(&problems{where: file + ": panel " + panel.Title}, panel, sources, &found)
		}
		found = append(found, p.found...)
	}
	return found
}

// checkQueries checks all expressions, with All, one and several values selected.
func (l *Linter) checkQueries(p *problems, d grafana.Dashboard) {
	selections := []map[string][]string{{}, {}, {}}
	for _, v := range d.Templating.List {
		selections[1][v.Name] = []string{"/p/{id}"}
		selections[2][v.Name] = []string{"a.b", "c"}
	}
	for _, q := range d.Queries() {
		at := &problems{where: p.where + ": " + q.Where}
		for _, selected := range selections {
			if q.Expr == "" {
				continue // label_values of a label alone
			}
			expr := grafana.Expand(q.Expr, d.Values(selected), times)
			there := inspection{Linter: l, problems: at, window: times.RateInterval, total: times.Range}.inspect(expr)
			if there == nil {
				break
			}
			for _, name := range slices.Concat(legendLabels(q.Legend), labelOf(q)) {
				if !there.has(name) {
					at.add("shows label %s, which is not there", name)
				}
			}
		}
		p.found = append(p.found, at.found...)
	}
}

func labelOf(q grafana.Query) []string {
	if q.Label == "" {
		return nil
	}
	return []string{q.Label}
}

var legend = regexp.MustCompile(`\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}`)

func legendLabels(text string) (names []string) {
	for _, found := range legend.FindAllStringSubmatch(text, -1) {
		if found[1] != nameLabel {
			names = append(names, found[1])
		}
	}
	return names
}

// checkVariables wants what is used to be defined, and what is defined to be used.
func checkVariables(p *problems, d grafana.Dashboard) {
	defined, used := Labels{}, Labels{}
	for _, v := range d.Templating.List {
		defined.add(v.Name)
	}
	text, err := json.Marshal(d)
	if err != nil {
		p.add("%v", err)
	}
	for _, name := range grafana.Variables(string(text)) {
		if !strings.HasPrefix(name, "__") {
			used.add(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !defined[name] {
			p.add("uses variable %s, which it does not define", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if !used[name] {
			p.add("defines variable %s, which it does not use", name)
		}
	}
}

// checkIdentifiers wants numbers of panels and names of queries to be unique.
func checkIdentifiers(p *problems, d grafana.Dashboard) {
	panels := map[int]string{}
	for _, panel := range d.AllPanels() {
		if other, ok := panels[panel.ID]; ok || panel.ID == 0 {
			p.add("panel %s has number %d, which is 0 or that of panel %s", panel.Title, panel.ID, other)
		}
		panels[panel.ID] = panel.Title
		queries := map[string]bool{}
		for _, t := range panel.Targets {
			if queries[t.RefID] || t.RefID == "" {
				p.add("panel %s has two queries called %q, or one without a name", panel.Title, t.RefID)
			}
			queries[t.RefID] = true
		}
	}
}

// checkGrid wants panels within the grid, and none on another.
func checkGrid(p *problems, d grafana.Dashboard) {
	panels := d.AllPanels()
	for n, a := range panels {
		g := a.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			p.add("panel %s is not within 24 columns: %+v", a.Title, g)
		}
		for _, b := range panels[:n] {
			o := b.GridPos
			if g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
				p.add("panel %s lies on panel %s", a.Title, b.Title)
			}
		}
	}
}

// without are types of panels that show no numbers.
var without = []string{"alertlist", "dashlist", "logs", "nodeGraph", "row", "text", "traces"}

func (l *Linter) checkPanel(p *problems, panel grafana.Panel, sources []string, found *[]string) {
	if panel.Type != "row" && strings.TrimSpace(panel.Description) == "" {
		p.add("has no description")
	}
	if !slices.Contains(without, panel.Type) {
		if panel.FieldConfig.Defaults.Unit == "" {
			p.add("has no unit")
		}
		if panel.FieldConfig.Defaults.NoValue == "" {
			p.add("has no text for when there is no value")
		}
	}
	checkSource(p, panel.Datasource, sources)
	for _, t := range panel.Targets {
		checkSource(p, t.Datasource, sources)
	}
	there := l.shown(panel)
	for _, link := range panel.AllLinks() {
		l.checkLink(p, link)
		checkFields(p, link, there)
	}
	*found = append(*found, p.found...)
}

func checkSource(p *problems, s *grafana.Datasource, sources []string) {
	switch {
	case s == nil, s.UID == "-- Grafana --", s.UID == "-- Mixed --":
	case s.Type == "prometheus" && s.UID != source:
		p.add("asks data source %q instead of %s", s.UID, source)
	case s.Type != "prometheus" && !slices.Contains(sources, s.UID):
		p.add("asks data source %q, which is not provisioned", s.UID)
	}
}

// shown are the labels of all that a panel asks for.
func (l *Linter) shown(panel grafana.Panel) Labels {
	there := Labels{}
	for _, t := range panel.Targets {
		expr, err := l.parser.ParseExpr(grafana.Expand(t.Expr, nil, times))
		if err != nil {
			continue // is told when the query is checked
		}
		there = there.union(l.labelsOf(expr))
	}
	return there
}

// field is a label of what was clicked, as a link has it.
var field = regexp.MustCompile(`\$\{__(?:data\.fields|field\.labels)\.([a-zA-Z_][a-zA-Z0-9_]*)`)

// checkFields wants a link to use labels that are there, and with the service that was clicked its environment and
// namespace: those that are selected may be All, and a service of the same name may run in another environment.
func checkFields(p *problems, link grafana.Link, there Labels) {
	used := Labels{}
	for _, found := range field.FindAllStringSubmatch(link.URL, -1) {
		used.add(found[1])
		if !there.has(found[1]) {
			p.add("link %q uses label %s, which is not there", link.Title, found[1])
		}
	}
	if !strings.Contains(link.URL, "var-service=") || !used["service_name"] {
		return
	}
	for _, name := range []string{"deployment_environment_name", "service_namespace"} {
		if !used[name] {
			p.add("link %q takes the service that was clicked, but not its %s", link.Title, name)
		}
	}
}

// checkLink wants a link to another dashboard to keep what is selected here.
func (l *Linter) checkLink(p *problems, link grafana.Link) {
	l.checkTarget(p, link.URL)
	to := boardLink.FindStringSubmatch(link.URL)
	if to == nil {
		return
	}
	if strings.Contains(link.URL, "${__all_variables}") {
		return
	}
	for _, name := range []string{"datasource", "environment", "namespace", "service"} {
		if !strings.Contains(link.URL, "${"+name+":queryparam}") && !strings.Contains(link.URL, "var-"+name+"=") {
			p.add("link %q does not keep variable %s", link.Title, name)
		}
	}
	if !strings.Contains(link.URL, "${__url_time_range}") {
		p.add("link %q does not keep the time", link.Title)
	}
}
