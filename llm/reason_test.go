package llm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// choice is a chunk with a piece of text for one of the choices; the reason is
// JSON.
func choice(index int, reason string) string {
	return fmt.Sprintf(`{"id":"1","model":"m","choices":[{"index":%d,"delta":{"content":"Hi"},"finish_reason":%s}]}`, index, reason)
}

func TestWhatIsAFinishReason(t *testing.T) {
	t.Parallel()
	ok, cut := seen{Outcome: "ok"}, unknown("incomplete", "unexpected_eof", "incomplete")
	noUsage := seen{Outcome: "ok", Missing: "absent"}
	truncated := useless("truncated", "length")
	tests := map[string]struct {
		data []string
		want seen
	}{
		"one of two choices is not all":      {[]string{choice(0, "null"), choice(1, "null"), choice(0, `"stop"`)}, cut},
		"both choices are":                   {[]string{choice(0, "null"), choice(1, "null"), choice(0, `"stop"`), choice(1, `"stop"`)}, noUsage},
		"one of two and [DONE] is all":       {[]string{choice(0, "null"), choice(1, "null"), choice(0, `"stop"`), "[DONE]"}, noUsage},
		"the last choice alone is not all":   {[]string{choice(2, `"stop"`), choice(0, "null"), choice(1, "null")}, cut},
		"any of several that is cut is it":   {[]string{choice(0, `"stop"`), choice(1, `"length"`), usageChunk}, truncated},
		"a choice seen late is one too":      {[]string{choice(0, "null"), choice(0, "null"), choice(0, "null"), choice(3, "null"), choice(0, `"stop"`)}, cut},
		"a choice with an index of no sense": {[]string{choice(1<<40, "null"), choice(0, `"stop"`)}, noUsage},
	}
	for word, reason := range map[string]string{"empty": `""`, `the word "null"`: `"null"`, "null": "null"} {
		chunks := []string{choice(0, reason), choice(0, reason), choice(0, reason), choice(0, reason)}
		with := func(more ...string) []string { return append(append([]string(nil), chunks...), more...) }
		tests[word+" is none, where a stream is cut"] = struct {
			data []string
			want seen
		}{chunks, cut}
		tests[word+" is none, before one that says truncated"] = struct {
			data []string
			want seen
		}{with(choice(0, `"length"`), usageChunk, "[DONE]"), truncated}
		tests[word+" is none, before one that says it stopped"] = struct {
			data []string
			want seen
		}{with(choice(0, `"stop"`), usageChunk), ok}
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			post(t, s.over(answering(eventStream, strings.NewReader(stream(c.data...)))), "http://127.0.0.1"+chat, streamBody)
			if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// noWords are what gateways may have in the place of a word.
func noWords() map[string]string {
	return map[string]string{
		"a key":            "sk-SECRET KEY",
		"a long one":       strings.Repeat("a", 300),
		"no UTF-8":         "\xff\xfe",
		"another alphabet": "ошибка",
		"a sentence":       "No such model.\n",
	}
}

func TestErrorCodesThatAreNoWords(t *testing.T) {
	t.Parallel()
	for name, code := range noWords() {
		for where, c := range map[string]struct {
			path, contentType, body string
			status                  int
		}{
			"of a refusal":              {chat, jsonType, `{"error":{"message":"no","code":%s}}`, 400},
			"of a refusal, as its type": {chat, jsonType, `{"error":{"message":"no","type":%s}}`, 429},
			"of responses":              {responses, jsonType, `{"error":{"code":%s}}`, 500},
			"of messages":               {messages, jsonType, `{"type":"error","error":{"type":%s}}`, 529},
			"of a stream":               {chat, eventStream, "data: {\"error\":{\"code\":%s}}\n\n", 200},
			"of a stream of messages":   {messages, eventStream, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":%s}}\n\n", 200},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				s := newSDK()
				body := strings.ReplaceAll(c.body, "%s", quoted(t, code))
				post(t, s.over(withStatus(c.status, c.contentType, body)), "http://127.0.0.1"+c.path, streamBody)
				if got := s.seen(t).Status; got != telemetry.Other {
					t.Errorf("the status of the span is %q", got)
				}
				s.expectUntold(t, code)
			})
		}
	}
}

func TestFinishReasonsThatAreNoWords(t *testing.T) {
	t.Parallel()
	for name, reason := range noWords() {
		for where, c := range map[string]struct{ path, contentType, body string }{
			"of a stream":               {chat, eventStream, stream(choice(0, "REASON"), usageChunk, "[DONE]")},
			"of an object":              {chat, jsonType, strings.Replace(message(`"content":"Hi"`), `"stop"`, "REASON", 1)},
			"of responses":              {responses, jsonType, `{"status":"incomplete","output":[],"incomplete_details":{"reason":REASON}}`},
			"of messages":               {messages, jsonType, `{"content":[{"type":"text","text":"Hi"}],"stop_reason":REASON}`},
			"of a stream of messages":   {messages, eventStream, stream(`{"type":"message_delta","delta":{"stop_reason":REASON}}`, `{"type":"message_stop"}`)},
			"of a stream of text":       {text, eventStream, stream(`{"choices":[{"index":0,"text":"Hi","finish_reason":REASON}]}`, "[DONE]")},
			"of a stream of responses":  {responses, eventStream, stream(`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":REASON}}}`)},
			"of two choices of objects": {chat, jsonType, `{"choices":[{"message":{"content":"Hi"},"finish_reason":REASON},{"message":{"content":"Hi"},"finish_reason":REASON}]}`},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				s := newSDK()
				body := strings.ReplaceAll(c.body, "REASON", quoted(t, reason))
				post(t, s.over(withStatus(http.StatusOK, c.contentType, body)), "http://127.0.0.1"+c.path, streamBody)
				if got := spanAttributes(s)["gen_ai.response.finish_reasons"]; got != `["_OTHER"]` {
					t.Errorf("the reasons are %s", got)
				}
				s.expectUntold(t, reason)
			})
		}
	}
}

// quoted returns the text as JSON; bytes that are no UTF-8 stay.
func quoted(t testing.TB, text string) string {
	t.Helper()
	if !utf8.ValidString(text) {
		return `"` + text + `"`
	}
	content, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// withStatus answers with the status and the body.
func withStatus(status int, contentType, body string) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		response, err := answering(contentType, strings.NewReader(body))(r)
		response.StatusCode = status
		return response, err
	}
}

// expectUntold fails the test if telemetry has the text, or the beginning of it.
func (s *testSDK) expectUntold(t testing.TB, text string) {
	t.Helper()
	if told := s.told(t); strings.Contains(told, text[:min(len(text), 50)]) {
		t.Error(told)
	}
}
