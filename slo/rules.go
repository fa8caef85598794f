package slo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// RuleFile is a rule file of Prometheus.
type RuleFile struct {
	// Comment is what the file begins with, without "#".
	Comment string  `yaml:"-"`
	Groups  []Group `yaml:"groups"`
}

// Group is a group of rules, which are evaluated in their order.
type Group struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval"`
	Rules    []Rule `yaml:"rules"`
}

// Rule records a series, or is an alert.
type Rule struct {
	Record        string            `yaml:"record,omitempty"`
	Alert         string            `yaml:"alert,omitempty"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for,omitempty"`
	KeepFiringFor string            `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty"`
}

// YAML returns the text of the file, the same for the same rules.
func (r RuleFile) YAML() ([]byte, error) {
	var b bytes.Buffer
	for line := range strings.Lines(r.Comment) {
		b.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("writing rules: %w", err)
	}
	return b.Bytes(), nil
}

// Windows of minutes and hours, of days, and of 30 days are sums over samples of
// their own, so many seconds apart: 3 days are 2,160 samples and 30 days 4,320.
const (
	hoursSeconds = 30
	daysSeconds  = 120
	monthSeconds = 600
)

// identity are the labels that all recorded series have.
const identity = "deployment_environment_name, service_namespace, service_name"

// comment begins a file of rules. Each service records the same names, which
// pint takes for series of one another. Samples 10 minutes apart are only summed
// up, so that a graph never shows the gaps that pint fears.
const comment = `Made by otelmon rules generate; do not edit. docs/slo.md tells what it records.
pint file/disable rule/dependency
pint file/disable group/interval
`

// Rules returns what the SLOs of services record. The alerts over it are
// [Alerts]. A file that is not valid is an error, and so are two for the same
// service.
func Rules(files ...File) (RuleFile, error) {
	var all []error
	r := RuleFile{Comment: comment}
	for _, f := range files {
		for _, p := range f.problems() {
			all = append(all, fmt.Errorf("service %q: %s", short(f.Service), p))
		}
		r.Comment += f.overview()
	}
	if err := cmp.Or(errors.Join(all...), disjoint(files)); err != nil {
		return RuleFile{}, err
	}
	for _, f := range files {
		r.Groups = append(r.Groups, f.hoursGroup())
		if len(f.SLOs) > 0 {
			r.Groups = append(r.Groups, f.daysGroup(), f.monthGroup())
		}
	}
	return r, nil
}

// overview describes the SLOs to readers of the rules.
func (f File) overview() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s:\n", f.Service)
	for _, s := range f.SLOs {
		what := "succeed"
		if s.Latency > 0 {
			what = "are answered within " + s.Latency.String()
		}
		fmt.Fprintf(&b, "- %s: %s %% of the requests %s\n", s.Name, decimal(s.Objective), what)
		if text := strings.Join(strings.Fields(s.Description), " "); text != "" {
			fmt.Fprintf(&b, "  %s\n", text)
		}
	}
	for _, budget := range f.LLMBudgets {
		fmt.Fprintf(&b, "- calls of LLM APIs cost at most %s %s in 24 hours\n", decimal(budget.PerDay), budget.Currency)
	}
	return b.String()
}

func (f File) hoursGroup() Group {
	g := Group{Name: "otelmon-slo-" + f.Name(), Interval: seconds(hoursSeconds)}
	for _, s := range f.SLOs {
		requests, failures := f.availability(s)
		if s.Latency > 0 {
			requests, failures = f.latency(s)
		}
		g.Rules = append(g.Rules,
			f.record("slo:requests:rate5m", requests, s.Name),
			f.record("slo:errors:rate5m", failures, s.Name))
	}
	if len(f.SLOs) > 0 {
		at := f.selector("")
		g.Rules = append(g.Rules, f.record("slo:error_ratio:rate5m", fmt.Sprintf("slo:errors:rate5m%s\n/\n(slo:requests:rate5m%[1]s > 0)", at), ""))
		for _, window := range []string{"30m", "1h", "2h", "6h"} {
			g.Rules = append(g.Rules, f.ratio(window, "rate5m"))
		}
	}
	return f.withObjectives(g)
}

// withObjectives adds what alerts outside this package compare with.
func (f File) withObjectives(g Group) Group {
	if p99 := f.p99Objective(); p99 > 0 {
		g.Rules = append(g.Rules, f.record("service:http_server_request_duration_seconds:p99_objective",
			fmt.Sprintf("%s * group without () (service:http_server_requests:rate5m%s)", decimal(p99), f.selector("")), ""))
	}
	for _, budget := range f.LLMBudgets {
		at := f.selector("otelmon_llm_cost_currency=" + strconv.Quote(budget.Currency))
		g.Rules = append(g.Rules, Rule{
			Record: "service_currency:llm_budget:per_day",
			Expr:   fmt.Sprintf("%s * group without () (service_currency:llm_cost:increase1d%s)", decimal(budget.PerDay), at),
			Labels: f.labels("otelmon_llm_cost_currency", budget.Currency),
		})
	}
	return g
}

// p99Objective returns, in seconds, what 99 % of all requests are to stay
// within, or 0.
func (f File) p99Objective() float64 {
	p99 := 0.0
	for _, s := range f.SLOs {
		if seconds, ok := f.boundary(s.Latency); ok && s.Objective == 99 && len(s.Routes) == 0 && (p99 == 0 || seconds < p99) {
			p99 = seconds
		}
	}
	return p99
}

func (f File) daysGroup() Group {
	g := Group{Name: "otelmon-slo-" + f.Name() + "-days", Interval: seconds(daysSeconds), Rules: f.averages("2m")}
	g.Rules = append(g.Rules, f.ratio("1d", "avg2m"), f.ratio("3d", "avg2m"))
	at := f.selector("")
	for _, what := range []string{"requests", "errors"} {
		g.Rules = append(g.Rules, f.record("slo:"+what+":increase30d",
			fmt.Sprintf("sum_over_time(slo:%s:avg10m%s[30d]) * %d", what, at, monthSeconds), ""))
	}
	g.Rules = append(g.Rules, f.record("slo:error_ratio:rate30d",
		fmt.Sprintf("slo:errors:increase30d%s\n/\n(slo:requests:increase30d%[1]s > 0)", at), ""))
	for _, s := range f.SLOs {
		of := f.selector("slo=" + strconv.Quote(s.Name))
		g.Rules = append(g.Rules, f.record("slo:objective:ratio",
			fmt.Sprintf("%s * group without () (last_over_time(slo:requests:avg2m%s[1d]))", decimal(s.Objective/100), of), s.Name))
	}
	g.Rules = append(g.Rules, f.record("slo:error_budget_remaining:ratio30d",
		fmt.Sprintf("1\n-\nslo:error_ratio:rate30d%s\n/\n(1 - slo:objective:ratio%[1]s)", at), ""))
	return g
}

func (f File) monthGroup() Group {
	return Group{Name: "otelmon-slo-" + f.Name() + "-month", Interval: seconds(monthSeconds), Rules: f.averages("10m")}
}

// averages thin rates out, without a sample that would not count.
func (f File) averages(window string) (rules []Rule) {
	for _, what := range []string{"requests", "errors"} {
		rules = append(rules, f.record("slo:"+what+":avg"+window, fmt.Sprintf("avg_over_time(slo:%s:rate5m%s[%s])", what, f.selector(""), window), ""))
	}
	return rules
}

// ratio is the share of errors of a window, weighted by traffic: an hour with
// few requests counts little. base is the series that is summed up.
func (f File) ratio(window, base string) Rule {
	return f.record("slo:error_ratio:rate"+window, fmt.Sprintf(
		"sum_over_time(slo:errors:%s%s[%s])\n/\n(sum_over_time(slo:requests:%[1]s%[2]s[%[3]s]) > 0)", base, f.selector(""), window), "")
}

// availability returns the rates of requests and of failed ones.
func (f File) availability(s SLO) (requests, failures string) {
	sum := fmt.Sprintf("sum by (%s) (\n  service_route:http_server_%%s:rate5m%s\n)", identity, f.routes(s, ""))
	return fmt.Sprintf(sum, "requests"), fmt.Sprintf(sum, "errors")
}

// latency returns the rates of requests and of slow ones: from classic buckets,
// or else from native histograms, of which a service has only the one or the
// other.
func (f File) latency(s SLO) (requests, slow string) {
	limit, _ := f.boundary(s.Latency)
	bucket := func(le string) string {
		return fmt.Sprintf("sum by (%s) (\n  service_route_le:http_server_request_duration_seconds_bucket:rate5m%s\n)", identity, f.routes(s, le))
	}
	native := "service_route:http_server_request_duration_seconds:rate5m" + f.routes(s, "")
	all, nativeAll := bucket(`le="+Inf"`), fmt.Sprintf("sum by (%s) (\n  histogram_count(%s)\n)", identity, native)
	requests = all + "\nor\n" + nativeAll
	slow = "clamp_min(\n" + indent(all+"\n-\n"+bucket(leMatcher(limit))+",\n0") + "\n)\nor\n" +
		// The comparison drops the NaN of a route without requests.
		fmt.Sprintf("sum by (%s) (\n  (1 - histogram_fraction(-Inf, %s, %s))\n  * histogram_count(%[3]s)\n  >= 0\n)\n", identity, decimal(limit), native) +
		"or\n0 * " + nativeAll
	return requests, slow
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// leMatcher matches each spelling of a boundary: a whole number is "1.0" when
// scraped and "1" over OTLP, and a small one is "1e-05" or "0.00001".
func leMatcher(boundary float64) string {
	long, scraped := strconv.FormatFloat(boundary, 'f', -1, 64), strconv.FormatFloat(boundary, 'g', -1, 64)
	if !strings.ContainsAny(scraped, ".e") {
		scraped += ".0"
	}
	return matcher("le", []string{long, scraped})
}

// matcher matches a label that has one of the values.
func matcher(label string, values []string) string {
	if slices.Sort(values); len(slices.Compact(values)) == 1 {
		return label + "=" + strconv.Quote(values[0])
	}
	var patterns []string
	for _, value := range slices.Compact(values) {
		patterns = append(patterns, regexp.QuoteMeta(value))
	}
	return label + "=~" + strconv.Quote(strings.Join(patterns, "|"))
}

// routes selects the requests that an SLO is about.
func (f File) routes(s SLO, more string) string {
	var matchers []string
	if len(s.Routes) > 0 {
		matchers = append(matchers, matcher("http_route", slices.Clone(s.Routes)))
	}
	if more != "" {
		matchers = append(matchers, more)
	}
	return f.selector(strings.Join(matchers, ", "))
}

// selector selects the series of the service, and more.
func (f File) selector(more string) string {
	var matchers []string
	labels := f.labels("", "")
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		matchers = append(matchers, name+"="+strconv.Quote(labels[name]))
	}
	if more != "" {
		matchers = append(matchers, more)
	}
	return "{" + strings.Join(matchers, ", ") + "}"
}

// labels returns those that are known of the service, and one more.
func (f File) labels(name, value string) map[string]string {
	labels := map[string]string{
		"deployment_environment_name": f.Environment, "service_namespace": f.Namespace, "service_name": f.Service,
		name: value,
	}
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
	return labels
}

// record makes a rule whose labels tell it apart from those of other files.
func (f File) record(name, expr, slo string) Rule {
	return Rule{Record: name, Expr: expr, Labels: f.labels("slo", slo)}
}

// decimal writes a number without what binary fractions leave at its end.
func decimal(v float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

func seconds(n int) string {
	if n%60 == 0 {
		return strconv.Itoa(n/60) + "m"
	}
	return strconv.Itoa(n) + "s"
}
