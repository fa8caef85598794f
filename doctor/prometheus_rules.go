package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A promGroup is a group of rules, with how it went the last time.
type promGroup struct {
	Name, File               string
	Rules                    []promRule
	Interval, EvaluationTime float64 // seconds
}

type promRule struct {
	Type, Name, Query, Health, LastError, State string
	Labels                                      map[string]string
}

func (r promRule) alerting() bool { return r.Type == "alerting" }

// shippedGroup begins the names of the groups in deploy/prometheus/rules and of
// those that `otelmon rules` makes.
const shippedGroup = "otelmon-"

// aboutTelemetry are the groups whose alerts are about telemetry itself.
var aboutTelemetry = []string{"otelmon-telemetry", "otelmon-collector", "otelmon-prometheus", "otelmon-alertmanager"}

// rules looks at whether rules are there, work, and have something to work on.
func (p promAPI) rules(ctx context.Context) []Finding {
	var data struct{ Groups []promGroup }
	if _, err := p.get(ctx, "rules", map[string][]string{"exclude_alerts": {"true"}}, &data); err != nil {
		return []Finding{promFailed("rules", err)}
	}
	shipped, rules := 0, 0
	for _, g := range data.Groups {
		rules += len(g.Rules)
		if strings.HasPrefix(g.Name, shippedGroup) {
			shipped++
		}
	}
	found := []Finding{promFinding("rules", OK, fmt.Sprintf("%d groups with %d rules, %d of the groups shipped by otelmon", len(data.Groups), rules, shipped), "")}
	if shipped == 0 {
		found[0].Level = Warning
		found[0].Message = fmt.Sprintf("none of %d groups of rules is otelmon's, so that its dashboards stay empty and nothing alerts", len(data.Groups))
		found[0].Advice = "Copy deploy/prometheus/rules beside your configuration and name it in rule_files."
	}
	found = append(found, failing(data.Groups), slow(data.Groups), firing(data.Groups))
	if shipped > 0 {
		found = append(found, p.alertSeries(ctx, data.Groups)...)
	}
	return found
}

// failing finds rules that could not be evaluated.
func failing(groups []promGroup) Finding {
	var errs []string
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.LastError != "" || r.Health == "err" {
				errs = append(errs, fmt.Sprintf("%s in %s: %s", printable(r.Name), printable(g.Name), printable(r.LastError)))
			}
		}
	}
	if len(errs) == 0 {
		return promFinding("rule-health", OK, "no rule fails", "")
	}
	return promFinding("rule-health", Failure, fmt.Sprintf("%d rules fail: %s", len(errs), listed(errs)), "Correct the expressions; what they would record or alert about is missing.")
}

// slow finds groups that take longer than their interval, which skip evaluations.
func slow(groups []promGroup) Finding {
	var late []string
	for _, g := range groups {
		if g.Interval > 0 && g.EvaluationTime > g.Interval {
			late = append(late, fmt.Sprintf("%s takes %s every %s", printable(g.Name), seconds(g.EvaluationTime), seconds(g.Interval)))
		}
	}
	if len(late) == 0 {
		return promFinding("rule-time", OK, "every group ends within its interval", "")
	}
	return promFinding("rule-time", Warning, listed(late), "Give the group a longer interval, or Prometheus more processors: evaluations are left out.")
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

// firing lists the alerts about telemetry that fire. The one that always does has
// the severity none.
func firing(groups []promGroup) Finding {
	var names []string
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.State == "firing" && slices.Contains(aboutTelemetry, g.Name) && r.Labels["severity"] != "none" {
				names = append(names, printable(r.Name))
			}
		}
	}
	if len(names) == 0 {
		return promFinding("alerts", OK, "no alert about telemetry fires", "")
	}
	return promFinding("alerts", Warning, "fires now: "+listed(names), "Follow docs/runbooks, one page for each alert.")
}
