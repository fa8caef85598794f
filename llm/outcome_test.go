package llm_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
)

const (
	chat       = "/v1/chat/completions"
	text       = "/v1/completions"
	embeddings = "/v1/embeddings"
	responses  = "/v1/responses"
	messages   = "/anthropic/v1/messages"
)

// streamBody asks for a stream, with the usage in it where that is to be asked for.
const streamBody = `{"model":"deepseek-flash","stream":true,"stream_options":{"include_usage":true},"messages":[]}`

const objectBody = `{"model":"deepseek-flash","messages":[]}`

// full is an answer with tokens of most classes.
func full() fakellm.Answer {
	return fakellm.Answer{
		Text: "It is Paris.", Reasoning: "A capital.",
		Usage: fakellm.Usage{UncachedInput: 100, CachedInput: 64, AnswerTokens: 30, ReasoningTokens: 20},
	}
}

func answer(change func(*fakellm.Answer)) fakellm.Answer {
	a := full()
	change(&a)
	return a
}

func cut(c fakellm.Cut) fakellm.Answer {
	return answer(func(a *fakellm.Answer) { a.Cut, a.CutAfter = c, 4 })
}

func status(code int) fakellm.Answer {
	return answer(func(a *fakellm.Answer) { a.Status = code })
}

func finish(reason string) fakellm.Answer {
	return answer(func(a *fakellm.Answer) { a.FinishReason = reason })
}

// refused is what is seen of a call that was answered with the status.
func refused(outcome, status, description string) seen {
	return seen{Outcome: outcome, ErrorType: status, Status: description}
}

// useless is what is seen of a call whose tokens are known.
func useless(outcome, errorType string) seen {
	return seen{Outcome: outcome, ErrorType: errorType, Wasted: outcome, Status: errorType}
}

// unknown is what is seen of a call whose tokens are not.
func unknown(outcome, errorType, missing string) seen {
	return seen{Outcome: outcome, ErrorType: errorType, Missing: missing, Status: errorType}
}

type outcomeTest struct {
	path, body string
	answer     fakellm.Answer
	want       seen
}

func testOutcomes(t *testing.T, tests map[string]outcomeTest) {
	t.Helper()
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			_, url := serve(t, func(fakellm.Request) fakellm.Answer { return c.answer })
			post(t, s.client(t), url+c.path, c.body)
			if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOutcomeOfRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]outcomeTest{}
	for status, want := range map[int]seen{
		http.StatusBadRequest:          refused("rejected", "400", "invalid_request_error"),
		http.StatusUnauthorized:        refused("unauthorized", "401", "authentication_error"),
		http.StatusPaymentRequired:     refused("no_balance", "402", "unknown_error"),
		http.StatusForbidden:           refused("unauthorized", "403", "invalid_request_error"),
		http.StatusUnprocessableEntity: refused("rejected", "422", "invalid_request_error"),
		http.StatusTooManyRequests:     refused("rate_limited", "429", "rate_limit_error"),
		http.StatusInternalServerError: refused("server_error", "500", "server_error"),
		http.StatusServiceUnavailable:  refused("server_error", "503", "service_unavailable_error"),
	} {
		tests["DeepSeek's "+http.StatusText(status)] = outcomeTest{chat, streamBody, fakellm.Answer{Status: status}, want}
	}
	tests["Anthropic's 529 is an error of the server"] = outcomeTest{
		messages, objectBody, status(529), refused("server_error", "529", "overloaded_error"),
	}
	tests["Anthropic's 402 is about the balance"] = outcomeTest{
		messages, objectBody, status(402), refused("no_balance", "402", "billing_error"),
	}
	tests["OpenAI's 429 is a limit of the rate"] = outcomeTest{
		responses, objectBody,
		fakellm.Answer{Status: 429, Vendor: fakellm.OpenAI, RetryAfter: time.Second},
		refused("rate_limited", "429", "rate_limit_exceeded"),
	}
	testOutcomes(t, tests)
}

func TestOutcomeByFinishReason(t *testing.T) {
	t.Parallel()
	tests := map[string]outcomeTest{}
	for _, shape := range []struct{ name, body string }{{"object", objectBody}, {"stream", streamBody}} {
		for _, path := range []string{chat, text, responses, messages} {
			name := shape.name + " from " + path
			tests[name+" that stopped is fine"] = outcomeTest{path, shape.body, full(), seen{Outcome: "ok"}}
			tests[name+" that is too long is truncated"] = outcomeTest{path, shape.body, finish("length"), useless("truncated", "length")}
			tests[name+" that was filtered"] = outcomeTest{path, shape.body, finish("content_filter"), useless("content_filter", "content_filter")}
			tests[name+" that has a call of a tool only is fine"] = outcomeTest{
				path, shape.body, answer(func(a *fakellm.Answer) { a.Text, a.ToolCall = "", "get_weather" }), seen{Outcome: "ok"},
			}
			tests[name+" without text is empty"] = outcomeTest{
				path, shape.body, answer(func(a *fakellm.Answer) { a.Text = "" }), useless("empty", "empty_response"),
			}
			if path == text {
				delete(tests, name+" that has a call of a tool only is fine") // it has none
			}
			lacking := useless("interrupted", "insufficient_system_resource")
			if path == responses {
				lacking = seen{Outcome: "stream_error", ErrorType: "stream_error", Missing: "incomplete", Status: "server_error"}
			}
			tests[name+" that the server broke off"] = outcomeTest{path, shape.body, finish("insufficient_system_resource"), lacking}
		}
	}
	testOutcomes(t, tests)
}

func TestOutcomeOfBrokenStreams(t *testing.T) {
	t.Parallel()
	tests := map[string]outcomeTest{}
	for _, path := range []string{chat, text, responses, messages} {
		for _, c := range []struct {
			name string
			cut  fakellm.Cut
			want seen
		}{
			{"that ends too early", fakellm.CutEOF, unknown("incomplete", "unexpected_eof", "incomplete")},
			{"whose connection is reset", fakellm.CutReset, seen{
				Outcome: "incomplete", ErrorType: "connection_reset", Missing: "incomplete", Status: "read tcp ->: read: connection reset by peer",
			}},
			{"with an error in it", fakellm.CutError, seen{
				Outcome: "stream_error", ErrorType: "stream_error", Missing: "incomplete", Status: "server_error",
			}},
			{"with an event that is no JSON", fakellm.CutMalformed, useless("malformed", "malformed_response")},
			{"that is a page of HTML", fakellm.CutHTML, unknown("malformed", "malformed_response", "incomplete")},
		} {
			if path == messages && c.cut == fakellm.CutError {
				c.want.Status = "overloaded_error"
			}
			tests["a stream from "+path+" "+c.name] = outcomeTest{path, streamBody, cut(c.cut), c.want}
		}
	}
	testOutcomes(t, tests)
}

func TestOutcomeOfBrokenObjects(t *testing.T) {
	t.Parallel()
	tests := map[string]outcomeTest{}
	for _, path := range []string{chat, text, embeddings, responses, messages} {
		for _, c := range []struct {
			name string
			cut  fakellm.Cut
			want seen
		}{
			{"is cut", fakellm.CutEOF, unknown("incomplete", "unexpected_eof", "incomplete")},
			{"stays away as the connection is reset", fakellm.CutReset, seen{
				Outcome: "incomplete", ErrorType: "connection_reset", Missing: "incomplete", Status: "read tcp ->: read: connection reset by peer",
			}},
			{"is an error with status 200", fakellm.CutError, seen{
				Outcome: "stream_error", ErrorType: "stream_error", Missing: "incomplete", Status: "server_error",
			}},
			{"lacks its last brace", fakellm.CutMalformed, unknown("incomplete", "unexpected_eof", "incomplete")},
			{"is a page of HTML", fakellm.CutHTML, unknown("malformed", "malformed_response", "incomplete")},
		} {
			if path == messages && c.cut == fakellm.CutError {
				c.want.Status = "api_error"
			}
			tests["an object from "+path+" that "+c.name] = outcomeTest{path, objectBody, cut(c.cut), c.want}
		}
	}
	testOutcomes(t, tests)
}
