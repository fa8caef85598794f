package grafana

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Query is one question to Prometheus.
type Query struct {
	// Where names it within its dashboard: "panel Requests, A",
	// "variable service", "annotation Alerts".
	Where string
	// Expr is PromQL with variables, for a variable the selector.
	Expr string
	// Kind is how it is asked.
	Kind Kind
	// Label is the one whose values a variable takes.
	Label string
	// Legend names series, with {{label}} in it.
	Legend string
	// Heatmap says that the series are the buckets of a histogram.
	Heatmap bool
	// Exemplars says that those of the series are asked for too.
	Exemplars bool
}

// A Kind is how Prometheus is asked.
type Kind int

// The kinds of queries.
const (
	Range       Kind = iota // over the time shown
	Instant                 // at its end
	LabelValues             // of the series that Expr selects
)

var labelValues = regexp.MustCompile(`^label_values\((?:(.+),)?\s*([a-zA-Z_][a-zA-Z0-9_]*)\)$`)

// Queries returns all that a dashboard asks Prometheus. A query of a variable
// that is none of label_values is returned as an instant one.
func (d Dashboard) Queries() (queries []Query) {
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			queries = append(queries, v.query())
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			queries = append(queries, Query{Where: "annotation " + a.Name, Expr: a.Expr, Legend: a.TitleFormat})
		}
	}
	for _, p := range d.AllPanels() {
		for _, t := range p.Targets {
			if t.Expr != "" && !t.foreign() {
				queries = append(queries, t.query("panel "+p.Title+", "+t.RefID))
			}
		}
	}
	return queries
}

func (v Variable) query() Query {
	q := Query{Where: "variable " + v.Name, Expr: v.Text(), Kind: Instant}
	if found := labelValues.FindStringSubmatch(strings.TrimSpace(q.Expr)); found != nil {
		q.Expr, q.Label, q.Kind = strings.TrimSpace(found[1]), found[2], LabelValues
	}
	return q
}

func (t Target) query(where string) Query {
	q := Query{Where: where, Expr: t.Expr, Legend: t.LegendFormat, Heatmap: t.Format == "heatmap", Exemplars: t.Exemplar}
	if t.Instant {
		q.Kind = Instant
	}
	return q
}

// foreign says that a query is not for Prometheus.
func (t Target) foreign() bool {
	return t.Datasource != nil && t.Datasource.Type != "" && t.Datasource.Type != "prometheus"
}

// Times are what Grafana fills in for the time shown.
type Times struct {
	Range, Interval, RateInterval time.Duration
}

// points is how many a panel of usual width asks for.
const points = 1000

// NewTimes returns what Grafana fills in when a range is shown of a data source
// with an interval of samples, its timeInterval.
func NewTimes(shown, samples time.Duration) Times {
	interval := max(samples, (shown / points).Truncate(time.Second))
	return Times{Range: shown, Interval: interval, RateInterval: max(interval+samples, 4*samples)}
}

// All is the selection of a variable's entry All.
const All = "$__all"

// Values returns what each variable is replaced with when some values of it are
// selected, as Grafana does it for Prometheus: one value, or several as
// alternatives of a regular expression. Variables that are not in selected have
// the entry All.
func (d Dashboard) Values(selected map[string][]string) map[string]string {
	values := map[string]string{}
	for _, v := range d.Templating.List {
		chosen, ok := selected[v.Name]
		if !ok {
			chosen = []string{All}
		}
		values[v.Name] = v.value(chosen)
	}
	return values
}

func (v Variable) value(chosen []string) string {
	if len(chosen) == 1 && chosen[0] == All {
		if v.AllValue != "" {
			return v.AllValue
		}
		return ".*"
	}
	if !v.Multi && !v.IncludeAll {
		return strings.Join(chosen, "")
	}
	escaped := make([]string, len(chosen))
	for i, text := range chosen {
		// A backslash of the regular expression is one of the string too.
		escaped[i] = strings.ReplaceAll(regexp.QuoteMeta(text), `\`, `\\`)
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}

var variable = regexp.MustCompile(`\$([a-zA-Z_][a-zA-Z0-9_]*)|\$\{([a-zA-Z_][a-zA-Z0-9_]*)(?::[a-z]+)?\}`)

// Expand fills in variables and times. A variable that is not known stays.
func Expand(text string, values map[string]string, times Times) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		name := variableName(found)
		if value, ok := times.value(name); ok {
			return value
		}
		if value, ok := values[name]; ok {
			return value
		}
		return found
	})
}

func variableName(found string) string {
	parts := variable.FindStringSubmatch(found)
	return parts[1] + parts[2]
}

func (t Times) value(name string) (text string, ok bool) {
	text, ok = map[string]string{
		"__interval":      seconds(t.Interval),
		"__rate_interval": seconds(t.RateInterval),
		"__range":         seconds(t.Range),
		"__interval_ms":   digits(t.Interval.Milliseconds()),
		"__range_ms":      digits(t.Range.Milliseconds()),
		"__range_s":       digits(int64(t.Range.Seconds())),
	}[name]
	return text, ok
}

// Variables returns the names of all variables in a text, macros of times such
// as __range included.
func Variables(text string) (names []string) {
	for _, found := range variable.FindAllString(text, -1) {
		names = append(names, variableName(found))
	}
	return names
}

func seconds(d time.Duration) string { return digits(int64(d.Seconds())) + "s" }

func digits(n int64) string { return strconv.FormatInt(n, 10) }
