package llm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// endingOf returns a body that ends, or fails after its last byte.
func endingOf(content []byte, seed uint64) io.Reader {
	rest := &pieces{content, rand.New(rand.NewPCG(seed, 1))}
	if seed%3 == 0 {
		return io.MultiReader(rest, failingReader{})
	}
	return rest
}

// Whatever a stream is, the client gets its bytes, and it is recorded once.
func FuzzStream(f *testing.F) {
	paths := []string{chat, text, embeddings, responses, messages}
	for i, path := range paths {
		for _, cut := range []fakellm.Cut{fakellm.CutNone, fakellm.CutEOF, fakellm.CutError, fakellm.CutMalformed, fakellm.CutHTML} {
			content, _ := bodyOf(f, answer(func(a *fakellm.Answer) { a.Cut, a.CRLF = cut, i%2 == 0 }), path, streamBody)
			f.Add(content, uint8(i), uint64(cut))
		}
	}
	for _, seed := range []string{
		"", "data:\n\n", "data: [DONE]\n\n", "\xef\xbb\xbfdata: {}\r\r", ": c\n\n\n", strings.Repeat(`{"a":[`, 1200),
		stream(`{"usage":{"prompt_tokens":-1}}`, `{"choices":[{"finish_reason":"stop"}]}`, `{"choices":[],"usage":{"prompt_tokens":1e999}}`),
		stream(textChunk, finishChunk, usageChunk, "[DONE]"), "\x1f\x8b\x08\x00\x00\x00\x00\x00", "event: error\ndata: {\"error\":{}}\n\n",
	} {
		f.Add([]byte(seed), uint8(0), uint64(1))
	}
	f.Fuzz(func(t *testing.T, content []byte, kind uint8, seed uint64) {
		for _, header := range []http.Header{
			{"Content-Type": {eventStream}}, {"Content-Type": {jsonType}}, {"Content-Type": {eventStream}, "Content-Encoding": {"gzip"}},
		} {
			s := newSDK()
			s.Content.MaxBytes = int(seed % 50)
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				response, err := answering("", endingOf(content, seed))(r)
				response.Header = header.Clone()
				return response, err
			})
			response, err := s.over(base).Do(newRequest(t, t.Context(), "http://127.0.0.1"+paths[int(kind)%len(paths)], streamBody))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := readWith(response.Body, 1+int(seed>>8%5000))
			response.Body.Close()
			if !bytes.Equal(got, content) {
				t.Errorf("got %q, want %q", got, content)
			}
			s.seen(t)
			checkClasses(t, s)
		}
		fuzzHidden(t, content, seed)
	})
}

// fuzzHidden reads a stream whose usage is to be hidden: nothing else may go.
func fuzzHidden(t *testing.T, content []byte, seed uint64) {
	t.Helper()
	s := newSDK()
	s.IncludeUsage = true
	client := s.over(answering(eventStream, endingOf(content, seed)))
	response, err := client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, `{"model":"m","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := readWith(response.Body, 1+int(seed>>8%5000))
	response.Body.Close()
	if told := bytes.Contains(content, []byte(`"usage"`)); len(got) > len(content) || !told && !bytes.Equal(got, content) {
		t.Errorf("got %q, want %q", got, content)
	}
	s.seen(t)
}

// checkClasses compares tokens by class with the totals of the conventions.
func checkClasses(t *testing.T, s *testSDK) {
	t.Helper()
	totals, sums := s.sums(t, telemetry.GenAITokenUsage, telemetry.GenAITokenType), map[string]float64{"input": 0, "output": 0}
	for class, n := range s.sums(t, telemetry.LLMTokens, telemetry.LLMTokenClass) {
		if n <= 0 {
			t.Errorf("%v tokens of %s", n, class)
		}
		direction, _, _ := strings.Cut(class, "_")
		sums[direction] += n
	}
	counted := len(totals) > 0
	if missing := len(s.sums(t, telemetry.LLMUsageMissing)) > 0; counted == missing {
		t.Errorf("tokens are counted: %t, usage is missing: %t", counted, missing)
	}
	for direction, n := range totals {
		if n != sums[direction] {
			t.Errorf("%v tokens of %s, but %v by class", n, direction, sums[direction])
		}
	}
}

// Whatever the usage is, classes are disjoint, and sum up to the totals.
func FuzzUsage(f *testing.F) {
	for _, seed := range []string{
		`{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"completion_tokens_details":{"reasoning_tokens":20}}`,
		`{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":3}}`,
		`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}`,
		`{"prompt_tokens":1e3,"completion_tokens":-0}`, `{}`, `null`, `{"prompt_tokens":{},"prompt_tokens":[]}`, `{"prompt_tokens":1099511627776,"completion_tokens":1}`,
	} {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(1))
	}
	f.Fuzz(func(t *testing.T, usage string, kind uint8) {
		if !json.Valid([]byte(usage)) {
			return
		}
		path := []string{chat, messages, responses, embeddings}[kind%4]
		s := newSDK()
		s.Prices = testBook(t)
		post(t, s.over(answering(jsonType, strings.NewReader(objectWith(path, usage)))), "http://127.0.0.1"+path, objectBody)
		s.seen(t)
		if len(s.sums(t, telemetry.LLMUsageMissing)) == 0 && path == embeddings {
			return // they have no output
		}
		checkClasses(t, s)
		for class, cost := range s.sums(t, telemetry.LLMCost, telemetry.LLMTokenClass) {
			if cost < 0 {
				t.Errorf("%s costs %v", class, cost)
			}
		}
	})
}

// A request that is JSON is the same but for the option; anything else is left
// as it is.
func FuzzWithUsage(f *testing.F) {
	for _, seed := range []string{
		`{"stream":true}`, `{"stream":true,"stream_options":{}}`, `{"stream":true,"stream_options":{"include_usage":false,"a":[1,{}]}}`, `[]`, `{}`,
		` {"stream" : true , "x":"{\"stream_options\":null"}`, `{"stream":true,"stream_options":null}`, "\xef\xbb\xbf{\"stream\":true}", `{"stream":true}{}`,
		`{"stream_options":{"include_usage":null},"stream":true,"stream_options":{"b":2}}`, `{"stream":true,"strea\u006d":false}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		client, arrived := asking(newSDK(), jsonType, message(`"content":"Hi"`))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+chat, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		var before, after any
		if err := json.Unmarshal(body, &before); err != nil {
			return // a byte order mark is no JSON to encoding/json
		}
		if err := json.Unmarshal(*arrived, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, *arrived, err)
		}
		object, _ := before.(map[string]any)
		if changed := !bytes.Equal(body, *arrived); !changed {
			return
		}
		options, _ := object["stream_options"].(map[string]any)
		want := maps.Clone(object)
		want["stream_options"] = maps.Clone(options)
		if options == nil {
			want["stream_options"] = map[string]any{}
		}
		want["stream_options"].(map[string]any)["include_usage"] = true
		if !reflect.DeepEqual(after, any(want)) {
			t.Errorf("%q became %q:\n%s", body, *arrived, cmp.Diff(any(want), after))
		}
	})
}
