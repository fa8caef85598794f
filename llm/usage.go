package llm

import (
	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// usage is what an answer says of its tokens, in the terms of its API.
type usage struct {
	input, output, total count
	cached, hit, miss    count
	cacheWrite, hourly   count // hourly: written for an hour, part of cacheWrite
	reasoning            count
	separate             bool // the cache is told as Anthropic does, whose input does not include it
	whole                bool // the input includes it all the same: that of gateways to Anthropic
	invalid              bool // a count is no count
}

// count is a number of tokens that may not be told.
type count struct {
	n    int64
	told bool
}

// visit takes one value of the usage, by its path in there. The last one wins:
// those of streams grow.
func (u *usage) visit(path []byte, v jsonscan.Value) {
	var c *count
	switch string(path) {
	case "prompt_tokens":
		c, u.whole = &u.input, true
	case "input_tokens":
		c = &u.input
	case "completion_tokens", "output_tokens":
		c = &u.output
	case "total_tokens":
		c = &u.total
	case "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens":
		c = &u.cached
	case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek's, often besides cached_tokens, and Moonshot's
		c = &u.hit
	case "prompt_cache_miss_tokens":
		c = &u.miss
	case "cache_read_input_tokens":
		c, u.separate = &u.cached, true
	case "prompt_tokens_details.cache_write_tokens", "input_tokens_details.cache_write_tokens":
		c = &u.cacheWrite
	case "cache_creation_input_tokens":
		c, u.separate = &u.cacheWrite, true
	case "cache_creation.ephemeral_1h_input_tokens":
		c = &u.hourly
	case "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens",
		"output_tokens_details.thinking_tokens": // Anthropic's
		c = &u.reasoning
	default:
		return
	}
	if v.Kind == jsonscan.Null {
		return
	}
	n, ok := v.Int()
	if !ok || v.Kind != jsonscan.Number || n < 0 || n > maxTokens {
		u.invalid = true
		return
	}
	*c = count{n, true}
}

// maxTokens is far more than any call takes, so that sums do not overflow.
const maxTokens = 1 << 40

// tokens are those of a call, in disjoint classes.
type tokens struct {
	uncached, cached, cacheWrite int64
	answer, reasoning, unsplit   int64
	hourly                       int64 // part of cacheWrite, which may have a price of its own
}

func (t tokens) input() int64  { return t.uncached + t.cached + t.cacheWrite }
func (t tokens) output() int64 { return t.answer + t.reasoning + t.unsplit }

// class is one class of tokens and how many they are.
type class struct {
	name string
	n    int64
}

func (t tokens) classes() [6]class {
	return [6]class{
		{telemetry.TokenInputUncached, t.uncached},
		{telemetry.TokenInputCached, t.cached},
		{telemetry.TokenInputCacheWrite, t.cacheWrite},
		{telemetry.TokenOutputAnswer, t.answer},
		{telemetry.TokenOutputReasoning, t.reasoning},
		{telemetry.TokenOutputUnsplit, t.unsplit},
	}
}

// tokens returns the counts by class; reasoned tells that the answer had
// reasoning in it, generates that there is output at all. It reports a reason
// where the usage cannot be used.
//
// An answer that says nothing of cached tokens had none at a price of their
// own. One that says nothing of reasoning tokens had none, unless there was
// reasoning to be seen.
func (u *usage) tokens(reasoned, generates bool) (t tokens, missing string) {
	switch {
	case u.invalid:
		return tokens{}, telemetry.UsageInvalid
	case !u.input.told, !u.output.told && generates:
		return tokens{}, telemetry.UsageAbsent
	}
	t = tokens{uncached: u.input.n, cached: max(u.cached.n, u.hit.n), cacheWrite: u.cacheWrite.n, hourly: u.hourly.n}
	if u.whole || !u.separate {
		t.uncached -= t.cached + t.cacheWrite
	}
	if t.uncached < 0 || t.hourly > t.cacheWrite || u.hit.told && u.miss.told && u.hit.n+u.miss.n != u.input.n {
		return tokens{}, telemetry.UsageInvalid
	}
	output := u.output.n
	if u.reasoning.n > 0 && u.total.told && u.total.n == u.input.n+output+u.reasoning.n {
		output += u.reasoning.n // xAI's output does not include it
	}
	switch {
	case u.reasoning.n > output:
		return tokens{}, telemetry.UsageInvalid
	case !u.reasoning.told && reasoned:
		t.unsplit = output
	default:
		t.answer, t.reasoning = output-u.reasoning.n, u.reasoning.n
	}
	return t, ""
}
