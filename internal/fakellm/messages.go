package fakellm

import (
	"fmt"
	"strings"
)

// Shapes as in https://docs.anthropic.com/en/api/messages and
// https://docs.anthropic.com/en/docs/build-with-claude/streaming, with the
// fields that recorded answers have.

const (
	messagesID = "msg_010000000000"
	signature  = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"
)

func stopReason(of shape) string {
	switch reason := of.finishReason(); reason {
	case "stop":
		return "end_turn"
	case "length":
		return "max_tokens"
	case "tool_calls":
		return "tool_use"
	case "content_filter":
		return "refusal"
	default:
		return reason
	}
}

func messagesObject(of shape) []byte {
	var content []string
	for _, block := range blocks(of) {
		content = append(content, block.done)
	}
	usage := ""
	if !of.answer.NoUsage {
		u := of.api.told(of.answer)
		usage = fmt.Sprintf(`,"usage":{%s,"output_tokens":%d%s,"service_tier":"standard"}`,
			messagesInput(u), u.output(), thinkingTokens(u))
	}
	return fmt.Appendf(nil, `{"model":%s,"id":"%s%s","type":"message","role":"assistant","content":[%s],`+
		`"stop_reason":%s,"stop_sequence":null%s}`,
		quote(of.model), messagesID, idMark, strings.Join(content, ","), quote(stopReason(of)), usage)
}

func messagesInput(u Usage) string {
	return fmt.Sprintf(`"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d`,
		u.UncachedInput, u.CacheWrite, u.CachedInput)
}

func thinkingTokens(u Usage) string {
	if u.ReasoningTokens == 0 {
		return ""
	}
	return fmt.Sprintf(`,"output_tokens_details":{"thinking_tokens":%d}`, u.ReasoningTokens)
}

// block is one element of the content: as it begins, its deltas, and as a
// whole.
type block struct {
	begun, done string
	kind        kind
	deltas      []string
	last        string // a delta that is no token
}

func blocks(of shape) []block {
	var out []block
	if text := of.shownReasoning(); text != "" {
		b := block{kind: reasoning, begun: `{"type":"thinking","thinking":"","signature":""}`}
		b.done = `{"type":"thinking","thinking":` + quote(text) + `,"signature":"` + signature + `"}`
		b.last = `{"type":"signature_delta","signature":"` + signature + `"}`
		for _, piece := range of.reasoningPieces() {
			b.deltas = append(b.deltas, `{"type":"thinking_delta","thinking":`+piece+`}`)
		}
		out = append(out, b)
	}
	if of.answer.Text != "" {
		b := block{kind: answering, begun: `{"type":"text","text":""}`}
		b.done = `{"type":"text","text":` + quote(of.answer.Text) + `}`
		for _, piece := range of.textPieces() {
			b.deltas = append(b.deltas, `{"type":"text_delta","text":`+piece+`}`)
		}
		out = append(out, b)
	}
	if of.answer.ToolCall != "" {
		out = append(out, toolBlock(of))
	}
	return out
}

func toolBlock(of shape) block {
	use := func(input string) string {
		return fmt.Sprintf(`{"type":"tool_use","id":"toolu_%s","name":%s,"input":%s}`,
			idMark, quote(of.answer.ToolCall), input)
	}
	b := block{kind: answering, begun: use(`{}`), done: use(toolArguments)}
	for _, piece := range argumentPieces() {
		b.deltas = append(b.deltas, `{"type":"input_json_delta","partial_json":`+piece+`}`)
	}
	return b
}

func messagesStream(of shape) []event {
	events := []event{messageStart(of)}
	for i, b := range blocks(of) {
		events = append(events, named(other, "content_block_start",
			`{"type":"content_block_start","index":%d,"content_block":%s}`, i, b.begun))
		if i == 0 {
			events = append(events, ping())
		}
		for _, delta := range b.deltas {
			events = append(events, blockDelta(b.kind, i, delta))
		}
		if b.last != "" {
			events = append(events, blockDelta(other, i, b.last))
		}
		events = append(events, named(ending, "content_block_stop", `{"type":"content_block_stop","index":%d}`, i))
	}
	return append(events, messageDelta(of), named(ending, "message_stop", `{"type":"message_stop"}`))
}

func blockDelta(k kind, index int, delta string) event {
	return named(k, "content_block_delta", `{"type":"content_block_delta","index":%d,"delta":%s}`, index, delta)
}

func ping() event { return named(other, "ping", `{"type": "ping"}`) }

func messageStart(of shape) event {
	usage, told := "", nothing
	if !of.answer.NoUsage {
		usage = fmt.Sprintf(`,"usage":{%s,"output_tokens":1,"service_tier":"standard"}`,
			messagesInput(of.api.told(of.answer)))
		told = inputOnly
	}
	e := named(other, "message_start", `{"type":"message_start","message":{"model":%s,"id":"%s%s","type":"message",`+
		`"role":"assistant","content":[],"stop_reason":null,"stop_sequence":null%s}}`,
		quote(of.model), messagesID, idMark, usage)
	e.tells = told
	return e
}

func messageDelta(of shape) event {
	usage, told := "", nothing
	if !of.answer.NoUsage {
		u := of.api.told(of.answer)
		usage = fmt.Sprintf(`,"usage":{%s,"output_tokens":%d%s}`, messagesInput(u), u.output(), thinkingTokens(u))
		told = allUsage
	}
	e := named(ending, "message_delta", `{"type":"message_delta","delta":{"stop_reason":%s,"stop_sequence":null}%s}`,
		quote(stopReason(of)), usage)
	e.tells = told
	return e
}
