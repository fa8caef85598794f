package slo

import "fmt"

// minErrors is how many errors an alert is worth: fewer in a quiet service are
// chance. docs/slo.md has the figures.
const minErrors = 5

// burn is a pair of windows and how much faster than allowed errors come in both
// when their alert fires. The pairs are those of the Site Reliability Workbook.
type burn struct {
	factor, long, short, hold string
	severity                  string
	spent                     string // when the budget is, at this speed
}

func fastBurns() []burn {
	return []burn{
		{"14.4", "1h", "5m", "2m", "critical", "2 days"},
		{"6", "6h", "30m", "15m", "critical", "5 days"},
	}
}

func slowBurns() []burn {
	return []burn{
		{"3", "1d", "2h", "1h", "warning", "10 days"},
		{"1", "3d", "6h", "3h", "warning", "30 days"},
	}
}

// Alerts returns the alerts over what [Rules] records, of all services at once.
func Alerts() RuleFile {
	fast := Group{Name: "otelmon-slo-alerts", Interval: seconds(hoursSeconds)}
	for _, b := range fastBurns() {
		fast.Rules = append(fast.Rules, b.alert("OtelmonSLOBurnRateCritical", "rate5m", hoursSeconds))
	}
	slow := Group{Name: "otelmon-slo-alerts-days", Interval: seconds(daysSeconds)}
	for _, b := range slowBurns() {
		slow.Rules = append(slow.Rules, b.alert("OtelmonSLOBurnRateWarning", "avg2m", daysSeconds))
	}
	slow.Rules = append(slow.Rules, exhausted())
	return RuleFile{
		Comment: "Made by otelmon rules generate; do not edit. docs/slo.md tells what the alerts mean.\n",
		Groups:  []Group{fast, slow},
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
		Annotations: annotations(name,
			"{{ $labels.service_name }} spends the error budget of its SLO {{ $labels.slo }} in less than "+b.spent,
			"{{ $value | humanizePercentage }} of the requests to {{ $labels.service_name }} have missed its SLO {{ $labels.slo }} in the last "+
				b.long+", and those of the last "+b.short+" do no better. Like this, the error budget of 30 days is spent in less than "+b.spent+"."),
	}
}

// exhausted waits for three days of history: before, an outage of minutes is
// more than all there was.
func exhausted() Rule {
	const name = "OtelmonSLOBudgetExhausted"
	return Rule{
		Alert: name,
		Expr: fmt.Sprintf("slo:error_budget_remaining:ratio30d <= 0\nand\nslo:errors:increase30d >= %d\nand\n"+
			"last_over_time(slo:error_budget_remaining:ratio30d[1h] offset 3d)", minErrors),
		For:           "10m",
		KeepFiringFor: "5m",
		Labels:        map[string]string{"severity": "warning", "long": "30d", "short": "30d"},
		Annotations: annotations(name,
			"{{ $labels.service_name }} has no error budget left for its SLO {{ $labels.slo }}",
			"{{ $value | humanizePercentage }} of the error budget of 30 days is left to {{ $labels.service_name }} for its SLO {{ $labels.slo }}."),
	}
}

func annotations(alert, summary, description string) map[string]string {
	return map[string]string{
		"summary":     summary,
		"description": description,
		"dashboard": "http://localhost:3000/d/otelmon-slo?var-environment={{ $labels.deployment_environment_name | urlQueryEscape }}" +
			"&var-namespace={{ $labels.service_namespace | urlQueryEscape }}&var-service={{ $labels.service_name | urlQueryEscape }}",
		"runbook_url": "https://github.com/otelmon/toolkit/blob/main/docs/runbooks/" + alert + ".md",
	}
}
