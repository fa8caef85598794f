package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noSLO is shown where a service has no SLO file, or no requests yet.
const noSLO = "No SLO"

// objective names one SLO in a legend.
const objective = "{{service_name}} {{slo}}"

// sloPage answers: is the objective of 30 days kept, how fast does its budget burn, and what burns it.
func sloPage() page {
	return page{
		uid:   "otelmon-slo",
		title: "SLO",
		description: "Objectives over 30 days, from the SLO files (otelmon rules generate). A burn rate of 1 uses the budget up in just 30 days; " +
			"14.4 uses 2 % of it in an hour.",
		rows: []row{
			{"Now", sloNow()},
			{"How fast it burns", sloBurn()},
			{"What burns it", sloCauses()},
		},
	}
}

func sloNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Smallest budget left", unit: units.PercentUnit, none: noSLO,
			description: "slo:error_budget_remaining:ratio30d of the worst SLO. Below 0 the objective is missed: stop what is risky until it has recovered.",
		}).Span(6).Thresholds(falling(0, 0.25)).
			WithTarget(instant("bottomk(1, slo:error_budget_remaining:ratio30d{$selected})", objective)),
		figure(about{
			title: "Fastest burn of the last hour", unit: units.Short, none: noSLO,
			description: "slo:error_ratio:rate1h by the errors that slo:objective:ratio allows, of the worst SLO. From 14.4 on OtelmonSLOBurnRateCritical fires.",
		}).Span(6).Thresholds(rising(1, 14.4)).
			WithTarget(instant("topk(1, "+burn("1h")+")", objective)),
		figure(about{
			title: "SLOs that burn too fast", unit: units.Short, none: noSLO,
			description: "How many SLOs have burnt faster than 1 over the last 6 hours, slo:error_ratio:rate6h: at this pace they miss their objective.",
		}).Span(6).Thresholds(rising(1, 3)).
			WithTarget(instant("count("+burn("6h")+" > 1) or 0 * count(slo:objective:ratio{$selected})", "SLOs")),
		figure(about{
			title: "SLO alerts", unit: units.Short, none: noSLO,
			description: "Alerts OtelmonSLO... that fire now. Their runbooks tell what to do first.",
		}).Span(6).Thresholds(rising(1, 2)).
			WithTarget(instant(`count(ALERTS{alertname=~"OtelmonSLO.*",alertstate="firing",$selected}) or 0 * count(slo:objective:ratio{$selected})`, "Alerts")),
		sloTable(),
	}
}

// burn is how many times faster than allowed the budget is used within a window.
func burn(window string) string {
	return "slo:error_ratio:rate" + window + "{$selected} / on ($identity, slo) (1 - slo:objective:ratio{$selected})"
}

func sloTable() cog.Builder[dashboard.Panel] {
	by := func(expr string) string { return "max by ($identity, slo) (" + expr + ")" }
	return grid(about{
		title: "Objectives", unit: units.PercentUnit, none: noSLO,
		description: "Each SLO: slo:objective:ratio, slo:error_ratio:rate30d, the budget left, and the burn rates of the windows that alert: 14.4 and 6 wake " +
			"somebody, 3 and 1 can wait for the morning.",
	}, append(serviceLabels(), label{name: "slo", title: "SLO"}), []column{
		{title: "Burn 1 h", unit: units.Short, thresholds: rising(6, 14.4), expr: by(burn("1h"))},
		{title: "Burn 6 h", unit: units.Short, thresholds: rising(1, 6), expr: by(burn("6h"))},
		{title: "Burn 1 d", unit: units.Short, thresholds: rising(1, 3), expr: by(burn("1d"))},
		{title: "Burn 3 d", unit: units.Short, thresholds: rising(0.8, 1), expr: by(burn("3d"))},
		{title: "Budget left", thresholds: falling(0, 0.25), expr: by("slo:error_budget_remaining:ratio30d{$selected}")},
		{title: "Errors of 30 days", expr: by("slo:error_ratio:rate30d{$selected}")},
		{title: "Objective", expr: by("slo:objective:ratio{$selected}")},
	})
}

func sloBurn() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Budget left", unit: units.PercentUnit, none: noSLO,
			description: "slo:error_budget_remaining:ratio30d. A step is an outage; a slope is a fault that stays. Choose 30 days above to see a whole window.",
		}).Max(1).WithTarget(query("slo:error_budget_remaining:ratio30d{$selected}", objective)),
		limits(graph(about{
			title: "Burn rate, 5 minutes and 1 hour", unit: units.Short, none: noSLO,
			description: "slo:error_ratio:rate5m and rate1h by the errors allowed. Both above 14.4, the upper line, for 2 minutes: OtelmonSLOBurnRateCritical.",
		}), rising(1, 14.4)).AxisSoftMax(16).
			WithTarget(query(burn("5m"), objective+" 5 min")).
			WithTarget(query(burn("1h"), objective+" 1 h")),
		limits(graph(about{
			title: "Burn rate, 30 minutes and 6 hours", unit: units.Short, none: noSLO,
			description: "slo:error_ratio:rate30m and rate6h by the errors allowed. Both above 6, the upper line, for 15 minutes: OtelmonSLOBurnRateCritical.",
		}), rising(1, 6)).AxisSoftMax(7).
			WithTarget(query(burn("30m"), objective+" 30 min")).
			WithTarget(query(burn("6h"), objective+" 6 h")),
		limits(graph(about{
			title: "Burn rate, 1 day and 3 days", unit: units.Short, none: noSLO,
			description: "slo:error_ratio:rate1d and rate3d by the errors allowed. With their short windows of 2 and 6 hours above 3 and 1: OtelmonSLOBurnRateWarning.",
		}), rising(1, 3)).AxisSoftMax(4).
			WithTarget(query(burn("1d"), objective+" 1 d")).
			WithTarget(query(burn("3d"), objective+" 3 d")),
	}
}

func sloCauses() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "What counts against it", unit: units.RequestsPerSecond, none: noSLO,
			description: "slo:errors:rate5m: requests that failed, or that took longer than the SLO allows.",
		}).Span(8).WithTarget(query("slo:errors:rate5m{$selected}", objective)),
		graph(about{
			title: "What is counted", unit: units.RequestsPerSecond, none: noSLO,
			description: "slo:requests:rate5m: all requests of the SLO. With few of them one error is a high burn rate; alerts wait for enough.",
		}).Span(8).WithTarget(query("slo:requests:rate5m{$selected}", objective)),
		graph(about{
			title: "Endpoints with the most errors", unit: units.RequestsPerSecond, none: "No errors",
			description: "service_route:http_server_errors:rate5m of the 10 endpoints that have most. Click for failed traces.",
		}).Span(8).
			DataLinks(links(failedTraces())).
			WithTarget(query(highest(10, "service_route:http_server_errors:rate5m{$selected}"), "{{service_name}} {{http_route}}")),
	}
}
