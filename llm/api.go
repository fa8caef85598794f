package llm

import (
	"net/http"
	"strings"

	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// api is one of the APIs that are recognised.
type api struct {
	name, operation string
	// asksForUsage tells that streams have usage only if asked for.
	asksForUsage bool
	// endMark is in what ends a stream, and in little else.
	endMark []byte
	// visit takes what a JSON document tells: the answer, or one event of it.
	visit func(a *answer, path []byte, v jsonscan.Value)
	// event takes one event of a stream.
	event func(a *answer, e sse.Event)
}

// apiOf returns the API that the request calls, or nil. The end of the path
// decides: APIs are served under prefixes such as /v1, /beta, /openai/v1 and
// /anthropic/v1.
func apiOf(r *http.Request) *api {
	if r.Method != http.MethodPost || !isJSON(r.Header.Get("Content-Type")) {
		return nil
	}
	prefix, last := cutLast(strings.TrimSuffix(r.URL.Path, "/"))
	switch last {
	case "completions":
		return completions(prefix)
	case "embeddings":
		if isRoot(prefix) {
			return &embeddings
		}
	case "responses":
		if isRoot(prefix) {
			return &responses
		}
	case "messages":
		if isRoot(prefix) && (r.Header.Get("Anthropic-Version") != "" || strings.HasSuffix(prefix, "/anthropic/v1")) {
			return &messages
		}
	}
	return nil
}

func completions(prefix string) *api {
	switch _, last := cutLast(prefix); {
	case last == "chat":
		return &chatCompletions
	case last == "fim", last == "beta": // Mistral's and DeepSeek's
		return &fillInMiddle
	case isRoot(prefix):
		return &textCompletions
	}
	return nil
}

// isRoot tells the roots of APIs from paths that merely end alike, such as
// /surveys/12/responses.
func isRoot(prefix string) bool {
	parent, last := cutLast(prefix)
	switch last {
	case "", "openai", "beta":
		return true
	}
	if _, deployments := cutLast(parent); deployments == "deployments" { // Azure's
		return true
	}
	return len(last) > 1 && last[0] == 'v' && '0' <= last[1] && last[1] <= '9'
}

// cutLast cuts the last segment off a path.
func cutLast(path string) (rest, last string) {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return "", path
	}
	return path[:slash], path[slash+1:]
}

// deployment returns the model that Azure has in the path instead of the body.
func deployment(path string) string {
	_, rest, ok := strings.Cut(path, "/deployments/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "application/json")
}

var (
	chatCompletions = api{telemetry.APIChatCompletions, telemetry.OperationChat, true, []byte("[DONE]"), visitOpenAI, openAIEvent}
	textCompletions = api{telemetry.APICompletions, telemetry.OperationTextCompletion, true, []byte("[DONE]"), visitOpenAI, openAIEvent}
	fillInMiddle    = api{telemetry.APIFIM, telemetry.OperationTextCompletion, true, []byte("[DONE]"), visitOpenAI, openAIEvent}
	embeddings      = api{telemetry.APIEmbeddings, telemetry.OperationEmbeddings, false, []byte("[DONE]"), visitOpenAI, openAIEvent}
	responses       = api{telemetry.APIResponses, telemetry.OperationChat, false, []byte(`"status"`), visitResponse, responseEvent}
	messages        = api{telemetry.APIMessages, telemetry.OperationChat, false, []byte("message_stop"), visitMessage, messageEvent}
)
