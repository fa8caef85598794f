package dashboards_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/grafana"
	"github.com/otelmon/toolkit/internal/telemetry"
	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/dashboards/internal/lint"
)

// shipped is all that the linter looks at.
type shipped struct {
	catalogue  lint.Catalogue
	rules      []lint.Rule
	possible   []lint.Rule // that SLO files can lead to
	dashboards map[string]grafana.Dashboard
	sources    []string // UIDs of data sources
}

func readShipped(t *testing.T) (s shipped) {
	t.Helper()
	decode(t, "testdata/catalogue.json", json.Unmarshal, &s.catalogue)
	s.rules = readRules(t, "../deploy/prometheus/rules/*.yml")
	s.possible = readRules(t, "../slo/testdata/complete.yml")
	var err error
	if s.dashboards, err = grafana.ReadDir("../deploy/grafana/dashboards"); err != nil {
		t.Fatal(err)
	}
	var provisioned struct{ Datasources []struct{ UID string } }
	decode(t, "../deploy/grafana/provisioning/datasources/datasources.yaml", yaml.Unmarshal, &provisioned)
	for _, source := range provisioned.Datasources {
		s.sources = append(s.sources, source.UID)
	}
	return s
}

func readRules(t *testing.T, pattern string) (all []lint.Rule) {
	t.Helper()
	for _, file := range glob(t, pattern) {
		rules, err := lint.ParseRules(filepath.Base(file), read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rules...)
	}
	return all
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.FromSlash(pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file is %s: %v", pattern, err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t *testing.T, file string, unmarshal func([]byte, any) error, into any) {
	t.Helper()
	if err := unmarshal(read(t, file), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// lintAll returns what is wrong with everything, going by a catalogue.
func (s shipped) lintAll(c lint.Catalogue) []string {
	l := lint.New(c)
	l.AddRules(slices.Concat(s.rules, s.possible))
	l.AddDashboards(s.dashboards)
	return append(l.CheckRules(s.rules), l.CheckDashboards(s.dashboards, s.sources)...)
}

func TestRulesAndDashboardsAreSound(t *testing.T) {
	t.Parallel()
	s := readShipped(t)
	for _, problem := range s.lintAll(s.catalogue) {
		t.Error(problem)
	}
}

// Removing a metric from the catalogue is what a new name in the library, or in
// another program, comes to.
func TestLinterNoticesEveryNameThatIsGone(t *testing.T) {
	t.Parallel()
	s := readShipped(t)
	used, problems := s.usedMetrics(), s.lintAll(s.catalogue)
	if len(used) < 50 {
		t.Fatalf("rules and dashboards use %d metrics of the catalogue, want 50 at least: %q", len(used), used)
	}
	for _, name := range used {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names := func(problem string) bool {
				return strings.Contains(problem, name) && !slices.Contains(problems, problem)
			}
			if got := s.lintAll(without(s.catalogue, name)); !slices.ContainsFunc(got, names) {
				t.Errorf("got %q, want a problem with it", got)
			}
		})
	}
}

// usedMetrics are those of the catalogue that expressions name.
func (s shipped) usedMetrics() (used []string) {
	words := map[string]bool{}
	add := func(expr string) {
		for _, word := range regexp.MustCompile(`\w+`).FindAllString(expr, -1) {
			words[word] = true
		}
	}
	for _, rule := range s.rules {
		add(rule.Expr)
	}
	for _, d := range s.dashboards {
		for _, q := range d.Queries() {
			add(q.Expr)
		}
	}
	for _, metrics := range s.catalogue {
		for name := range metrics {
			if words[name] {
				used = append(used, name)
			}
		}
	}
	slices.Sort(used)
	return slices.Compact(used)
}

// without is the catalogue without a metric.
func without(c lint.Catalogue, name string) lint.Catalogue {
	left := lint.Catalogue{}
	for job, metrics := range c {
		left[job] = maps.Clone(metrics)
		delete(left[job], name)
	}
	return left
}

// Of two alerts the list shows one line if it leaves out what tells them apart.
func TestListOfAlertsTellsThemApart(t *testing.T) {
	t.Parallel()
	s := readShipped(t)
	l := lint.New(s.catalogue)
	l.AddRules(slices.Concat(s.rules, s.possible))
	shown := s.query(t, "overview.json", "panel Firing alerts, A")
	for _, name := range l.AlertLabels() {
		sameForAll := slices.Contains([]string{"alertstate", "short", "__name__"}, name) // short goes with long
		if !sameForAll && !regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`\b`).MatchString(shown) {
			t.Errorf("the list of alerts does not show %s, which alerts have", name)
		}
	}
}

// query is the expression of a query, by the file of its dashboard.
func (s shipped) query(t *testing.T, file, where string) string {
	t.Helper()
	for _, q := range s.dashboards[file].Queries() {
		if q.Where == where {
			return q.Expr
		}
	}
	t.Fatalf("%s has no query %s", file, where)
	return ""
}

// The catalogue is of no use if what it was captured from did not emit all that
// there is.
func TestCatalogueHasAllOfTheLibrary(t *testing.T) {
	t.Parallel()
	captured := slices.Collect(maps.Keys(readShipped(t).catalogue["otelmon"]))
	for _, name := range libraryMetrics(t) {
		is := func(metric string) bool {
			return strings.HasPrefix(metric+"_", strings.ReplaceAll(name, ".", "_")+"_")
		}
		if !slices.ContainsFunc(captured, is) {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
}

// libraryMetrics are the constants of package telemetry that are text with dots;
// those of attributes are keys instead.
func libraryMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, file := range glob(t, "../internal/telemetry/*.go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				if name := constant(spec.Values[0]); metricName.MatchString(name) {
					names = append(names, name)
				}
			}
			return true
		})
	}
	if len(names) < 40 {
		t.Fatalf("package telemetry has %d metrics, want 40 at least: %q", len(names), names)
	}
	return names
}

var metricName = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)+$`)

// constant is the text of a literal, or of one after the prefix of LLM metrics.
func constant(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return strings.Trim(e.Value, `"`)
	case *ast.BinaryExpr:
		return telemetry.LLMPrefix + constant(e.Y)
	}
	return ""
}
