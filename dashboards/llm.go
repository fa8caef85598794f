package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noLLM is shown where no LLM API is called.
const noLLM = "No calls"

// chosen narrows a selector to the models selected at the head of the page.
const chosen = `{$selected,gen_ai_request_model=~"$model"}`

// money is the unit of costs: the currency is in the legend, as it is data.
const money = units.Short

// llmPage answers: do calls of LLM APIs succeed, how long do people wait, what does it cost, what of it is wasted.
func llmPage() page {
	return page{
		uid:   "otelmon-llm",
		title: "LLM",
		description: "Calls of LLM APIs, from llm.Transport or the proxy. An operation is a first attempt and what is retried for it. A model is " +
			`"other" until a call with it has succeeded. Tokens and cost are those that were told; see "What is not known".`,
		variables: []cog.Builder[dashboard.VariableModel]{model()},
		rows: []row{
			{"Now", llmNow()},
			{"Success", llmSuccess()},
			{"Latency", llmLatency()},
			{"Tokens", llmTokens()},
			{"Cost", llmCost()},
			{"What is not known", llmUnknown()},
		},
	}
}

func llmNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Operations", unit: units.RequestsPerSecond, none: noLLM,
			description: "service_model:llm_operations:rate5m: first attempts, so that a retry does not count twice.",
		}).Decimals(2).WithTarget(instant("sum(service_model:llm_operations:rate5m"+chosen+")", "Operations")),
		figure(about{
			title: "Operations that failed", unit: units.PercentUnit, none: noLLM,
			description: "1 - service_model:llm_successes:rate5m / service_model:llm_operations:rate5m: no attempt gave a complete answer. Above 5 % " +
				"OtelmonLLMHighErrorRate fires: see the outcomes below.",
		}).Thresholds(rising(0.01, 0.05)).
			WithTarget(instant("clamp_min(1 - sum(service_model:llm_successes:rate5m"+chosen+") / (sum(service_model:llm_operations:rate5m"+chosen+") > 0), 0)", "Failed")),
		figure(about{
			title: "P99", unit: units.Seconds, none: noLLM,
			description: "service_model:gen_ai_client_operation_duration_seconds:p99_rate5m of complete answers, of the slowest model.",
		}).WithTarget(instant("max(service_model:gen_ai_client_operation_duration_seconds:p99_rate5m"+chosen+")", "P99")),
		figure(about{
			title: "First token, P95", unit: units.Seconds, none: "No streams",
			description: "service_model:llm_time_to_first_token_seconds:p95_rate5m, of the slowest model. Above 10 s OtelmonLLMSlowFirstToken fires.",
		}).Thresholds(rising(5, 10)).
			WithTarget(instant("max(service_model:llm_time_to_first_token_seconds:p95_rate5m"+chosen+")", "First token")),
		figure(about{
			title: "Cost of an hour", unit: money, none: noLLM,
			description: "service_model_currency:llm_cost:rate15m times 3600, by currency, which are never added up.",
		}).WithTarget(instant("sum by (otelmon_llm_cost_currency) (service_model_currency:llm_cost:rate15m"+chosen+") * 3600", "{{otelmon_llm_cost_currency}}")),
		figure(about{
			title: "Budget used", unit: units.PercentUnit, none: "No budget",
			description: "service_currency:llm_cost:increase1d as a share of service_currency:llm_budget:per_day of the service's SLO file, of the worst service. " +
				"Above 100 % OtelmonLLMSpendOverBudget fires.",
		}).Thresholds(rising(0.8, 1)).
			WithTarget(instant("max(service_currency:llm_cost:increase1d{$selected} / on ($identity, otelmon_llm_cost_currency) service_currency:llm_budget:per_day{$selected})", "Budget")),
		figure(about{
			title: "Tokens wasted", unit: units.PercentUnit, none: noLLM,
			description: "service_model:llm_wasted_token_ratio:rate1h, of the worst model: tokens of answers that were cut off, refused or asked for again.",
		}).Thresholds(rising(0.1, 0.2)).
			WithTarget(instant("max(service_model:llm_wasted_token_ratio:rate1h"+chosen+")", "Wasted")),
		figure(about{
			title: "Input from the cache", unit: units.PercentUnit, none: noLLM,
			description: "service_model:llm_cache_hit_ratio:rate15m, of the model with the lowest share. Input from the cache costs a fraction: put what stays the " +
				"same to the front of the prompt.",
		}).WithTarget(instant("min(service_model:llm_cache_hit_ratio:rate15m"+chosen+")", "Cached")),
	}
}

func llmSuccess() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		stacked(graph(about{
			title: "Attempts by outcome", unit: units.RequestsPerSecond, none: noLLM,
			description: "service_model_outcome:llm_attempts:rate5m. rate_limited: fewer calls at once, or a higher limit; no_balance, unauthorized: no retry " +
				"helps; truncated: the limit of tokens; aborted: the program left.",
		})).WithTarget(query("sum by (otelmon_llm_outcome) (service_model_outcome:llm_attempts:rate5m"+chosen+")", "{{otelmon_llm_outcome}}")),
		limits(graph(about{
			title: "Failed operations by model", unit: units.PercentUnit, none: noLLM,
			description: "service_model:llm_error_ratio:rate5m, retries included; the lines are 1 % and 5 %.",
		}), rising(0.01, 0.05)).AxisSoftMax(0.06).
			DataLinks(links(failedCalls())).
			WithTarget(query(highest(20, "service_model:llm_error_ratio:rate5m"+chosen), "{{service_name}} {{gen_ai_request_model}}")),
		graph(about{
			title: "Operations by model", unit: units.RequestsPerSecond, none: noLLM,
			description: "service_model:llm_operations:rate5m of the 20 busiest.",
		}).Span(8).WithTarget(query(highest(20, "service_model:llm_operations:rate5m"+chosen), "{{service_name}} {{gen_ai_request_model}}")),
		graph(about{
			title: "Attempts for an operation", unit: units.Short, none: noLLM,
			description: "service_model_outcome:llm_attempts:rate5m by service_model:llm_operations:rate5m: 1 is no retry. What climbs here is paid for in time, " +
				"and at the limit of the rate makes it worse.",
		}).Span(8).WithTarget(query(`sum by (gen_ai_request_model) (service_model_outcome:llm_attempts:rate5m`+chosen+`)
/ (sum by (gen_ai_request_model) (service_model:llm_operations:rate5m`+chosen+`) > 0)`, "{{gen_ai_request_model}}")),
		graph(about{
			title: "Calls under way", unit: units.Short, none: noLLM,
			description: "otelmon_llm_active_requests. Providers limit how many there may be at once; what grows while the rate does not is a provider that is slow.",
		}).Span(8).WithTarget(query("sum by (service_name, gen_ai_request_model) (otelmon_llm_active_requests"+chosen+")", "{{service_name}} {{gen_ai_request_model}}")),
		modelTable(),
	}
}

func modelTable() cog.Builder[dashboard.Panel] {
	of := func(aggregate, series string) string {
		return aggregate + " by ($identity, gen_ai_provider_name, gen_ai_request_model) (" + series + chosen + ")"
	}
	return grid(about{
		title: "Models", unit: units.NoUnit, none: noLLM,
		description: "Each model that a service calls. Click a model to narrow the page to it.",
	}, append(serviceLabels(),
		label{name: "gen_ai_provider_name", title: "Provider"},
		label{name: "gen_ai_request_model", title: "Model", links: []link{linkTo("Only this model",
			pageURL("otelmon-llm", rowService, "var-model=${__data.fields.gen_ai_request_model:percentencode}"))}},
	), []column{
		{title: "Operations", unit: units.RequestsPerSecond, expr: of("sum", "service_model:llm_operations:rate5m")},
		{title: "Failed", unit: units.PercentUnit, thresholds: rising(0.01, 0.05), expr: of("max", "service_model:llm_error_ratio:rate5m")},
		{title: "P50", unit: units.Seconds, expr: of("max", "service_model:gen_ai_client_operation_duration_seconds:p50_rate5m")},
		{title: "P99", unit: units.Seconds, expr: of("max", "service_model:gen_ai_client_operation_duration_seconds:p99_rate5m")},
		{title: "First token, P95", unit: units.Seconds, expr: of("max", "service_model:llm_time_to_first_token_seconds:p95_rate5m")},
		{title: "Tokens a second", unit: units.Short, expr: of("sum", "service_model_class:llm_tokens:rate5m")},
		{title: "From the cache", unit: units.PercentUnit, expr: of("min", "service_model:llm_cache_hit_ratio:rate15m")},
		{title: "Wasted", unit: units.PercentUnit, thresholds: rising(0.1, 0.2), expr: of("max", "service_model:llm_wasted_token_ratio:rate1h")},
	})
}

func llmLatency() []cog.Builder[dashboard.Panel] {
	const legend = "{{service_name}} {{gen_ai_request_model}}"
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Duration of complete answers", unit: units.Seconds, none: noLLM,
			description: "service_model:gen_ai_client_operation_duration_seconds, P50 and P99 by model, and the unsmoothed P99 of all, whose dots are single calls: click " +
				"one for its trace.",
		}).
			DataLinks(links(slowCalls())).
			WithTarget(query("service_model:gen_ai_client_operation_duration_seconds:p50_rate5m"+chosen, legend+" P50")).
			WithTarget(query("service_model:gen_ai_client_operation_duration_seconds:p99_rate5m"+chosen, legend+" P99")).
			WithTarget(query(`histogram_quantile(0.99, sum by (le) (rate(gen_ai_client_operation_duration_seconds_bucket{$selected,gen_ai_request_model=~"$model",error_type=""}[$__rate_interval]))) >= 0
or histogram_quantile(0.99, sum (rate(gen_ai_client_operation_duration_seconds{$selected,gen_ai_request_model=~"$model",error_type=""}[$__rate_interval]))) >= 0`,
				"all, P99, not smoothed").Exemplar(true)),
		distribution(about{
			title: "Durations", unit: units.Seconds, none: noLLM,
			description: "service_model_le:gen_ai_client_operation_duration_seconds_bucket:rate5m: how many answers a second took how long.",
		}).WithTarget(buckets("sum by (le) (service_model_le:gen_ai_client_operation_duration_seconds_bucket:rate5m" + chosen + `)
or sum (rate(gen_ai_client_operation_duration_seconds{$selected,gen_ai_request_model=~"$model",error_type=""}[$__rate_interval]))`)),
		limits(graph(about{
			title: "Time to the first token, P95", unit: units.Seconds, none: "No streams",
			description: "service_model:llm_time_to_first_token_seconds:p95_rate5m: reasoning counts. The line is 10 s.",
		}), thresholds(good, step{10, bad})).Span(8).
			WithTarget(query("service_model:llm_time_to_first_token_seconds:p95_rate5m"+chosen, legend)),
		graph(about{
			title: "Time to the first token of the answer", unit: units.Seconds, none: "No streams",
			description: "service_model:llm_time_to_first_answer_token_seconds, P50 and P95: what a user waits for. The distance to the first token is reasoning.",
		}).Span(8).
			WithTarget(query("service_model:llm_time_to_first_answer_token_seconds:p50_rate5m"+chosen, legend+" P50")).
			WithTarget(query("service_model:llm_time_to_first_answer_token_seconds:p95_rate5m"+chosen, legend+" P95")),
		graph(about{
			title: "Time in the provider's queue", unit: units.Seconds, none: "No queue was seen",
			description: "P95 of otelmon_llm_queue_duration_seconds: keep-alive lines before the first token, as DeepSeek sends them under load.",
		}).Span(8).
			WithTarget(query(`histogram_quantile(0.95, sum by (le, gen_ai_request_model) (rate(otelmon_llm_queue_duration_seconds_bucket{$selected,gen_ai_request_model=~"$model"}[$__rate_interval]))) >= 0
or histogram_quantile(0.95, sum by (gen_ai_request_model) (rate(otelmon_llm_queue_duration_seconds{$selected,gen_ai_request_model=~"$model"}[$__rate_interval]))) >= 0`,
				"{{gen_ai_request_model}}")),
	}
}

func llmTokens() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		stacked(graph(about{
			title: "Tokens by class", unit: units.CountsPerSecond, none: noLLM,
			description: "service_model_class:llm_tokens:rate5m. The classes do not overlap: input that is cached and not, output that is answer and reasoning.",
		})).WithTarget(query("sum by (otelmon_llm_token_class) (service_model_class:llm_tokens:rate5m"+chosen+")", "{{otelmon_llm_token_class}}")),
		graph(about{
			title: "Tokens of an operation", unit: units.Short, none: noLLM,
			description: "service_model_class:llm_tokens:rate5m by service_model:llm_operations:rate5m, input and output. Input that climbs: histories that are never cut.",
		}).
			WithTarget(query(`sum by (gen_ai_request_model) (service_model_class:llm_tokens:rate5m{$selected,gen_ai_request_model=~"$model",otelmon_llm_token_class=~"input_.*"})
/ (sum by (gen_ai_request_model) (service_model:llm_operations:rate5m`+chosen+`) > 0)`, "{{gen_ai_request_model}} input")).
			WithTarget(query(`sum by (gen_ai_request_model) (service_model_class:llm_tokens:rate5m{$selected,gen_ai_request_model=~"$model",otelmon_llm_token_class=~"output_.*"})
/ (sum by (gen_ai_request_model) (service_model:llm_operations:rate5m`+chosen+`) > 0)`, "{{gen_ai_request_model}} output")),
		graph(about{
			title: "Input from the cache by model", unit: units.PercentUnit, none: noLLM,
			description: "service_model:llm_cache_hit_ratio:rate15m. A sudden fall: the front of the prompt has changed.",
		}).Max(1).WithTarget(query("service_model:llm_cache_hit_ratio:rate15m"+chosen, "{{service_name}} {{gen_ai_request_model}}")),
		stacked(graph(about{
			title: "Tokens wasted by reason", unit: units.CountsPerSecond, none: "Nothing wasted",
			description: "service_model_reason:llm_wasted_tokens:rate5m: tokens of answers that nobody uses. truncated: raise max_tokens; retried: complete answers that " +
				"the client asked for again.",
		})).WithTarget(query("sum by (otelmon_llm_reason) (service_model_reason:llm_wasted_tokens:rate5m"+chosen+")", "{{otelmon_llm_reason}}")),
	}
}

func llmCost() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		stacked(graph(about{
			title: "Cost of an hour by model", unit: money, none: noLLM,
			description: "service_model_currency:llm_cost:rate15m times 3600. Of what is told and has a price; compare with the bill.",
		})).WithTarget(query("sum by (gen_ai_request_model, otelmon_llm_cost_currency) (service_model_currency:llm_cost:rate15m"+chosen+") * 3600",
			"{{gen_ai_request_model}} {{otelmon_llm_cost_currency}}")),
		graph(about{
			title: "Cost of a day against the budget", unit: money, none: noLLM,
			description: "service_currency:llm_cost:increase1d, the last 24 hours at each moment, and service_currency:llm_budget:per_day where the service's SLO file " +
				"has one.",
		}).
			WithTarget(query("service_currency:llm_cost:increase1d{$selected}", "{{service_name}} {{otelmon_llm_cost_currency}}")).
			WithTarget(query("service_currency:llm_budget:per_day{$selected}", "{{service_name}} {{otelmon_llm_cost_currency}} budget")),
		stacked(graph(about{
			title: "Cost of an hour that is wasted", unit: money, none: "Nothing wasted",
			description: "service_model_currency:llm_wasted_cost:rate15m times 3600, by model.",
		})).WithTarget(query("sum by (gen_ai_request_model, otelmon_llm_cost_currency) (service_model_currency:llm_wasted_cost:rate15m"+chosen+") * 3600",
			"{{gen_ai_request_model}} {{otelmon_llm_cost_currency}}")),
		graph(about{
			title: "Cost of an operation", unit: money, none: noLLM,
			description: "service_model_currency:llm_cost:rate15m by service_model:llm_operations:rate5m, over all services. What makes it jump: a dearer model, longer " +
				"prompts, a colder cache.",
		}).WithTarget(query(`sum by (gen_ai_request_model, otelmon_llm_cost_currency) (service_model_currency:llm_cost:rate15m`+chosen+`)
/ on (gen_ai_request_model) group_left () (sum by (gen_ai_request_model) (avg_over_time(service_model:llm_operations:rate5m`+chosen+`[15m])) > 0)`,
			"{{gen_ai_request_model}} {{otelmon_llm_cost_currency}}")),
	}
}

func llmUnknown() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Calls without usage", unit: units.RequestsPerSecond, none: "All usage is known",
			description: "service_model_reason:llm_usage_missing:rate5m: calls whose tokens are not known, and why. not_requested: switch on IncludeUsage; aborted: the " +
				"program left before it came.",
		}).Span(8).WithTarget(query("sum by (otelmon_llm_reason) (service_model_reason:llm_usage_missing:rate5m"+chosen+")", "{{otelmon_llm_reason}}")),
		graph(about{
			title: "Calls without a price", unit: units.RequestsPerSecond, none: "All prices are known",
			description: "rate of otelmon_llm_price_unknown_total: calls of models that the price book does not know. Add them to a book of your own.",
		}).Span(8).WithTarget(query("sum by (gen_ai_request_model) (rate(otelmon_llm_price_unknown_total"+chosen+"[$__rate_interval]))", "{{gen_ai_request_model}}")),
		graph(about{
			title: "Failures of the proxy", unit: units.RequestsPerSecond, none: "None, or no proxy",
			description: "rate of otelmon_proxy_upstream_failures_total: what the proxy had to answer itself, by upstream and reason.",
		}).Span(8).WithTarget(query("sum by (otelmon_proxy_upstream, error_type) (rate(otelmon_proxy_upstream_failures_total{$selected}[$__rate_interval]))",
			"{{otelmon_proxy_upstream}} {{error_type}}")),
	}
}
