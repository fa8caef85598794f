package llm_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/middleware"
)

const (
	eventStream = "text/event-stream"
	jsonType    = "application/json; charset=utf-8"
)

// stream returns server-sent events with the data.
func stream(data ...string) string { return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n" }

const (
	textChunk   = `{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}`
	finishChunk = `{"id":"1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`
	usageChunk  = `{"id":"1","model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`
	usageField  = `"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`
)

// message is a chat completion whose message has the fields.
func message(fields string) string {
	return `{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant",` + fields + `},"finish_reason":"stop"}],` + usageField + `}`
}

// delta is a stream of chat completions whose only delta has the fields.
func delta(fields string) string {
	return stream(`{"id":"1","model":"m","choices":[{"index":0,"delta":{`+fields+`}}]}`, finishChunk, usageChunk, "[DONE]")
}

func TestOutcomeByShape(t *testing.T) {
	t.Parallel()
	ok := seen{Outcome: "ok"}
	large := strings.Repeat("a", 1<<20)
	for name, c := range map[string]struct {
		path, contentType, body string
		want                    seen
	}{
		"an empty body is incomplete":                {chat, jsonType, "", unknown("incomplete", "unexpected_eof", "incomplete")},
		"blank lines only are incomplete":            {chat, jsonType, "\n\n\n", unknown("incomplete", "unexpected_eof", "incomplete")},
		"an empty stream is incomplete":              {chat, eventStream, "", unknown("incomplete", "unexpected_eof", "incomplete")},
		"keep-alives only are incomplete":            {chat, eventStream, ": keep-alive\n\n", unknown("incomplete", "unexpected_eof", "incomplete")},
		"JSON of something else is malformed":        {chat, jsonType, `{"status":"fine"}`, unknown("malformed", "malformed_response", "absent")},
		"a number is malformed":                      {chat, jsonType, `42`, unknown("malformed", "malformed_response", "absent")},
		"JSON with more after it is malformed":       {chat, jsonType, message(`"content":"Hi"`) + "}", useless("malformed", "malformed_response")},
		"a JSON cut within its usage has no usage":   {chat, jsonType, strings.TrimSuffix(message(`"content":"Hi"`), `,"total_tokens":15}}`), unknown("incomplete", "unexpected_eof", "incomplete")},
		"an event cut within its usage has no usage": {chat, eventStream, stream(textChunk, finishChunk, strings.TrimSuffix(usageChunk, `,"total_tokens":15}}`), "[DONE]"), unknown("malformed", "malformed_response", "incomplete")},
		"an error in an object with status 200":      {chat, jsonType, `{"error":{"message":"secret","code":"overloaded"}}`, seen{"stream_error", "stream_error", "incomplete", "", "overloaded"}},
		"an error as text":                           {chat, jsonType, `{"error":"secret"}`, seen{"stream_error", "stream_error", "incomplete", "", "stream_error"}},
		"an error that is null is none":              {chat, jsonType, `{"error":null,` + message(`"content":"Hi"`)[1:], ok},
		"an error in a stream":                       {chat, eventStream, stream(textChunk, `{"error":{"message":"secret","code":502}}`), seen{"stream_error", "stream_error", "incomplete", "", "stream_error"}},
		"an error in a stream that goes on":          {chat, eventStream, stream(textChunk, `{"error":{"type":"late"}}`, finishChunk, usageChunk, "[DONE]"), seen{"stream_error", "stream_error", "", "stream_error", "late"}},
		"a text about errors is none":                {chat, eventStream, delta(`"content":"\"error\": {}"`), ok},
		"a stream without [DONE] is fine":            {chat, eventStream, stream(textChunk, finishChunk, usageChunk), ok},
		"a stream without finish reason is fine":     {chat, eventStream, stream(textChunk, usageChunk, "[DONE]"), ok},
		"a stream with neither is incomplete":        {chat, eventStream, stream(textChunk), unknown("incomplete", "unexpected_eof", "incomplete")},
		"a stream without space after data":          {chat, eventStream, strings.ReplaceAll(stream(textChunk, finishChunk, usageChunk, "[DONE]"), "data: ", "data:"), ok},
		"a JSON object where a stream was asked for": {chat, jsonType, message(`"content":"Hi"`), ok},
		"a stream with parameters in its type":       {chat, "Text/Event-Stream;charset=utf-8", delta(`"content":"Hi"`), ok},

		"a refusal is an answer":                 {chat, jsonType, message(`"content":null,"refusal":"No."`), ok},
		"a call of a function is an answer":      {chat, jsonType, message(`"content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]`), ok},
		"a call of a custom tool is an answer":   {chat, jsonType, message(`"content":null,"tool_calls":[{"id":"1","type":"custom","custom":{"name":"f","input":"x"}}]`), ok},
		"a call of the old form is an answer":    {chat, jsonType, message(`"content":null,"function_call":{"name":"f","arguments":"{}"}`), ok},
		"audio is an answer":                     {chat, jsonType, message(`"content":null,"audio":{"id":"1","data":"AAAA","transcript":"Hi"}`), ok},
		"a content of parts is an answer":        {chat, jsonType, message(`"content":[{"type":"text","text":"Hi"}]`), ok},
		"no call of a tool is no answer":         {chat, jsonType, message(`"content":"","tool_calls":[],"function_call":null,"audio":null`), useless("empty", "empty_response")},
		"a streamed call of a custom tool":       {chat, eventStream, delta(`"tool_calls":[{"index":0,"custom":{"name":"f","input":"x"}}]`), ok},
		"a streamed call of the old form":        {chat, eventStream, delta(`"function_call":{"name":"f","arguments":""}`), ok},
		"streamed audio is an answer":            {chat, eventStream, delta(`"audio":{"data":"AAAA"}`), ok},
		"reasoning without an answer is empty":   {chat, eventStream, delta(`"reasoning_content":"Hm."`), useless("empty", "empty_response")},
		"embeddings in base64 are an answer":     {embeddings, jsonType, `{"data":[{"embedding":"AAAA","index":0}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}`, ok},
		"no embedding is empty":                  {embeddings, jsonType, `{"data":[],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}`, useless("empty", "empty_response")},
		"an image of the responses is an answer": {responses, jsonType, `{"status":"completed","output":[{"type":"image_generation_call","result":"AAAA"}],"usage":{"input_tokens":3,"output_tokens":4}}`, ok},

		"text in an event that is too large is an answer": {chat, eventStream, delta(`"content":"` + large + `"`), ok},
		"a finish in an event that is too large": {
			chat, eventStream, stream(textChunk, `{"choices":[{"delta":{"content":"`+large+`"},"finish_reason":"stop"}]}`),
			seen{Outcome: "ok", Missing: "unreadable"},
		},
		"a usage in an event that is too large": {
			responses, eventStream, "event: response.completed\n" + stream(`{"type":"response.completed","response":{"status":"completed","output":[{"type":"x","text":"`+large+`"}],"usage":{"input_tokens":3,"output_tokens":4}}}`),
			seen{Outcome: "ok", Missing: "unreadable"},
		},
		"an object of more than the largest event": {chat, jsonType, message(`"content":"` + large + large + `"`), ok},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			post(t, s.over(answering(c.contentType, strings.NewReader(c.body))), "http://127.0.0.1"+c.path, streamBody)
			if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
			for _, span := range s.spans.Ended() {
				if strings.Contains(span.Status().Description, "secret") {
					t.Errorf("the status of the span quotes the server: %q", span.Status().Description)
				}
			}
		})
	}
}

func TestStatusesThatMeanTheBalance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   seen
	}{
		"OpenAI's 429 by its code":         {429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`, refused("no_balance", "429", "insufficient_quota")},
		"OpenAI's 429 without a code":      {429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":null}}`, refused("no_balance", "429", "insufficient_quota")},
		"a 429 that is about the rate":     {429, `{"error":{"message":"slower","type":"requests","code":"rate_limit_exceeded"}}`, refused("rate_limited", "429", "requests")},
		"a 429 that says nothing":          {429, ``, refused("rate_limited", "429", "429")},
		"a 402 that is a page":             {402, `<html>`, refused("no_balance", "402", "402")},
		"a 404 is rejected":                {404, `{}`, refused("rejected", "404", "404")},
		"a redirect is rejected":           {304, ``, refused("rejected", "304", "304")},
		"a 500 with an answer in its body": {500, message(`"content":"Hi"`), refused("server_error", "500", "500")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				response, err := answering(jsonType, strings.NewReader(c.body))(r)
				response.StatusCode = c.status
				return response, err
			})
			post(t, s.over(base), "http://127.0.0.1"+chat, objectBody)
			if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBasesThatBreakTheRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base roundTripper
		want seen
		err  bool
	}{
		"no body is an empty one": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}, nil
		}, seen{Outcome: "incomplete", ErrorType: "unexpected_eof", Missing: "incomplete"}, false},
		"neither response nor error is an error": {func(*http.Request) (*http.Response, error) { return nil, nil }, //nolint:nilnil // what is tested
			seen{Outcome: "connection_error", ErrorType: "_OTHER"}, true},
	} {
		for where, around := range map[string]func(*testSDK) http.RoundTripper{
			"": func(s *testSDK) http.RoundTripper { return llm.Transport(c.base, s.Config) },
			", with a plain Transport around": func(s *testSDK) http.RoundTripper {
				return middleware.Transport(llm.Transport(c.base, s.Config), middleware.Config{})
			},
		} {
			t.Run(name+where, func(t *testing.T) {
				t.Parallel()
				s := newSDK()
				client := http.Client{Transport: around(s)}
				response, err := client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, objectBody))
				if (err != nil) != c.err {
					t.Errorf("got %v", err)
				}
				if err == nil {
					readAll(t, response, nil)
					response.Body.Close()
				}
				got := s.seen(t)
				got.Status = ""
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestAPanicOfTheBaseIsRecordedAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newSDK()
	client := s.over(roundTripper(func(*http.Request) (*http.Response, error) { panic("broken") }))
	func() {
		defer func() {
			if recovered := recover(); recovered != "broken" {
				t.Errorf("recovered %v", recovered)
			}
		}()
		_, _ = client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, objectBody))
	}()
	want := seen{Outcome: "connection_error", ErrorType: telemetry.Other, Status: "RoundTrip did not return"}
	if diff := cmp.Diff(want, s.seen(t)); diff != "" {
		t.Error(diff)
	}
}
