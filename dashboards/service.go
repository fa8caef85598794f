package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noTraffic is shown where a service has received no requests.
const noTraffic = "No requests"

// servicePage answers: is this service well, since when not, which endpoint, which version.
func servicePage() page {
	return page{
		uid:   "otelmon-service",
		title: "Service",
		description: "Requests, errors and latency of a service and of its endpoints. " +
			"Dots on the latency graph open traces; a line of the endpoint table narrows the graphs to that endpoint.",
		variables: []cog.Builder[dashboard.VariableModel]{endpoint()},
		rows: []row{
			{"Now", serviceNow()},
			{"Requests, errors, latency", serviceCourse()},
			{"Which endpoint", serviceEndpoints()},
			{"What changed", serviceChanges()},
			{"Streams and bodies", serviceBodies()},
			{"Instances", serviceInstances()},
		},
	}
}

func serviceNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Requests", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:rate5m, streams included. When it falls without a reason, look at what is " +
				"in front of the service: callers, proxy, DNS.",
		}).WithTarget(instant("sum(service:http_server_requests:rate5m{$selected})", "Requests")),
		figure(about{
			title: "Errors", unit: units.PercentUnit, none: noTraffic,
			description: "service:http_server_errors:rate5m as a share of service:http_server_requests:rate5m. Above 1 % for five " +
				"minutes OtelmonHTTPHighErrorRate fires: see which endpoint and error type below, then open its traces.",
		}).
			Thresholds(rising(0.001, 0.01)).
			DataLinks(links(failedTraces())).
			WithTarget(instant("sum(service:http_server_errors:rate5m{$selected}) / (sum(service:http_server_requests:rate5m{$selected}) > 0)", "Errors")),
		serviceLatency("P50", "p50"),
		serviceLatency("P95", "p95"),
		serviceLatency("P99", "p99"),
		serviceApdex(),
		figure(about{
			title: "In flight", unit: units.Short, none: noTraffic,
			description: "service:http_server_active_requests:sum, requests being answered. When it grows while the rate does not, " +
				"the service waits for something: see Dependencies.",
		}).WithTarget(instant("sum(service:http_server_active_requests:sum{$selected})", "In flight")),
		serviceBudget(),
	}
}

func serviceLatency(title, series string) cog.Builder[dashboard.Panel] {
	return figure(about{
		title: title, unit: units.Seconds, none: noTraffic,
		description: "service:http_server_request_duration_seconds:" + series + "_rate5m, over all endpoints; of several services " +
			"the slowest one. Above 1 s: look for the endpoint in the table below and for slow traces.",
	}).
		Thresholds(rising(0.25, 1)).
		DataLinks(links(slowTraces())).
		WithTarget(instant("max(service:http_server_request_duration_seconds:"+series+"_rate5m{$selected})", title))
}

func serviceApdex() cog.Builder[dashboard.Panel] {
	return figure(about{
		title: "Apdex", unit: units.NoUnit, none: noTraffic,
		description: "service:http_server_apdex:rate5m; 1 is best: satisfied up to 250 ms, tolerating up to 1 s. Of several services " +
			"the worst one. Below 0.85 users notice.",
	}).
		Decimals(2).
		Thresholds(falling(0.7, 0.85)).
		WithTarget(instant("min(service:http_server_apdex:rate5m{$selected})", "Apdex"))
}

func serviceBudget() cog.Builder[dashboard.Panel] {
	return figure(about{
		title: "Error budget left", unit: units.PercentUnit, none: "No SLO",
		description: "slo:error_budget_remaining:ratio30d, the smallest of all SLOs of the service. At 0 the objective of 30 days is " +
			"missed: stop risky changes. The SLO page tells what used it up.",
	}).
		Thresholds(falling(0, 0.25)).
		DataLinks(links(linkTo("Open SLO", pageURL("otelmon-slo", keepService)))).
		WithTarget(instant("min(slo:error_budget_remaining:ratio30d{$selected})", "Budget left"))
}

func serviceCourse() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		statusClasses(),
		limits(graph(about{
			title: "Error ratio", unit: units.PercentUnit, none: noTraffic,
			description: "service_route:http_server_errors:rate5m / service_route:http_server_requests:rate5m of the endpoints selected. " +
				"The lower line is 0.1 %, the upper one 1 %, where OtelmonHTTPHighErrorRate fires. Click for failed traces.",
		}), rising(0.001, 0.01)).
			AxisSoftMax(0.02).
			Links(links(failedTraces(), serviceLogs())).
			DataLinks(links(failedTraces())).
			WithTarget(query(`sum by ($identity) (service_route:http_server_errors:rate5m{$selected,http_route=~"$endpoint"})
/ (sum by ($identity) (service_route:http_server_requests:rate5m{$selected,http_route=~"$endpoint"}) > 0)`, "{{service_name}}")),
		limits(graph(about{
			title: "Latency", unit: units.Seconds, none: noTraffic,
			description: "service:http_server_request_duration_seconds:p50_rate5m, p95 and p99, or the quantiles of the endpoints selected, and the " +
				"P99, not smoothed, of http_server_request_duration_seconds. Dots are single requests: click one to open its trace. They are shown once a service is chosen. " +
				"Lines at 250 ms and 1 s.",
		}), rising(0.25, 1)).
			Links(links(slowTraces(), serviceLogs())).
			DataLinks(links(toTraces("Traces at least this slow",
				`{ resource.service.name =~ "${service:pipe}" && kind = server && duration >= ${__value.raw}s }`))).
			WithTarget(query(quantile("50", "0.5"), "{{service_name}} P50")).
			WithTarget(query(quantile("95", "0.95"), "{{service_name}} P95")).
			WithTarget(query(quantile("99", "0.99"), "{{service_name}} P99")).
			WithTarget(query(`histogram_quantile(0.99, sum by ($identity, le) (rate(http_server_request_duration_seconds_bucket{$selected,http_route=~"$endpoint",`+someServices+`}[$__rate_interval]))) >= 0
or histogram_quantile(0.99, sum by ($identity) (rate(http_server_request_duration_seconds{$selected,http_route=~"$endpoint",`+someServices+`}[$__rate_interval]))) >= 0`,
				"{{service_name}} P99, not smoothed").Exemplar(true)),
		distribution(about{
			title: "Latency of requests", unit: units.Seconds, none: noTraffic,
			description: "service_route_le:http_server_request_duration_seconds_bucket:rate5m: how many requests a second took how long. " +
				"Two bands are two kinds of requests, such as cache hits and misses; a band that climbs is a queue.",
		}).WithTarget(buckets(bucketRates())),
	}
}

// statusClasses shows the rate of 2xx, 3xx, 4xx and 5xx in the colours of their meaning.
func statusClasses() cog.Builder[dashboard.Panel] {
	panel := stacked(graph(about{
		title: "Requests by status", unit: units.RequestsPerSecond, none: noTraffic,
		description: "service_route_method_code:http_server_requests:rate5m of the endpoints selected. 4xx are the callers' " +
			"mistakes, 5xx the service's; no answer: the caller left before there was one.",
	}))
	for _, class := range []struct{ name, color string }{
		{"1xx", neutral}, {"2xx", good}, {"3xx", "#009E73"}, {"4xx", warning}, {"5xx", bad},
	} {
		panel = panel.OverrideByName(class.name, fixedColor(class.color))
	}
	return panel.
		OverrideByName("xx", append(fixedColor("#CC79A7"), dashboard.DynamicConfigValue{Id: "displayName", Value: "no answer"})).
		WithTarget(query(`sum by (class) (label_replace(
  service_route_method_code:http_server_requests:rate5m{$selected,http_route=~"$endpoint"},
  "class", "${1}xx", "http_response_status_code", "(.?).*"))`, "{{class}}"))
}

// fixedColor are the properties of a series that always has the same colour.
func fixedColor(color string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{{Id: "color", Value: map[string]any{"mode": "fixed", "fixedColor": color}}}
}

// allEndpoints and someEndpoints are matchers, of a label that is never a route, of which one finds everything and the other
// nothing: with All, which is ".*", the few series of the service are read, else those of its endpoints. They keep the page
// fast with many services selected.
const (
	allEndpoints  = `service_name=~"$endpoint"`
	someEndpoints = `service_name!~"$endpoint",http_route=~"$endpoint"`
	// someServices likewise selects nothing while all services are, whose raw series would be too many.
	someServices = `http_request_method!~"$service"`
)

// quantile is a latency of the endpoints selected, whether the service has classic or native histograms. The comparison
// drops the NaN of a quantile of nothing.
func quantile(percent, q string) string {
	return `service:http_server_request_duration_seconds:p` + percent + `_rate5m{$selected,` + allEndpoints + `}
or histogram_quantile(` + q + `, sum by ($identity, le) (service_route_le:http_server_request_duration_seconds_bucket:rate5m{$selected,` + someEndpoints + `})) >= 0
or histogram_quantile(` + q + `, sum by ($identity) (service_route:http_server_request_duration_seconds:rate5m{$selected,` + someEndpoints + `})) >= 0`
}

// bucketRates are the rates of the buckets of the endpoints selected.
func bucketRates() string {
	return `sum by (le) (
  service_le:http_server_request_duration_seconds_bucket:rate5m{$selected,` + allEndpoints + `}
  or service_route_le:http_server_request_duration_seconds_bucket:rate5m{$selected,` + someEndpoints + `}
)
or sum (
  service:http_server_request_duration_seconds:rate5m{$selected,` + allEndpoints + `}
  or service_route:http_server_request_duration_seconds:rate5m{$selected,` + someEndpoints + `}
)`
}

func slowTraces() link {
	return toTraces("Slow traces", `{ resource.service.name =~ "${service:pipe}" && kind = server && duration > 1s }`)
}

func failedTraces() link {
	return toTraces("Failed traces", `{ resource.service.name =~ "${service:pipe}" && kind = server && status = error }`)
}

func serviceLogs() link { return toLogs("Logs", `{service_name=~"${service:pipe}"}`) }

func serviceEndpoints() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		history(about{
			title: "Errors by endpoint and time", unit: units.PercentUnit, none: noTraffic,
			description: "service_route:http_server_error_ratio:rate5m of the 25 endpoints with the highest peak. A column of colour is a " +
				"fault that they share, such as a database or a roll-out; a line is a fault of that endpoint.",
		}, rising(0.001, 0.01)).
			WithTarget(query(highest(25, `service_route:http_server_error_ratio:rate5m{$selected,http_route=~"$endpoint"}`),
				"{{service_name}} {{http_route}}")),
		endpointTable(),
		limits(graph(about{
			title: "P99 by endpoint", unit: units.Seconds, none: noTraffic,
			description: "service_route:http_server_request_duration_seconds:p99_rate5m of the 10 endpoints with the highest peak. " +
				"The one that rose first is the one to look at. Lines at 250 ms and 1 s.",
		}), rising(0.25, 1)).
			Span(8).
			DataLinks(links(slowTraces())).
			WithTarget(query(highest(10, `service_route:http_server_request_duration_seconds:p99_rate5m{$selected,http_route=~"$endpoint"}`),
				"{{service_name}} {{http_route}}")),
		stacked(graph(about{
			title: "Errors by type", unit: units.RequestsPerSecond, none: "No errors",
			description: "service_route_method_code:http_server_requests:rate5m with an error_type: a status from 500 on, the Go type of a panic, " +
				"or response_aborted. client_disconnected, callers that left, is no error of the service.",
		})).
			Span(8).
			DataLinks(links(failedTraces())).
			WithTarget(query(`sum by (error_type) (service_route_method_code:http_server_requests:rate5m{$selected,http_route=~"$endpoint",error_type!=""})`, "{{error_type}}")),
		graph(about{
			title: "Panics", unit: units.RequestsPerSecond, none: "No panics",
			description: "service_route_method_code:http_server_requests:rate5m whose error_type is the Go type of a panic. " +
				"Each one is a bug: its span has the stack.",
		}).
			Span(8).
			DataLinks(links(failedTraces())).
			WithTarget(query(`sum by (service_name, http_route, error_type) (service_route_method_code:http_server_requests:rate5m{$selected,http_route=~"$endpoint",error_type!~"|[0-9]{3}|client_disconnected|response_aborted"})`,
				"{{http_route}} {{error_type}}")),
	}
}

// endpointTable lists all endpoints whatever is selected, so that another one can be chosen from it. Of the quantiles rules
// record only the P99 of an endpoint, for graphs and alerts; the others are reckoned here, at one time.
func endpointTable() cog.Builder[dashboard.Panel] {
	latency := func(q string) string {
		return `max by ($identity, http_route) (
  histogram_quantile(` + q + `, service_route_le:http_server_request_duration_seconds_bucket:rate5m{$selected}) >= 0
  or histogram_quantile(` + q + `, service_route:http_server_request_duration_seconds:rate5m{$selected}) >= 0
)`
	}
	return grid(about{
		title: "Endpoints", unit: units.NoUnit, none: noTraffic,
		description: "service_route:http_server_requests:rate5m and its errors and quantiles, of all endpoints. Click an endpoint to narrow the " +
			"page to it, or to find its traces. _OTHER is what matched no route.",
	}, append(serviceLabels(), label{name: "http_route", title: "Endpoint", links: []link{
		linkTo("Show this endpoint only", pageURL("otelmon-service", rowService, "var-endpoint=${__data.fields.http_route:percentencode}")),
		toTraces("Traces", `{ resource.service.name = "${__data.fields.service_name:percentencode}" && span.http.route = "${__data.fields.http_route:percentencode}" }`),
	}}), []column{
		{title: "Requests", unit: units.RequestsPerSecond, expr: "sum by ($identity, http_route) (service_route:http_server_requests:rate5m{$selected})"},
		{title: "Share", unit: units.PercentUnit, expr: `sum by ($identity, http_route) (service_route:http_server_requests:rate5m{$selected})
/ on () group_left () (sum (service_route:http_server_requests:rate5m{$selected}) > 0)`},
		{
			title: "Errors", unit: units.PercentUnit, thresholds: rising(0.001, 0.01),
			expr: `sum by ($identity, http_route) (service_route:http_server_errors:rate5m{$selected})
/ (sum by ($identity, http_route) (service_route:http_server_requests:rate5m{$selected}) > 0)`,
		},
		{title: "P50", unit: units.Seconds, thresholds: rising(0.25, 1), expr: latency("0.5")},
		{title: "P95", unit: units.Seconds, thresholds: rising(0.25, 1), expr: latency("0.95")},
		{title: "P99", unit: units.Seconds, thresholds: rising(0.25, 1), expr: "max by ($identity, http_route) (service_route:http_server_request_duration_seconds:p99_rate5m{$selected})"},
	})
}

func serviceChanges() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		stacked(graph(about{
			title: "Requests by version", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service_version:http_server_requests:rate5m. Compare with the errors beside it when a roll-out begins.",
		})).WithTarget(query("sum by (service_name, service_version) (service_version:http_server_requests:rate5m{$selected})",
			"{{service_name}} {{service_version}}")),
		graph(about{
			title: "Error ratio by version", unit: units.PercentUnit, none: noTraffic,
			description: "instance:http_server_errors:rate5m / instance:http_server_requests:rate5m by service_version. " +
				"When only the new version has errors, roll it back.",
		}).WithTarget(query(`sum by (service_name, service_version) (instance:http_server_errors:rate5m{$selected})
/ (sum by (service_name, service_version) (instance:http_server_requests:rate5m{$selected}) > 0)`, "{{service_name}} {{service_version}}")),
		graph(about{
			title: "Requests against what is usual", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:rate5m now and a week earlier, and service:http_server_requests:usual_min and usual_max, " +
				"of this hour yesterday and a week ago. Far outside of them OtelmonHTTPTrafficAnomaly fires: callers have gone, or new ones have come.",
		}).
			WithTarget(query("sum(service:http_server_requests:rate5m{$selected})", "now")).
			WithTarget(query("sum(service:http_server_requests:rate5m{$selected} offset 1w)", "a week earlier")).
			WithTarget(query("sum(service:http_server_requests:usual_min{$selected})", "usual, least")).
			WithTarget(query("sum(service:http_server_requests:usual_max{$selected})", "usual, most")),
		graph(about{
			title: "Requests and forecast", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:rate5m; service:http_server_requests:predict1d as it was made a day earlier for this moment " +
				"and as it is made for the same time tomorrow. Capacity tells whether there is room.",
		}).
			Links(links(linkTo("Open Capacity", pageURL("otelmon-capacity", keepService)))).
			WithTarget(query("sum(service:http_server_requests:rate5m{$selected})", "now")).
			WithTarget(query("sum(service:http_server_requests:predict1d{$selected} offset 1d)", "forecast a day ago")).
			WithTarget(query("sum(service:http_server_requests:predict1d{$selected})", "forecast for tomorrow")),
	}
}

func serviceBodies() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Streams ended", unit: units.CountsPerSecond, none: "No streams",
			description: "otelmon_http_server_stream_duration_seconds: server-sent events, upgraded connections and routes marked as streams, " +
				"counted when they end. They are not part of the latency above.",
		}).Span(8).WithTarget(query(`sum by (http_route) (rate(otelmon_http_server_stream_duration_seconds_count{$selected,http_route=~"$endpoint"}[$__rate_interval]))
or sum by (http_route) (histogram_count(rate(otelmon_http_server_stream_duration_seconds{$selected,http_route=~"$endpoint"}[$__rate_interval])))`, "{{http_route}}")),
		graph(about{
			title: "First byte of streams, P95", unit: units.Seconds, none: "No streams, or all services",
			description: "otelmon_http_server_stream_time_to_first_byte_seconds: how long callers of a stream wait for its beginning. " +
				"Shown once a service is chosen.",
		}).Span(8).WithTarget(query(rawQuantile("0.95", "otelmon_http_server_stream_time_to_first_byte_seconds", "http_route"), "{{http_route}}")),
		graph(about{
			title: "Body sizes, P95", unit: units.BytesIEC, none: "No bodies, or all services",
			description: "http_server_request_body_size_bytes and http_server_response_body_size_bytes. A response that grows without end " +
				"is a list without pages; it is slow as well. Shown once a service is chosen.",
		}).Span(8).
			WithTarget(query(rawQuantile("0.95", "http_server_request_body_size_bytes", "service_name"), "{{service_name}} request")).
			WithTarget(query(rawQuantile("0.95", "http_server_response_body_size_bytes", "service_name"), "{{service_name}} response")),
	}
}

// rawQuantile is a quantile of a histogram of the endpoints selected that no rule records, by one label, once a service is
// chosen.
func rawQuantile(q, metric, by string) string {
	return fmt.Sprintf(`histogram_quantile(%[1]s, sum by (%[3]s, le) (rate(%[2]s_bucket{$selected,http_route=~"$endpoint",%[4]s}[$__rate_interval]))) >= 0
or histogram_quantile(%[1]s, sum by (%[3]s) (rate(%[2]s{$selected,http_route=~"$endpoint",%[4]s}[$__rate_interval]))) >= 0`, q, metric, by, someServices)
}

func serviceInstances() []cog.Builder[dashboard.Panel] {
	instance := func(about about, series string) cog.Builder[dashboard.Panel] {
		return graph(about).Span(8).
			Links(links(linkTo("Open Runtime", pageURL("otelmon-runtime", keepService)))).
			WithTarget(query(series+"{$selected}", "{{service_name}} {{service_instance_id}}"))
	}
	return []cog.Builder[dashboard.Panel]{
		instance(about{
			title: "Requests by instance", unit: units.RequestsPerSecond, none: noTraffic,
			description: "instance:http_server_requests:rate5m. One line far from the others: the load balancer, or an instance that is ill.",
		}, "instance:http_server_requests:rate5m"),
		instance(about{
			title: "CPU", unit: units.Short, none: "No instance runs",
			description: "instance:process_cpu_time_seconds:rate5m, in cores. Near the limit of the container requests wait for CPU.",
		}, "instance:process_cpu_time_seconds:rate5m"),
		instance(about{
			title: "Memory", unit: units.BytesIEC, none: "No instance runs",
			description: "instance:go_memory_used_bytes:sum, what the Go runtime uses. A line that only climbs is a leak: see Runtime.",
		}, "instance:go_memory_used_bytes:sum"),
	}
}
