package dashboards

import (
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/geomap"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// overviewPage answers: is anything wrong, and which service is it.
func overviewPage() page {
	return page{
		uid:         "otelmon-overview",
		title:       "Overview",
		description: "All services at a glance: what alerts, what fails, what is slow, what is silent. Click a service to open its page.",
		rows: []row{
			{"Now", overviewNow()},
			{"Alerts and services", []cog.Builder[dashboard.Panel]{firingAlerts(), serviceTable()}},
			{"Over time", overviewCourse()},
			{"Regions", []cog.Builder[dashboard.Panel]{regionMap(), unplacedRegions()}},
		},
	}
}

const (
	// reporting is there for each instance whose telemetry arrives.
	reporting = `target_info{$selected,service_name!=""}`
	// silent are the services that the rule of the alert finds, which also knows what may end; it fires for those that are
	// still silent after five minutes.
	silent = `group by ($identity) (ALERTS{alertname="OtelmonTelemetryAbsent",$selected})`
)

func overviewNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Critical alerts", unit: units.Short, none: "0",
			description: "ALERTS of severity critical that fire, of what is selected and of the stack itself. The list below says which, " +
				"and opens the page of what to do.",
		}).
			Thresholds(thresholds(good, step{1, bad})).
			WithTarget(instant(`count(ALERTS{alertname=~"Otelmon.*",alertstate="firing",severity="critical",$affected}) or vector(0)`, "Critical alerts")),
		figure(about{
			title: "Warnings", unit: units.Short, none: "0",
			description: "ALERTS of severity warning that fire, of what is selected and of the stack itself. They can wait for the morning, " +
				"but not for the week.",
		}).
			Thresholds(thresholds(good, step{1, warning})).
			WithTarget(instant(`count(ALERTS{alertname=~"Otelmon.*",alertstate="firing",severity="warning",$affected}) or vector(0)`, "Warnings")),
		figure(about{
			title: "Services", unit: units.Short, none: "No services",
			description: "Services that have sent target_info within the last five minutes.",
		}).WithTarget(instant("count(group by ($identity) ("+reporting+"))", "Services")),
		figure(about{
			title: "Silent services", unit: units.Short, none: "0",
			description: "Services for which OtelmonTelemetryAbsent fires, or is about to: they sent telemetry and no longer do, because they have " +
				"stopped or are cut off. The list below tells which; the Pipeline page tells whether the Collector is the cause.",
		}).
			Thresholds(thresholds(good, step{1, bad})).
			WithTarget(instant("count("+silent+") or vector(0)", "Silent services")),
		figure(about{
			title: "Requests", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:rate5m of the services selected, streams included. " +
				"A fall to a part of what is usual is an outage in front of the services.",
		}).WithTarget(instant("sum(service:http_server_requests:rate5m{$selected})", "Requests")),
		figure(about{
			title: "Errors", unit: units.PercentUnit, none: noTraffic,
			description: "service:http_server_errors:rate5m as a share of service:http_server_requests:rate5m, of the services selected " +
				"together. Above 1 %: find the service in the table below.",
		}).
			Thresholds(rising(0.001, 0.01)).
			WithTarget(instant("sum(service:http_server_errors:rate5m{$selected}) / (sum(service:http_server_requests:rate5m{$selected}) > 0)", "Errors")),
		figure(about{
			title: "P99 of the fleet", unit: units.Seconds, none: "Boundaries differ",
			description: "environment:http_server_request_duration_seconds:p99_rate5m, of all services of the environments selected. " +
				"It is absent where the histograms of services have different boundaries, which no quantile can join; see the table then.",
		}).
			Thresholds(rising(0.25, 1)).
			WithTarget(instant(`max(environment:http_server_request_duration_seconds:p99_rate5m{deployment_environment_name=~"$environment"})`, "P99")),
		llmCostAnHour(),
	}
}

// llmCostAnHour shows a number for each currency, with its name.
func llmCostAnHour() *stat.PanelBuilder {
	return figure(about{
		title: "LLM cost an hour", unit: units.Short, none: "No LLM calls",
		description: "service_model_currency:llm_cost:rate15m, as an hour at this pace costs. Higher than usual: " +
			"the LLM page tells which service, model and caller.",
	}).
		Decimals(2).
		TextMode(common.BigValueTextModeValueAndName).
		DataLinks(links(linkTo("Open LLM", pageURL("otelmon-llm", keepService)))).
		WithTarget(instant("sum by (otelmon_llm_cost_currency) (service_model_currency:llm_cost:rate15m{$selected}) * 3600", "{{otelmon_llm_cost_currency}}"))
}

// firingAlerts is a table rather than Grafana's list of alerts, which asks another part of Grafana and knows no selection.
func firingAlerts() cog.Builder[dashboard.Panel] {
	labels := slices.Concat(
		[]label{
			{name: "severity", title: "Severity"},
			{name: "alertname", title: "Alert", links: []link{
				linkTo("Open the runbook", "https://github.com/otelmon/toolkit/blob/main/docs/runbooks/${__data.fields.alertname}.md"),
			}},
		},
		serviceLabels(),
		[]label{{name: "what", title: "What"}})
	return grid(about{
		title: "Firing alerts", unit: units.Seconds, none: "Nothing fires",
		description: "ALERTS and ALERTS_FOR_STATE of otelmon's rules for what is selected and for the stack itself, the longest firing first. " +
			"What: the endpoint, server, model, SLO, instance or exporter that an alert is about. Click an alert for its runbook, a service for " +
			"its page. Alertmanager may have silenced some.",
	}, labels, []column{{
		title: "Since", unit: units.Seconds,
		expr: `time() - min by (severity, alertname, $identity, what) (` + told(`ALERTS_FOR_STATE{alertname=~"Otelmon.*",$affected}`) + `)
and max by (severity, alertname, $identity, what) (` + told(`ALERTS{alertname=~"Otelmon.*",alertstate="firing",$affected}`) + `)`,
	}}).
		Height(7).
		OverrideByName("Severity", []dashboard.DynamicConfigValue{
			{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}},
			{Id: "mappings", Value: []any{map[string]any{"type": "value", "options": map[string]any{
				"critical": map[string]any{"color": bad, "index": 0},
				"warning":  map[string]any{"color": warning, "index": 1},
			}}}},
		})
}

// told adds the label what to alerts: whatever else than the service they are about.
func told(alerts string) string {
	return `label_join(` + alerts + `, "what", " ", "` + strings.Join(alertLabels(), `", "`) + `")`
}

// alertLabels are those by which the rules tell alerts of one service, or of the stack, apart.
func alertLabels() []string {
	return []string{
		"slo", "long", "direction", "http_route", "server_address", "gen_ai_provider_name", "gen_ai_request_model",
		"otelmon_llm_outcome", "otelmon_llm_cost_currency", "metric", "part", "signal", "otelmon_signal", "error_type",
		"job", "instance", "receiver", "exporter", "data_type", "rule_group", "alertmanager", "integration",
		"otelmon_metrics_path", "service_version", "service_instance_id",
	}
}

func serviceTable() cog.Builder[dashboard.Panel] {
	return grid(about{
		title: "Services", unit: units.NoUnit, none: "No services",
		description: "A line for each service that reports: service:http_server_requests:rate5m, its errors, P99 and Apdex, " +
			"slo:error_budget_remaining:ratio30d of the SLO with the least left, instances by target_info, and the version started last. " +
			"Click a service to open its page.",
	}, append(serviceLabels(), label{name: "service_version", title: "Version"}), []column{
		{title: "Requests", unit: units.RequestsPerSecond, expr: "sum by ($identity) (service:http_server_requests:rate5m{$selected})"},
		{
			title: "Errors", unit: units.PercentUnit, thresholds: rising(0.001, 0.01),
			expr: "sum by ($identity) (service:http_server_error_ratio:rate5m{$selected})",
		},
		{
			title: "P99", unit: units.Seconds, thresholds: rising(0.25, 1),
			expr: "sum by ($identity) (service:http_server_request_duration_seconds:p99_rate5m{$selected})",
		},
		{title: "Apdex", thresholds: falling(0.7, 0.85), expr: "sum by ($identity) (service:http_server_apdex:rate5m{$selected})"},
		{
			title: "Budget left", unit: units.PercentUnit, thresholds: falling(0, 0.25),
			expr: "min by ($identity) (slo:error_budget_remaining:ratio30d{$selected})",
		},
		{title: "Instances", unit: units.Short, expr: "count by ($identity) (" + reporting + ")"},
		// The only column with a version, and only the newest one: two in a roll-out would make two lines.
		{
			title: "Started", unit: units.DateTimeFromNow,
			expr: `1000 * topk by ($identity) (1, max by ($identity, service_version) (process_start_time_seconds{$selected,service_name!=""}))`,
		},
	}).Height(10)
}

func overviewCourse() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		limits(graph(about{
			title: "Errors by service", unit: units.PercentUnit, none: noTraffic,
			description: "service:http_server_error_ratio:rate5m of the 15 services with the highest peak. Services that rise together " +
				"share the cause: see Dependencies. The upper line is 1 %, where OtelmonHTTPHighErrorRate fires.",
		}), rising(0.001, 0.01)).
			AxisSoftMax(0.02).
			DataLinks(links(toService(seriesService))).
			WithTarget(query(highest(15, "service:http_server_error_ratio:rate5m{$selected}"), "{{service_name}}")),
		limits(graph(about{
			title: "P99 by service", unit: units.Seconds, none: noTraffic,
			description: "service:http_server_request_duration_seconds:p99_rate5m of the 15 services with the highest peak. " +
				"The one that rose first is the one to look at.",
		}), rising(0.25, 1)).
			DataLinks(links(toService(seriesService))).
			WithTarget(query(highest(15, "service:http_server_request_duration_seconds:p99_rate5m{$selected}"), "{{service_name}}")),
		stacked(graph(about{
			title: "Requests by service", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:rate5m of the 15 services with the most. A gap in one service is its own; " +
				"a gap in all of them is in front of them, or in the telemetry.",
		})).
			DataLinks(links(toService(seriesService))).
			WithTarget(query(highest(15, "service:http_server_requests:rate5m{$selected}"), "{{service_name}}")),
		graph(about{
			title: "Silent services over time", unit: units.Short, none: "None",
			description: "Services for which OtelmonTelemetryAbsent fired at that moment, or was about to. " +
				"A step of many at once is a Collector or a network.",
		}).WithTarget(query("count("+silent+") or vector(0)", "silent")),
	}
}

// The rate and the share of errors of each region, in the environments selected.
const (
	regionRequests = `sum by (cloud_region) (region:http_server_requests:rate5m{deployment_environment_name=~"$environment"})`
	regionErrors   = `sum by (cloud_region) (region:http_server_errors:rate5m{deployment_environment_name=~"$environment"}) / (` + regionRequests + ` > 0)`
)

// regionMap draws a circle for each region: its size is the rate, its colour the share of errors.
func regionMap() cog.Builder[dashboard.Panel] {
	place := ` * on (cloud_region) group_left (geohash) cloud_region:geohash:info`
	marker := map[string]any{
		"showLegend": true,
		"style": map[string]any{
			"size":    map[string]any{"field": "Requests", "fixed": 6, "min": 6, "max": 24},
			"color":   map[string]any{"field": "Errors", "fixed": good},
			"opacity": 0.8,
			"symbol":  map[string]any{"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
			"text":    map[string]any{"mode": "field", "field": "cloud_region", "fixed": ""},
			"textConfig": map[string]any{
				"fontSize": 12, "offsetX": 0, "offsetY": 16, "textAlign": "center", "textBaseline": "top",
			},
		},
	}
	return describe(geomap.NewPanelBuilder(), about{
		title: "Regions on the map", unit: units.RequestsPerSecond, none: noTraffic,
		description: "region:http_server_requests:rate5m as size and the share of region:http_server_errors:rate5m as colour, placed by " +
			"cloud_region:geohash:info. One region in colour: move its traffic. The browser loads the map itself from the internet.",
	}, 14, 12).
		Thresholds(rising(0.001, 0.01)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		View(geomap.NewMapViewConfigBuilder().Id("fit").AllLayers(true).Padding(10).MaxZoom(5)).
		Controls(geomap.NewControlsOptionsBuilder().ShowZoom(true).MouseWheelZoom(false).ShowAttribution(true)).
		Basemap(common.NewMapLayerOptionsBuilder().Type("default").Name("Map")).
		Layers([]cog.Builder[common.MapLayerOptions]{
			common.NewMapLayerOptionsBuilder().Type("markers").Name("Regions").Config(marker).Tooltip(true).
				Location(common.NewFrameGeometrySourceBuilder().Mode(common.FrameGeometrySourceModeGeohash).Geohash("geohash")),
		}).
		Tooltip(geomap.NewTooltipOptionsBuilder().Mode(geomap.TooltipModeDetails)).
		OverrideByName("Errors", overrides(column{unit: units.PercentUnit})).
		WithTarget(cells("sum by (cloud_region, geohash) (" + regionRequests + place + ")")).
		WithTarget(cells("sum by (cloud_region, geohash) (" + regionErrors + place + ")")).
		WithTransformation(joined()).
		WithTransformation(arranged(
			map[string]any{"cloud_region": 0, "geohash": 1, "Value #A": 2, "Value #B": 3},
			map[string]any{"Value #A": "Requests", "Value #B": "Errors"}))
}

// unplacedRegions lists what the map leaves out, so that it never hides a region.
func unplacedRegions() cog.Builder[dashboard.Panel] {
	unplaced := ` unless on (cloud_region) cloud_region:geohash:info`
	return grid(about{
		title: "Regions not on the map", unit: units.NoUnit, none: "All regions are on the map",
		description: "region:http_server_requests:rate5m of regions without cloud_region:geohash:info. Add them to " +
			"deploy/prometheus/rules/regions.yml. Services whose resource has no cloud.region are in neither.",
	}, []label{{name: "cloud_region", title: "Region"}}, []column{
		{title: "Requests", unit: units.RequestsPerSecond, expr: "sum by (cloud_region) (" + regionRequests + unplaced + ")"},
		{
			title: "Errors", unit: units.PercentUnit, thresholds: rising(0.001, 0.01),
			expr: "sum by (cloud_region) (" + regionErrors + unplaced + ")",
		},
	}).Span(10).Height(12)
}
