package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A promNode is a part of an expression, as parse_query tells it.
type promNode struct {
	Type, Name, Op string
	Expr, LHS, RHS *promNode
	Args           []*promNode
	Func           struct{ Name string }
}

// alertSeries looks for alerts of otelmon that cannot fire, because no series has
// a name that they need, neither as it is scraped or pushed nor recorded by rules.
func (p promAPI) alertSeries(ctx context.Context, groups []promGroup) []Finding {
	var rules []promRule
	for _, g := range groups {
		rules = append(rules, g.Rules...)
	}
	parsed, err := p.parse(ctx, rules)
	if err != nil {
		return []Finding{promFailed("alert-series", err)}
	}
	stored, err := p.stored(ctx, parsed)
	if err != nil {
		return []Finding{promFailed("alert-series", err)}
	}
	known := knownSeries{stored: stored, recorded: map[string][]*promNode{}, without: map[string][]string{}}
	alerts := map[string][]*promNode{}
	for i, r := range rules {
		switch {
		case !r.alerting():
			known.recorded[r.Name] = append(known.recorded[r.Name], parsed[i])
		case strings.HasPrefix(r.Name, "Otelmon"):
			alerts[r.Name] = append(alerts[r.Name], parsed[i])
		}
	}
	return known.silent(alerts)
}

// maxQueryBytes keeps a request within what servers and proxies take as a URL.
const maxQueryBytes = 4 << 10

// parse returns what the expressions of rules are made of; nil for one that the
// server cannot parse together with others. Many are asked for at a time, as
// `(first) or (second)`, to be polite.
func (p promAPI) parse(ctx context.Context, rules []promRule) ([]*promNode, error) {
	exprs := make([]string, len(rules))
	for i, r := range rules {
		exprs[i] = "(" + r.Query + ")"
	}
	var (
		parsed  = make([]*promNode, len(rules))
		batches = batch(exprs)
		errs    = make([]error, len(batches))
		running sync.WaitGroup
		first   = 0
	)
	for i, exprs := range batches {
		into := parsed[first : first+len(exprs)]
		first += len(exprs)
		running.Go(func() {
			var root promNode
			_, errs[i] = p.get(ctx, "parse_query", url.Values{"query": {strings.Join(exprs, " or ")}}, &root)
			if errs[i] == nil {
				split(&root, into)
			}
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil && !isRefused(err) {
			return nil, err
		}
	}
	return parsed, nil
}

// batch cuts texts into groups that are not too long for a request.
func batch(texts []string) [][]string {
	var batches [][]string
	size := maxQueryBytes
	for _, text := range texts {
		if size += len(text) + 4; size > maxQueryBytes {
			batches, size = append(batches, nil), len(text)
		}
		batches[len(batches)-1] = append(batches[len(batches)-1], text)
	}
	return batches
}

// split undoes the joining of expressions; `or` binds to the left.
func split(root *promNode, into []*promNode) {
	for i := len(into) - 1; i > 0 && root != nil; i-- {
		into[i], root = root.RHS, root.LHS
	}
	into[0] = root
}

// stored returns which of the names in expressions some series has had within the
// last hour.
func (p promAPI) stored(ctx context.Context, parsed []*promNode) (map[string]bool, error) {
	names := map[string]bool{}
	for _, node := range parsed {
		node.names(names)
	}
	var (
		batches = batch(slices.Sorted(maps.Keys(names)))
		answers = make([][]string, len(batches))
		errs    = make([]error, len(batches))
		running sync.WaitGroup
	)
	for i, names := range batches {
		running.Go(func() {
			_, errs[i] = p.get(ctx, "label/__name__/values", url.Values{
				"match[]": {`{__name__=~"` + anyOf(names) + `"}`},
				"start":   {unixSeconds(time.Now().Add(-time.Hour))},
			}, &answers[i])
		})
	}
	running.Wait()
	stored := map[string]bool{}
	for i, answer := range answers {
		if errs[i] != nil {
			return nil, errs[i]
		}
		for _, name := range answer {
			stored[name] = true
		}
	}
	return stored, nil
}

// names adds the names of all series in an expression.
func (n *promNode) names(to map[string]bool) {
	if n == nil {
		return
	}
	if n.Name != "" {
		to[n.Name] = true
	}
	for _, part := range n.parts() {
		part.names(to)
	}
}

func (n *promNode) parts() []*promNode {
	return append(slices.Clip(n.Args), n.Expr, n.LHS, n.RHS)
}

// knownSeries are what there is for an expression to work on.
type knownSeries struct {
	stored   map[string]bool
	recorded map[string][]*promNode // the expressions of recording rules
	without  map[string][]string    // what missingName has found out
}

// missing returns the names without which an expression has no result, none if it
// may have one.
func (k knownSeries) missing(n *promNode) []string {
	switch {
	case n == nil, strings.HasPrefix(n.Func.Name, "absent"):
		return nil
	case n.Name != "":
		return k.missingName(n.Name)
	case n.Op == "or":
		return k.missingAll(n.LHS, n.RHS)
	case n.Op == "unless":
		return k.missing(n.LHS)
	}
	var names []string
	for _, part := range n.parts() {
		names = someOf(append(names, k.missing(part)...))
	}
	return names
}

// missingAll is missing for expressions one of which is enough.
func (k knownSeries) missingAll(alternatives ...*promNode) []string {
	var names []string
	for _, n := range alternatives {
		missing := k.missing(n)
		if len(missing) == 0 {
			return nil
		}
		names = someOf(append(names, missing...))
	}
	return names
}

// missingName looks into the rules that record a name for which nothing is stored.
func (k knownSeries) missingName(name string) []string {
	if k.stored[name] {
		return nil
	}
	if known, ok := k.without[name]; ok {
		return known
	}
	k.without[name] = []string{name} // for a rule that needs itself
	if rules := k.recorded[name]; len(rules) > 0 {
		k.without[name] = k.missingAll(rules...)
	}
	return k.without[name]
}

// someOf returns different names, as many as are of interest.
func someOf(names []string) []string {
	const most = 50
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), most)]
}

// expected are series that need not be there, and why.
var expected = []struct {
	names *regexp.Regexp
	why   string
}{
	{regexp.MustCompile(`^(otelmon_llm|gen_ai)_`), "no call of an LLM"},
	{regexp.MustCompile(`^(otelmon_)?http_client_`), "no call of another service"},
	{regexp.MustCompile(`(_failed|_failures|_refused|_dropped)_.*total$|_failures_total$`), "no failure that is counted"},
	{regexp.MustCompile(`llm_budget`), "no budget"},
	{regexp.MustCompile(`^go_memory_limit_bytes$`), "no memory limit"},
}

func whyExpected(name string) string {
	for _, e := range expected {
		if e.names.MatchString(name) {
			return e.why
		}
	}
	return ""
}

// silent tells alerts that wait for what has not happened from those that something
// is missing for.
func (k knownSeries) silent(alerts map[string][]*promNode) []Finding {
	var waiting, broken []string
	why := map[string]bool{}
	for _, alert := range slices.Sorted(maps.Keys(alerts)) {
		missing := k.missingAll(alerts[alert]...)
		unexpected := slices.IndexFunc(missing, func(name string) bool { return whyExpected(name) == "" })
		switch {
		case len(missing) == 0:
		case unexpected >= 0:
			broken = append(broken, fmt.Sprintf("%s (%s)", printable(alert), printable(missing[unexpected])))
		default:
			waiting = append(waiting, alert)
			for _, name := range missing {
				why[whyExpected(name)] = true
			}
		}
	}
	found := promFinding("alert-series", OK, fmt.Sprintf("%d of %d alerts have the series that they need", len(alerts)-len(waiting)-len(broken), len(alerts)), "")
	if len(waiting) > 0 {
		found.Message += fmt.Sprintf("; %d wait for what has not been: %s", len(waiting), strings.Join(slices.Sorted(maps.Keys(why)), ", "))
	}
	if len(broken) > 0 {
		found.Level = Warning
		found.Message = fmt.Sprintf("%d of %d alerts cannot fire, as nothing has a name that they need: %s", len(broken), len(alerts), listed(broken))
		found.Advice = "Scrape what has these series, such as the Collector (otelcol_), Alertmanager and Prometheus itself, or name them as they were."
	}
	return []Finding{found}
}
