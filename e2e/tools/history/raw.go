package main

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// What services answer, call and ask for.
var (
	codes   = []string{"200", "404", "500"}
	servers = []string{"db.shop.internal", "search.shop.internal", "api.pay.example"}
	models  = []string{"small", "large", "reasoning", "other"}
)

// callsModels says that a service calls LLM APIs, which every fifth does.
func callsModels(service int) bool { return service%5 == 0 }

// recordedCalls are the rates of what a service calls.
func recordedCalls(service int) []series {
	var all []series
	add := func(s set, names ...string) {
		for _, name := range names {
			all = append(all, wave(s.with("__name__", name), 30*time.Second, 24*time.Hour, service))
		}
	}
	for _, server := range servers {
		add(identity(service).with("server_address", server), "service_server:http_client_requests:rate5m", "service_server:http_client_errors:rate5m",
			"service_server:http_client_error_ratio:rate5m", "service_server:http_client_request_duration_seconds:p99_rate5m")
	}
	if !callsModels(service) {
		return all
	}
	for _, model := range models {
		m := identity(service).with("gen_ai_provider_name", "deepseek", "gen_ai_request_model", model)
		add(m, "service_model:llm_operations:rate5m", "service_model:llm_successes:rate5m", "service_model:llm_error_ratio:rate5m",
			"service_model:gen_ai_client_operation_duration_seconds:p99_rate5m", "service_model:llm_time_to_first_token_seconds:p95_rate5m")
		add(m.with("otelmon_llm_outcome", "ok", "otelmon_llm_attempt", "first"), "service_model_outcome:llm_attempts:rate5m")
		add(m.with("otelmon_llm_reason", "truncated"), "service_model_reason:llm_wasted_tokens:rate5m", "service_model_reason:llm_usage_missing:rate5m")
		add(m.with("otelmon_llm_cost_currency", "USD"), "service_model_currency:llm_cost:rate15m", "service_model_currency:llm_wasted_cost:rate15m")
		for _, class := range tokenClasses {
			add(m.with("otelmon_llm_token_class", class), "service_model_class:llm_tokens:rate5m")
		}
	}
	return all
}

// An instance is a running service; its counters began a day ago.
type instance struct {
	fleet
	service int
	labels  set
	start   time.Time
}

func (f fleet) instances() []instance {
	start := time.Now().Add(-24 * time.Hour)
	var all []instance
	for i := range f.services {
		all = append(all, instance{f, i, identity(i).with("service_version", "1.0.0", "service_instance_id", fmt.Sprintf("instance-%d", i),
			"otelmon_metrics_path", "scrape", "job", "otelmon", "instance", fmt.Sprintf("10.0.0.%d:9464", i)), start})
	}
	return all
}

// raw are the series that Prometheus takes in.
func (f fleet) raw() []series {
	var all []series
	for _, i := range f.instances() {
		all = append(all, i.program()...)
		all = append(all, i.answers()...)
		all = append(all, i.calls()...)
		if callsModels(i.service) {
			all = append(all, i.models()...)
			all = append(all, i.costs()...)
		}
	}
	return all
}

// rawDay are those of them that a rule looks back at over a day.
func (f fleet) rawDay() []series {
	var all []series
	for _, i := range f.instances() {
		if !callsModels(i.service) {
			continue
		}
		for _, s := range i.costs() {
			s.age = 24 * time.Hour
			all = append(all, s)
		}
	}
	return all
}

// programMetrics are those of each program that have one label at most: how high a
// gauge is, or by how much a counter grows in a second.
var programMetrics = []struct {
	name, label string
	values      []string
	level, rate float64
}{
	{name: "go_memory_used_bytes", label: "go_memory_type", values: []string{"stack", "other"}, level: 4e7},
	{name: "go_memory_limit_bytes", level: 1e9},
	{name: "go_memory_gc_goal_bytes", level: 1e8},
	{name: "go_goroutine_count", level: 40},
	{name: "go_processor_limit", level: 2},
	{name: "go_memory_allocated_bytes_total", rate: 1e6},
	{name: "go_memory_allocations_total", rate: 1e4},
	{name: "process_cpu_time_seconds_total", label: "cpu_mode", values: []string{"user", "system"}, rate: 0.2},
	{name: "process_memory_usage_bytes", level: 1e8},
	{name: "process_thread_count", level: 12},
	{name: "process_unix_file_descriptor_count", level: 30},
	{name: "http_server_active_requests", label: "http_request_method", values: []string{"GET", "POST"}, level: 3},
	{name: "otel_sdk_span_started_total", label: "otel_span_sampling_result", values: []string{"RECORD_AND_SAMPLE", "DROP"}, rate: 20},
	{name: "otel_sdk_processor_span_processed_total", label: "error_type", values: []string{"", "queue_full"}, rate: 20},
	{name: "otel_sdk_processor_log_processed_total", label: "error_type", values: []string{"", "queue_full"}, rate: 5},
	{name: "otel_sdk_exporter_span_exported_total", label: "error_type", values: []string{"", "timeout"}, rate: 20},
	{name: "otel_sdk_exporter_log_exported_total", label: "error_type", values: []string{"", "timeout"}, rate: 5},
	{name: "otelmon_export_accepted_total", label: "otelmon_signal", values: signals, rate: 20},
	{name: "otelmon_export_cut_values_total", label: "otelmon_signal", values: signals, rate: 0.01},
	{name: "otelmon_export_last_success_time_seconds", label: "otelmon_signal", values: signals, level: 1.7e9},
	{name: "otelmon_export_queue_limit_bytes", label: "otelmon_signal", values: signals, level: 1e8},
	{name: "otelmon_export_queue_usage_bytes", label: "otelmon_signal", values: signals, level: 1e6},
	{name: "otelmon_metric_refused_values_total", label: "error_type", values: []string{"not_a_number"}, rate: 0.001},
	{name: "otelmon_metric_callback_failures_total", label: "error_type", values: []string{"error"}, rate: 0.001},
	{name: "otelmon_scrape_failures_total", label: "error_type", values: []string{"timeout"}, rate: 0.001},
}

var signals = []string{"traces", "metrics", "logs"}

// program are the series of the process and of its SDK.
func (i instance) program() []series {
	all := []series{
		{labels.FromStrings(i.labels.with("__name__", "target_info", "cloud_region", "eu-central-1")...), scrape, 0, func(time.Time) float64 { return 1 }},
		{labels.FromStrings(i.labels.with("__name__", "process_start_time_seconds")...), scrape, 0, func(time.Time) float64 { return float64(i.start.Unix()) }},
	}
	for _, m := range programMetrics {
		for _, value := range append(m.values, "")[:max(len(m.values), 1)] {
			s := i.labels.with("__name__", m.name)
			if value != "" {
				s = s.with(m.label, value)
			}
			if m.rate > 0 {
				all = append(all, counter(s, i.start, m.rate))
			} else {
				all = append(all, gauge(s, m.level))
			}
		}
	}
	return all
}

// answers are the series of the requests that a service gets, and of a stream.
func (i instance) answers() []series {
	var all []series
	for r := range i.routes {
		for c, code := range codes {
			endpoint := i.exchange(code).with("http_route", path(r))
			perSecond := float64(1+r) / math.Pow(50, float64(c))
			all = append(all, i.histogram("http_server_request_duration_seconds", endpoint, i.latency, perSecond)...)
			if code == "200" {
				all = append(all, i.histogram("http_server_request_body_size_bytes", endpoint, i.size, perSecond)...)
				all = append(all, i.histogram("http_server_response_body_size_bytes", endpoint, i.size, perSecond)...)
			}
		}
	}
	stream := i.exchange("200").with("http_route", "/events")
	all = append(all, i.histogram("otelmon_http_server_stream_duration_seconds", stream, i.latency, 0.1)...)
	return append(all, i.histogram("otelmon_http_server_stream_time_to_first_byte_seconds", stream, i.latency, 0.1)...)
}

// calls are the series of the requests that a service makes.
func (i instance) calls() []series {
	var all []series
	for _, server := range servers {
		for c, code := range codes {
			call := i.exchange(code).with("server_address", server, "server_port", "443")
			all = append(all, i.histogram("http_client_request_duration_seconds", call, i.latency, 5/math.Pow(50, float64(c)))...)
		}
	}
	return all
}

// exchange has the labels of requests and their answers.
func (i instance) exchange(code string) set {
	s := i.labels.with("http_request_method", "GET", "http_response_status_code", code, "url_scheme", "http", "network_protocol_version", "1.1")
	if code == "500" {
		s = s.with("error_type", code)
	}
	return s
}

var tokenClasses = []string{"input_uncached", "input_cached", "output_answer", "output_reasoning"}

// model has the labels of calls of a model.
func (i instance) model(model string) set {
	return i.labels.with("gen_ai_operation_name", "chat", "gen_ai_provider_name", "deepseek", "gen_ai_request_model", model,
		"otelmon_llm_api", "chat_completions", "server_address", "api.deepseek.com", "server_port", "443")
}

// models are the series of calls of LLM APIs, without what they cost.
func (i instance) models() []series {
	var all []series
	count := func(name string, s set, perSecond float64) {
		all = append(all, counter(s.with("__name__", name), i.start, perSecond))
	}
	for _, name := range models {
		m := i.model(name)
		for _, outcome := range []string{"ok", "rate_limited", "server_error", "truncated"} {
			count("otelmon_llm_attempts_total", m.with("otelmon_llm_outcome", outcome, "otelmon_llm_attempt", "first"), 0.5)
			count("otelmon_llm_attempts_total", m.with("otelmon_llm_outcome", outcome, "otelmon_llm_attempt", "retry"), 0.05)
		}
		for _, class := range tokenClasses {
			count("otelmon_llm_tokens_total", m.with("otelmon_llm_token_class", class), 300)
		}
		count("otelmon_llm_wasted_tokens_total", m.with("otelmon_llm_reason", "truncated"), 20)
		count("otelmon_llm_usage_missing_total", m.with("otelmon_llm_reason", "aborted"), 0.01)
		count("otelmon_llm_price_unknown_total", m, 0.01)
		all = append(all, gauge(m.with("__name__", "otelmon_llm_active_requests"), 3))
		for _, metric := range []string{
			"gen_ai_client_operation_duration_seconds", "otelmon_llm_time_to_first_token_seconds",
			"otelmon_llm_time_to_first_answer_token_seconds", "otelmon_llm_queue_duration_seconds",
		} {
			all = append(all, i.histogram(metric, m, i.llm, 0.5)...)
		}
		all = append(all, i.histogram("gen_ai_client_operation_duration_seconds", m.with("error_type", "429"), i.llm, 0.05)...)
	}
	return all
}

// costs are the series of what calls of LLM APIs cost.
func (i instance) costs() []series {
	var all []series
	for _, name := range models {
		m := i.model(name).with("otelmon_llm_cost_currency", "USD")
		for _, class := range tokenClasses {
			all = append(all, counter(m.with("__name__", "otelmon_llm_cost_total", "otelmon_llm_token_class", class), i.start, 0.01))
		}
		all = append(all, counter(m.with("__name__", "otelmon_llm_wasted_cost_total", "otelmon_llm_reason", "truncated"), i.start, 0.001))
	}
	return all
}

// histogram are the series of a histogram whose values are spread evenly over its
// buckets.
func (i instance) histogram(name string, s set, boundaries []float64, perSecond float64) []series {
	all := []series{
		counter(s.with("__name__", name+"_count"), i.start, perSecond),
		counter(s.with("__name__", name+"_sum"), i.start, perSecond*boundaries[len(boundaries)/2]),
	}
	for n, le := range boundaries {
		share := float64(n+1) / float64(len(boundaries))
		all = append(all, counter(s.with("__name__", name+"_bucket", "le", bound(le)), i.start, perSecond*share))
	}
	return all
}
