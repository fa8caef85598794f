package llm_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// events is a body that gives one event with each read.
type events struct{ rest [][]byte }

// Read implements [io.Reader].
func (e *events) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.rest[0])
	if e.rest[0] = e.rest[0][n:]; len(e.rest[0]) == 0 {
		e.rest = e.rest[1:]
	}
	return n, nil
}

// longStream is a stream of that many pieces of text, besides what begins and
// ends it.
func longStream(t testing.TB, path string, pieces int, change func(*fakellm.Answer)) [][]byte {
	t.Helper()
	a := fakellm.Answer{Text: strings.Repeat("word ", pieces), Chunks: pieces, Usage: full().Usage}
	change(&a)
	content, _ := bodyOf(t, a, path, streamBody)
	return bytes.SplitAfter(content, []byte("\n\n"))
}

// readLong reads a stream through the transport.
func readLong(t testing.TB, client http.RoundTripper, path, body string, buffer []byte) {
	t.Helper()
	response, err := client.RoundTrip(newRequest(t, t.Context(), "http://127.0.0.1"+path, body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for {
		if _, err := response.Body.Read(buffer); err != nil {
			return
		}
	}
}

// Not parallel: it counts what the process allocates.
func TestAnEventCostsHardlyAnAllocation(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates too")
	}
	// Of a long stream one time in eight is recorded, which takes one.
	const few, many, most = 100, 300, 0.15
	reasons := func(a *fakellm.Answer) { a.Reasoning, a.Text = a.Text, "Hi" }
	as := func(vendor fakellm.Vendor) func(*fakellm.Answer) {
		return func(a *fakellm.Answer) { a.Vendor = vendor }
	}
	for name, c := range map[string]struct {
		path, body string
		change     func(*fakellm.Answer)
		includes   bool
	}{
		"of DeepSeek":               {chat, streamBody, as(fakellm.DeepSeek), false},
		"of OpenAI":                 {chat, streamBody, as(fakellm.OpenAI), false},
		"of reasoning":              {chat, streamBody, reasons, false},
		"of text completions":       {text, streamBody, as(fakellm.OpenAI), false},
		"of responses":              {responses, streamBody, as(fakellm.OpenAI), false},
		"of messages":               {messages, streamBody, as(fakellm.Anthropic), false},
		"of thoughts in messages":   {messages, streamBody, reasons, false},
		"with CRLF":                 {chat, streamBody, func(a *fakellm.Answer) { a.CRLF = true }, false},
		"where the usage is hidden": {chat, `{"stream":true}`, as(fakellm.DeepSeek), true},
	} {
		t.Run(name, func(t *testing.T) {
			buffer := make([]byte, 4<<10)
			allocations := func(pieces int) float64 {
				s := newSDK()
				s.IncludeUsage = c.includes
				body := &events{}
				client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
					return answering(eventStream, body)(r)
				})).Transport
				stream := longStream(t, c.path, pieces, c.change)
				return testing.AllocsPerRun(50, func() {
					body.rest = append(body.rest[:0], stream...)
					readLong(t, client, c.path, c.body, buffer)
				})
			}
			base, more := allocations(few), allocations(many)
			each := (more - base) / (many - few)
			t.Logf("%.3f allocations an event, %.0f for a stream of %d", each, base, few)
			if each > most {
				t.Errorf("an event costs %v allocations, at most %v are wanted", each, most)
			}
		})
	}
}

// A stream of 100 events, each read by itself, bare and through the transport.
func BenchmarkStream(b *testing.B) {
	stream := longStream(b, chat, 100, func(*fakellm.Answer) {})
	body := &events{}
	base := roundTripper(func(r *http.Request) (*http.Response, error) { return answering(eventStream, body)(r) })
	for name, client := range map[string]http.RoundTripper{"bare": base, "measured": newSDK().over(base).Transport} {
		b.Run(name, func(b *testing.B) {
			buffer := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				body.rest = append(body.rest[:0], stream...)
				readLong(b, client, chat, streamBody, buffer)
			}
		})
	}
}
