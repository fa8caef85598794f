package slo

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
)

// Groups run so often. Windows of hours are sums over samples as often as that,
// and those of days over averages: 6 hours are 720 samples, 30 days 4,320.
const (
	hoursSeconds    = 30
	daysSeconds     = 120
	averagesSeconds = 600
)

// minErrors is how many errors an alert is worth: fewer in a quiet service are
// chance. docs/slo.md has the figures.
const minErrors = 5

// Common returns the windows over what [Rules] records, and the alerts, which are
// the same for all services. Alerts link to the Grafana at a URL such as
// "http://localhost:3000". Any but an http or https URL without a query is an
// error.
func Common(grafanaURL string) (RuleFile, error) {
	dashboard, err := dashboardURL(grafanaURL)
	if err != nil {
		return RuleFile{}, err
	}
	hours := Group{Name: "otelmon-slos", Interval: seconds(hoursSeconds), Rules: hourWindows()}
	for _, b := range fastBurns() {
		hours.Rules = append(hours.Rules, b.alert("OtelmonSLOBurnRateCritical", "rate5m", hoursSeconds))
	}
	days := Group{Name: "otelmon-slos-days", Interval: seconds(daysSeconds), Rules: dayWindows()}
	for _, b := range slowBurns() {
		days.Rules = append(days.Rules, b.alert("OtelmonSLOBurnRateWarning", "avg10m", averagesSeconds))
	}
	days.Rules = append(days.Rules, exhausted())
	r := RuleFile{
		Comment: comment + "\nOf all SLOs of all services at once: windows and alerts.\n",
		Groups:  []Group{{Name: "otelmon-slos-averages", Interval: seconds(averagesSeconds), Rules: averages()}, hours, days},
	}
	r.link(dashboard)
	return r, nil
}

func hourWindows() []Rule {
	rules := []Rule{{Record: "slo:error_ratio:rate5m", Expr: "slo:errors:rate5m\n/\n(slo:requests:rate5m > 0)"}}
	for _, window := range []string{"30m", "1h", "2h", "6h"} {
		rules = append(rules, ratio(window, "rate5m"))
	}
	return rules
}

func dayWindows() []Rule {
	month := func(what string) Rule {
		return Rule{
			Record: "slo:" + what + ":increase30d",
			Expr:   fmt.Sprintf("sum_over_time(slo:%s:avg10m[30d]) * %d", what, averagesSeconds),
		}
	}
	return []Rule{
		ratio("1d", "avg10m"),
		ratio("3d", "avg10m"),
		month("requests"),
		month("errors"),
		{Record: "slo:error_ratio:rate30d", Expr: "slo:errors:increase30d\n/\n(slo:requests:increase30d > 0)"},
		{Record: "slo:error_budget_remaining:ratio30d", Expr: "1 - slo:error_ratio:rate30d / (1 - slo:objective:ratio)"},
	}
}

// averages thin rates out, to be summed up, without a sample that would not count.
func averages() (rules []Rule) {
	for _, what := range []string{"requests", "errors"} {
		rules = append(rules, Rule{
			Record: "slo:" + what + ":avg10m",
			Expr:   fmt.Sprintf("avg_over_time(slo:%s:rate5m[10m])", what),
		})
	}
	return rules
}

// ratio is the share of errors of a window, weighted by traffic: an hour with
// few requests counts little. base is the series that is summed up.
func ratio(window, base string) Rule {
	return Rule{
		Record: "slo:error_ratio:rate" + window,
		Expr:   fmt.Sprintf("sum_over_time(slo:errors:%s[%s])\n/\n(sum_over_time(slo:requests:%[1]s[%[2]s]) > 0)", base, window),
	}
}

// burn is a pair of windows and how much faster than allowed errors come in both
// when their alert fires. The pairs are those of the Site Reliability Workbook.
type burn struct {
	factor      string
	long, short string // windows
	hold        string // how long before the alert fires
	severity    string
	spent       string // when the budget is, at this speed
}

func fastBurns() []burn {
	return []burn{
		{factor: "14.4", long: "1h", short: "5m", hold: "2m", severity: "critical", spent: "2 days"},
		{factor: "6", long: "6h", short: "30m", hold: "15m", severity: "critical", spent: "5 days"},
	}
}

func slowBurns() []burn {
	return []burn{
		{factor: "3", long: "1d", short: "2h", hold: "1h", severity: "warning", spent: "10 days"},
		{factor: "1", long: "3d", short: "6h", hold: "3h", severity: "warning", spent: "30 days"},
	}
}

// alert counts errors of the long window by the series base, a sample each so
// many seconds.
func (b burn) alert(name, base string, interval int) Rule {
	over := fmt.Sprintf("slo:error_ratio:rate%%s > %s * (1 - slo:objective:ratio)", b.factor)
	return Rule{
		Alert: name,
		Expr: fmt.Sprintf(over, b.long) + "\nand\n" + fmt.Sprintf(over, b.short) +
			fmt.Sprintf("\nand\nsum_over_time(slo:errors:%s[%s]) * %d >= %d", base, b.long, interval, minErrors),
		For:           b.hold,
		KeepFiringFor: "5m",
		Labels:        map[string]string{"severity": b.severity, "long": b.long, "short": b.short},
		Annotations: map[string]string{
			"summary": "{{ $labels.service_name }} spends the error budget of its SLO {{ $labels.slo }} in less than " + b.spent,
			"description": "{{ $value | humanizePercentage }} of the requests to {{ $labels.service_name }} have missed its SLO {{ $labels.slo }} in the last " +
				b.long + ", and those of the last " + b.short + " do no better. Like this, the error budget of 30 days is spent in less than " + b.spent + ".",
		},
	}
}

// exhausted waits for three days of history: before, an outage of minutes is
// more than all there was.
func exhausted() Rule {
	return Rule{
		Alert: "OtelmonSLOBudgetExhausted",
		Expr: fmt.Sprintf("slo:error_budget_remaining:ratio30d <= 0\nand\nslo:errors:increase30d >= %d\nand\n"+
			"last_over_time(slo:error_budget_remaining:ratio30d[1h] offset 3d)", minErrors),
		For:           "10m",
		KeepFiringFor: "5m",
		Labels:        map[string]string{"severity": "warning", "long": "30d", "short": "30d"},
		Annotations: map[string]string{
			"summary":     "{{ $labels.service_name }} has no error budget left for its SLO {{ $labels.slo }}",
			"description": "{{ $value | humanizePercentage }} of the error budget of 30 days is left to {{ $labels.service_name }} for its SLO {{ $labels.slo }}.",
		},
	}
}

// link adds to all alerts where to look.
func (r RuleFile) link(dashboard string) {
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			if rule.Alert != "" {
				rule.Annotations["dashboard"] = dashboard
				rule.Annotations["runbook_url"] = "https://github.com/otelmon/toolkit/blob/main/docs/runbooks/" + rule.Alert + ".md"
			}
		}
	}
}

// dashboardURL returns that of the SLO dashboard, for the service of an alert.
func dashboardURL(grafana string) (string, error) {
	u, err := url.Parse(grafana)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("not a URL of Grafana; accepted: one such as https://grafana.example.org, without user, query and fragment")
	}
	return u.JoinPath("d/otelmon-slo").String() +
		"?var-environment={{ $labels.deployment_environment_name | urlQueryEscape }}" +
		"&var-namespace={{ $labels.service_namespace | urlQueryEscape }}&var-service={{ $labels.service_name | urlQueryEscape }}", nil
}

func seconds(n int) string {
	if n%60 == 0 {
		return strconv.Itoa(n/60) + "m"
	}
	return strconv.Itoa(n) + "s"
}
