package llm_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// objectWith is an answer of the API with the usage.
func objectWith(path, usage string) string {
	switch path {
	case messages:
		return `{"id":"1","model":"deepseek-flash","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":` + usage + `}`
	case responses:
		return `{"id":"1","model":"deepseek-flash","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":` + usage + `}`
	case embeddings:
		return `{"data":[{"embedding":[0.1]}],"model":"deepseek-flash","usage":` + usage + `}`
	}
	return `{"id":"1","model":"deepseek-flash","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":` + usage + `}`
}

type classes = map[string]float64

func TestTokensByClass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, usage string
		want        classes
	}{
		"DeepSeek's": {
			chat, `{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"completion_tokens_details":{"reasoning_tokens":20}}`,
			classes{"input_uncached": 36, "input_cached": 64, "output_answer": 30, "output_reasoning": 20},
		},
		"DeepSeek's, which tells cached tokens twice": {
			chat, `{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":64},"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}`,
			classes{"input_uncached": 36, "input_cached": 64, "output_answer": 50},
		},
		"the larger of two counts of cached tokens": {
			chat, `{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":64}`,
			classes{"input_uncached": 36, "input_cached": 64, "output_answer": 50},
		},
		"OpenAI's": {
			chat, `{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":10},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":7}}`,
			classes{"input_uncached": 50, "input_cached": 40, "input_cache_write": 10, "output_answer": 50},
		},
		"OpenAI's of responses": {
			responses, `{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":50},"total_tokens":150}`,
			classes{"input_uncached": 60, "input_cached": 40, "output_reasoning": 50},
		},
		"xAI's, whose output is without reasoning": {
			chat, `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}`,
			classes{"input_uncached": 10, "output_answer": 5, "output_reasoning": 100},
		},
		"Anthropic's, whose input is without the cache": {
			messages, `{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":5}`,
			classes{"input_uncached": 10, "input_cached": 300, "input_cache_write": 20, "output_answer": 5},
		},
		"Anthropic's, with thinking": {
			messages, `{"input_tokens":10,"output_tokens":50,"output_tokens_details":{"thinking_tokens":40}}`,
			classes{"input_uncached": 10, "output_answer": 10, "output_reasoning": 40},
		},
		"Anthropic's, without a cache": {
			messages, `{"input_tokens":10,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,"output_tokens":5}`,
			classes{"input_uncached": 10, "output_answer": 5},
		},
		"that of a gateway with the names of both": {
			chat, `{"prompt_tokens":330,"completion_tokens":5,"total_tokens":335,"prompt_tokens_details":{"cached_tokens":300},"cache_creation_input_tokens":20,"cache_read_input_tokens":300}`,
			classes{"input_uncached": 10, "input_cached": 300, "input_cache_write": 20, "output_answer": 5},
		},
		"Moonshot's": {
			chat, `{"prompt_tokens":19,"completion_tokens":13,"total_tokens":32,"cached_tokens":10}`,
			classes{"input_uncached": 9, "input_cached": 10, "output_answer": 13},
		},
		"that of embeddings":            {embeddings, `{"prompt_tokens":7,"total_tokens":7}`, classes{"input_uncached": 7}},
		"with numbers in other forms":   {chat, `{"prompt_tokens":1e2,"completion_tokens":5.0}`, classes{"input_uncached": 100, "output_answer": 5}},
		"with nulls":                    {chat, `{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}`, classes{"input_uncached": 10, "output_answer": 5}},
		"with more than is known":       {chat, `{"prompt_tokens":10,"completion_tokens":5,"cost":0.1,"x":{"prompt_tokens":7},"y":[1]}`, classes{"input_uncached": 10, "output_answer": 5}},
		"with zeros":                    {chat, `{"prompt_tokens":0,"completion_tokens":0}`, classes{}},
		"with the key in escapes or so": {chat, `{"prompt_tokens":10,"completion_tokens":5,"prompt\u005ftokens":99,"":3}`, classes{"input_uncached": 10, "output_answer": 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			s.Prices = testBook(t)
			post(t, s.over(answering(jsonType, strings.NewReader(objectWith(c.path, c.usage)))), "http://127.0.0.1"+c.path, objectBody)
			if diff := cmp.Diff(c.want, s.sums(t, telemetry.LLMTokens, telemetry.LLMTokenClass), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if got := s.seen(t); got != (seen{Outcome: "ok"}) {
				t.Errorf("got %+v", got)
			}
			want := 0.0
			for class, n := range c.want {
				want += n * map[string]float64{
					"input_uncached": 1, "input_cached": 0.1, "input_cache_write": 1.25, "output_answer": 4, "output_reasoning": 5,
				}[class] / 1e6
			}
			if got := s.sums(t, telemetry.LLMCost)[""]; math.Abs(got-want) > 1e-12 {
				t.Errorf("the cost is %v, not %v", got, want)
			}
		})
	}
}

func TestUsageThatIsNoUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ path, usage, want string }{
		"null":                               {chat, `null`, "absent"},
		"empty":                              {chat, `{}`, "absent"},
		"a list":                             {chat, `[{"prompt_tokens":1}]`, "absent"},
		"a text":                             {chat, `"10"`, "absent"},
		"without output":                     {chat, `{"prompt_tokens":10}`, "absent"},
		"without input":                      {chat, `{"completion_tokens":10}`, "absent"},
		"with an input that is null":         {chat, `{"prompt_tokens":null,"completion_tokens":10}`, "absent"},
		"of responses that are null":         {responses, `null`, "absent"},
		"of messages without output":         {messages, `{"input_tokens":10}`, "absent"},
		"negative":                           {chat, `{"prompt_tokens":-1,"completion_tokens":10}`, "invalid"},
		"a number in quotes":                 {chat, `{"prompt_tokens":"10","completion_tokens":10}`, "invalid"},
		"true":                               {chat, `{"prompt_tokens":true,"completion_tokens":10}`, "invalid"},
		"an object":                          {chat, `{"prompt_tokens":{"n":10},"completion_tokens":10}`, "invalid"},
		"a list of numbers":                  {chat, `{"prompt_tokens":[10],"completion_tokens":10}`, "invalid"},
		"no whole number":                    {chat, `{"prompt_tokens":1.5,"completion_tokens":10}`, "invalid"},
		"more than there are":                {chat, `{"prompt_tokens":1e400,"completion_tokens":10}`, "invalid"},
		"more than any call takes":           {chat, `{"prompt_tokens":9223372036854775807,"completion_tokens":10}`, "invalid"},
		"of a thousand digits":               {chat, `{"prompt_tokens":1` + strings.Repeat("0", 1000) + `,"completion_tokens":10}`, "invalid"},
		"with more cached than there is":     {chat, `{"prompt_tokens":10,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":11}}`, "invalid"},
		"with more written than there is":    {chat, `{"prompt_tokens":10,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":6}}`, "invalid"},
		"with hits and misses of too little": {chat, `{"prompt_tokens":10,"completion_tokens":10,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":5}`, "invalid"},
		"with more reasoning than output":    {chat, `{"prompt_tokens":10,"completion_tokens":10,"completion_tokens_details":{"reasoning_tokens":11}}`, "invalid"},
		"with more for an hour than written": {messages, `{"input_tokens":10,"output_tokens":10,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":6}}`, "invalid"},
		"of embeddings, negative":            {embeddings, `{"prompt_tokens":-7}`, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			body := objectWith(c.path, c.usage)
			if got := post(t, s.over(answering(jsonType, strings.NewReader(body))), "http://127.0.0.1"+c.path, objectBody); got != body {
				t.Errorf("got %q", got)
			}
			if diff := cmp.Diff(seen{Outcome: "ok", Missing: c.want}, s.seen(t)); diff != "" {
				t.Error(diff)
			}
			for _, name := range []string{telemetry.LLMTokens, telemetry.GenAITokenUsage, telemetry.LLMCost, telemetry.LLMPriceUnknown} {
				if sums := s.sums(t, name); len(sums) > 0 {
					t.Errorf("%s has %v", name, sums)
				}
			}
			if attributes := spanAttributes(s); attributes["gen_ai.usage.input_tokens"] != "" || attributes["otelmon.llm.cost.amount"] != "" {
				t.Errorf("the span has %v", attributes)
			}
		})
	}
}

// Where reasoning is to be seen and the usage does not say how much it took, it
// is not guessed.
func TestReasoningThatIsNotTold(t *testing.T) {
	t.Parallel()
	const usage = `"usage":{"prompt_tokens":10,"completion_tokens":50}`
	body := `{"model":"deepseek-flash","choices":[{"message":{"content":"Hi","reasoning_content":"Hm"},"finish_reason":"stop"}],` + usage + `}`
	for name, c := range map[string]struct {
		prices   string
		cost     float64
		unpriced float64
	}{
		"costs what both cost":      {"output: 4", 10e-6 + 200e-6, 0},
		"has no cost if they do so": {"output: 4, reasoning: 5", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			s.Prices = bookOf(t, "input: 1, "+c.prices)
			post(t, s.over(answering(jsonType, strings.NewReader(body))), "http://127.0.0.1"+chat, objectBody)
			want := classes{"input_uncached": 10, "output_unsplit": 50}
			if diff := cmp.Diff(want, s.sums(t, telemetry.LLMTokens, telemetry.LLMTokenClass)); diff != "" {
				t.Error(diff)
			}
			if got := s.sums(t, telemetry.LLMCost)[""]; math.Abs(got-c.cost) > 1e-12 {
				t.Errorf("the cost is %v, not %v", got, c.cost)
			}
			if got := s.sums(t, telemetry.LLMPriceUnknown)[""]; got != c.unpriced {
				t.Errorf("%v calls without a price", got)
			}
		})
	}
}

// The last event of a stream of messages may leave out what the first one told.
func TestUsageInPartsOfAStream(t *testing.T) {
	t.Parallel()
	start := `{"type":"message_start","message":{"id":"1","model":"deepseek-flash","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":90,"cache_creation_input_tokens":5,"output_tokens":1}}}`
	text := `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}`
	end := `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42}}`
	counted := func(n, finish string) string {
		return `{"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":` + finish + `}],"usage":{"prompt_tokens":10,"completion_tokens":` + n + `}}`
	}
	for name, c := range map[string]struct {
		path, body string
		want       classes
		seen       seen
	}{
		"that is complete": {
			messages, stream(start, text, end, `{"type":"message_stop"}`),
			classes{"input_uncached": 10, "input_cached": 90, "input_cache_write": 5, "output_answer": 42},
			seen{Outcome: "ok"},
		},
		"that ends before its end": {
			messages, stream(start, text), classes{}, unknown("incomplete", "unexpected_eof", "incomplete"),
		},
		"of Moonshot, in its choice": {
			chat, stream(textChunk, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop",`+usageField+`}]}`, "[DONE]"),
			classes{"input_uncached": 10, "output_answer": 5},
			seen{Outcome: "ok"},
		},
		"that counts with every chunk": {
			chat, stream(counted("1", "null"), counted("2", "null"), counted("3", `"stop"`), "[DONE]"),
			classes{"input_uncached": 10, "output_answer": 3},
			seen{Outcome: "ok"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			post(t, s.over(answering(eventStream, strings.NewReader(c.body))), "http://127.0.0.1"+c.path, streamBody)
			if diff := cmp.Diff(c.want, s.sums(t, telemetry.LLMTokens, telemetry.LLMTokenClass), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.seen, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
