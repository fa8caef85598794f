package llm

import (
	"bytes"

	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
)

// visitOpenAI reads chat completions, text completions and embeddings, whole or
// as chunks of a stream, in the forms of OpenAI, DeepSeek and others that
// follow them.
func visitOpenAI(a *answer, path []byte, v jsonscan.Value) {
	switch string(path) {
	case "model":
		a.name(&a.model, v)
	case "id":
		a.name(&a.id, v)
	case "choices", "data":
		a.shape()
	case "choices[]":
		a.eventChoices = true
	case "usage":
		a.eventUsage = v.Kind == jsonscan.Object
	case "data[].embedding":
		a.content = true
	case "choices[].finish_reason":
		a.finishReason(v)
	case "choices[].delta.content", "choices[].delta.content[].text", "choices[].delta.refusal",
		"choices[].delta.tool_calls[].function.name", "choices[].delta.tool_calls[].function.arguments",
		"choices[].message.content", "choices[].message.content[].text", "choices[].message.refusal",
		"choices[].message.tool_calls[].function.name", "choices[].text":
		a.answerToken(v)
	case "choices[].delta.reasoning_content", "choices[].delta.reasoning", "choices[].delta.content[].thinking[].text",
		"choices[].message.reasoning_content", "choices[].message.reasoning", "choices[].message.content[].thinking[].text":
		a.reasoningToken(v)
	case "error":
		a.fault(v)
	case "error.code", "error.type":
		a.name(&a.errorCode, v)
	default:
		a.visitUsage(path, "usage.", v)
		a.visitUsage(path, "choices[].usage.", v) // Moonshot's streams
	}
}

// visitUsage takes a value that stands below the prefix.
func (a *answer) visitUsage(path []byte, prefix string, v jsonscan.Value) {
	if len(path) > len(prefix) && string(path[:len(prefix)]) == prefix {
		a.usage.visit(path[len(prefix):], v)
		a.usageCame = true
	}
}

func openAIEvent(a *answer, e sse.Event) {
	if string(bytes.TrimSpace(e.Data)) == "[DONE]" {
		a.ended = true
		return
	}
	if a.known() && !hasNews(e.Data) {
		a.plausible(e.Data)
	} else {
		a.scan(e.Data)
		a.hide(e)
	}
	a.chunk()
}

// hasNews reports whether a chunk may have anything in it but more text. Within
// texts quotes are escaped, so that they are not taken for keys.
func hasNews(data []byte) bool {
	return told(data, `"finish_reason"`) || told(data, `"usage"`) || bytes.Contains(data, []byte(`"error"`))
}

// told reports whether the key may have a value that is not null.
func told(data []byte, key string) bool {
	for {
		_, rest, found := bytes.Cut(data, []byte(key))
		if !found {
			return false
		}
		value := bytes.TrimLeft(rest, ": \t\r\n")
		if !bytes.HasPrefix(value, []byte("null")) {
			return true
		}
		data = value
	}
}
