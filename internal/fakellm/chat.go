package fakellm

import (
	"fmt"
	"strings"
)

// Shapes as in https://api-docs.deepseek.com/api/create-chat-completion and
// https://platform.openai.com/docs/api-reference/chat, with the fields that
// recorded answers have.

const (
	deepSeekID          = "00000000-0000-4000-8000-"
	deepSeekFingerprint = `"system_fingerprint":"fp_eaab8d114b_prod0820_fp8_kvcache"`
	openAIFingerprint   = `"service_tier":"default","system_fingerprint":"fp_de604bd877"`
	obfuscation         = "Qup1BsQ3"
)

func chatID(a api, v Vendor) string {
	switch {
	case v == DeepSeek:
		return deepSeekID
	case a == completions:
		return "cmpl-00000000000000000"
	default:
		return "chatcmpl-00000000000000000"
	}
}

func fingerprint(v Vendor) string {
	if v == DeepSeek {
		return deepSeekFingerprint
	}
	return openAIFingerprint
}

func chatObject(of shape) []byte {
	return fmt.Appendf(nil, `{"id":"%s%s","object":"chat.completion","created":%d,"model":%s,`+
		`"choices":[{"index":0,"message":{%s},"logprobs":null,"finish_reason":%s}]%s,%s}`,
		chatID(of.api, of.answer.Vendor), idMark, created, quote(of.model),
		chatMessage(of), quote(of.finishReason()), of.usageField(), fingerprint(of.answer.Vendor))
}

func chatMessage(of shape) string {
	fields := []string{`"role":"assistant"`, `"content":` + quote(of.answer.Text)}
	if shown := of.shownReasoning(); shown != "" {
		fields = append(fields, `"reasoning_content":`+quote(shown))
	}
	if of.answer.ToolCall != "" {
		fields = append(fields, `"tool_calls":[{"index":0,`+toolCall(of, quote(toolArguments))+`}]`)
	}
	if of.answer.Vendor == OpenAI {
		fields = append(fields, `"refusal":null`, `"annotations":[]`)
	}
	return strings.Join(fields, ",")
}

func toolCall(of shape, arguments string) string {
	return fmt.Sprintf(`"id":"call_00_%s","type":"function","function":{"name":%s,"arguments":%s}`,
		idMark, quote(of.answer.ToolCall), arguments)
}

func chatStream(of shape) []event {
	events := []event{chatChunk(of, other, chatRole(of), "null")}
	for _, piece := range of.reasoningPieces() {
		events = append(events, chatChunk(of, reasoning, `{"content":null,"reasoning_content":`+piece+`}`, "null"))
	}
	for _, piece := range of.textPieces() {
		events = append(events, chatChunk(of, answering, chatContent(of, piece), "null"))
	}
	if of.answer.ToolCall != "" {
		events = append(events, chatToolCall(of)...)
	}
	final := `{}`
	if of.answer.Vendor == DeepSeek {
		final = chatContent(of, `""`)
	}
	return append(append(events, chatChunk(of, ending, final, quote(of.finishReason()))), chatEnd(of)...)
}

func chatRole(of shape) string {
	switch {
	case of.answer.Vendor == OpenAI:
		return `{"role":"assistant","content":"","refusal":null}`
	case of.shownReasoning() != "":
		return `{"role":"assistant","content":null,"reasoning_content":""}`
	default:
		return `{"role":"assistant","content":""}`
	}
}

func chatContent(of shape, piece string) string {
	if of.shownReasoning() != "" {
		return `{"content":` + piece + `,"reasoning_content":null}`
	}
	return `{"content":` + piece + `}`
}

func chatToolCall(of shape) []event {
	events := []event{chatChunk(of, answering, `{"tool_calls":[{"index":0,`+toolCall(of, `""`)+`}]}`, "null")}
	for _, piece := range argumentPieces() {
		delta := `{"tool_calls":[{"index":0,"function":{"arguments":` + piece + `}}]}`
		events = append(events, chatChunk(of, answering, delta, "null"))
	}
	return events
}

func chatChunk(of shape, k kind, delta, finish string) event {
	choice := `{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}`
	return completionChunk(of, k, "chat.completion.chunk", choice, finish != "null")
}

// completionChunk is a chunk with one choice, which carries the usage if it is
// the last one and the usage has no chunk of its own.
func completionChunk(of shape, k kind, object, choice string, last bool) event {
	usage, told := "", nothing
	switch {
	case last && of.answer.UsageWithFinish && !of.answer.NoUsage:
		usage, told = of.usageField(), allUsage
	case of.includeUsage:
		usage = `,"usage":null`
	}
	e := data(k, `{"id":"%s%s","object":"%s","created":%d,"model":%s,%s,"choices":[%s]%s%s}`,
		chatID(of.api, of.answer.Vendor), idMark, object, created, quote(of.model),
		fingerprint(of.answer.Vendor), choice, usage, obfuscationField(of))
	e.tells = told
	return e
}

func obfuscationField(of shape) string {
	if of.answer.Vendor != OpenAI {
		return ""
	}
	return `,"obfuscation":"` + obfuscation + `"`
}

// chatEnd is what follows the finish reason.
func chatEnd(of shape) []event {
	done := data(ending, "[DONE]")
	if !of.includeUsage || of.answer.NoUsage || of.answer.UsageWithFinish {
		return []event{done}
	}
	object := "chat.completion.chunk"
	if of.api == completions {
		object = "text_completion"
	}
	usage := data(ending, `{"id":"%s%s","object":"%s","created":%d,"model":%s,%s,"choices":[]%s%s}`,
		chatID(of.api, of.answer.Vendor), idMark, object, created, quote(of.model),
		fingerprint(of.answer.Vendor), of.usageField(), obfuscationField(of))
	usage.tells = allUsage
	return []event{usage, done}
}

func completionObject(of shape) []byte {
	return fmt.Appendf(nil, `{"id":"%s%s","object":"text_completion","created":%d,"model":%s,`+
		`"choices":[{"text":%s,"index":0,"logprobs":null,"finish_reason":%s}]%s,%s}`,
		chatID(of.api, of.answer.Vendor), idMark, created, quote(of.model),
		quote(of.answer.Text), quote(of.finishReason()), of.usageField(), fingerprint(of.answer.Vendor))
}

func completionStream(of shape) []event {
	var events []event
	for _, piece := range of.textPieces() {
		events = append(events, completionPiece(of, answering, piece, "null"))
	}
	events = append(events, completionPiece(of, ending, `""`, quote(of.finishReason())))
	return append(events, chatEnd(of)...)
}

func completionPiece(of shape, k kind, text, finish string) event {
	choice := `{"text":` + text + `,"index":0,"logprobs":null,"finish_reason":` + finish + `}`
	return completionChunk(of, k, "text_completion", choice, finish != "null")
}

// usageField is the usage as chat completions have it, with the comma before.
func (of shape) usageField() string {
	if of.answer.NoUsage {
		return ""
	}
	u := of.api.told(of.answer)
	return fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d%s}`,
		u.input(), u.output(), u.input()+u.output(), usageDetails(of.answer.Vendor, u))
}

func usageDetails(v Vendor, u Usage) string {
	switch v {
	case DeepSeek:
		details := fmt.Sprintf(`,"prompt_tokens_details":{"cached_tokens":%d}`, u.CachedInput)
		if u.ReasoningTokens > 0 {
			details += fmt.Sprintf(`,"completion_tokens_details":{"reasoning_tokens":%d}`, u.ReasoningTokens)
		}
		return details + fmt.Sprintf(`,"prompt_cache_hit_tokens":%d,"prompt_cache_miss_tokens":%d`,
			u.CachedInput, u.UncachedInput)
	case OpenAI:
		return fmt.Sprintf(`,"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":0},`+
			`"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,`+
			`"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}`,
			u.CachedInput, u.CacheWrite, u.ReasoningTokens)
	default:
		return ""
	}
}
