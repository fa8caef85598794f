package sse_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/sse"
)

func TestEventsAreToldOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stream string
		want   result
	}{
		"an event": {
			"data: a\n\n",
			result{Events: []event{{Data: "a", End: 9}}, Pending: 9},
		},
		"the space behind the colon may be missing": {
			"data:a\n\ndata:  b\n\n",
			result{Events: []event{{Data: "a", End: 8}, {Data: " b", Start: 8, End: 18}}, Pending: 18},
		},
		"lines of data are joined": {
			"data: a\ndata\ndata: b\n\n",
			result{Events: []event{{Data: "a\n\nb", End: 22}}, Pending: 22},
		},
		"an event has the last of its types": {
			"event: x\nevent: y\ndata: a\n\ndata: b\n\n",
			result{Events: []event{{Type: "y", Data: "a", End: 27}, {Data: "b", Start: 27, End: 36}}, Pending: 36},
		},
		"data may be empty": {
			"data\n\ndata:\n\n",
			result{Events: []event{{End: 6}, {Start: 6, End: 13}}, Pending: 13},
		},
		"other fields are ignored": {
			"id: 1\nretry: 2\nDATA: 3\n data: 4\ndatum: 5\ndata: a\n\n",
			result{Events: []event{{Data: "a", End: 50}}, Pending: 50},
		},
		"an event without data is not told of": {
			"event: ping\nid: 1\n\ndata: a\n\n",
			result{Events: []event{{Data: "a", Start: 19, End: 28}}, Pending: 28},
		},
		"lines may end with CR or CRLF": {
			"data: a\r\rdata: b\r\ndata: c\r\n\r\n",
			result{Events: []event{{Data: "a", End: 9}, {Data: "b\nc", Start: 9, End: 29}}, Pending: 29},
		},
		"a byte order mark is skipped at the beginning only": {
			"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
			result{Events: []event{{Data: "a", End: 12}}, Pending: 24},
		},
		"a comment is one with its blank line": {
			": keep-alive\n\n: keep-alive\n\n",
			result{Comments: 2, Pending: 28},
		},
		"so are blank lines": {
			"\n\r\n\r",
			result{Comments: 3, Pending: 4},
		},
		"a comment before an event does not belong to it": {
			": a\ndata: a\n\n",
			result{Events: []event{{Data: "a", Start: 4, End: 13}}, Comments: 1, Pending: 13},
		},
		"a comment within an event does": {
			"data: a\n: b\ndata: c\n\n",
			result{Events: []event{{Data: "a\nc", End: 21}}, Comments: 1, Pending: 21},
		},
		"an event that is not complete is pending": {
			"data: a\n\ndata: b\n",
			result{Events: []event{{Data: "a", End: 9}}, Pending: 9},
		},
		"a comment that is complete is not": {
			"data: a\n\n: b\n",
			result{Events: []event{{Data: "a", End: 9}}, Comments: 1, Pending: 13},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parse(0, []byte(test.stream))); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, reference(test.stream, 1<<20)); diff != "" {
				t.Errorf("of the reference: want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestAnEventIsNotDelayedForAnLF(t *testing.T) {
	t.Parallel()
	stream := "data: a\r\n\r\ndata: b\r\n\r\n"
	got := parse(0, []byte(stream[:10]))
	if diff := cmp.Diff(result{Events: []event{{Data: "a", End: 10}}, Pending: 10}, got); diff != "" {
		t.Errorf("before the LF: want (-), got (+):\n%s", diff)
	}
	got = parse(0, []byte(stream[:10]), []byte(stream[10:]))
	want := result{Events: []event{{Data: "a", End: 10}, {Data: "b", Start: 11, End: 22}}, Pending: 22}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("behind the LF: want (-), got (+):\n%s", diff)
	}
}

func TestAnEventMayBeTooLarge(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 20)
	tests := map[string]struct {
		stream string
		want   []event
	}{
		"just not":                     {"data: 01234567\n\n", []event{{Data: "01234567", End: 16}}},
		"by one":                       {"data: 012345678\n\n", []event{{TooLarge: true, End: 17}}},
		"in several lines":             {"data: 01\ndata: 2\n\n", []event{{TooLarge: true, End: 18}}},
		"by an unknown field":          {large + "\ndata: a\n\n", []event{{TooLarge: true, End: 30}}},
		"not by a comment before it":   {":" + large + "\ndata: a\n\n", []event{{Data: "a", Start: 22, End: 31}}},
		"not without data":             {large + "\n\n", nil},
		"with its type before":         {"event: x\ndata:" + large + "\n\n", []event{{Type: "x", TooLarge: true, End: 36}}},
		"without a type behind":        {"data:" + large + "\nevent: x\n\n", []event{{TooLarge: true, End: 36}}},
		"and the next one is not":      {"data:" + large + "\n\ndata: a\n\n", []event{{TooLarge: true, End: 27}, {Data: "a", Start: 27, End: 36}}},
		"with a byte order mark first": {"\xef\xbb\xbfdata:" + large + "\n\n", []event{{TooLarge: true, End: 30}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= len(test.stream); size++ {
				got := parse(15, chunks([]byte(test.stream), size)...)
				if diff := cmp.Diff(test.want, got.Events); diff != "" {
					t.Errorf("in pieces of %d: want (-), got (+):\n%s", size, diff)
				}
			}
		})
	}
}

func TestSplitsMakeNoDifference(t *testing.T) {
	t.Parallel()
	for _, stream := range streams {
		for _, maxEvent := range []int{1, 12, 1 << 20} {
			want := reference(stream, maxEvent)
			for i := range stream {
				got := parse(maxEvent, []byte(stream[:i]), []byte(stream[i:])).whole(stream)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%.80q split at %d: want (-), got (+):\n%s", stream, i, diff)
				}
			}
			got := parse(maxEvent, chunks([]byte(stream), 1)...).whole(stream)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%.80q byte by byte: want (-), got (+):\n%s", stream, diff)
			}
		}
	}
}

func TestDataOfOnePieceIsNotCopied(t *testing.T) {
	t.Parallel()
	input := []byte("event: x\ndata: abc\n\n")
	p := sse.Parser{OnEvent: func(e sse.Event) { e.Data[0] = 'A' }}
	_, _ = p.Write(input)
	if want := "event: x\ndata: Abc\n\n"; string(input) != want {
		t.Errorf("got %q, want %q", input, want)
	}
}

func TestNothingHasToBeToldOf(t *testing.T) {
	t.Parallel()
	var p sse.Parser
	n, err := p.Write([]byte(": a\n\ndata: b\n\n"))
	if n != 14 || err != nil || p.Pending() != 14 {
		t.Errorf("Write returned %d, %v, pending from %d", n, err, p.Pending())
	}
}

func TestNothingIsAllocated(t *testing.T) { // not parallel: allocations are counted
	for name, input := range map[string]string{
		"an event of a chat completion": chunk,
		"an event of several lines":     "event: x\r\ndata: a\r\ndata: b\r\n\r\n",
		"a comment":                     ": keep-alive\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			var size, comments int
			p := sse.Parser{
				OnEvent:   func(e sse.Event) { size += len(e.Data) },
				OnComment: func() { comments++ },
			}
			stream := []byte(input)
			parseAll := func() {
				_, _ = p.Write(stream)
				_, _ = p.Write(stream[:len(stream)/2])
				_, _ = p.Write(stream[len(stream)/2:])
			}
			if allocs := testing.AllocsPerRun(100, parseAll); allocs != 0 {
				t.Errorf("%v allocations, want none", allocs)
			}
			if size+comments == 0 {
				t.Error("nothing was told of")
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) { // not parallel: allocations are counted
	const maxEvent, pieces = 1 << 16, 1000
	for name, line := range map[string]string{
		"a line that does not end":     strings.Repeat("x", 1<<12),
		"data that does not end":       "\ndata: " + strings.Repeat("x", 1<<12),
		"a type that does not end":     "\nevent: " + strings.Repeat("x", 1<<12),
		"lines without any content":    strings.Repeat("data\n", 1<<10),
		"a comment that does not end":  ":" + strings.Repeat("x", 1<<12),
		"many events that are too big": "data: x\ndata: " + strings.Repeat("x", maxEvent) + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := sse.Parser{MaxEvent: maxEvent}
			piece := []byte(line)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range pieces {
				_, _ = p.Write(piece)
			}
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 8*maxEvent {
				t.Errorf("%d bytes were allocated, at most %d are kept at a time", got, maxEvent)
			}
		})
	}
}

func BenchmarkEvent(b *testing.B) {
	benchmark(b, []byte(chunk), len(chunk))
}

func BenchmarkEventInTwoPieces(b *testing.B) {
	benchmark(b, []byte(chunk), len(chunk)/2)
}

func BenchmarkShortLinesEndingWithCR(b *testing.B) {
	benchmark(b, []byte(strings.Repeat("\r", 1<<20)), 1<<20)
}

func benchmark(b *testing.B, stream []byte, size int) {
	b.Helper()
	told := 0
	p := sse.Parser{OnEvent: func(sse.Event) { told++ }, OnComment: func() { told++ }}
	pieces := chunks(stream, size)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		for _, piece := range pieces {
			_, _ = p.Write(piece)
		}
	}
	if told < b.N {
		b.Fatal("the stream was not parsed")
	}
}

func TestContentTypesOfStreams(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"text/event-stream":                 true,
		"Text/Event-Stream ; charset=utf-8": true,
		"text/event-streams":                false,
		"application/json":                  false,
		"":                                  false,
	} {
		if got := sse.Is(contentType); got != want {
			t.Errorf("%q: got %t", contentType, got)
		}
	}
}
