package fakellm_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// told is what a client finds in an answer.
type told struct {
	ID, Model, Text, Reasoning, Tool, Arguments, Finish string
	Usage                                               *fakellm.Usage
}

// tokens has every field in which an API tells tokens.
type tokens struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
	PromptDetails    struct {
		Cached int64 `json:"cached_tokens"`
		Writes int64 `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
	Hit  int64 `json:"prompt_cache_hit_tokens"`
	Miss int64 `json:"prompt_cache_miss_tokens"`

	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	InputDetails struct {
		Cached int64 `json:"cached_tokens"`
		Writes int64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
		Thinking  int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
	CacheCreation int64 `json:"cache_creation_input_tokens"`
	CacheRead     int64 `json:"cache_read_input_tokens"`
}

// usage reads the tokens as the documentation of the path says.
func (u *tokens) usage(t *testing.T, path string) *fakellm.Usage {
	t.Helper()
	switch {
	case u == nil:
		return nil
	case path == "/messages":
		return &fakellm.Usage{
			UncachedInput: u.InputTokens, CachedInput: u.CacheRead, CacheWrite: u.CacheCreation,
			AnswerTokens: u.OutputTokens - u.OutputDetails.Thinking, ReasoningTokens: u.OutputDetails.Thinking,
		}
	case path == "/responses":
		if u.TotalTokens != u.InputTokens+u.OutputTokens {
			t.Errorf("%d tokens in total, want the sum of %d and %d", u.TotalTokens, u.InputTokens, u.OutputTokens)
		}
		return &fakellm.Usage{
			UncachedInput: u.InputTokens - u.InputDetails.Cached - u.InputDetails.Writes,
			CachedInput:   u.InputDetails.Cached, CacheWrite: u.InputDetails.Writes,
			AnswerTokens: u.OutputTokens - u.OutputDetails.Reasoning, ReasoningTokens: u.OutputDetails.Reasoning,
		}
	}
	if u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("%d tokens in total, want the sum of %d and %d", u.TotalTokens, u.PromptTokens, u.CompletionTokens)
	}
	if u.Hit+u.Miss > 0 && (u.Hit+u.Miss != u.PromptTokens || u.Hit != u.PromptDetails.Cached) {
		t.Errorf("%d hits and %d misses, want %d of %d", u.Hit, u.Miss, u.PromptDetails.Cached, u.PromptTokens)
	}
	return &fakellm.Usage{
		UncachedInput: u.PromptTokens - u.PromptDetails.Cached - u.PromptDetails.Writes,
		CachedInput:   u.PromptDetails.Cached, CacheWrite: u.PromptDetails.Writes,
		AnswerTokens: u.CompletionTokens - u.CompletionDetails.Reasoning, ReasoningTokens: u.CompletionDetails.Reasoning,
	}
}

type message struct {
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content"`
	ToolCalls []struct {
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
}

// chatAnswer is a chat completion, a text completion, or a chunk of either.
type chatAnswer struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Choices []struct {
		Message, Delta message
		Text           string  `json:"text"`
		FinishReason   *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *tokens `json:"usage"`
}

func (out *told) addChat(t *testing.T, path, payload, object string) {
	t.Helper()
	a := decode[chatAnswer](t, payload)
	if a.Object != object || (a.Created == 0) != (object == "list") {
		t.Errorf("object %q of %d, want %q", a.Object, a.Created, object)
	}
	out.ID, out.Model = a.ID, a.Model
	if a.Usage != nil {
		out.Usage = a.Usage.usage(t, path)
	}
	for _, choice := range a.Choices {
		out.Text += choice.Text
		for _, m := range []message{choice.Message, choice.Delta} {
			out.Text += m.Content
			out.Reasoning += m.Reasoning
			for _, call := range m.ToolCalls {
				out.Tool += call.Function.Name
				out.Arguments += call.Function.Arguments
			}
		}
		if choice.FinishReason != nil {
			out.Finish += *choice.FinishReason
		}
	}
}

// response is an answer of /responses.
type response struct {
	ID     string `json:"id"`
	Model  string `json:"model"`
	Status string `json:"status"`
	Output []struct {
		Type             string `json:"type"`
		Name             string `json:"name"`
		Arguments        string `json:"arguments"`
		Content, Summary []struct {
			Text string `json:"text"`
		}
	} `json:"output"`
	IncompleteDetails *struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
	Usage *tokens `json:"usage"`
}

func (out *told) addResponse(t *testing.T, r response) {
	t.Helper()
	out.ID, out.Model, out.Finish, out.Usage = r.ID, r.Model, r.Status, r.Usage.usage(t, "/responses")
	if r.IncompleteDetails != nil {
		out.Finish += " " + r.IncompleteDetails.Reason
	}
	for _, item := range r.Output {
		out.Tool += item.Name
		out.Arguments += item.Arguments
		for _, part := range item.Content {
			out.Text += part.Text
		}
		for _, part := range item.Summary {
			out.Reasoning += part.Text
		}
	}
}

// responses reads a stream by its deltas, and checks that its last event says
// the same.
func readResponses(t *testing.T, events []string) told {
	t.Helper()
	var deltas, last told
	for i, payload := range events {
		e := decode[struct {
			Type     string   `json:"type"`
			Sequence int      `json:"sequence_number"`
			Delta    string   `json:"delta"`
			Response response `json:"response"`
		}](t, payload)
		if e.Sequence != i {
			t.Errorf("event %d has the number %d", i, e.Sequence)
		}
		switch e.Type {
		case "response.output_text.delta":
			deltas.Text += e.Delta
		case "response.reasoning_summary_text.delta":
			deltas.Reasoning += e.Delta
		case "response.function_call_arguments.delta":
			deltas.Arguments += e.Delta
		}
		last = told{}
		last.addResponse(t, e.Response)
	}
	if deltas.Text != last.Text || deltas.Reasoning != last.Reasoning || deltas.Arguments != last.Arguments {
		t.Errorf("pieces %+v, want those of %+v", deltas, last)
	}
	return last
}

// content is a block of a message of Anthropic, or a piece of it.
type content struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	Name     string          `json:"name"`
	Input    json.RawMessage `json:"input"`
	Partial  string          `json:"partial_json"`
}

type anthropicMessage struct {
	ID         string    `json:"id"`
	Model      string    `json:"model"`
	Content    []content `json:"content"`
	StopReason string    `json:"stop_reason"`
	Usage      *tokens   `json:"usage"`
}

func (out *told) addContent(c content) {
	out.Text += c.Text
	out.Reasoning += c.Thinking
	out.Tool += c.Name
	out.Arguments += c.Partial
}

func readMessage(t *testing.T, body string) told {
	t.Helper()
	m := decode[anthropicMessage](t, body)
	out := told{ID: m.ID, Model: m.Model, Finish: m.StopReason, Usage: m.Usage.usage(t, "/messages")}
	for _, c := range m.Content {
		out.addContent(c)
		out.Arguments += string(c.Input)
	}
	return out
}

func readMessages(t *testing.T, events []string) told {
	t.Helper()
	var out told
	open, blocks := false, 0
	for _, payload := range events {
		e := decode[struct {
			Type    string           `json:"type"`
			Index   int              `json:"index"`
			Message anthropicMessage `json:"message"`
			Block   content          `json:"content_block"`
			Delta   struct {
				content
				StopReason string `json:"stop_reason"`
			} `json:"delta"`
			Usage *tokens `json:"usage"`
		}](t, payload)
		switch e.Type {
		case "message_start":
			out.ID, out.Model = e.Message.ID, e.Message.Model
		case "content_block_start":
			if open || e.Index != blocks {
				t.Errorf("block %d begins, open is %v and %d were before", e.Index, open, blocks)
			}
			open = true
			out.addContent(e.Block)
		case "content_block_delta":
			out.addContent(e.Delta.content)
		case "content_block_stop":
			open = false
			blocks++
		case "message_delta":
			out.Finish, out.Usage = e.Delta.StopReason, e.Usage.usage(t, "/messages")
		}
	}
	return out
}

func decode[T any](t *testing.T, payload string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(payload), &value); err != nil {
		t.Fatalf("%v in %q", err, payload)
	}
	return value
}

// readAnswer reads any answer.
func readAnswer(t *testing.T, path, body string, stream bool) told {
	t.Helper()
	events := []string{body}
	if stream {
		events = payloads(t, body)
	}
	var out told
	switch {
	case path == "/messages" && stream:
		return readMessages(t, events)
	case path == "/messages":
		return readMessage(t, body)
	case path == "/responses" && stream:
		return readResponses(t, events)
	case path == "/responses":
		out.addResponse(t, decode[response](t, body))
		return out
	}
	object := map[string]string{"/completions": "text_completion", "/embeddings": "list"}[path]
	if path == "/chat/completions" {
		object = "chat.completion"
		if stream {
			object = "chat.completion.chunk"
		}
	}
	if stream && events[len(events)-1] != "[DONE]" {
		t.Errorf("the last event is %q, want [DONE]", events[len(events)-1])
	}
	for _, payload := range events {
		if payload != "[DONE]" {
			out.addChat(t, path, payload, object)
		}
	}
	return out
}

// finish is the word that an API has for a finish reason.
func finish(path, reason string) string {
	words := map[string]map[string]string{
		"/messages": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"},
		"/responses": {
			"stop": "completed", "tool_calls": "completed", "length": "incomplete max_output_tokens",
			"content_filter": "incomplete content_filter", "insufficient_system_resource": "failed",
		},
	}
	if word, ok := words[path][reason]; ok {
		return word
	}
	return reason
}

// Each answer is read with types of this test's own, and says what the record
// says and what was to be said.
func TestEveryShapeTellsWhatItsRecordDoes(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/chat/completions", "/completions", "/responses", "/messages"} {
		for _, vendor := range []fakellm.Vendor{fakellm.DeepSeek, fakellm.OpenAI, fakellm.Anthropic} {
			for _, stream := range []bool{false, true} {
				for _, reason := range []string{"stop", "length", "tool_calls", "content_filter", "insufficient_system_resource"} {
					t.Run(fmt.Sprint(path, vendor, stream, reason), func(t *testing.T) {
						t.Parallel()
						checkShape(t, path, reason, vendor, stream)
					})
				}
			}
		}
	}
}

func checkShape(t *testing.T, path, reason string, vendor fakellm.Vendor, stream bool) {
	t.Helper()
	answer := fakellm.Answer{
		Text: "Grüße, \"Welt\"\n\x01\x02 🚀", Reasoning: "hm… <tag>", Chunks: 4, FinishReason: reason, Vendor: vendor,
		Usage: fakellm.Usage{UncachedInput: 1, CachedInput: 20, CacheWrite: 300, AnswerTokens: 4000, ReasoningTokens: 50000},
	}
	want := told{Model: "asked", Text: answer.Text, Reasoning: answer.Reasoning, Finish: finish(path, reason)}
	if reason == "tool_calls" {
		answer.FinishReason, answer.ToolCall = "", "weather"
		want.Tool, want.Arguments = "weather", `{"location":"San Francisco","unit":"celsius"}`
	}
	if path == "/completions" {
		want.Tool, want.Arguments = "", ""
	}
	if path == "/completions" || path == "/chat/completions" && vendor == fakellm.OpenAI {
		want.Reasoning = ""
	}
	body := askObject
	if stream {
		body = askUsage
	}
	u := always(answer)
	got := readAnswer(t, path, ask(t, u, path, body).Body.String(), stream)
	record := only(t, u)
	want.ID = record.ID
	if record.UsageSent {
		want.Usage = &record.Usage
	}
	if failed := finish(path, reason) == "failed"; record.UsageSent == failed || !record.Complete {
		t.Errorf("usage sent is %v and complete %v, want %v and true", record.UsageSent, record.Complete, !failed)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What an API has no field for is told in another one, so that no token is
// lost.
func TestUsageIsToldInTheFieldsOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string
		vendor fakellm.Vendor
		want   fakellm.Usage
	}{
		"DeepSeek has no cache writes":                  {"/chat/completions", fakellm.DeepSeek, fakellm.Usage{UncachedInput: 301, CachedInput: 20, AnswerTokens: 4000, ReasoningTokens: 50000}},
		"OpenAI has every field":                        {"/responses", fakellm.OpenAI, fakellm.Usage{UncachedInput: 1, CachedInput: 20, CacheWrite: 300, AnswerTokens: 4000, ReasoningTokens: 50000}},
		"Anthropic has every field in messages":         {"/messages", fakellm.Anthropic, fakellm.Usage{UncachedInput: 1, CachedInput: 20, CacheWrite: 300, AnswerTokens: 4000, ReasoningTokens: 50000}},
		"Anthropic has only sums in chat completions":   {"/chat/completions", fakellm.Anthropic, fakellm.Usage{UncachedInput: 321, AnswerTokens: 54000}},
		"embeddings have only input":                    {"/embeddings", fakellm.OpenAI, fakellm.Usage{UncachedInput: 321}},
		"messages have Anthropic's fields for DeepSeek": {"/messages", fakellm.DeepSeek, fakellm.Usage{UncachedInput: 1, CachedInput: 20, CacheWrite: 300, AnswerTokens: 4000, ReasoningTokens: 50000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := always(fakellm.Answer{
				Vendor: c.vendor,
				Usage:  fakellm.Usage{UncachedInput: 1, CachedInput: 20, CacheWrite: 300, AnswerTokens: 4000, ReasoningTokens: 50000},
			})
			got := readAnswer(t, c.path, ask(t, u, c.path, askObject).Body.String(), false).Usage
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.want, only(t, u).Usage); diff != "" {
				t.Error(diff)
			}
		})
	}
}
