package fakellm_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
)

func TestUsageIsSentWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body string
		answer     fakellm.Answer
		want       bool
	}{
		"a stream that asks for it":                      {"/chat/completions", askUsage, fakellm.Answer{}, true},
		"a stream that does not":                         {"/chat/completions", askStream, fakellm.Answer{}, false},
		"a stream that has it with the finish reason":    {"/chat/completions", askStream, fakellm.Answer{UsageWithFinish: true}, true},
		"a text completion that asks for it":             {"/completions", askUsage, fakellm.Answer{}, true},
		"a text completion that does not":                {"/completions", askStream, fakellm.Answer{}, false},
		"an object":                                      {"/chat/completions", askObject, fakellm.Answer{}, true},
		"responses, asked or not":                        {"/responses", askStream, fakellm.Answer{}, true},
		"messages, asked or not":                         {"/messages", askStream, fakellm.Answer{}, true},
		"an object without":                              {"/chat/completions", askObject, fakellm.Answer{NoUsage: true}, false},
		"a stream that asks in vain":                     {"/chat/completions", askUsage, fakellm.Answer{NoUsage: true}, false},
		"a finish reason without":                        {"/chat/completions", askUsage, fakellm.Answer{NoUsage: true, UsageWithFinish: true}, false},
		"responses without":                              {"/responses", askStream, fakellm.Answer{NoUsage: true}, false},
		"messages without":                               {"/messages", askStream, fakellm.Answer{NoUsage: true}, false},
		"an error":                                       {"/chat/completions", askObject, fakellm.Answer{Status: 500}, false},
		"an embedding, which is no stream even if asked": {"/embeddings", askUsage, fakellm.Answer{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.answer.Text, c.answer.Usage = "text", fakellm.Usage{UncachedInput: 7}
			u := always(c.answer)
			body := ask(t, u, c.path, c.body).Body.String()
			record := only(t, u)
			if told := strings.Contains(body, `_tokens":7`); told != c.want || record.UsageSent != c.want {
				t.Errorf("told %v, recorded %v, want %v in %s", told, record.UsageSent, c.want, body)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		has                string
	}{
		"no JSON":                      {"POST", "/v1/chat/completions", `{"model"`, 400, `"invalid_request_error"`},
		"no JSON for Anthropic":        {"POST", "/v1/messages", "", 400, `{"type":"error"`},
		"an unknown path":              {"POST", "/v1/images", "{}", 404, `"unknown_url"`},
		"another method":               {"GET", "/v1/chat/completions", "", 404, `"unknown_url"`},
		"the list of models":           {"GET", "/v1/models", "", 200, `"object":"list"`},
		"a prefix of an upstream":      {"POST", "/a/b/chat/completions", askObject, 200, "Hello!"},
		"a plain answer of Anthropic":  {"POST", "/anthropic/v1/messages", askObject, 200, `"end_turn"`},
		"a plain answer of DeepSeek":   {"POST", "/chat/completions", `{"model":"deepseek-chat"}`, 200, "prompt_cache_miss_tokens"},
		"a plain answer as an example": {"POST", "/v1/responses", askStream, 200, "response.completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, w := fakellm.New(nil), httptest.NewRecorder()
			u.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body)))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
				t.Errorf("%d %s, want %d and %s", w.Code, w.Body, c.status, c.has)
			}
			if r := only(t, u); r.Status != c.status || r.Path != c.path || !r.Complete || r.Bytes != int64(w.Body.Len()) {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}

func TestByModel(t *testing.T) {
	t.Parallel()
	u := fakellm.New(fakellm.ByModel(map[string]fakellm.Answer{
		"asked": {Text: "chosen", Model: "other", Usage: fakellm.Usage{UncachedInput: 2}},
	}))
	for body, want := range map[string]string{askObject: "chosen", `{"model":"m"}`: "Hello! How can I help you today?"} {
		if got := readAnswer(t, "/chat/completions", ask(t, u, "/chat/completions", body).Body.String(), false).Text; got != want {
			t.Errorf("%s: text %q, want %q", body, got, want)
		}
	}
	want := map[string]fakellm.Usage{"other": {UncachedInput: 2}, "m": {UncachedInput: 11, AnswerTokens: 9}}
	if diff := cmp.Diff(want, u.Totals().ByModel); diff != "" {
		t.Errorf("by the model of the answer: %s", diff)
	}
}

func TestKeepLimitsTheRecords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keep int
		want []string
	}{
		"all":        {9, []string{"/1/chat/completions", "/2/chat/completions", "/3/chat/completions", "/4/chat/completions"}},
		"the newest": {3, []string{"/2/chat/completions", "/3/chat/completions", "/4/chat/completions"}},
		"none":       {0, nil},
		"fewer":      {-1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := fakellm.New(nil)
			u.Keep(c.keep)
			for i := range 4 {
				ask(t, u, fmt.Sprintf("/%d/chat/completions", i+1), askObject)
			}
			var got []string
			for _, r := range u.Records() {
				got = append(got, r.Path)
				if found, ok := u.Record(r.ID); !ok || found.Path != r.Path {
					t.Errorf("record %s is %s, want %s", r.ID, found.Path, r.Path)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if _, ok := u.Record("unknown"); ok {
				t.Error("a record of an unknown id")
			}
			if got := u.Totals().Requests; got != 4 {
				t.Errorf("%d requests in total, want 4", got)
			}
		})
	}
}

func TestWaitIsForRequestsInFlight(t *testing.T) {
	t.Parallel()
	u := always(fakellm.Answer{Cut: fakellm.CutHang})
	server := start(t, u)
	response := post(t, server.Client(), server.URL+"/chat/completions", askStream)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.Wait(ended); err == nil {
		t.Error("no error while a request is in flight")
	}
	if got := u.Totals().InFlight; got != 1 {
		t.Errorf("%d in flight, want 1", got)
	}
	response.Body.Close()
	if r := only(t, u); !r.ClientLeft {
		t.Error("the client left unnoticed")
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]fakellm.Answer{
		"line ends of two characters": {CRLF: true},
		"one byte at a time":          {Split: 1},
		"pieces larger than events":   {Split: 1 << 20},
		"compressed":                  {Gzip: true},
		"all of it":                   {Gzip: true, CRLF: true, Split: 7, Queue: 1, KeepAlive: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer.Text = "some text in pieces"
			u := always(answer)
			server := start(t, u)
			response := post(t, server.Client(), server.URL+"/chat/completions", askUsage, "Accept-Encoding", "gzip")
			body := read(t, response.Body)
			if got := only(t, u); got.Bytes != int64(len(body)) || !got.Complete {
				t.Errorf("%d bytes recorded, complete %v; want %d, true", got.Bytes, got.Complete, len(body))
			}
			if compressed := response.Header.Get("Content-Encoding") == "gzip"; compressed != answer.Gzip {
				t.Errorf("compressed is %v, want %v", compressed, answer.Gzip)
			}
			if answer.Gzip {
				plain, err := gzip.NewReader(strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				body = read(t, plain)
			}
			if strings.Count(body, "\r\n") != strings.Count(body, "\n") && answer.CRLF {
				t.Errorf("line ends are mixed in %q", body)
			}
			if got := readAnswer(t, "/chat/completions", body, true).Text; got != answer.Text {
				t.Errorf("text %q, want %q", got, answer.Text)
			}
		})
	}
}

// A compressed event can be read before the next one is sent.
func TestCompressedEventsComeAtOnce(t *testing.T) {
	t.Parallel()
	u := always(fakellm.Answer{Gzip: true, Text: "text", Chunks: 2, Cut: fakellm.CutHang, CutAfter: 1})
	server := start(t, u)
	leaveAfter(t, post(t, server.Client(), server.URL+"/chat/completions", askStream), `"te"`)
	if r := only(t, u); !r.ClientLeft || r.Events != 2 {
		t.Errorf("client left %v, %d events, want true, 2", r.ClientLeft, r.Events)
	}
}

func TestCompressionIsForThoseThatAcceptIt(t *testing.T) {
	t.Parallel()
	w := ask(t, always(fakellm.Answer{Gzip: true}), "/chat/completions", askObject)
	if got := w.Header().Get("Content-Encoding"); got != "" {
		t.Errorf("encoding %q, want none", got)
	}
}

func TestMixedIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	request := fakellm.Request{Path: "/chat/completions", Model: "deepseek-chat"}
	one, same, other := fakellm.Mixed(1), fakellm.Mixed(1), fakellm.Mixed(2)
	kinds, different := map[string]bool{}, false
	for range 2000 {
		a, b, c := one(request), same(request), other(request)
		if a != b {
			t.Fatalf("%+v and %+v with the same seed", a, b)
		}
		different = different || a != c
		kinds[fmt.Sprint("status ", a.Status)] = true
		kinds[fmt.Sprint("cut ", a.Cut)] = true
		kinds["finish "+a.FinishReason] = true
		kinds[fmt.Sprint("tool ", a.ToolCall != "")] = true
		kinds[fmt.Sprint("cache hit ", a.Usage.CachedInput > 0)] = true
		kinds[fmt.Sprint("no usage ", a.NoUsage)] = true
	}
	if !different {
		t.Error("another seed gives the same answers")
	}
	if want := 9 + 6 + 4 + 2 + 2 + 2; len(kinds) != want {
		t.Errorf("%d kinds of answers, want %d: %v", len(kinds), want, kinds)
	}
	if kinds[fmt.Sprint("cut ", fakellm.CutHang)] {
		t.Error("a client that did not ask for it would hang")
	}
}

// The totals are what clients read themselves, whatever goes wrong and however
// many there are.
func TestTotalsAreWhatClientsRead(t *testing.T) {
	t.Parallel()
	u := fakellm.New(fakellm.Mixed(7))
	server := start(t, u)
	paths := []string{"/chat/completions", "/completions", "/responses", "/messages"}
	var mu sync.Mutex
	var sum fakellm.Usage
	var told, left int64
	var clients sync.WaitGroup
	for worker := range 8 {
		clients.Go(func() {
			for i := range 50 {
				path, stream := paths[(worker+i)%4], i%3 > 0
				usage, hung := callMixed(t, server, path, stream, i%10 == 9)
				mu.Lock()
				if usage != nil {
					told++
					sum = add(sum, *usage)
				}
				if hung {
					left++
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if err := u.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	totals := u.Totals()
	if totals.Requests != 400 || totals.InFlight != 0 || totals.UsageSent != told || totals.ClientLeft != left || totals.Usage != sum {
		t.Errorf("totals %+v, want 400 requests, %d with usage, %d left: %+v", totals, told, left, sum)
	}
	if told == 0 || left == 0 {
		t.Errorf("%d told and %d left, want some of each", told, left)
	}
}

// callMixed returns the usage that a client finds, if there is one, and
// whether it left.
func callMixed(t *testing.T, server *httptest.Server, path string, stream, hang bool) (*fakellm.Usage, bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := askObject
	if stream {
		body = askUsage
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil, false
	}
	if hang {
		request.Header.Set(fakellm.HangHeader, "1")
	}
	response, err := server.Client().Do(request)
	if err != nil {
		return nil, false // a reset before the first event
	}
	defer response.Body.Close()
	if hang {
		return nil, true
	}
	whole, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, false
	}
	return lastUsage(t, path, string(whole), stream), false
}

// lastUsage is that of the last event that has one and is JSON, unless it is
// that of a beginning.
func lastUsage(t *testing.T, path, body string, stream bool) *fakellm.Usage {
	t.Helper()
	var usage *fakellm.Usage
	events := []string{body}
	if stream {
		events = payloads(t, body)
	}
	for _, payload := range events {
		var e struct {
			Usage    *tokens
			Response struct{ Usage *tokens }
		}
		if json.Unmarshal([]byte(payload), &e) != nil {
			continue
		}
		for _, found := range []*tokens{e.Usage, e.Response.Usage} {
			if found != nil {
				usage = found.usage(t, path)
			}
		}
	}
	return usage
}

func add(a, b fakellm.Usage) fakellm.Usage {
	return fakellm.Usage{
		UncachedInput: a.UncachedInput + b.UncachedInput, CachedInput: a.CachedInput + b.CachedInput,
		CacheWrite: a.CacheWrite + b.CacheWrite, AnswerTokens: a.AnswerTokens + b.AnswerTokens,
		ReasoningTokens: a.ReasoningTokens + b.ReasoningTokens,
	}
}
