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

// maxRules is how many a group has at most: Mimir takes 20.
const maxRules = 20

// comment begins a file of rules. What it tells pint: each service records the
// same names, which are no series of one another; those of another group may be
// one evaluation old; and samples 10 minutes apart are only summed up, so that a
// graph never shows the gaps that it fears.
const comment = `Made by otelmon rules generate; do not edit. docs/slo.md tells what it records.
pint file/disable rule/dependency
pint file/disable group/interval
`

// Rules returns what services record by themselves: the requests and errors of
// their SLOs, their objectives and their budgets. [Common] has what all of them
// share. A file that is not valid is an error, and so are two that [File.Overlaps].
func Rules(files ...File) (RuleFile, error) {
	var all []error
	r := RuleFile{Comment: comment}
	for i, f := range files {
		for _, p := range f.problems() {
			all = append(all, fmt.Errorf("service %q: %s", short(f.Service), p))
		}
		for _, before := range files[:i] {
			if f.Overlaps(before) {
				all = append(all, fmt.Errorf("service %q: there are two files for %s and %s; accepted: one, or such that differ in environment or namespace",
					short(f.Service), before.Name(), f.Name()))
			}
		}
		r.Comment += f.overview()
	}
	if err := errors.Join(all...); err != nil {
		return RuleFile{}, err
	}
	for _, f := range files {
		r.Groups = append(r.Groups, f.groups()...)
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

// groups are more than one where there are many SLOs. No service is called as the
// second one is: a name has no colon.
func (f File) groups() (groups []Group) {
	var rules []Rule
	for _, s := range f.SLOs {
		requests, failures := f.availability(s)
		if s.Latency > 0 {
			requests, failures = f.latency(s)
		}
		rules = append(rules,
			f.record("slo:requests:rate5m", requests, "slo", s.Name),
			f.record("slo:errors:rate5m", failures, "slo", s.Name),
			f.objective(s))
	}
	name := "otelmon-slo-" + f.Name()
	for part := range slices.Chunk(slices.Concat(rules, f.p99Objectives(), f.budgets()), maxRules) {
		groups = append(groups, Group{Name: name, Interval: seconds(hoursSeconds), Rules: part})
		name = fmt.Sprintf("otelmon-slo-%s:%d", f.Name(), len(groups)+1)
	}
	return groups
}

// objective stays for a day after the last request, so that windows of hours
// which still have some can be compared with it.
func (f File) objective(s SLO) Rule {
	of := f.selector("slo=" + strconv.Quote(s.Name))
	requests := fmt.Sprintf("\n  slo:requests:rate5m%s\n  or\n  slo:error_ratio:rate1d%[1]s\n", of)
	return f.record("slo:objective:ratio", constant(s.Objective/100, requests), "slo", s.Name)
}

// p99Objectives record, in seconds, what the P99 of all requests, and that of
// routes, is to stay within.
func (f File) p99Objectives() (rules []Rule) {
	const objective = ":http_server_request_duration_seconds:p99_objective"
	all, routes := f.p99Limits()
	if all > 0 {
		rules = append(rules, f.record("service"+objective, constant(all, "service:http_server_requests:rate5m"+f.selector()), "", ""))
	}
	var parts []string // a route is in one of them
	for _, limit := range slices.Sorted(maps.Keys(routes)) {
		parts = append(parts, constant(limit, "service_route:http_server_requests:rate5m"+f.selector(routeMatcher(routes[limit]))))
	}
	if len(parts) > 0 {
		rules = append(rules, f.record("service_route"+objective, strings.Join(parts, "\nor\n"), "", ""))
	}
	return rules
}

// p99Limits returns those of all requests, 0 without one, and of routes: of
// several the strictest.
func (f File) p99Limits() (all float64, routes map[float64][]string) {
	byRoute := map[string]float64{}
	for _, s := range f.SLOs {
		limit, ok := f.boundary(s.Latency)
		if !ok || s.Objective != 99 {
			continue
		}
		if len(s.Routes) == 0 {
			all = min(limit, cmp.Or(all, limit))
		}
		for _, route := range s.Routes {
			byRoute[route] = min(limit, cmp.Or(byRoute[route], limit))
		}
	}
	routes = map[float64][]string{}
	for route, limit := range byRoute {
		routes[limit] = append(routes[limit], route)
	}
	return all, routes
}

func (f File) budgets() (rules []Rule) {
	const currency = "otelmon_llm_cost_currency"
	for _, b := range f.LLMBudgets {
		cost := "service_currency:llm_cost:increase1d" + f.selector(currency+"="+strconv.Quote(b.Currency))
		rules = append(rules, f.record("service_currency:llm_budget:per_day", constant(b.PerDay, cost), currency, b.Currency))
	}
	return rules
}

// constant is a value with the labels of series, for as long as they are there.
func constant(value float64, series string) string {
	return fmt.Sprintf("%s * group without () (%s)", decimal(value), series)
}

// availability returns the rates of requests and of failed ones.
func (f File) availability(s SLO) (requests, failures string) {
	level, of := s.level(), f.selector(routeMatcher(s.Routes))
	return sum(level + ":http_server_requests:rate5m" + of), sum(level + ":http_server_errors:rate5m" + of)
}

// slowRequests adds classic and native histograms: while a new version of a
// service is rolled out it may have both. The label "part" only keeps apart what
// is added. Where classic buckets do not end at the limit there is no result; the
// comparison drops the NaN of native histograms without requests.
const slowRequests = `clamp_min(
  ALL
  -
  WITHIN,
  0
)
or
label_replace(
  (1 - histogram_fraction(-Inf, LIMIT, NATIVE)) * histogram_count(NATIVE) >= 0
  or
  0 * histogram_count(NATIVE),
  "part", "native", "", ""
)`

// latency returns the rates of requests and of slow ones.
func (f File) latency(s SLO) (requests, slow string) {
	limit, _ := f.boundary(s.Latency)
	buckets := func(le string) string {
		return s.level() + "_le:http_server_request_duration_seconds_bucket:rate5m" + f.selector(routeMatcher(s.Routes), le)
	}
	native := s.level() + ":http_server_request_duration_seconds:rate5m" + f.selector(routeMatcher(s.Routes))
	all := buckets(`le="+Inf"`)
	slow = strings.NewReplacer(
		"ALL", indent(sum(all)), "WITHIN", indent(sum(buckets(leMatcher(limit)))), "LIMIT", decimal(limit), "NATIVE", native,
	).Replace(slowRequests)
	return sum(all + "\nor\nhistogram_count(" + native + ")"), sum(slow)
}

// level is what the series that an SLO reads are recorded by.
func (s SLO) level() string {
	if len(s.Routes) > 0 {
		return "service_route"
	}
	return "service"
}

// sum adds up all series of a service.
func sum(expr string) string {
	return "sum by (deployment_environment_name, service_namespace, service_name) (\n  " + indent(expr) + "\n)"
}

// indent is for what begins within a line.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

// leMatcher matches each spelling of a boundary in the recorded series: a whole
// number is always "1", a small one "2e-05" if scraped and "0.00002" over OTLP.
func leMatcher(boundary float64) string {
	spellings := []string{strconv.FormatFloat(boundary, 'f', -1, 64), strconv.FormatFloat(boundary, 'g', -1, 64)}
	return matcher("le", spellings)
}

// routeMatcher matches all routes if there are none.
func routeMatcher(routes []string) string {
	if len(routes) == 0 {
		return ""
	}
	return matcher("http_route", routes)
}

// matcher matches a label that has one of the values.
func matcher(label string, values []string) string {
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	if len(values) == 1 {
		return label + "=" + strconv.Quote(values[0])
	}
	for i, value := range values {
		values[i] = regexp.QuoteMeta(value)
	}
	return label + "=~" + strconv.Quote(strings.Join(values, "|"))
}

// selector selects the series of the service that match more.
func (f File) selector(more ...string) string {
	var matchers []string
	labels := f.labels("", "")
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		matchers = append(matchers, name+"="+strconv.Quote(labels[name]))
	}
	none := func(matcher string) bool { return matcher == "" }
	return "{" + strings.Join(slices.DeleteFunc(append(matchers, more...), none), ", ") + "}"
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
func (f File) record(name, expr, label, value string) Rule {
	return Rule{Record: name, Expr: expr, Labels: f.labels(label, value)}
}

// decimal writes a number without what binary fractions leave at its end.
func decimal(v float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
