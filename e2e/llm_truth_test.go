package e2e_test

import (
	"fmt"
	"maps"
	"math"
	"strings"

	"github.com/otelmon/toolkit/internal/fakellm"

	"github.com/otelmon/toolkit/e2e/harness"
)

// told is what a page of metrics tells of LLM calls, or what it has to tell:
// numbers by what they are of, such as "tokens: curl,chat,input_cached".
type told map[string]float64

// The labels that numbers are told apart by.
const (
	callerLabel = "otelmon_llm_caller"
	modelLabel  = "gen_ai_request_model"
	classLabel  = "otelmon_llm_token_class"
	reasonLabel = "otelmon_llm_reason"
)

// numbers are the metrics to be looked at, by what they tell.
var numbers = map[string]struct {
	metric string
	labels []string
}{
	"attempts":       {"otelmon_llm_attempts_total", []string{callerLabel, modelLabel, "otelmon_llm_outcome", "otelmon_llm_attempt"}},
	"missing usage":  {"otelmon_llm_usage_missing_total", []string{callerLabel, modelLabel, reasonLabel}},
	"tokens":         {"otelmon_llm_tokens_total", []string{callerLabel, modelLabel, classLabel}},
	"cost":           {"otelmon_llm_cost_total", []string{callerLabel, modelLabel, classLabel}},
	"wasted tokens":  {"otelmon_llm_wasted_tokens_total", []string{callerLabel, modelLabel, reasonLabel}},
	"wasted cost":    {"otelmon_llm_wasted_cost_total", []string{callerLabel, modelLabel, reasonLabel}},
	"without price":  {"otelmon_llm_price_unknown_total", []string{callerLabel, modelLabel}},
	"usage":          {"gen_ai_client_token_usage_sum", []string{modelLabel, "gen_ai_token_type"}},
	"calls":          {"gen_ai_client_operation_duration_seconds_count", []string{modelLabel}},
	"first tokens":   {"otelmon_llm_time_to_first_token_seconds_count", []string{modelLabel}},
	"first answers":  {"otelmon_llm_time_to_first_answer_token_seconds_count", []string{modelLabel}},
	"queues":         {"otelmon_llm_queue_duration_seconds_count", []string{modelLabel}},
	"calls underway": {"otelmon_llm_active_requests", []string{modelLabel}},
}

func toldBy(page harness.Page) told {
	t := told{}
	for what, number := range numbers {
		for of, n := range page.Sums(number.metric, number.labels...) {
			t[what+": "+of] += n
		}
	}
	return t
}

// differ returns an error that says how the truth differs from what was told.
func (t told) differ(got told) error {
	keys := maps.Clone(t)
	maps.Copy(keys, got)
	var differences []string
	for _, key := range sorted(keys) {
		if math.Abs(t[key]-got[key]) > 1e-9 {
			differences = append(differences, fmt.Sprintf("%s: told %v, truth %v", key, got[key], t[key]))
		}
	}
	if len(differences) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d numbers are wrong:\n%s", len(differences), len(keys), strings.Join(differences, "\n"))
}

// of is the sum of what is told under a name.
func (t told) of(what string) (total float64) {
	for key, n := range t {
		if strings.HasPrefix(key, what+": ") {
			total += n
		}
	}
	return total
}

// count adds what a request tells of itself. Its outcome is for its tokens.
func (t told) count(r fakellm.Record, client, outcome string) {
	t["calls: "+r.Model]++
	if !r.FirstKeepAlive.IsZero() {
		t["queues: "+r.Model]++
	}
	if r.Stream && !r.FirstToken.IsZero() {
		t["first tokens: "+r.Model]++
	}
	if r.Stream && !r.FirstAnswer.IsZero() {
		t["first answers: "+r.Model]++
	}
	if r.UsageSent {
		t.countTokens(r, client+","+r.Model, outcome)
	}
}

func (t told) countTokens(r fakellm.Record, of, outcome string) {
	u := r.Usage
	for class, n := range map[string]int64{
		"input_uncached": u.UncachedInput, "input_cached": u.CachedInput, "input_cache_write": u.CacheWrite,
		"output_answer": u.AnswerTokens, "output_reasoning": u.ReasoningTokens,
	} {
		cost := float64(n) * rates[class] / 1e6
		if r.Model == unpriced {
			cost = 0
		}
		t["tokens: "+of+","+class] += float64(n)
		t["cost: "+of+","+class] += cost
		if outcome != "ok" {
			t["wasted tokens: "+of+","+outcome] += float64(n)
			t["wasted cost: "+of+","+outcome] += cost
		}
	}
	if r.Model == unpriced {
		t["without price: "+of]++
	}
	t["usage: "+r.Model+",input"] += float64(u.UncachedInput + u.CachedInput + u.CacheWrite)
	if !strings.HasSuffix(r.Path, "/embeddings") {
		t["usage: "+r.Model+",output"] += float64(u.AnswerTokens + u.ReasoningTokens)
	}
}
