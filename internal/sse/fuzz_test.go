package sse_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParser compares the parser with one that reads line by line, for the whole
// stream and in pieces, and checks that the ranges of events are theirs.
func FuzzParser(f *testing.F) {
	for i, stream := range streams {
		f.Add(stream, uint16(1<<i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, stream string, limit uint16, size uint8) {
		maxEvent := int(limit) + 1
		want := reference(stream, maxEvent)
		if diff := cmp.Diff(want, parse(maxEvent, []byte(stream))); diff != "" {
			t.Errorf("the reference (-), got (+):\n%s", diff)
		}
		pieces := chunks([]byte(stream), int(size)+1)
		if diff := cmp.Diff(want, parse(maxEvent, pieces...).whole(stream)); diff != "" {
			t.Errorf("the reference (-), in pieces (+):\n%s", diff)
		}
		checkRanges(t, stream, maxEvent, want.Events)
	})
}

// checkRanges checks that each range has its event and what is between ranges
// has none.
func checkRanges(t *testing.T, stream string, maxEvent int, told []event) {
	t.Helper()
	// A byte order mark is skipped at the beginning only: each part gets another.
	part := func(start, end int64) []event {
		mark := "\xef\xbb\xbf\n"
		if start == 0 {
			mark = ""
		}
		return parse(maxEvent, []byte(mark+stream[start:end])).Events
	}
	end := int64(0)
	for _, e := range told {
		if between := part(end, e.Start); len(between) != 0 {
			t.Errorf("%+v before the range of %+v", between, e)
		}
		within := part(e.Start, e.End)
		if len(within) != 1 || within[0].Data != e.Data || within[0].Type != e.Type || within[0].TooLarge != e.TooLarge {
			t.Errorf("%+v within the range of %+v", within, e)
		}
		end = e.End
	}
}

var streams = []string{
	"", "\n", "\r", "\r\n", "\xef\xbb\xbf\n", "data: a\n\n",
	"data: a\r\n\r\ndata: b\r\n\r\n\r\n", "data: a\r\rdata: b\r\r", "data: a\r\n\rdata: b\n\r\n",
	"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
	"event: x\ndata: a\ndata: b\n\nid: 1\n\nevent: y\n\ndata\n\ndata:\n\n",
	": keep-alive\n\n: a\n: b\n\n\n\ndata: c\n: d\ndata: e\n\n: f",
	"data: 0123456789\n\nevent: x\ndata: " + strings.Repeat("y", 3000) + "\nevent: z\ndata: a\n\ndata: b\n\n",
	strings.Repeat("z", 2000) + "\ndata: a\n\n:" + strings.Repeat("c", 2000) + "\r\n\r\ndata: b\r\n\r\n",
	chunk + chunk + "data: [DONE]\n\n",
}

// chunk is an event of a streamed chat completion.
const chunk = `data: {"id":"chatcmpl-9f1c2d3e4b5a69788796a5b4c3d2e1f0","object":"chat.completion.chunk","created":1735689600,` +
	`"model":"deepseek-chat","system_fingerprint":"fp_3a5770e1b4","choices":[{"index":0,` +
	`"delta":{"role":"assistant","content":" Hello"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
