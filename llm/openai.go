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
		a.shaped = true
	case "choices[]":
		a.eventChoices = true
	case "usage":
		a.eventUsage = v.Kind == jsonscan.Object
	case "data[].embedding":
		a.content = true
	case "choices[].index":
		a.choice(v)
	case "choices[].finish_reason":
		a.finishReason(v)
	case "error":
		a.fault(v)
	case "error.code", "error.type":
		a.code(v)
	default:
		a.visitChoice(path, v)
		a.visitUsage(path, "usage.", v)
		a.visitUsage(path, "choices[].usage.", v) // Moonshot's streams
	}
}

// visitChoice takes the texts of choices, and calls of tools, which have the
// same names in a whole message and in a piece of one.
func (a *answer) visitChoice(path []byte, v jsonscan.Value) {
	rest, ok := bytes.CutPrefix(path, []byte("choices[]."))
	if !ok {
		return
	}
	rest = bytes.TrimPrefix(bytes.TrimPrefix(rest, []byte("delta.")), []byte("message."))
	switch string(rest) {
	case "text", "content", "content[].text", "refusal", "audio.id", "audio.data", "function_call.name", "function_call.arguments",
		"tool_calls[].function.name", "tool_calls[].function.arguments", "tool_calls[].custom.name", "tool_calls[].custom.input":
		a.answerToken(v)
	case "reasoning_content", "reasoning", "content[].thinking[].text":
		a.reasoningToken(v)
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
	switch {
	case string(bytes.TrimSpace(e.Data)) == "[DONE]":
		a.ended = true
		return
	case a.known() && a.plain.is(e.Data):
	case a.known() && a.firstChoice(e.Data) && !hasNews(e.Data):
		a.plausible(e.Data)
		a.plain.learn(e.Data)
	default:
		a.scan(e.Data)
		a.hide(e)
	}
	a.chunk()
}

// firstChoice reports whether a chunk is of the first choice alone, as nearly all
// are. Others may be of a choice that was not seen yet.
func (a *answer) firstChoice(data []byte) bool {
	_, rest, found := bytes.Cut(data, []byte(`"index"`))
	return !found || bytes.HasPrefix(bytes.TrimLeft(rest, ": "), []byte("0")) && !bytes.Contains(rest, []byte(`"index"`))
}

// plainChunk is a chunk of mere text without the text: what all such chunks of
// a stream begin and end with.
type plainChunk struct{ before, after []byte }

// maxPlain bounds what is kept to compare with.
const maxPlain = 2 << 10

// is reports whether the chunk differs from the others in one string alone.
func (p *plainChunk) is(data []byte) bool {
	if p.before == nil || !bytes.HasPrefix(data, p.before) || !bytes.HasSuffix(data[len(p.before):], p.after) {
		return false
	}
	text := data[len(p.before) : len(data)-len(p.after)]
	return bytes.IndexByte(text, '"') < 0 && !bytes.HasSuffix(text, []byte(`\`))
}

// learn divides a chunk without news at its first string after the key of the
// delta, or of the text.
func (p *plainChunk) learn(data []byte) {
	if p.before != nil || len(data) > maxPlain {
		return
	}
	key := max(bytes.Index(data, []byte(`"delta"`)), bytes.Index(data, []byte(`"text"`)))
	if key < 0 {
		return
	}
	from := bytes.Index(data[key:], []byte(`":"`)) + key + len(`":"`)
	to := bytes.IndexByte(data[from:], '"') + from
	if from > key+len(`":"`) && to > from && data[to-1] != '\\' {
		p.before, p.after = bytes.Clone(data[:from]), bytes.Clone(data[to:])
	}
}

// hasNews looks for keys whose values tell more than text. Within texts quotes
// are escaped, so that they are not taken for keys.
func hasNews(data []byte) bool {
	return told(data, `"finish_reason"`) || told(data, `"usage"`) || bytes.Contains(data, []byte(`"error"`))
}

// told reports whether the key may have a value that says something.
func told(data []byte, key string) bool {
	for {
		_, rest, found := bytes.Cut(data, []byte(key))
		if !found {
			return false
		}
		value := bytes.TrimLeft(rest, ": \t\r\n")
		if !bytes.HasPrefix(value, []byte("null")) && !bytes.HasPrefix(value, []byte(`""`)) {
			return true
		}
		data = value
	}
}
