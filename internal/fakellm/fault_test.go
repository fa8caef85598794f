package fakellm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// fourPieces is an answer of two pieces of reasoning and two of text.
func fourPieces(cut fakellm.Cut, after int) fakellm.Answer {
	return fakellm.Answer{
		Text: "text", Reasoning: "thought", Chunks: 2, Cut: cut, CutAfter: after, LargeMiB: 2,
		Usage: fakellm.Usage{UncachedInput: 3, CachedInput: 4, AnswerTokens: 5, ReasoningTokens: 6},
	}
}

func TestFaultsOfStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cut                fakellm.Cut
		after              int
		events             int    // that the record counts
		last               string // is in the last event
		usage, broken, end bool
	}{
		"no fault":                                {fakellm.CutNone, 2, 8, "[DONE]", true, false, true},
		"an end before the first piece":           {fakellm.CutEOF, 0, 1, `"role"`, false, false, false},
		"an end after one piece":                  {fakellm.CutEOF, 1, 2, `"tho"`, false, false, false},
		"an end after all pieces":                 {fakellm.CutEOF, 9, 5, `"xt"`, false, false, false},
		"a reset after three pieces":              {fakellm.CutReset, 3, 4, `"te"`, false, true, false},
		"an error after two pieces":               {fakellm.CutError, 2, 4, `{"error":{`, false, false, false},
		"malformed JSON after two pieces":         {fakellm.CutMalformed, 2, 9, "[DONE]", true, false, false},
		"a large event after two pieces":          {fakellm.CutLarge, 2, 9, "[DONE]", true, false, false},
		"a page instead of a stream, of no event": {fakellm.CutHTML, 2, 0, "", false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := always(fourPieces(c.cut, c.after))
			server := start(t, u)
			response := post(t, server.Client(), server.URL+"/chat/completions", askUsage)
			body, err := io.ReadAll(response.Body)
			if (err != nil) != c.broken {
				t.Errorf("error %v, want one: %v", err, c.broken)
			}
			events := payloads(t, string(body))
			if len(events) != c.events || c.events > 0 && !strings.Contains(events[len(events)-1], c.last) {
				t.Errorf("%d events, want %d, of which the last has %q: %.300q", len(events), c.events, c.last, events)
			}
			record := only(t, u)
			if record.Events != c.events || record.Bytes != int64(len(body)) || record.Status != http.StatusOK {
				t.Errorf("recorded %d events of %d bytes with status %d, want %d of %d with 200",
					record.Events, record.Bytes, record.Status, c.events, len(body))
			}
			if record.UsageSent != c.usage || record.Complete != c.end || record.ClientLeft {
				t.Errorf("usage sent %v, complete %v, client left %v; want %v, %v, false",
					record.UsageSent, record.Complete, record.ClientLeft, c.usage, c.end)
			}
		})
	}
}

func TestFaultsOfObjects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cut           fakellm.Cut
		begins        string
		size          int // at least
		broken, usage bool
	}{
		"no fault":       {fakellm.CutNone, `{"id":`, 500, false, true},
		"half of it":     {fakellm.CutEOF, `{"id":`, 200, false, false},
		"a reset":        {fakellm.CutReset, `{"id":`, 200, true, false},
		"an error":       {fakellm.CutError, `{"error":`, 50, false, false},
		"malformed JSON": {fakellm.CutMalformed, `{"id":`, 500, false, false},
		"a page":         {fakellm.CutHTML, "<html>", 50, false, false},
		"a large text":   {fakellm.CutLarge, `{"id":`, 2 << 20, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := always(fourPieces(c.cut, 0))
			server := start(t, u)
			response := post(t, server.Client(), server.URL+"/chat/completions", askObject)
			body, err := io.ReadAll(response.Body)
			if (err != nil) != c.broken {
				t.Errorf("error %v, want one: %v", err, c.broken)
			}
			if !strings.HasPrefix(string(body), c.begins) || len(body) < c.size {
				t.Errorf("%d bytes %.100q, want at least %d that begin with %s", len(body), body, c.size, c.begins)
			}
			record := only(t, u)
			if record.UsageSent != c.usage || record.Complete != (c.cut == fakellm.CutNone) || record.Bytes != int64(len(body)) {
				t.Errorf("usage sent %v, complete %v, %d bytes; want %v, %v, %d", record.UsageSent, record.Complete,
					record.Bytes, c.usage, c.cut == fakellm.CutNone, len(body))
			}
		})
	}
}

// A stream of Anthropic tells its input at once, and all of it at the end.
func TestAnthropicTellsItsInputFirst(t *testing.T) {
	t.Parallel()
	answer := fourPieces(fakellm.CutEOF, 1)
	answer.Vendor = fakellm.Anthropic
	u := always(answer)
	ask(t, u, "/messages", askStream)
	record := only(t, u)
	want := fakellm.Usage{UncachedInput: 3, CachedInput: 4}
	if !record.InputSent || record.UsageSent || record.Usage != want {
		t.Errorf("input sent %v, all of it %v: %+v, want true, false: %+v", record.InputSent, record.UsageSent, record.Usage, want)
	}
	if totals := u.Totals(); totals.InputOnly != want || totals.Usage != (fakellm.Usage{}) {
		t.Errorf("totals %+v, want only the input", totals)
	}
}

// A reset arrives as one, not as an end of file, where the connection is the
// client's own.
func TestResetIsOneOfTheConnection(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(http.Handler) *httptest.Server{
		"plain": httptest.NewServer, "TLS": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := make(always(fourPieces(fakellm.CutReset, 2)))
			t.Cleanup(server.Close)
			response := post(t, server.Client(), server.URL+"/chat/completions", askStream)
			if _, err := io.ReadAll(response.Body); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error %v, want a connection reset", err)
			}
		})
	}
}

// The upstream does the same behind HTTP/2 and behind a reverse proxy.
func TestEveryWayToServe(t *testing.T) {
	t.Parallel()
	http2 := func(u http.Handler) *httptest.Server {
		server := httptest.NewUnstartedServer(u)
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		return server
	}
	proxied := func(u http.Handler) *httptest.Server {
		target, err := url.Parse(start(t, u).URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.FlushInterval = -1
		proxy.ErrorLog = log.New(io.Discard, "", 0)
		return start(t, proxy)
	}
	for name, serve := range map[string]func(http.Handler) *httptest.Server{
		"HTTP/2": http2, "a reverse proxy": proxied,
	} {
		for _, cut := range []fakellm.Cut{fakellm.CutNone, fakellm.CutReset, fakellm.CutHang} {
			t.Run(fmt.Sprint(name, " with cut ", cut), func(t *testing.T) {
				t.Parallel()
				u := always(fourPieces(cut, 2))
				server := serve(u)
				response := post(t, server.Client(), server.URL+"/chat/completions", askStream)
				if cut == fakellm.CutHang {
					leaveAfter(t, response, `"ught"`)
				} else if _, err := io.ReadAll(response.Body); (err != nil) != (cut == fakellm.CutReset) {
					t.Errorf("error %v", err)
				}
				record := only(t, u)
				if record.Complete != (cut == fakellm.CutNone) || record.ClientLeft != (cut == fakellm.CutHang) {
					t.Errorf("complete %v, client left %v", record.Complete, record.ClientLeft)
				}
			})
		}
	}
}

// leaveAfter closes the body once the text was read.
func leaveAfter(t *testing.T, response *http.Response, text string) {
	t.Helper()
	var seen strings.Builder
	buffer := make([]byte, 256)
	for !strings.Contains(seen.String(), text) {
		n, err := response.Body.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

// A large piece is of the kind that its place in a message of Anthropic allows.
func TestLargeEventFitsIntoItsBlock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after           int
		path, reasoning string
		want            string
	}{
		"in the reasoning":          {1, "/messages", "thought", `"index":0,"delta":{"type":"thinking_delta","thinking":"aaa`},
		"in the text after it":      {3, "/messages", "thought", `"index":1,"delta":{"type":"text_delta","text":"aaa`},
		"in a text without":         {1, "/messages", "", `"index":0,"delta":{"type":"text_delta","text":"aaa`},
		"in a chat":                 {1, "/chat/completions", "", `"delta":{"content":"aaa`},
		"in a text completion":      {1, "/completions", "", `"text":"aaa`},
		"in the text of a response": {1, "/responses", "", `"type":"response.output_text.delta","item_id":"msg_000000000001","output_index":0,"content_index":0,"delta":"aaa`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := fourPieces(fakellm.CutLarge, c.after)
			answer.Reasoning, answer.LargeMiB = c.reasoning, 1
			body := ask(t, always(answer), c.path, askStream).Body.String()
			if !strings.Contains(body, c.want) || len(body) < 1<<20 {
				t.Errorf("%d bytes without %s", len(body), c.want)
			}
		})
	}
}

// A malformed event has a name where events have one, so that clients read it.
func TestMalformedEvents(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/chat/completions", "/completions", "/responses", "/messages"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			whole := ask(t, always(fourPieces(fakellm.CutNone, 0)), path, askUsage).Body.String()
			faulty := ask(t, always(fourPieces(fakellm.CutMalformed, 1)), path, askUsage).Body.String()
			malformed := 0
			for _, payload := range payloads(t, faulty) {
				if !json.Valid([]byte(payload)) && payload != "[DONE]" {
					malformed++
				}
			}
			if got, want := strings.Count(faulty, "event: "), strings.Count(whole, "event: "); malformed != 1 || want > 0 && got != want+1 {
				t.Errorf("%d malformed, %d names, want 1, one more than %d", malformed, got, want)
			}
		})
	}
}
