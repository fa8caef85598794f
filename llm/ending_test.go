package llm_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// finalPieces are answers of three seconds whose bodies stay open after their
// end. Pieces between the first and the end wait in a batch.
func finalPieces() map[string]struct {
	path, contentType string
	pieces            []at
} {
	const s = time.Second
	object := message(`"content":"Hi"`)
	chatEnd := stream(finishChunk, usageChunk, "[DONE]")
	chatPieces := func(end ...at) []at {
		return append([]at{{1 * s, stream(textChunk)}, {2 * s, stream(textChunk, textChunk)}}, end...)
	}
	return map[string]struct {
		path, contentType string
		pieces            []at
	}{
		"a stream to [DONE]":                      {chat, eventStream, chatPieces(at{3 * s, chatEnd})},
		"a stream to [DONE] that is cut in two":   {chat, eventStream, chatPieces(at{2 * s, chatEnd[:len(chatEnd)-5]}, at{3 * s, chatEnd[len(chatEnd)-5:]})},
		"a stream to [DONE] and a line of itself": {chat, eventStream, chatPieces(at{2 * s, chatEnd[:len(chatEnd)-1]}, at{3 * s, "\n"})},
		"a stream to message_stop": {messages, eventStream, []at{
			{1 * s, stream(`{"type":"message_start","message":{"model":"m","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}`)},
			{1 * s, stream(`{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}`)},
			{2 * s, stream(`{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}`)},
			{2 * s, stream(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}`)},
			{3 * s, stream(`{"type":"message_stop"}`)},
		}},
		"a stream to response.completed": {responses, eventStream, []at{
			{1 * s, "event: response.created\n" + stream(`{"type":"response.created","response":{"model":"m","status":"in_progress","output":[]}}`)},
			{1 * s, "event: response.output_text.delta\n" + stream(`{"type":"response.output_text.delta","delta":"Hi"}`)},
			{2 * s, "event: response.output_text.delta\n" + stream(`{"type":"response.output_text.delta","delta":"Hi"}`)},
			{3 * s, "event: response.completed\n" + stream(`{"type":"response.completed","response":{"status":"completed","output":[],"usage":{"input_tokens":9,"output_tokens":5}}}`)},
		}},
		"a stream in CRLF to [DONE]": {chat, eventStream, []at{
			{1 * s, strings.ReplaceAll(stream(textChunk), "\n", "\r\n")},
			{2 * s, strings.ReplaceAll(stream(textChunk), "\n", "\r\n")},
			{3 * s, strings.ReplaceAll(chatEnd, "\n", "\r\n")},
		}},
		"an object that comes in pieces": {chat, jsonType, []at{{1 * s, object[:len(object)-9]}, {2 * s, object[len(object)-9 : len(object)-1]}, {3 * s, "}"}}},
		"an object to its last brace":    {chat, jsonType, []at{{1 * s, object[:9]}, {3 * s, object[9:]}}},
	}
}

func TestACallEndsWithItsAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range finalPieces() {
		for way, leave := range map[string]func(body io.ReadCloser){
			"closed an hour later": func(body io.ReadCloser) { <-time.After(time.Hour); body.Close() },
			"never closed":         func(io.ReadCloser) { <-time.After(2 * time.Hour) },
			"read on for an hour":  func(body io.ReadCloser) { _, _ = io.Copy(io.Discard, body) },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSDK()
					s.IdleTimeout = 90 * time.Minute
					size := 0
					for _, piece := range c.pieces {
						size += len(piece.bytes)
					}
					body := &paced{time.Now(), append(append([]at(nil), c.pieces...), at{time.Hour, "\n"})}
					response := s.answered(t, c.path, c.contentType, body)
					if _, err := io.ReadFull(response.Body, make([]byte, size)); err != nil {
						t.Fatal(err)
					}
					if active := s.sums(t, telemetry.LLMActiveRequests)[""]; active != 0 {
						t.Errorf("%v calls are active after the answer", active)
					}
					leave(response.Body)
					s.expectDuration(t, 3*time.Second)
					if got := s.seen(t); got != (seen{Outcome: "ok"}) {
						t.Errorf("got %+v", got)
					}
				})
			})
		}
	}
}

func TestDurationOfAnswersThatAreNotComplete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave func(body io.ReadCloser)
		want  time.Duration
	}{
		"a call that is forgotten lasts until the last read": {func(io.ReadCloser) {}, 2 * time.Second},
		"a call that is aborted lasts until it is closed":    {func(body io.ReadCloser) { <-time.After(5 * time.Second); body.Close() }, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				s.IdleTimeout = time.Minute
				body := &paced{time.Now(), []at{{time.Second, stream(textChunk)}, {2 * time.Second, stream(textChunk)}}}
				response := s.answered(t, chat, eventStream, body)
				if _, err := io.ReadFull(response.Body, make([]byte, 2*len(stream(textChunk)))); err != nil {
					t.Fatal(err)
				}
				if active := s.sums(t, telemetry.LLMActiveRequests)[""]; active != 1 {
					t.Errorf("%v calls are active before the end", active)
				}
				c.leave(response.Body)
				<-time.After(2 * time.Minute)
				s.expectDuration(t, c.want)
				if got := s.seen(t); got.Outcome != "aborted" {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// answered returns the answer to a call of the path.
func (s *testSDK) answered(t testing.TB, path, contentType string, body io.Reader) *http.Response {
	t.Helper()
	response, err := s.over(answering(contentType, body)).Do(newRequest(t, t.Context(), "http://127.0.0.1"+path, streamBody))
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// expectDuration compares that of the metric, and of the span.
func (s *testSDK) expectDuration(t testing.TB, want time.Duration) {
	t.Helper()
	if got := s.times(t)[telemetry.GenAIOperationDuration]; got != want.Seconds() {
		t.Errorf("the duration is %v s, not %v", got, want)
	}
	spans := s.spans.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	if got := spans[0].EndTime().Sub(spans[0].StartTime()); got != want {
		t.Errorf("the span took %v, not %v", got, want)
	}
}
