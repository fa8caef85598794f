package llm_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// split is a reader that gives so many bytes at a time.
type split struct {
	io.Reader

	size int
}

// Read implements [io.Reader].
func (s split) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.size)]) } //nolint:wrapcheck // it is the reader's

// An event with nothing but usage is hidden wherever it stands, and however the
// stream comes in and is read.
func TestTheUsageIsHiddenWhereverItStands(t *testing.T) {
	t.Parallel()
	large := `{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("a", 1<<20) + `"}}]}`
	for name, sent := range map[string]string{
		"first of all":                stream(usageChunk, textChunk, finishChunk, "[DONE]"),
		"before the finish reason":    stream(textChunk, usageChunk, textChunk, finishChunk, "[DONE]"),
		"of all, with comments":       ": a\n\n" + stream(usageChunk) + ": b\n\n" + stream(textChunk, finishChunk, usageChunk, "[DONE]"),
		"after an event of over 1MiB": stream(textChunk, large, usageChunk, textChunk, usageChunk, "[DONE]"),
	} {
		want := withoutUsage(sent)
		for lines, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
			for _, size := range []int{1, 3, 17} {
				t.Run(fmt.Sprintf("%s, with %s, %d bytes at a time", name, lines, size), func(t *testing.T) {
					t.Parallel()
					sent, want := strings.ReplaceAll(sent, "\n", end), []byte(strings.ReplaceAll(want, "\n", end))
					for _, buffer := range []int{size, 4096} {
						s := newSDK()
						s.IncludeUsage = true
						client := s.over(answering(eventStream, split{strings.NewReader(sent), size}))
						compareBytes(t, client, chat, `{"model":"m","stream":true}`, buffer, want)
					}
				})
			}
		}
	}
}
