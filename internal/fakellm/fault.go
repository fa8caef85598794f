package fakellm

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const htmlPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

// broken are the faults after which nothing follows.
func (c Cut) broken() bool { return c == CutEOF || c == CutReset || c == CutHang || c == CutError }

// cutStream puts the fault into the events.
func cutStream(events []event, of shape) []event {
	at := cutAt(events, of.answer.CutAfter)
	var fault []event
	switch of.answer.Cut {
	case CutError:
		fault = errorEvents(of, at)
	case CutMalformed:
		fault = []event{malformedEvent(of.api)}
	case CutLarge:
		thinking := at < len(events) && events[at].kind == reasoning
		fault = []event{largeEvent(of, thinking)}
	default:
	}
	if len(fault) > 0 {
		fault[0].pause = of.answer.Between
	}
	if of.answer.Cut.broken() {
		events = events[:at]
	}
	return slices.Insert(events, at, fault...)
}

// cutAt is the place after n pieces, or before what follows the last one.
func cutAt(events []event, n int) int {
	last := -1
	for i, e := range events {
		if e.kind != reasoning && e.kind != answering {
			continue
		}
		if n == 0 {
			return i
		}
		n, last = n-1, i
	}
	if last >= 0 {
		return last + 1
	}
	return max(slices.IndexFunc(events, func(e event) bool { return e.kind == ending }), 0)
}

func malformedEvent(a api) event {
	switch a {
	case responses:
		return named(answering, "response.output_text.delta", `{"type":"response.output_text.delta","output_in`)
	case messages:
		return named(answering, "content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"ty`)
	default:
		return data(answering, `{"id":"%s","choices":[{"index":0,"delta":{"conte`, idMark)
	}
}

// largeEvent is a piece of LargeMiB, which no later event repeats. Thinking is
// whether more of the reasoning follows.
func largeEvent(of shape, thinking bool) event {
	text := `"` + strings.Repeat("a", of.answer.LargeMiB<<20) + `"`
	switch of.api {
	case chat:
		return chatChunk(of, answering, chatContent(of, text), "null")
	case completions:
		return completionPiece(of, answering, text, "null")
	case responses:
		return named(answering, "response.output_text.delta", `{"type":"response.output_text.delta",`+
			`"item_id":"msg_%s","output_index":0,"content_index":0,"delta":%s}`, idMark, text)
	default:
		return largeDelta(of, thinking, text)
	}
}

// largeDelta is for the block that is open, which takes only deltas of its
// type.
func largeDelta(of shape, thinking bool, text string) event {
	if thinking {
		return blockDelta(reasoning, 0, `{"type":"thinking_delta","thinking":`+text+`}`)
	}
	index := 0
	if of.shownReasoning() != "" {
		index = 1
	}
	return blockDelta(answering, index, `{"type":"text_delta","text":`+text+`}`)
}

// errorEvents are how a stream tells that it failed, as its next events.
func errorEvents(of shape, sequence int) []event {
	const message = "The server had an error while processing your request. Sorry about that!"
	switch of.api {
	case messages:
		return []event{named(ending, "error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)}
	case responses:
		failure := fmt.Sprintf(`{"code":"server_error","message":%q}`, message)
		return []event{
			named(ending, "error", `{"type":"error","sequence_number":%d,"error":{"type":"server_error",`+
				`"code":"server_error","message":%q,"param":null}}`, sequence, message),
			named(ending, "response.failed", `{"type":"response.failed","sequence_number":%d,"response":%s}`,
				sequence+1, responsesResponse(of, "failed", "null", failure, nil)),
		}
	default:
		return []event{data(ending, `{"error":{"message":%q,"type":"server_error","param":null,"code":null}}`, message)}
	}
}

// objectTells is whether the object has a usage.
func (of shape) objectTells() tells {
	status, _, _ := responsesOutcome(of)
	if of.answer.NoUsage || of.api == responses && !of.responsesTellUsage(status) {
		return nothing
	}
	return allUsage
}

// cutObject puts the fault into an object.
func cutObject(e event, of shape) event {
	switch of.answer.Cut {
	case CutEOF, CutReset, CutHang:
		e.data, e.tells = e.data[:len(e.data)/2], nothing
	case CutError:
		e.data, e.tells = []byte(errorBody(of, http.StatusInternalServerError)), nothing
	case CutMalformed:
		e.data, e.tells = bytes.TrimSuffix(e.data, []byte("}")), nothing
	case CutLarge:
		of.answer.Text = strings.Repeat("a", of.answer.LargeMiB<<20)
		e.data = of.api.object(of)
	default:
	}
	return e
}

// errorBody is what the vendor sends with a status.
func errorBody(of shape, status int) string {
	switch {
	case of.api == messages:
		kind, message := anthropicError(status)
		return fmt.Sprintf(`{"type":"error","error":{"type":"%s","message":"%s"},"request_id":"%s%s"}`,
			kind, message, requestID, idMark)
	case of.answer.Vendor == DeepSeek:
		kind, code, message := deepSeekError(status)
		return fmt.Sprintf(`{"error":{"message":"%s","type":"%s","param":null,"code":"%s"}}`, message, kind, code)
	default:
		kind, code, message := openAIError(status)
		return fmt.Sprintf("{\n    \"error\": {\n        \"message\": \"%s\",\n        \"type\": \"%s\",\n"+
			"        \"param\": null,\n        \"code\": %s\n    }\n}\n", message, kind, code)
	}
}

// deepSeekError follows https://api-docs.deepseek.com/quick_start/error_codes.
func deepSeekError(status int) (kind, code, message string) {
	const invalid = "invalid_request_error"
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error", invalid, "Authentication Fails, Your api key is invalid"
	case http.StatusPaymentRequired:
		return "unknown_error", invalid, "Insufficient Balance"
	case http.StatusUnprocessableEntity:
		return invalid, invalid, "Failed to deserialize the JSON body into the target type: missing field `messages`"
	case http.StatusTooManyRequests:
		return "rate_limit_error", "rate_limit_error", "Rate Limit Reached"
	case http.StatusInternalServerError:
		return "server_error", "server_error", "Server Error"
	case http.StatusServiceUnavailable:
		return "service_unavailable_error", "service_unavailable_error", "Service is too busy. Please try again later."
	default:
		return invalid, invalid, "Invalid request: " + http.StatusText(status)
	}
}

// openAIError follows https://platform.openai.com/docs/guides/error-codes.
func openAIError(status int) (kind, code, message string) {
	switch status {
	case http.StatusUnauthorized:
		return "invalid_request_error", `"invalid_api_key"`, "Incorrect API key provided."
	case http.StatusPaymentRequired:
		return "insufficient_quota", `"insufficient_quota"`, "You exceeded your current quota, please check your plan and billing details."
	case http.StatusNotFound:
		return "invalid_request_error", `"unknown_url"`, "Invalid URL"
	case http.StatusTooManyRequests:
		return "requests", `"rate_limit_exceeded"`, "Rate limit reached for requests. Please try again later."
	}
	if status >= http.StatusInternalServerError {
		return "server_error", "null", "The server had an error while processing your request. Sorry about that!"
	}
	return "invalid_request_error", "null", "Invalid request: " + http.StatusText(status)
}

// anthropicError follows https://docs.anthropic.com/en/api/errors.
func anthropicError(status int) (kind, message string) {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error", "invalid x-api-key"
	case http.StatusPaymentRequired:
		return "billing_error", "Your credit balance is too low to access the Anthropic API."
	case http.StatusForbidden:
		return "permission_error", "Your API key does not have permission to use the specified resource."
	case http.StatusNotFound:
		return "not_found_error", "Not found"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large", "Request exceeds the maximum size"
	case http.StatusTooManyRequests:
		return "rate_limit_error", "This request would exceed your organization's rate limit."
	case statusOverloaded:
		return "overloaded_error", "Overloaded"
	}
	if status >= http.StatusInternalServerError {
		return "api_error", "Internal server error"
	}
	return "invalid_request_error", "Invalid request: " + http.StatusText(status)
}

// statusOverloaded is Anthropic's own.
const statusOverloaded = 529

// retryAfter tells when to try again, in seconds, and in milliseconds too if
// the vendor does.
func retryAfter(header http.Header, v Vendor, after time.Duration) {
	if after <= 0 {
		return
	}
	header.Set("Retry-After", fmt.Sprint(int64((after+time.Second-1)/time.Second)))
	if v == OpenAI {
		header.Set("Retry-After-Ms", fmt.Sprint(after.Milliseconds()))
	}
}
