package dashboards

import (
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// What is shown where a part of the stack is not scraped.
const (
	noCollector    = "No Collector"
	noPrometheus   = "Prometheus is not scraped"
	noAlertmanager = "No Alertmanager"
)

// itemsPerSecond is the unit of rates of spans, data points and log records.
const itemsPerSecond = units.CountsPerSecond

// pipelinePage answers: does telemetry arrive, and where is it lost.
func pipelinePage() page {
	return page{
		uid:   "otelmon-pipeline",
		title: "Telemetry pipeline",
		description: "The path of telemetry from the SDK in a service through the Collector into Prometheus, and of alerts out of Alertmanager. " +
			"The Collector, Prometheus and Alertmanager are shown whole, whatever service is selected.",
		rows: []row{
			{"Now", pipelineNow()},
			{"SDK in the services", pipelineSDK()},
			{"Collector", pipelineCollector()},
			{"Prometheus", pipelinePrometheus()},
			{"Alertmanager", pipelineAlertmanager()},
		},
	}
}

func pipelineNow() []cog.Builder[dashboard.Panel] {
	return slices.Concat(servicesNow(), collectorNow(), prometheusNow())
}

func servicesNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Services", unit: units.Short, none: "No services",
			description: "Services with a target_info: those whose metrics arrive. OtelmonTelemetryAbsent names one that no longer does.",
		}).WithTarget(instant(`count(group by ($identity) (target_info{$selected,service_name!=""}))`, "Services")),
		figure(about{
			title: "Lost", unit: itemsPerSecond, none: "No services",
			description: "service:telemetry_lost_items:rate5m, spans and log records that the SDKs have dropped. Above 0: the row below tells which service and why.",
		}).Thresholds(rising(0.000001, 1)).
			WithTarget(instant("sum(service:telemetry_lost_items:rate5m{$selected})", "Lost")),
		figure(about{
			title: "Targets down", unit: units.Short, none: noPrometheus,
			description: "Targets whose up is 0: Prometheus cannot scrape them. Status, Targets in Prometheus tells the error.",
		}).Thresholds(rising(1, 2)).
			WithTarget(instant(`count(up == 0) or 0 * count(up)`, "Down")),
	}
}

func collectorNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Refused by the Collector", unit: itemsPerSecond, none: noCollector,
			description: "rate of otelcol_receiver_refused_*_total: senders with retries keep what is refused. Above 0: its memory or its queue is full.",
		}).Thresholds(rising(0.000001, 1)).
			WithTarget(instant(`(sum(rate(otelcol_receiver_refused_spans_total[$__rate_interval])) or 0 * sum(otelcol_process_memory_rss_bytes))
+ (sum(rate(otelcol_receiver_refused_metric_points_total[$__rate_interval])) or vector(0))
+ (sum(rate(otelcol_receiver_refused_log_records_total[$__rate_interval])) or vector(0))`, "Refused")),
		figure(about{
			title: "Fullest queue", unit: units.PercentUnit, none: noCollector,
			description: "otelcol_exporter_queue_size as a share of otelcol_exporter_queue_capacity, of the exporter whose queue is fullest. When it is full the " +
				"Collector refuses: see what is behind that exporter.",
		}).Thresholds(rising(0.3, 0.6)).
			WithTarget(instant("max(otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)", "Queue")),
	}
}

// prometheusNow is what takes telemetry in, and alerts out.
func prometheusNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Samples", unit: itemsPerSecond, none: noPrometheus,
			description: "rate of prometheus_tsdb_head_samples_appended_total: samples that Prometheus takes in. 0: it takes in nothing, see its log.",
		}).WithTarget(instant(`sum(rate(prometheus_tsdb_head_samples_appended_total[$__rate_interval]))`, "Samples")),
		figure(about{
			title: "Slowest rules", unit: units.PercentUnit, none: noPrometheus,
			description: "prometheus_rule_group_last_duration_seconds as a share of the group's interval, of the slowest group. At 100 % evaluations are " +
				"left out, and alerts come late.",
		}).Thresholds(rising(0.3, 0.6)).
			WithTarget(instant("max(prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds)", "Rules")),
		figure(about{
			title: "Failed notifications", unit: units.PercentUnit, none: noAlertmanager,
			description: "alertmanager_notifications_failed_total as a share of alertmanager_notifications_total in the time shown. Above 0: people do not " +
				"get alerts; the log of Alertmanager tells why.",
		}).Thresholds(rising(0.000001, 0.01)).
			WithTarget(instant(`(
  sum(increase(alertmanager_notifications_failed_total[$__range])) / (sum(increase(alertmanager_notifications_total[$__range])) > 0)
)
or 0 * count(alertmanager_notifications_total)`, "Failed")),
	}
}

func pipelineSDK() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Lost by service and reason", unit: itemsPerSecond, none: "Nothing to lose yet",
			description: "service:telemetry_lost_items:rate5m. queue_full: more than the queue holds while the Collector is away or slow; other reasons are the " +
				"answers of the Collector.",
		}).WithTarget(query(highest(20, "service:telemetry_lost_items:rate5m{$selected}"), "{{service_name}} {{signal}} {{error_type}}")),
		graph(about{
			title: "Share of spans kept", unit: units.PercentUnit, none: "No spans",
			description: "service:trace_sampling_ratio:rate5m, the sampling that there really is, of all spans started. Lower than you set: a rate limit or a " +
				"caller decides.",
		}).Max(1).WithTarget(query("service:trace_sampling_ratio:rate5m{$selected}", "{{service_name}}")),
		limits(graph(about{
			title: "Queues of the SDKs", unit: units.PercentUnit, none: "No queues",
			description: "otelmon_export_queue_usage_bytes as a share of otelmon_export_queue_limit_bytes, of the fullest instance. At 100 % the oldest is dropped.",
		}), rising(0.5, 0.8)).Max(1).
			WithTarget(query(`max by ($identity, otelmon_signal) (otelmon_export_queue_usage_bytes{$selected} / otelmon_export_queue_limit_bytes{$selected})`,
				"{{service_name}} {{otelmon_signal}}")),
		graph(about{
			title: "Time since the last delivery", unit: units.Seconds, none: "Nothing is pushed",
			description: "time() minus otelmon_export_last_success_time_seconds. It is long also where there was nothing to send; " +
				"OtelmonSDKExportStalled tells the difference.",
		}).WithTarget(query("time() - min by ($identity, otelmon_signal) (otelmon_export_last_success_time_seconds{$selected})", "{{service_name}} {{otelmon_signal}}")),
		graph(about{
			title: "Metrics left out", unit: itemsPerSecond, none: "Nothing is scraped",
			description: "rate of otelmon_scrape_failures_total by error_type: series that cannot be exposed, pages that came too late. The log of the service " +
				"names the metric.",
		}).WithTarget(query(`sum by (service_name, error_type) (rate(otelmon_scrape_failures_total{$selected}[$__rate_interval]))`, "{{service_name}} {{error_type}}")),
		graph(about{
			title: "Values cut", unit: itemsPerSecond, none: "Nothing is pushed",
			description: "rate of otelmon_export_cut_values_total: attribute values that were longer than the limit. They arrive, but not whole.",
		}).WithTarget(query(`sum by (service_name, otelmon_signal) (rate(otelmon_export_cut_values_total{$selected}[$__rate_interval]))`, "{{service_name}} {{otelmon_signal}}")),
	}
}

func pipelineCollector() []cog.Builder[dashboard.Panel] {
	perSignal := func(metric, by string) string {
		return `sum by (` + by + `) (rate(otelcol_` + metric + `_spans_total[$__rate_interval]))`
	}
	signals := func(panel about, metric, by, legend string) cog.Builder[dashboard.Panel] {
		built := graph(panel).Span(8)
		for _, signal := range []string{"spans", "metric_points", "log_records"} {
			built = built.WithTarget(query(`sum by (`+by+`) (rate(otelcol_`+metric+`_`+signal+`_total[$__rate_interval]))`, legend+" "+signal))
		}
		return built
	}
	return []cog.Builder[dashboard.Panel]{
		signals(about{
			title: "Accepted", unit: itemsPerSecond, none: noCollector,
			description: "rate of otelcol_receiver_accepted_*_total by receiver: what comes in.",
		}, "receiver_accepted", "receiver", "{{receiver}}"),
		signals(about{
			title: "Sent", unit: itemsPerSecond, none: noCollector,
			description: "rate of otelcol_exporter_sent_*_total by exporter: what goes out. Less than comes in: a queue grows, or a filter drops it, as it should " +
				"the copies of metrics that Prometheus scrapes.",
		}, "exporter_sent", "exporter", "{{exporter}}"),
		signals(about{
			title: "Lost on the way out", unit: itemsPerSecond, none: "Nothing lost",
			description: "rate of otelcol_exporter_send_failed_*_total: given up, because the other side refuses for good. The log of the Collector has its answer.",
		}, "exporter_send_failed", "exporter", "{{exporter}}"),
		graph(about{
			title: "Queues of the Collector", unit: units.BytesIEC, none: noCollector,
			description: "otelcol_exporter_queue_size by exporter and type of data, on disk. It grows while the other side is away, and is delivered after.",
		}).Span(8).WithTarget(query("sum by (instance, exporter, data_type) (otelcol_exporter_queue_size)", "{{exporter}} {{data_type}}")),
		graph(about{
			title: "Spans in and out", unit: itemsPerSecond, none: noCollector,
			description: "otelcol_receiver_accepted_spans_total against otelcol_exporter_sent_spans_total. They are equal without tail sampling; a gap is what the " +
				"queue holds or the sampler drops.",
		}).Span(8).
			WithTarget(query(perSignal("receiver_accepted", "job"), "in")).
			WithTarget(query(perSignal("exporter_sent", "job"), "out")),
		graph(about{
			title: "Memory of the Collector", unit: units.BytesIEC, none: noCollector,
			description: "otelcol_process_memory_rss_bytes by instance. At 75 % of its limit the Collector refuses data, until memory is free again.",
		}).Span(8).WithTarget(query("max by (job, instance) (otelcol_process_memory_rss_bytes)", "{{instance}}")),
	}
}

func pipelinePrometheus() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Samples by origin", unit: itemsPerSecond, none: noPrometheus,
			description: "scrape_samples_scraped by job, and samples appended in all: the rest came by OTLP or was recorded by rules.",
		}).Span(8).
			WithTarget(query("sum by (job) (scrape_samples_scraped) / 15", "{{job}} at 15 s")).
			WithTarget(query("sum(rate(prometheus_tsdb_head_samples_appended_total[$__rate_interval]))", "all")),
		graph(about{
			title: "Series in memory", unit: units.Short, none: noPrometheus,
			description: "prometheus_tsdb_head_series. Memory grows with it, about 4 KiB a series; a sudden rise is a label with too many values.",
		}).Span(8).WithTarget(query("sum by (instance) (prometheus_tsdb_head_series)", "{{instance}}")),
		graph(about{
			title: "Evaluation of rules", unit: units.Seconds, none: noPrometheus,
			description: "prometheus_rule_group_last_duration_seconds of the 10 slowest groups. OtelmonPrometheusSlowRules fires at half of the group's interval.",
		}).Span(8).WithTarget(query(highest(10, "prometheus_rule_group_last_duration_seconds"), "{{rule_group}}")),
		graph(about{
			title: "Duration of scrapes", unit: units.Seconds, none: noPrometheus,
			description: "scrape_duration_seconds by job, the longest. Near the timeout of 10 s targets begin to be down.",
		}).Span(8).WithTarget(query("max by (job) (scrape_duration_seconds)", "{{job}}")),
		graph(about{
			title: "Answers by interface", unit: units.RequestsPerSecond, none: noPrometheus,
			description: "rate of prometheus_http_requests_total by handler and code, of those that take and give data. Codes from 400 on at /api/v1/otlp are metrics that the " +
				"Collector cannot deliver.",
		}).Span(8).WithTarget(query(`sum by (handler, code) (rate(prometheus_http_requests_total{handler=~"/api/v1/(otlp|query|write).*|/federate"}[$__rate_interval]))`, "{{handler}} {{code}}")),
		graph(about{
			title: "Failures of rules and notifications", unit: itemsPerSecond, none: noPrometheus,
			description: "rate of prometheus_rule_evaluation_failures_total and prometheus_notifications_errors_total. Both should be 0: a rule that fails alerts " +
				"nobody.",
		}).Span(8).
			WithTarget(query("sum(rate(prometheus_rule_evaluation_failures_total[$__rate_interval]))", "rules")).
			WithTarget(query("sum(rate(prometheus_notifications_errors_total[$__rate_interval]))", "notifications")),
	}
}

func pipelineAlertmanager() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Alerts", unit: units.Short, none: noAlertmanager,
			description: "alertmanager_alerts by state. suppressed: silenced, or inhibited by another alert.",
		}).WithTarget(query("sum by (state) (alertmanager_alerts)", "{{state}}")),
		graph(about{
			title: "Notifications", unit: itemsPerSecond, none: noAlertmanager,
			description: "rate of alertmanager_notifications_total and alertmanager_notifications_failed_total by integration, where there were any.",
		}).
			WithTarget(query("sum by (integration) (rate(alertmanager_notifications_total[$__rate_interval])) > 0", "{{integration}}")).
			WithTarget(query("sum by (integration) (rate(alertmanager_notifications_failed_total[$__rate_interval])) > 0", "{{integration}} failed")),
	}
}
