package fakellm

import (
	"fmt"
	"strings"
)

// api is one of the endpoints.
type api int

const (
	unknown api = iota
	chat
	completions
	embeddings
	responses
	messages
)

func apiOf(path string) api {
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return chat
	case strings.HasSuffix(path, "/completions"):
		return completions
	case strings.HasSuffix(path, "/embeddings"):
		return embeddings
	case strings.HasSuffix(path, "/responses"):
		return responses
	case strings.HasSuffix(path, "/messages"):
		return messages
	default:
		return unknown
	}
}

// vendorOf is the vendor that the model and the path suggest.
func vendorOf(r Request) Vendor {
	switch {
	case apiOf(r.Path) == messages && !strings.HasPrefix(r.Model, "deepseek"):
		return Anthropic
	case strings.HasPrefix(r.Model, "deepseek"):
		return DeepSeek
	default:
		return OpenAI
	}
}

func (a api) object(of shape) []byte {
	switch a {
	case chat:
		return chatObject(of)
	case completions:
		return completionObject(of)
	case embeddings:
		return embeddingsObject(of)
	case responses:
		return responsesObject(of)
	default:
		return messagesObject(of)
	}
}

// stream is nil for what is never one.
func (a api) stream(of shape) []event {
	switch a {
	case embeddings:
		return nil
	case chat:
		return chatStream(of)
	case completions:
		return completionStream(of)
	case responses:
		return responsesStream(of)
	default:
		return messagesStream(of)
	}
}

// idPrefix is what the id of an answer begins with.
func (a api) idPrefix(v Vendor) string {
	switch a {
	case responses:
		return responsesID
	case messages:
		return messagesID
	case embeddings, unknown:
		return requestID
	default:
		return chatID(a, v)
	}
}

// told is the usage as the API can tell it.
func (a api) told(answer Answer) Usage {
	u := answer.Usage
	if a != messages && answer.Vendor != OpenAI {
		u.UncachedInput, u.CacheWrite = u.UncachedInput+u.CacheWrite, 0
	}
	plain := answer.Vendor == Anthropic && (a == chat || a == completions)
	if plain || a == embeddings {
		u = Usage{UncachedInput: u.input(), AnswerTokens: u.output()}
	}
	if a == embeddings {
		u.AnswerTokens = 0
	}
	return u
}

// embeddingsObject is as in
// https://platform.openai.com/docs/api-reference/embeddings.
func embeddingsObject(of shape) []byte {
	usage := ""
	if !of.answer.NoUsage {
		input := of.api.told(of.answer).UncachedInput
		usage = fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"total_tokens":%d}`, input, input)
	}
	return fmt.Appendf(nil, `{"object":"list","data":[{"object":"embedding","index":0,`+
		`"embedding":[0.0023064255,-0.009327292,0.015797347,-0.0077800745]}],"model":%s%s}`, quote(of.model), usage)
}

const modelList = `{"object":"list","data":[` +
	`{"id":"deepseek-flash","object":"model","owned_by":"deepseek"},` +
	`{"id":"gpt-5.6-sol","object":"model","created":1764664800,"owned_by":"openai"}]}`
