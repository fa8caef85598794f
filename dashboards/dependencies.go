package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noCalls is shown where a service makes no HTTP requests.
const noCalls = "No outbound requests"

// dependenciesPage answers: which of the services that this one calls is slow or fails.
func dependenciesPage() page {
	return page{
		uid:   "otelmon-dependencies",
		title: "Dependencies",
		description: "HTTP requests that the services selected make to others, as middleware.Transport measures them: seen from here, the time on " +
			"the network included. LLM APIs have a page of their own.",
		rows: []row{
			{"Now", dependenciesNow()},
			{"By server", dependenciesCourse()},
			{"Why", dependenciesErrors()},
		},
	}
}

// failureRatio is of each server the share of requests that it has failed to answer.
const failureRatio = "service_server:http_client_failures:rate5m{$selected} / (service_server:http_client_requests:rate5m{$selected} > 0)"

func dependenciesNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Outbound requests", unit: units.RequestsPerSecond, none: noCalls,
			description: "service_server:http_client_requests:rate5m, streams included.",
		}).Span(4).WithTarget(instant("sum(service_server:http_client_requests:rate5m{$selected})", "Requests")),
		figure(about{
			title: "Outbound errors", unit: units.PercentUnit, none: noCalls,
			description: "service_server:http_client_failures:rate5m as a share of the requests: no answer, 429, or a status from 500 on. Other statuses " +
				"from 400 on answer the question, and what the service itself gave up is no fault of the other side.",
		}).Span(4).Thresholds(rising(0.01, 0.05)).
			WithTarget(instant("sum(service_server:http_client_failures:rate5m{$selected}) / (sum(service_server:http_client_requests:rate5m{$selected}) > 0)", "Errors")),
		figure(about{
			title: "Worst server", unit: units.PercentUnit, none: noCalls,
			description: "The server with the highest share of service_server:http_client_failures:rate5m. Above 5 % OtelmonHTTPClientHighErrorRate fires: ask those who " +
				"run it, or see why below.",
		}).Span(6).Thresholds(rising(0.01, 0.05)).
			WithTarget(instant("topk(1, max by (server_address) ("+failureRatio+"))", "{{server_address}}")),
		figure(about{
			title: "Slowest server", unit: units.Seconds, none: noCalls,
			description: "The server with the highest service_server:http_client_request_duration_seconds:p99_rate5m.",
		}).Span(6).Thresholds(rising(0.5, 2)).
			WithTarget(instant("topk(1, max by (server_address) (service_server:http_client_request_duration_seconds:p99_rate5m{$selected}))", "{{server_address}}")),
		figure(about{
			title: "Servers", unit: units.Short, none: noCalls,
			description: "Values of server_address that are called. It is as the program writes it: names, or addresses.",
		}).Span(4).WithTarget(instant("count(group by (server_address) (service_server:http_client_requests:rate5m{$selected}))", "Servers")),
	}
}

func dependenciesCourse() []cog.Builder[dashboard.Panel] {
	const legend = "{{service_name}} → {{server_address}}"
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Requests by server", unit: units.RequestsPerSecond, none: noCalls,
			description: "service_server:http_client_requests:rate5m of the 20 busiest. More than the service gets itself: retries, or one call for each line.",
		}).WithTarget(query(highest(20, "service_server:http_client_requests:rate5m{$selected}"), legend)),
		limits(graph(about{
			title: "Errors by server", unit: units.PercentUnit, none: noCalls,
			description: "service_server:http_client_failures:rate5m as a share of the requests, of the 20 worst; the lines are 1 % and 5 %. All at once: the network or DNS of this " +
				"service; a single one: that server.",
		}), rising(0.01, 0.05)).AxisSoftMax(0.02).
			DataLinks(links(failedCalls())).
			WithTarget(query(highest(20, failureRatio), legend)),
		graph(about{
			title: "P99 by server", unit: units.Seconds, none: noCalls,
			description: "service_server:http_client_request_duration_seconds:p99_rate5m of the 10 slowest. Click for slow calls.",
		}).
			DataLinks(links(slowCalls())).
			WithTarget(query(highest(10, "service_server:http_client_request_duration_seconds:p99_rate5m{$selected}"), legend)),
		graph(about{
			title: "Latency of all servers", unit: units.Seconds, none: noCalls,
			description: "Quantiles over all servers of one service, from service_server_le:http_client_request_duration_seconds_bucket:rate5m. Compare with the " +
				"service's own: the difference is its own work.",
		}).
			Links(links(slowCalls(), serviceGraph())).
			WithTarget(query(outbound("0.5"), "{{service_name}} P50")).
			WithTarget(query(outbound("0.95"), "{{service_name}} P95")).
			WithTarget(query(outbound("0.99"), "{{service_name}} P99")),
		dependencyTable(),
	}
}

// outbound is a latency of all servers that a service calls, with classic or with native histograms.
func outbound(q string) string {
	return fmt.Sprintf(`histogram_quantile(%[1]s, sum by ($identity, le) (service_server_le:http_client_request_duration_seconds_bucket:rate5m{$selected})) >= 0
or histogram_quantile(%[1]s, sum by ($identity) (service_server:http_client_request_duration_seconds:rate5m{$selected})) >= 0`, q)
}

func dependencyTable() cog.Builder[dashboard.Panel] {
	of := func(aggregate, series string) string {
		return aggregate + " by ($identity, server_address) (service_server:" + series + "{$selected})"
	}
	return grid(about{
		title: "Servers called", unit: units.NoUnit, none: noCalls,
		description: "Each server that a service calls: service_server:http_client_requests:rate5m, its failures and quantiles. Click a service to open its page.",
	}, append(serviceLabels(), label{name: "server_address", title: "Server", links: []link{toTraces("Its calls",
		`{ resource.service.name = "${__data.fields.service_name}" && kind = client && span.server.address = "${__data.fields.server_address}" }`)}}), []column{
		{title: "Requests", unit: units.RequestsPerSecond, expr: of("sum", "http_client_requests:rate5m")},
		{title: "Errors", unit: units.PercentUnit, thresholds: rising(0.01, 0.05), expr: "max by ($identity, server_address) (" + failureRatio + ")"},
		{title: "P50", unit: units.Seconds, expr: of("max", "http_client_request_duration_seconds:p50_rate5m")},
		{title: "P95", unit: units.Seconds, expr: of("max", "http_client_request_duration_seconds:p95_rate5m")},
		{title: "P99", unit: units.Seconds, thresholds: rising(0.5, 2), expr: of("max", "http_client_request_duration_seconds:p99_rate5m")},
	})
}

func dependenciesErrors() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		stacked(graph(about{
			title: "Outbound errors by type", unit: units.RequestsPerSecond, none: "No errors",
			description: "service_server_code:http_client_requests:rate5m with an error_type: a status from 400 on, or why there was no answer: timeout, " +
				"name_resolution, connection_refused, connection_reset, tls, canceled (by the service itself). Of them 4xx other than 429 " +
				"and canceled do not count as errors above.",
		})).
			DataLinks(links(failedCalls())).
			WithTarget(query(`sum by (server_address, error_type) (service_server_code:http_client_requests:rate5m{$selected,error_type!=""})`, "{{server_address}} {{error_type}}")),
		stacked(graph(about{
			title: "Outbound requests by status", unit: units.RequestsPerSecond, none: noCalls,
			description: "service_server_code:http_client_requests:rate5m by http_response_status_code; an empty one is no answer. 429: the server limits the rate.",
		})).WithTarget(query(`sum by (http_response_status_code) (service_server_code:http_client_requests:rate5m{$selected})`, "{{http_response_status_code}}")),
	}
}

func failedCalls() link {
	return toTraces("Failed calls", `{ resource.service.name =~ "${service:pipe}" && kind = client && status = error }`)
}

func slowCalls() link {
	return toTraces("Slow calls", `{ resource.service.name =~ "${service:pipe}" && kind = client && duration > 500ms }`)
}

// serviceGraph opens the graph of all services that Tempo makes of their traces.
func serviceGraph() link {
	return linkTo("Service graph", exploreURL("tempo", `"queryType":"serviceMap"`))
}
