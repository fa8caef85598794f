package llm_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// chunkOf is a chunk as encoding/json reads it.
type chunkOf struct {
	Model   string
	Choices []struct {
		Delta        map[string]any
		FinishReason string `json:"finish_reason"`
		Index        int
	}
	Usage *struct {
		Prompt     float64 `json:"prompt_tokens"`
		Completion float64 `json:"completion_tokens"`
	}
	Error any
}

// reference reads a stream of chat completions event by event, and each of them
// as a whole.
func reference(events []string) (result seen, tokens float64) {
	var content, failed, malformed, ended, counted bool
	var reasons []string
	choices := 0
	for _, event := range events {
		if ended = ended || event == "[DONE]"; event == "[DONE]" {
			continue
		}
		var chunk chunkOf
		if err := json.Unmarshal([]byte(event), &chunk); err != nil {
			malformed = true
			continue
		}
		failed = failed || chunk.Error != nil
		for _, choice := range chunk.Choices {
			text, _ := choice.Delta["content"].(string)
			content = content || text != ""
			choices = max(choices, choice.Index+1)
			if choice.FinishReason != "" {
				reasons = append(reasons, choice.FinishReason)
			}
		}
		if chunk.Usage != nil {
			counted, tokens = true, chunk.Usage.Prompt+chunk.Usage.Completion
		}
	}
	switch {
	case failed:
		result = seen{Outcome: "stream_error", ErrorType: "stream_error"}
	case malformed:
		result = seen{Outcome: "malformed", ErrorType: "malformed_response"}
	case len(reasons) < max(choices, 1) && !ended:
		result = seen{Outcome: "incomplete", ErrorType: "unexpected_eof"}
	case slices.Contains(reasons, "length"):
		result = seen{Outcome: "truncated", ErrorType: "length"}
	case !content:
		result = seen{Outcome: "empty", ErrorType: "empty_response"}
	default:
		result = seen{Outcome: "ok"}
	}
	switch {
	case counted && tokens > 0 && result.ErrorType != "":
		result.Wasted = result.Outcome
	case counted:
	case failed, malformed, len(reasons) < max(choices, 1) && !ended:
		result.Missing = "incomplete"
	default:
		result.Missing = "absent"
	}
	return result, tokens
}

// texts are those that shortcuts might take for something else.
func texts() []string {
	return []string{
		`Hi`, ``, ` `, `\"`, `\\`, `\\\"`, `a\\`, `\u0022`, `"finish_reason":"stop"`, `\"finish_reason\":\"length\"`, `\"usage\":{\"prompt_tokens\":7}`,
		`\"error\":{}`, `{}`, `}`, `]}`, `null`, `delta`, `\"delta\":{\"content\":\"`, `\n\n`, `data: [DONE]`, `ü`, `\ud83d\ude00`, `","finish_reason":"length`,
	}
}

// randomChunk is mostly plain text, and now and then anything.
func randomChunk(random *rand.Rand) string {
	text := texts()[random.IntN(len(texts()))]
	if !json.Valid([]byte(`"` + text + `"`)) { // it would be another field
		text = strings.ReplaceAll(text, `"`, `\"`)
	}
	finish, usage, key, space := "null", "", "content", ""
	switch random.IntN(30) {
	case 0:
		finish = []string{`"stop"`, `"length"`, `"tool_calls"`}[random.IntN(3)]
	case 1:
		usage = fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%d}`, random.IntN(100), random.IntN(100))
	case 2:
		usage = `,"usage":null`
	case 3:
		key = "reasoning_content"
	case 4:
		space = " "
	case 5:
		return `{"error":` + []string{`null`, `{"type":"x"}`, `"x"`}[random.IntN(3)] + `,"id":"1"}`
	case 6:
		return []string{"{", `{"id":"1"`, `[DONE`, `{"choices":[{"delta":{"content":"Hi"},"finish_reason":nul}]}`}[random.IntN(4)]
	case 7:
		return fmt.Sprintf(`{"usage":{"completion_tokens":%d,"prompt_tokens":3},"choices":[],"model":"m"}`, random.IntN(9))
	case 8:
		return `{"id":"1","model":"m","choices":[{"finish_reason":"stop","delta":{"content":"Hi"},"index":1}]}`
	}
	return fmt.Sprintf(`{"id":"1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"%s":%s"%s"},"logprobs":null,"finish_reason":%s}]%s}`,
		key, space, text, finish, usage)
}

// To look into streams fast, chunks of mere text are not parsed. That must
// change nothing, but that what is broken between the braces of such a chunk is
// not seen.
func TestShortcutsChangeNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	outcomes := map[string]int{}
	for range 1500 {
		var sent []string
		faulty := random.IntN(2) == 0
		for range random.IntN(60) {
			chunk := randomChunk(random)
			if !faulty && (!json.Valid([]byte(chunk)) || strings.HasPrefix(chunk, `{"error"`)) {
				continue
			}
			sent = append(sent, chunk)
		}
		if random.IntN(2) == 0 {
			sent = append(sent, "[DONE]")
		}
		s := newSDK()
		body := stream(sent...)
		if len(sent) == 0 {
			body = ""
		}
		post(t, s.over(replay([]byte(body), http.Header{"Content-Type": {eventStream}})), "http://127.0.0.1"+chat, streamBody)
		want, tokens := reference(sent)
		got := s.seen(t)
		got.Status = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", diff, strings.Join(sent, "\n"))
		}
		if counted := s.sums(t, telemetry.LLMTokens)[""]; got.Missing == "" && counted != tokens {
			t.Fatalf("%v tokens, not %v\n%s", counted, tokens, strings.Join(sent, "\n"))
		}
		outcomes[got.Outcome]++
	}
	if len(outcomes) < 5 {
		t.Errorf("the streams have too few outcomes: %v", outcomes)
	}
}
