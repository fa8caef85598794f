package dashboards_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/dashboards/internal/lint"
)

// headings are the parts of a runbook, in the order in which they are needed at night.
var headings = []string{"Meaning", "Impact", "First look", "Usual causes", "What to do", "False alarms", "Resolution"}

var (
	promqlBlock = regexp.MustCompile("(?ms)^```promql\n(.*?)^```$")
	heading     = regexp.MustCompile(`(?m)^## (.+)$`)
	boldText    = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	boardID     = regexp.MustCompile(`/d/([a-z-]+)\)`)
	pageLink    = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	indexRow    = regexp.MustCompile(`(?m)^\| \[(\w+)\]\((\w+)\.md\) \| ([a-z, ]+) \| [^|]+ \| [^|]+ \|$`)
	codeSeries  = regexp.MustCompile("`([a-z_]+:[a-z0-9_]+:[a-z0-9_]+)`")
	codeMetric  = regexp.MustCompile("`((?:otelmon|otelcol|prometheus|alertmanager|go)_[a-z_]+(?:_total|_bytes|_seconds|_size|_capacity|_successful|_discovered))`")
	variable    = regexp.MustCompile(`\bOTEL(?:MON)?_[A-Z_]+\b`)
	configField = regexp.MustCompile(`\bConfig(?:\.OTLP)?\.([A-Z]\w+)`)
)

// handbook is docs/, by paths within it.
type handbook map[string]string

func readHandbook(t *testing.T) handbook {
	t.Helper()
	h := handbook{}
	for _, file := range slices.Concat(glob(t, "../docs/*.md"), glob(t, "../docs/runbooks/*.md")) {
		name, err := filepath.Rel("../docs", file)
		if err != nil {
			t.Fatal(err)
		}
		h[filepath.ToSlash(name)] = string(read(t, file))
	}
	return h
}

// runbooks are the pages of alerts, by alert.
func (h handbook) runbooks() map[string]string {
	pages := map[string]string{}
	for name, text := range h {
		if folder, file := path.Split(name); folder == "runbooks/" && file != "README.md" {
			pages[strings.TrimSuffix(file, ".md")] = text
		}
	}
	return pages
}

// queries are those of blocks of PromQL; a blank line is between two of them.
// Each is a rule, so that the linter knows it.
func (h handbook) queries() (queries []lint.Rule) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, block := range promqlBlock.FindAllStringSubmatch(h[name], -1) {
			for query := range strings.SplitSeq(strings.TrimSpace(block[1]), "\n\n") {
				first, _, _ := strings.Cut(query, "\n")
				queries = append(queries, lint.Rule{File: name, Record: first, Expr: query})
			}
		}
	}
	return queries
}

// lintHandbook returns what the pages say that is not so.
func (s shipped) lintHandbook(l *lint.Linter, h handbook) (found []string) {
	found = append(l.CheckRules(h.queries()), s.checkIndex(h)...)
	for _, alert := range slices.Sorted(maps.Keys(h.runbooks())) {
		for _, problem := range slices.Concat(checkForm(h, alert), s.checkNames(h, alert), s.checkPanels(h.runbooks()[alert])) {
			found = append(found, alert+": "+problem)
		}
	}
	return found
}

// checkIndex wants a page for each alert and an alert for each page, and a line
// with its severity in the index.
func (s shipped) checkIndex(h handbook) (found []string) {
	severities, listed := map[string]string{}, map[string]string{}
	for _, rule := range s.rules {
		severity := rule.Labels["severity"]
		if known := severities[rule.Alert]; known != "" && known != severity {
			severity = known + ", " + severity
		}
		if rule.Alert != "" {
			severities[rule.Alert] = severity
		}
	}
	for _, row := range indexRow.FindAllStringSubmatch(h["runbooks/README.md"], -1) {
		if row[1] != row[2] {
			found = append(found, "the index leads from "+row[1]+" to "+row[2])
		}
		listed[row[1]] = row[3]
	}
	pages := h.runbooks()
	for _, alert := range slices.Sorted(maps.Keys(severities)) {
		if pages[alert] == "" {
			found = append(found, alert+" has no runbook")
		}
		if listed[alert] != severities[alert] {
			found = append(found, fmt.Sprintf("the index has %s as %q and not as %q", alert, listed[alert], severities[alert]))
		}
	}
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		if severities[page] == "" {
			found = append(found, page+" is the runbook of no alert")
		}
	}
	return found
}

// checkForm wants the title, the headings, a query, and links that lead somewhere.
func checkForm(h handbook, alert string) (found []string) {
	text := h.runbooks()[alert]
	if !strings.HasPrefix(text, "# "+alert+"\n") {
		found = append(found, "the title is not the alert")
	}
	var has []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		has = append(has, match[1])
	}
	if !slices.Equal(has, headings) {
		found = append(found, fmt.Sprintf("has the headings %q", has))
	}
	if !promqlBlock.MatchString(text) {
		found = append(found, "has no query")
	}
	for _, link := range pageLink.FindAllStringSubmatch(text, -1) {
		target := path.Join("runbooks", link[1])
		if _, err := os.Stat(filepath.Join("../docs", filepath.FromSlash(target))); h[target] == "" && err != nil {
			found = append(found, "leads to "+link[1]+", which there is not")
		}
	}
	return found
}

// checkNames looks up what is named in the text: series, environment variables
// and fields of configurations.
func (s shipped) checkNames(h handbook, alert string) (found []string) {
	text := h.runbooks()[alert]
	known := map[string]bool{}
	for _, rule := range s.rules {
		known[rule.Record] = true
	}
	for _, metrics := range s.catalogue {
		for name := range metrics {
			known[name] = true
		}
	}
	for _, match := range slices.Concat(codeSeries.FindAllStringSubmatch(text, -1), codeMetric.FindAllStringSubmatch(text, -1)) {
		if !known[match[1]] {
			found = append(found, "names the series "+match[1]+", which there is not")
		}
	}
	for _, name := range variable.FindAllString(text, -1) {
		if !strings.Contains(h["configuration.md"]+h["proxy.md"]+h["collector.md"], "`"+name+"`") {
			found = append(found, "names the variable "+name+", which no page explains")
		}
	}
	for _, match := range configField.FindAllStringSubmatch(text, -1) {
		if !isField(match[1]) {
			found = append(found, "names the field "+match[0]+", which there is not")
		}
	}
	return found
}

// isField says that a struct of the toolkit's configuration has a field.
func isField(name string) bool {
	line := regexp.MustCompile(`(?m)^\t(?:\w+, )*` + name + `(?:, \w+)* `)
	return slices.ContainsFunc([]string{"../otelmon/config.go", "../llm/config.go", "../exporters/otlp.go"}, func(file string) bool {
		text, err := os.ReadFile(filepath.FromSlash(file))
		return err == nil && line.Match(text)
	})
}

// checkPanels wants each text in bold to be a panel of a dashboard that the page
// leads to, and each dashboard that it leads to to be there.
func (s shipped) checkPanels(text string) (found []string) {
	panels := map[string]bool{}
	for _, link := range boardID.FindAllStringSubmatch(text, -1) {
		there := false
		for _, board := range s.dashboards {
			if board.UID != link[1] {
				continue
			}
			there = true
			for _, panel := range board.AllPanels() {
				panels[panel.Title] = panels[panel.Title] || panel.Type != "row"
			}
		}
		if !there {
			found = append(found, "leads to dashboard "+link[1]+", which there is not")
		}
	}
	for _, match := range boldText.FindAllStringSubmatch(text, -1) {
		if title := strings.Join(strings.Fields(match[1]), " "); !panels[title] {
			found = append(found, "names panel "+title+", which no dashboard has that it leads to")
		}
	}
	if len(panels) == 0 || !boldText.MatchString(text) {
		found = append(found, "names no panel")
	}
	return found
}

// linter knows the series of the catalogue and of the rules.
func (s shipped) linter() *lint.Linter {
	l := lint.New(s.catalogue)
	l.AddRules(s.rules)
	return l
}

func TestPagesSayWhatIsTrue(t *testing.T) {
	t.Parallel()
	s := readShipped(t)
	for _, problem := range s.lintHandbook(s.linter(), readHandbook(t)) {
		t.Error(problem)
	}
}

func TestAPageThatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	const page = "runbooks/OtelmonTargetDown.md"
	tests := map[string]struct {
		in, from, to string // in: default page
		want         string // of the only new problem
	}{
		"a query is no PromQL":                         {from: "up == 0\n", to: "up === 0\n", want: "unexpected"},
		"a query names a metric that there is not":     {from: "up == 0\n", to: "ups == 0\n", want: "no metric ups"},
		"a query names a label that there is not":      {from: "up == 0\n", to: "up{pod=\"a\"} == 0\n", want: "no label pod"},
		"a query groups by a label that is gone":       {from: "up == 0\n", to: "sum by (pod) (up)\n", want: "groups by a label"},
		"a query in another page is wrong":             {in: "llm.md", from: "(otelmon_llm_cost_total[15m])", to: "(otelmon_llm_costs_total[15m])", want: "no metric otelmon_llm_costs_total"},
		"a heading is missing":                         {from: "## Impact\n", to: "", want: "has the headings"},
		"the title is that of another alert":           {from: "# OtelmonTargetDown\n", to: "# OtelmonTargetsDown\n", want: "the title is not the alert"},
		"the query is missing":                         {from: "```promql\n", to: "```\n", want: "has no query"},
		"a panel has another title":                    {from: "**Targets down**", to: "**Targets that are down**", want: "names panel Targets that are down"},
		"a panel is on a dashboard that is not led to": {from: "**Targets down**", to: "**Panics**", want: "names panel Panics"},
		"a dashboard is not there":                     {from: "/d/otelmon-pipeline)", to: "/d/otelmon-pipeline) (http://localhost:3000/d/otelmon-pipe)", want: "dashboard otelmon-pipe,"},
		"a link leads nowhere":                         {from: "(OtelmonTelemetryAbsent.md)", to: "(OtelmonTelemetryMissing.md)", want: "leads to OtelmonTelemetryMissing.md"},
		"a variable is called otherwise":               {from: "`OTEL_EXPORTER_PROMETHEUS_HOST`", to: "`OTEL_PROMETHEUS_HOST`", want: "names the variable OTEL_PROMETHEUS_HOST"},
		"a field is called otherwise":                  {in: "runbooks/OtelmonSeriesOverflow.md", from: "raise `Config.CardinalityLimit`", to: "raise `Config.SeriesLimit`", want: "names the field Config.SeriesLimit"},
		"a series in the text is called otherwise":     {in: "runbooks/OtelmonHTTPHighErrorRate.md", from: "`service:http_server_error_ratio:rate5m`", to: "`service:http_server_errors_ratio:rate5m`", want: "names the series service:http_server_errors_ratio:rate5m"},
		"a metric in the text is called otherwise":     {in: "runbooks/OtelmonSDKQueueFilling.md", from: "`otelmon_export_queue_usage_bytes`", to: "`otelmon_export_queue_used_bytes`", want: "names the series otelmon_export_queue_used_bytes"},
		"the index has another severity":               {in: "runbooks/README.md", from: "(OtelmonTargetDown.md) | warning", to: "(OtelmonTargetDown.md) | critical", want: `the index has OtelmonTargetDown as "critical"`},
		"the index leads to another page":              {in: "runbooks/README.md", from: "(OtelmonTargetDown.md) |", to: "(OtelmonTargetsDown.md) |", want: "the index leads from OtelmonTargetDown to OtelmonTargetsDown"},
	}
	s, good := readShipped(t), readHandbook(t)
	l := s.linter()
	before := s.lintHandbook(l, good)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := cmp.Or(test.in, page)
			bad := maps.Clone(good)
			bad[in] = strings.Replace(bad[in], test.from, test.to, 1)
			if bad[in] == good[in] {
				t.Fatalf("%s has no %q", in, test.from)
			}
			added := slices.DeleteFunc(s.lintHandbook(l, bad), func(problem string) bool { return slices.Contains(before, problem) })
			if len(added) != 1 || !strings.Contains(added[0], test.want) {
				t.Errorf("found %q, want one problem with %q", added, test.want)
			}
		})
	}
}

func TestAnAlertAndItsPageAreMissedWithoutTheOther(t *testing.T) {
	t.Parallel()
	s, h := readShipped(t), readHandbook(t)
	s.rules = slices.DeleteFunc(s.rules, func(rule lint.Rule) bool { return rule.Alert == "Watchdog" })
	delete(h, "runbooks/OtelmonTargetDown.md")
	found := s.checkIndex(h)
	for _, want := range []string{"Watchdog is the runbook of no alert", "OtelmonTargetDown has no runbook"} {
		if !slices.Contains(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
	}
}
