package fakellm_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/golden"
)

// The bytes of each API are files under testdata, so that a shape is reviewed
// as it is sent.
func TestBytesOnTheWire(t *testing.T) {
	t.Parallel()
	usage := fakellm.Usage{UncachedInput: 118, CachedInput: 256, AnswerTokens: 44, ReasoningTokens: 17}
	written := usage
	written.CacheWrite = 1000
	text := fakellm.Answer{Text: "Paris, \"on\" the Seine.", Reasoning: "A capital.", Chunks: 2, Usage: usage}
	tool := fakellm.Answer{ToolCall: "get_weather", Usage: usage}
	with := func(a fakellm.Answer, change func(*fakellm.Answer)) fakellm.Answer {
		change(&a)
		return a
	}
	openAI := func(a *fakellm.Answer) { a.Vendor, a.Usage = fakellm.OpenAI, written }
	anthropic := func(a *fakellm.Answer) { a.Vendor, a.Usage = fakellm.Anthropic, written }

	for name, c := range map[string]struct {
		path   string
		answer fakellm.Answer
	}{
		"deepseek-chat":          {"/chat/completions", text},
		"deepseek-chat-tool":     {"/chat/completions", tool},
		"deepseek-chat-finish":   {"/chat/completions", with(text, func(a *fakellm.Answer) { a.UsageWithFinish = true })},
		"deepseek-chat-resource": {"/chat/completions", with(text, func(a *fakellm.Answer) { a.FinishReason = "insufficient_system_resource" })},
		"deepseek-completions":   {"/beta/completions", text},
		"deepseek-responses":     {"/responses", text},
		"openai-chat":            {"/v1/chat/completions", with(text, openAI)},
		"openai-chat-tool":       {"/v1/chat/completions", with(tool, openAI)},
		"openai-completions":     {"/v1/completions", with(text, openAI)},
		"openai-embeddings":      {"/v1/embeddings", with(text, openAI)},
		"openai-responses":       {"/v1/responses", with(text, openAI)},
		"openai-responses-tool":  {"/v1/responses", with(tool, openAI)},
		"openai-responses-length": {
			"/v1/responses", with(with(text, openAI), func(a *fakellm.Answer) { a.FinishReason = "length" }),
		},
		"openai-responses-failed": {
			"/v1/responses", with(with(text, openAI), func(a *fakellm.Answer) { a.FinishReason = "insufficient_system_resource" }),
		},
		"openai-responses-error": {
			"/v1/responses", with(with(text, openAI), func(a *fakellm.Answer) { a.Cut = fakellm.CutError }),
		},
		"openai-chat-error":   {"/v1/chat/completions", with(with(text, openAI), func(a *fakellm.Answer) { a.Cut = fakellm.CutError })},
		"anthropic-chat":      {"/v1/chat/completions", with(text, anthropic)},
		"anthropic-messages":  {"/v1/messages", with(text, anthropic)},
		"anthropic-tool":      {"/v1/messages", with(tool, anthropic)},
		"anthropic-error":     {"/v1/messages", with(with(text, anthropic), func(a *fakellm.Answer) { a.Cut = fakellm.CutError })},
		"anthropic-truncated": {"/v1/messages", with(with(text, anthropic), func(a *fakellm.Answer) { a.FinishReason = "length" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden.Check(t, "testdata/"+name+"-object.txt", dump(ask(t, always(c.answer), c.path, askObject)))
			if c.path != "/v1/embeddings" {
				golden.Check(t, "testdata/"+name+"-stream.txt", dump(ask(t, always(c.answer), c.path, askUsage)))
			}
		})
	}
}

// Errors of one vendor are in one file.
func TestErrorsOnTheWire(t *testing.T) {
	t.Parallel()
	statuses := []int{400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529}
	for name, c := range map[string]struct {
		path   string
		vendor fakellm.Vendor
	}{
		"deepseek":  {"/chat/completions", fakellm.DeepSeek},
		"openai":    {"/v1/chat/completions", fakellm.OpenAI},
		"anthropic": {"/v1/messages", fakellm.Anthropic},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all bytes.Buffer
			for _, status := range statuses {
				answer := fakellm.Answer{Vendor: c.vendor, Status: status}
				if status == http.StatusTooManyRequests {
					answer.RetryAfter = 1500e6
				}
				all.Write(dump(ask(t, always(answer), c.path, askObject)))
			}
			golden.Check(t, "testdata/"+name+"-errors.txt", all.Bytes())
		})
	}
}

func dump(w *httptest.ResponseRecorder) []byte {
	out := bytes.NewBufferString(fmt.Sprintf("HTTP/1.1 %d\n", w.Code))
	var lines []string
	for name, values := range w.Header() {
		lines = append(lines, name+": "+strings.Join(values, ", ")+"\n")
	}
	slices.Sort(lines)
	fmt.Fprintf(out, "%s\n%s\n", strings.Join(lines, ""), w.Body)
	return out.Bytes()
}
