// Package check asks a running Grafana for everything that its dashboards ask for.
// The program check-grafana runs it.
package check

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/grafana"
)

// A Check is one run over a Grafana. Its fields must not change meanwhile.
type Check struct {
	Client *Client
	// Dashboards are the uids of those that must be there.
	Dashboards []string
	// Span is how far back the queries look. Recorded series need two minutes.
	Span time.Duration
	// Logs requires Loki, which runs only in the compose profile logs.
	Logs bool
	// LLM requires data of calls of LLM APIs. Without it no query of the LLM page is
	// a fault for being empty: the stack itself calls nothing, with the compose
	// profile llm neither.
	LLM bool
	// Out gets one line per data source and dashboard, and one per fault.
	Out io.Writer

	faults int
}

// mayBeEmpty says which queries without data are no fault, and why.
var mayBeEmpty = []struct {
	expr   *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`\bALERTS`), "no alert fires"},
	{regexp.MustCompile(`llm_|gen_ai_`), noCalls},
	{regexp.MustCompile(`predict|avg1h|usual_|offset 1[dw]`), "the stack is young"},
	{regexp.MustCompile(`lost_items|scrape_failures|cut_values|send_failed|notifications|error_type!`), "nothing failed"},
	{regexp.MustCompile(`http_server_stream_`), "nobody opens a stream"},
	{regexp.MustCompile(`http_request_method!~"\.\*"`), "all services are selected"},
	{regexp.MustCompile(`\) unless `), "nothing is missing"},
}

const noCalls = "nobody calls a model"

// Run checks that Grafana is well, that its data sources answer, and that every
// query of every dashboard runs and returns data. It returns how
// many faults it found; all of them are written to Out. An error means that there
// was no use in going on.
func (c *Check) Run(ctx context.Context) (faults int, err error) {
	version, err := c.Client.Health(ctx)
	if err != nil {
		return 0, fmt.Errorf("grafana: %w", err)
	}
	c.say("grafana %s is up", version)
	source, err := c.probeAll(ctx)
	if err != nil {
		return 0, err
	}
	for _, uid := range c.Dashboards {
		c.dashboard(ctx, uid, source)
	}
	return c.faults, ctx.Err()
}

// probeAll asks every data source whether it answers, and returns Prometheus.
func (c *Check) probeAll(ctx context.Context) (prometheus DataSource, err error) {
	sources, err := c.Client.DataSources(ctx)
	if err != nil {
		return DataSource{}, fmt.Errorf("list data sources: %w", err)
	}
	byType := map[string]DataSource{}
	for _, s := range sources {
		byType[s.Type] = s
		err := c.Client.Probe(ctx, s)
		switch {
		case err == nil:
			c.say("data source %s answers", s.UID)
		case s.Type == "loki" && !c.Logs:
			c.say("data source %s does not answer; it does with the profile logs", s.UID)
		default:
			c.fault("data source %s: %v", s.UID, err)
		}
	}
	for kind := range probes {
		if byType[kind].UID == "" {
			c.fault("there is no data source of the type %s", kind)
		}
	}
	return byType["prometheus"], nil
}

func (c *Check) dashboard(ctx context.Context, uid string, source DataSource) {
	d, err := c.Client.Dashboard(ctx, uid)
	if err != nil {
		c.fault("dashboard %s: %v", uid, err)
		return
	}
	values := d.Values(map[string][]string{"datasource": {source.UID}})
	times := grafana.NewTimes(c.Span, source.interval())
	queries := d.Queries()
	quiet := map[string]int{} // how many are empty, by reason
	for _, q := range queries {
		expr := grafana.Expand(promQL(q), values, times)
		found, err := c.Client.Query(ctx, source.UID, expr, q.Kind != grafana.Range, times)
		switch {
		case err != nil:
			c.fault("dashboard %s, %s: %v\n\t%s", uid, q.Where, err, expr)
		case found > 0:
		case c.reason(expr) == "":
			c.fault("dashboard %s, %s: no data\n\t%s", uid, q.Where, expr)
		default:
			quiet[c.reason(expr)]++
		}
	}
	if len(queries) == 0 {
		c.fault("dashboard %s has no queries", uid)
	}
	c.say("dashboard %s: %d queries%s", uid, len(queries), list(quiet))
}

// list says how many queries have nothing to show, and why.
func list(quiet map[string]int) string {
	var text strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(quiet)) {
		fmt.Fprintf(&text, "; %d empty: %s", quiet[reason], reason)
	}
	return text.String()
}

// promQL is a query's expression, for a variable one that has a series for each
// of its values.
func promQL(q grafana.Query) string {
	if q.Kind == grafana.LabelValues {
		return fmt.Sprintf("group by (%s) (%s)", q.Label, q.Expr)
	}
	return q.Expr
}

// reason returns why a query may have no data, or nothing.
func (c *Check) reason(expr string) string {
	for _, m := range mayBeEmpty {
		if m.expr.MatchString(expr) && !(c.LLM && m.reason == noCalls) {
			return m.reason
		}
	}
	return ""
}

func (c *Check) fault(format string, args ...any) {
	c.faults++
	c.say("FAULT "+format, args...)
}

func (c *Check) say(format string, args ...any) {
	fmt.Fprintf(c.Out, format+"\n", args...) //nolint:errcheck // the exit code tells as well
}
