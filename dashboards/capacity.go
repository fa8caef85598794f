package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noHistory is shown where a forecast has nothing to go by.
const noHistory = "No history yet"

// capacityPage answers: how much more will come, and what will not be enough.
func capacityPage() page {
	return page{
		uid:   "otelmon-capacity",
		title: "Capacity",
		description: "Forecasts of requests, memory and the disk of Prometheus: straight lines through the past, which know nothing of next week's " +
			"campaign. With less than a week of history they follow the course of the day.",
		rows: []row{
			{"In a week", capacityNow()},
			{"Requests", capacityRequests()},
			{"Memory and CPU", capacityResources()},
			{"Storage of metrics", capacityStorage()},
		},
	}
}

func capacityNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Requests now", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:avg1h, the average of the last hour, of the services selected.",
		}).Span(4).WithTarget(instant("sum(service:http_server_requests:avg1h{$selected})", "Now")),
		figure(about{
			title: "Requests tomorrow", unit: units.RequestsPerSecond, none: noHistory,
			description: "service:http_server_requests:predict1d, the line through the last week, a day ahead.",
		}).Span(4).WithTarget(instant("sum(service:http_server_requests:predict1d{$selected})", "Tomorrow")),
		figure(about{
			title: "Requests in a week", unit: units.RequestsPerSecond, none: noHistory,
			description: "service:http_server_requests:predict7d, the same line a week ahead. OtelmonTrafficForecast fires where it is half as much again as the " +
				"busiest hour of the last week.",
		}).Span(4).WithTarget(instant("sum(service:http_server_requests:predict7d{$selected})", "In a week")),
		figure(about{
			title: "Memory in 4 hours", unit: units.PercentUnit, none: "No GOMEMLIMIT",
			description: "instance:go_memory_used_bytes:predict4h as a share of go_memory_limit_bytes, of the worst instance. Above 100 % OtelmonMemoryForecast fires.",
		}).Span(4).Thresholds(rising(0.8, 1)).
			WithTarget(instant(`max(
  sum by ($identity, service_instance_id) (instance:go_memory_used_bytes:predict4h{$selected})
  / sum by ($identity, service_instance_id) (go_memory_limit_bytes{$selected,service_name!=""})
)`, "Memory")),
		figure(about{
			title: "Disk of Prometheus", unit: units.PercentUnit, none: "No limit of size",
			description: "prometheus_tsdb_storage_blocks_bytes as a share of prometheus_tsdb_retention_limit_bytes. At 100 % the oldest data goes before its time, " +
				"and objectives of 30 days lose their past.",
		}).Span(4).Thresholds(rising(0.6, 0.9)).
			WithTarget(instant("max(prometheus_tsdb_storage_blocks_bytes / (prometheus_tsdb_retention_limit_bytes > 0))", "Disk")),
		figure(about{
			title: "Series", unit: units.Short, none: noPrometheus,
			description: "prometheus_tsdb_head_series: series that Prometheus holds in memory, about 4 KiB each.",
		}).Span(4).WithTarget(instant("sum(prometheus_tsdb_head_series)", "Series")),
	}
}

func capacityRequests() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Requests and where they go", unit: units.RequestsPerSecond, none: noTraffic,
			description: "service:http_server_requests:avg1h of the services selected, and what the last week foretold and foretells: a day and a week ahead.",
		}).
			WithTarget(query("sum(service:http_server_requests:avg1h{$selected})", "average of an hour")).
			WithTarget(query("sum(service:http_server_requests:predict1d{$selected})", "in a day")).
			WithTarget(query("sum(service:http_server_requests:predict7d{$selected})", "in a week")),
		graph(about{
			title: "Growth by service", unit: units.PercentUnit, none: noHistory,
			description: "service:http_server_requests:predict7d against service:http_server_requests:avg1h. 100 %: twice as many in a week.",
		}).WithTarget(query(`service:http_server_requests:predict7d{$selected} / (service:http_server_requests:avg1h{$selected} > 0) - 1`, "{{service_name}}")),
		grid(about{
			title: "Services in a week", unit: units.RequestsPerSecond, none: noHistory,
			description: "Requests of each service now, in a day and in a week. Click one to open its page.",
		}, serviceLabels(), []column{
			{title: "In a week", expr: "sum by ($identity) (service:http_server_requests:predict7d{$selected})"},
			{title: "In a day", expr: "sum by ($identity) (service:http_server_requests:predict1d{$selected})"},
			{title: "Now", expr: "sum by ($identity) (service:http_server_requests:avg1h{$selected})"},
			{title: "Busiest hour of the week", expr: "sum by ($identity) (max_over_time(service:http_server_requests:avg1h{$selected}[7d]))"},
		}),
	}
}

func capacityResources() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Memory and where it goes", unit: units.BytesIEC, none: noInstances,
			description: "instance:go_memory_used_bytes:sum of the 10 largest instances, and instance:go_memory_used_bytes:predict4h of the one that grows most.",
		}).
			WithTarget(query(highest(10, "instance:go_memory_used_bytes:sum{$selected}"), instances)).
			WithTarget(query("max(instance:go_memory_used_bytes:predict4h{$selected})", "in 4 hours")),
		graph(about{
			title: "Cost of a request", unit: units.Seconds, none: noTraffic,
			description: "instance:process_cpu_time_seconds:rate5m by instance:http_server_requests:rate5m: seconds of CPU that a request takes, in all of the " +
				"service. Times the requests to come it is the CPUs to come.",
		}).WithTarget(query(`sum by ($identity) (instance:process_cpu_time_seconds:rate5m{$selected})
/ (sum by ($identity) (instance:http_server_requests:rate5m{$selected}) > 0)`, "{{service_name}}")),
	}
}

func capacityStorage() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Disk and where it goes", unit: units.BytesIEC, none: noPrometheus,
			description: "prometheus_tsdb_storage_blocks_bytes, in 4 days by the line through a week, and the limit, prometheus_tsdb_retention_limit_bytes. " +
				"OtelmonPrometheusDiskForecast fires when the line is beyond it.",
		}).Span(8).
			WithTarget(query("max(prometheus_tsdb_storage_blocks_bytes)", "blocks")).
			WithTarget(query("clamp_min(max(predict_linear(prometheus_tsdb_storage_blocks_bytes[7d], 4 * 86400)), 0)", "in 4 days")).
			WithTarget(query("max(prometheus_tsdb_retention_limit_bytes) > 0", "limit")),
		graph(about{
			title: "Series and where they go", unit: units.Short, none: noPrometheus,
			description: "prometheus_tsdb_head_series, and in a week by the line through the last day. A week's forecast of twice as many: look for labels " +
				"with ever new values, such as paths or users.",
		}).Span(8).
			WithTarget(query("sum(prometheus_tsdb_head_series)", "series")).
			WithTarget(query("clamp_min(sum(predict_linear(prometheus_tsdb_head_series[1d], 7 * 86400)), 0)", "in a week")),
		graph(about{
			title: "Series by job", unit: units.Short, none: noPrometheus,
			description: "scrape_samples_post_metric_relabeling by job: which targets have the most. What comes by OTLP is not among them.",
		}).Span(8).WithTarget(query("sum by (job) (scrape_samples_post_metric_relabeling)", "{{job}}")),
	}
}
