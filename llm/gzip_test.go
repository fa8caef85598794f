package llm_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// What breaks off before anything is there was not in a queue.
func TestNothingInGzipIsNoQueue(t *testing.T) {
	t.Parallel()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, _ = w.Write([]byte("{}"))
	_ = w.Close()
	s := newSDK()
	client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
		body := io.MultiReader(bytes.NewReader(compressed.Bytes()[:10]), iotest.ErrReader(errors.New("reset")))
		return &http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Request: r, Body: io.NopCloser(body),
			Header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
		}, nil
	}))
	post(t, client, "http://127.0.0.1"+chat, chatBody("deepseek-flash", false), "Accept-Encoding", "gzip")
	if got := s.sums(t, telemetry.LLMQueueDuration); len(got) != 0 {
		t.Errorf("got %v calls in a queue, want none", got)
	}
}
