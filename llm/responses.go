package llm

import (
	"bytes"
	"strings"

	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
)

// visitResponse reads answers of the Responses API, whole or as events of a
// stream, which have the answer so far under "response".
func visitResponse(a *answer, path []byte, v jsonscan.Value) {
	path = bytes.TrimPrefix(path, []byte("response."))
	switch string(path) {
	case "type":
		if a.stream && a.event == "" {
			a.event = v.String()
		}
	case "model":
		a.name(&a.model, v)
	case "id":
		a.name(&a.id, v)
	case "output", "response":
		a.shaped = true
	case "status":
		a.status(v.String())
	case "incomplete_details.reason":
		a.finishReason(v)
	case "output[].type", "item.type":
		a.outputType(v.String())
	case "output[].content[].text", "output[].content[].refusal":
		if !a.stream {
			a.answerToken(v)
		}
	case "delta":
		a.delta(v)
	case "error":
		a.fault(v)
	case "error.code":
		a.code(v)
	default:
		a.visitUsage(path, "usage.", v)
	}
}

func (a *answer) status(status string) {
	switch status {
	case "completed", "incomplete", "cancelled":
		a.ended = true
	case "failed":
		a.failed = true
	case "queued", "in_progress": // it is answered in the background
		a.content = a.content || !a.stream
	}
}

func (a *answer) outputType(kind string) {
	switch {
	case kind == "reasoning":
		a.reasoned = true
	case strings.HasSuffix(kind, "_call"):
		a.content = true
	}
}

// delta takes a piece of text, of what kind the type of the event says.
func (a *answer) delta(v jsonscan.Value) {
	if strings.Contains(a.event, "reasoning") {
		a.reasoningToken(v)
	} else {
		a.answerToken(v)
	}
}

func responseEvent(a *answer, e sse.Event) {
	if string(bytes.TrimSpace(e.Data)) == "[DONE]" {
		return
	}
	if a.known() && bytes.HasSuffix(e.Type, []byte(".delta")) {
		a.plausible(e.Data)
	} else {
		a.eventType(e.Type)
		a.scan(e.Data)
		a.failed = a.failed || a.event == "error"
	}
	a.chunk()
}
