package llm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// asking returns a client that asks for usage, and what arrives of its requests.
func asking(s *testSDK, contentType, body string) (client *http.Client, arrived *[]byte) {
	s.IncludeUsage = true
	arrived = new([]byte)
	return s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		*arrived = content
		return answering(contentType, strings.NewReader(body))(r)
	})), arrived
}

func TestUsageIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ path, body, want string }{
		"without options":               {chat, `{"stream":true,"model":"m"}`, `{"stream_options":{"include_usage":true},"stream":true,"model":"m"}`},
		"of a text completion":          {text, `{"stream":true,"model":"m"}`, `{"stream_options":{"include_usage":true},"stream":true,"model":"m"}`},
		"of a completion in the middle": {"/beta/completions", `{"stream":true,"model":"m"}`, `{"stream_options":{"include_usage":true},"stream":true,"model":"m"}`},
		"with options that are null":    {chat, `{"stream":true,"stream_options":null}`, `{"stream":true,"stream_options":{"include_usage":true}}`},
		"with empty options":            {chat, `{"stream":true,"stream_options":{}}`, `{"stream":true,"stream_options":{"include_usage":true}}`},
		"with blank options":            {chat, `{"stream":true,"stream_options":{ ` + "\n" + ` }}`, `{"stream":true,"stream_options":{"include_usage":true ` + "\n" + ` }}`},
		"with other options":            {chat, `{"stream":true,"stream_options":{"include_obfuscation":false}}`, `{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}`},
		"where it was declined":         {chat, `{"stream_options":{"a":[1],"include_usage" : false },"stream":true}`, `{"stream_options":{"a":[1],"include_usage" : true },"stream":true}`},
		"where it was left open":        {chat, `{"stream_options":{"include_usage":null},"stream":true}`, `{"stream_options":{"include_usage":true},"stream":true}`},
		"of a body with white space":    {chat, " \r\n\t{ \"stream\" : true }\n", " \r\n\t{\"stream_options\":{\"include_usage\":true}, \"stream\" : true }\n"},
		"of a body with a mark":         {chat, "\xef\xbb\xbf{\"stream\":true}", "\xef\xbb\xbf{\"stream_options\":{\"include_usage\":true},\"stream\":true}"},
		"of the last of two options":    {chat, `{"stream":true,"stream_options":{"include_usage":false},"stream_options":{}}`, `{"stream":true,"stream_options":{"include_usage":false},"stream_options":{"include_usage":true}}`},
		"after options that are gone":   {chat, `{"stream":true,"stream_options":{"include_usage":true},"stream_options":null}`, `{"stream":true,"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}`},
		"not twice":                     {chat, `{"stream":true,"stream_options":{"include_usage":true}}`, ""},
		"not where there is no stream":  {chat, `{"stream":false}`, ""},
		"not where nothing is said":     {chat, `{"model":"m"}`, ""},
		"not of an empty object":        {chat, `{}`, ""},
		"not where a stream is a word":  {chat, `{"stream":"true"}`, ""},
		"not within something else":     {chat, `{"metadata":{"stream":true}}`, ""},
		"not of an array":               {chat, `[{"stream":true}]`, ""},
		"not of what is no JSON":        {chat, `{"stream":true`, ""},
		"not of two documents":          {chat, `{"stream":true}{"stream":true}`, ""},
		"not with options of no kind":   {chat, `{"stream":true,"stream_options":7}`, ""},
		"not with a usage of no kind":   {chat, `{"stream":true,"stream_options":{"include_usage":"no"}}`, ""},
		"not of responses":              {responses, `{"stream":true,"model":"m"}`, ""},
		"not of messages":               {messages, `{"stream":true,"model":"m"}`, ""},
		"not of more than 8 MiB":        {chat, `{"stream":true,"prompt":"` + strings.Repeat("a", 8<<20) + `"}`, ""},
		"of just 8 MiB": {
			chat, `{"stream":true,"p":"` + strings.Repeat("a", 8<<20-22) + `"}`,
			`{"stream_options":{"include_usage":true},"stream":true,"p":"` + strings.Repeat("a", 8<<20-22) + `"}`,
		},
	} {
		for way, reader := range map[string]func(string) io.Reader{
			"":            func(body string) io.Reader { return strings.NewReader(body) },
			", in chunks": func(body string) io.Reader { return io.MultiReader(strings.NewReader(body)) },
		} {
			t.Run(name+way, func(t *testing.T) {
				t.Parallel()
				client, arrived := asking(newSDK(), jsonType, message(`"content":"Hi"`))
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+c.path, reader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				want := c.want
				if want == "" {
					want = c.body
				}
				if got := string(*arrived); got != want {
					t.Errorf("got %.200q, want %.200q", got, want)
				}
				if valid := json.Valid(bytes.TrimPrefix([]byte(c.body), []byte("\xef\xbb\xbf"))); valid && !json.Valid(bytes.TrimPrefix(*arrived, []byte("\xef\xbb\xbf"))) {
					t.Errorf("what arrived is no JSON: %.200q", *arrived)
				}
			})
		}
	}
}

// withoutUsage is the stream that a client sees that did not ask for usage.
func withoutUsage(content string) string {
	var kept []string
	for event := range strings.SplitAfterSeq(content, "\n\n") {
		if !strings.Contains(event, `"choices":[],"usage"`) {
			kept = append(kept, event)
		}
	}
	return strings.Join(kept, "")
}

func TestTheUsageIsHiddenFromThoseWhoDidNotAsk(t *testing.T) {
	t.Parallel()
	content, _ := bodyOf(t, full(), chat, streamBody)
	plain := string(content)
	moreAfter := stream(textChunk, finishChunk, usageChunk, `{"choices":[],"extra":1}`, textChunk, "[DONE]")
	for name, sent := range map[string]string{
		"of DeepSeek":                    plain,
		"with comments":                  ": keep-alive\n\n" + strings.ReplaceAll(plain, "\n\ndata:", "\n\n: keep-alive\n\n\n\ndata:"),
		"with comments in events":        strings.ReplaceAll(plain, "data: {", "id: 7\n: comment\ndata: {"),
		"that goes on after the usage":   moreAfter,
		"with several usages":            stream(textChunk, finishChunk, usageChunk, textChunk, usageChunk, usageChunk, "[DONE]"),
		"that ends with the usage":       stream(textChunk, finishChunk, usageChunk),
		"with a usage in two lines":      strings.Replace(plain, `"choices":[],"usage"`, "\"choices\":[],\"usage\"", 1),
		"with a usage and no choices":    stream(textChunk, finishChunk, `{"id":"1","choices":[],"usage":{"prompt_tokens":1}}`, "[DONE]"),
		"with several choices":           stream(textChunk, finishChunk, textChunk, textChunk, finishChunk, usageChunk, "[DONE]"),
		"with usage in the last choice":  stream(textChunk, strings.Replace(finishChunk, `"usage":null`, usageField, 1), "[DONE]"),
		"that breaks off":                stream(textChunk, finishChunk) + "data: {\"choices\":[],",
		"that breaks off in its usage":   strings.TrimSuffix(stream(textChunk, finishChunk, usageChunk), "\n"),
		"with an error":                  stream(textChunk, finishChunk, `{"error":{"message":"no"}}`),
		"with something large at an end": stream(textChunk, finishChunk, `{"choices":[{"delta":{"content":"`+strings.Repeat("a", 2<<20)+`"}}]}`, usageChunk, "[DONE]"),
		"with nothing":                   "",
	} {
		want := withoutUsage(sent)
		if name == "that breaks off in its usage" {
			want = sent // what is no event is no usage
		}
		for lines, form := range map[string]func(string) string{
			"":            func(s string) string { return s },
			", with CRLF": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
			", with CR":   func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		} {
			t.Run(name+lines, func(t *testing.T) {
				t.Parallel()
				for _, size := range []int{1, 2, 7, 64, 4096, 100_000} {
					if size < 64 && len(sent) > 1<<20 {
						continue
					}
					s := newSDK()
					s.IncludeUsage = true
					client := s.over(replay([]byte(form(sent)), http.Header{"Content-Type": {eventStream}, "Content-Length": {"9"}}))
					compareBytes(t, client, chat, `{"stream":true}`, size, []byte(form(want)))
					if n := s.sums(t, telemetry.LLMResponseSize)[""]; n != float64(len(form(sent))) {
						t.Errorf("%v bytes were counted of %d", n, len(form(sent)))
					}
				}
			})
		}
	}
}

func TestTheUsageIsShownToThoseWhoAsked(t *testing.T) {
	t.Parallel()
	content, header := bodyOf(t, full(), chat, streamBody)
	for name, body := range map[string]string{
		"themselves":        streamBody,
		"for no stream":     objectBody,
		"in what is no way": `{"stream":true,"stream_options":3}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			s.IncludeUsage = true
			compareBytes(t, s.over(replay(content, header)), chat, body, 7, content)
		})
	}
}

func TestHiddenUsageIsCounted(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.IncludeUsage = true
	upstream, url := serve(t, func(fakellm.Request) fakellm.Answer { return answer(func(a *fakellm.Answer) { a.Gzip = true }) })
	body := post(t, s.client(t), url+chat, `{"model":"deepseek-flash","stream":true}`, "Accept-Encoding", "gzip")
	if strings.Contains(body, `"usage":{`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("got %q", body)
	}
	if diff := cmp.Diff(seen{Outcome: "ok"}, s.seen(t)); diff != "" {
		t.Error(diff)
	}
	if !upstream.Records()[0].UsageSent {
		t.Error("the usage was not asked for")
	}
}

// A compressed answer to a request that wants none cannot be changed.
func TestUsageInACompressedAnswerIsShown(t *testing.T) {
	t.Parallel()
	content, header := bodyOf(t, answer(func(a *fakellm.Answer) { a.Gzip = true }), chat, streamBody)
	s := newSDK()
	s.IncludeUsage = true
	compareBytes(t, s.over(replay(content, header)), chat, `{"stream":true}`, 64, content)
	if diff := cmp.Diff(seen{Outcome: "ok"}, s.seen(t)); diff != "" {
		t.Error(diff)
	}
}

func TestHidingTheUsageDelaysNoWholeEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.IncludeUsage = true
		const second = time.Second
		sent := []at{
			{1 * second, stream(textChunk)},
			{2 * second, stream(textChunk)[:20]},
			{3 * second, stream(textChunk)[20:]},
			{4 * second, stream(finishChunk)},
			{5 * second, stream(usageChunk)},
			{6 * second, ": keep-alive\n\n"},
			{7 * second, stream("[DONE]")},
		}
		begun := time.Now()
		response, err := s.over(answering(eventStream, &paced{begun, append([]at(nil), sent...)})).
			Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, `{"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var got []at
		buffer := make([]byte, 4096)
		for {
			n, err := response.Body.Read(buffer)
			if n > 0 {
				got = append(got, at{time.Since(begun), string(buffer[:n])})
			}
			if err != nil {
				break
			}
		}
		want := append([]at{sent[0], {3 * second, stream(textChunk)}, sent[3]}, sent[5:]...)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(at{})); diff != "" {
			t.Errorf("(-sent +read)\n%s", diff)
		}
	})
}

// Who reads on after the call was taken for abandoned sees no usage either.
func TestTheUsageStaysHiddenAfterTheIdleTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.IncludeUsage, s.IdleTimeout = true, time.Minute
		sent := stream(textChunk, finishChunk, usageChunk, "[DONE]")
		response, err := s.over(answering(eventStream, strings.NewReader(sent))).
			Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, `{"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		<-time.After(time.Hour)
		got, err := io.ReadAll(iotest.OneByteReader(response.Body))
		if want := withoutUsage(sent); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if diff := cmp.Diff(unknown("aborted", "canceled", "aborted"), s.seen(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHidingWithRandomStreams(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	events := []string{stream(textChunk), stream(finishChunk), stream(usageChunk), ": c\n\n", "\n", stream("[DONE]"), "id: 1\n" + stream(textChunk), "event: x\n\n"}
	for range 300 {
		var sent, want strings.Builder
		finished := false
		for range random.IntN(12) {
			event := events[random.IntN(len(events))]
			if finished = finished || event == stream(finishChunk); !finished && event == stream(usageChunk) {
				continue // what comes before the first finish is passed on as it comes
			}
			sent.WriteString(event)
			want.WriteString(withoutUsage(event))
		}
		// What breaks off is passed on, up to its end.
		rest := events[random.IntN(len(events))]
		rest = rest[:random.IntN(len(rest))]
		s := newSDK()
		s.IncludeUsage = true
		client := s.over(replay([]byte(sent.String()+rest), http.Header{"Content-Type": {eventStream}}))
		compareBytes(t, client, chat, `{"stream":true}`, 1+random.IntN(200), []byte(want.String()+rest))
	}
}
