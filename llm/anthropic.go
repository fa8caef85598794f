package llm

import (
	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
)

// visitMessage reads answers of Anthropic's Messages API, whole or as events of
// a stream.
func visitMessage(a *answer, path []byte, v jsonscan.Value) {
	switch string(path) {
	case "type":
		if a.stream && a.event == "" {
			a.event = v.String()
		}
	case "model", "message.model":
		a.name(&a.model, v)
	case "id", "message.id":
		a.name(&a.id, v)
	case "content", "message":
		a.shaped = true
	case "content[].type", "content_block.type":
		a.blockType(v.String())
	case "content[].text", "content[].name", "content_block.name", "delta.text", "delta.partial_json":
		a.answerToken(v)
	case "content[].thinking", "delta.thinking":
		a.reasoningToken(v)
	case "stop_reason", "delta.stop_reason":
		a.finishReason(v)
	case "error":
		a.fault(v)
	case "error.type":
		a.code(v)
	default:
		came := a.usageCame
		a.visitUsage(path, "message.usage.", v)
		a.usageCame = came // it is preliminary at the start of a stream
		a.visitUsage(path, "usage.", v)
	}
}

func (a *answer) blockType(kind string) {
	if kind == "thinking" || kind == "redacted_thinking" {
		a.reasoned = true
	}
}

func messageEvent(a *answer, e sse.Event) {
	a.eventType(e.Type)
	switch {
	case a.event == "ping":
		a.onComment()
		return
	case a.event == "content_block_delta" && a.known():
		a.plausible(e.Data)
	default:
		a.scan(e.Data)
	}
	switch a.event {
	case "message_stop":
		a.ended = true
	case "error":
		a.failed = true
	}
	a.chunk()
}
