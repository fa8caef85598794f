package llm_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/llm"
)

// canary is what must not be recorded.
const canary = "canary"

// told is all that telemetry tells, as text.
func (s *testSDK) told(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	var collected metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			fmt.Fprintf(&all, "%s %+v\n", m.Name, m.Data)
		}
	}
	for _, span := range s.spans.Ended() {
		fmt.Fprintln(&all, span.Name(), span.Status(), span.Events(), span.Links())
		for _, a := range span.Attributes() {
			fmt.Fprintln(&all, a.Key, a.Value.String())
		}
	}
	return all.String()
}

// private asks with the canary wherever there is room for it.
func private(t *testing.T, client *http.Client, url, body string) {
	t.Helper()
	at := strings.Replace(url, "http://", "http://"+canary+":"+canary+"@", 1) + "?key=" + canary + "#" + canary
	post(t, client, at, body,
		"Authorization", "Bearer "+canary, "X-Api-Key", canary, "Api-Key", canary, "User-Agent", canary, "Cookie", canary,
		"Openai-Organization", canary, "X-Stainless-Retry-Count", canary, "Traceparent", canary, "Baggage", "user="+canary)
}

const privateBody = `{"model":"deepseek-flash","stream":%t,"stream_options":{"include_usage":true},"user":"canary","user_id":"canary",
"metadata":{"canary":"canary"},"canary":1,"system":"canary","tools":[{"name":"canary"}],"stop":["canary"],
"messages":[{"role":"user","name":"canary","content":"canary"},{"role":"tool","content":[{"type":"text","text":"canary"}]}],"input":"canary","prompt":"canary"}`

func TestContentsAreNotRecorded(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]fakellm.Answer{
		"an answer":       {Text: canary, Reasoning: canary, ToolCall: canary},
		"a refusal":       {Status: 400},
		"an answer cut":   {Text: canary, Cut: fakellm.CutEOF, CutAfter: 3},
		"an error inside": {Text: canary, Cut: fakellm.CutError, CutAfter: 3},
		"a broken event":  {Text: canary, Cut: fakellm.CutMalformed, CutAfter: 3},
	} {
		for _, path := range []string{chat, text, embeddings, responses, messages, "/v1/models"} {
			for _, streams := range []bool{true, false} {
				t.Run(fmt.Sprintf("of %s from %s %t", name, path, streams), func(t *testing.T) {
					t.Parallel()
					s := newSDK()
					// Exemplars keep attributes that views drop.
					s.reader = sdkmetric.NewManualReader()
					s.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader), sdkmetric.WithExemplarFilter(exemplar.AlwaysOnFilter))
					_, url := serve(t, func(fakellm.Request) fakellm.Answer { return a })
					private(t, s.client(t), url+path, fmt.Sprintf(privateBody, streams))
					if told := s.told(t); strings.Contains(strings.ToLower(told), canary) || !strings.Contains(told, "duration") {
						t.Error(told)
					}
				})
			}
		}
	}
}

func TestMessagesOfErrorsAreNotRecorded(t *testing.T) {
	t.Parallel()
	refusing := func(body string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			response, err := answering(jsonType, strings.NewReader(body))(r)
			response.StatusCode = http.StatusBadRequest
			response.Header.Set("Retry-After", canary)
			response.Header.Set("X-Canary", canary)
			return response, err
		}
	}
	for name, base := range map[string]roundTripper{
		"of a refusal":         refusing(`{"error":{"message":"canary","param":"canary","type":"invalid","metadata":{"code":"canary"}}}`),
		"of a refusal in text": refusing(`{"error":"canary"}`),
		"of a page":            refusing(`<html>canary</html>`),
		"of an error":          func(*http.Request) (*http.Response, error) { return nil, errors.New(canary) },
		"of a reader": func(r *http.Request) (*http.Response, error) {
			return answering(eventStream, io.MultiReader(strings.NewReader(stream(textChunk)), failingReader{}))(r)
		},
		"of a stream": answering(eventStream, strings.NewReader(stream(textChunk, `{"error":{"message":"canary","type":"late"}}`))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			private(t, s.over(base), "http://127.0.0.1"+chat, fmt.Sprintf(privateBody, true))
			if told := s.told(t); strings.Contains(strings.ToLower(told), canary) {
				t.Error(told)
			}
		})
	}
}

// failingReader fails with what is not to be told.
type failingReader struct{}

// Read implements [io.Reader].
func (failingReader) Read([]byte) (int, error) {
	return 0, fmt.Errorf("read %s: %w", canary, errors.New(canary))
}

func TestContentsAreRecordedIfWanted(t *testing.T) {
	t.Parallel()
	_, url := serve(t, func(fakellm.Request) fakellm.Answer {
		return answer(func(a *fakellm.Answer) { a.Text = "Zürich, Zürich" })
	})
	const body = `{"model":"deepseek-flash","stream":%t,"messages":"Where?"}`
	for name, c := range map[string]struct {
		content            llm.Content
		prompt, completion string
	}{
		"not at all":           {llm.Content{}, "", ""},
		"not of less":          {llm.Content{MaxBytes: -5}, "", ""},
		"as they are":          {llm.Content{MaxBytes: 1000}, body, "Zürich, Zürich"},
		"up to a size":         {llm.Content{MaxBytes: 10}, body[:10], "Zürich, Z"},
		"a character at least": {llm.Content{MaxBytes: 2}, body[:2], "Z\uFFFD"},
		"as redacted":          {llm.Content{MaxBytes: 1000, Redact: func(string) string { return "***" }}, "***", "***"},
		"of what is kept":      {llm.Content{MaxBytes: 10, Redact: strings.ToUpper}, strings.ToUpper(body[:10]), "ZÜRICH, Z"},
		"nothing after a panic": {llm.Content{MaxBytes: 1000, Redact: func(string) string {
			panic(canary)
		}}, "", ""},
	} {
		for _, streams := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %t", name, streams), func(t *testing.T) {
				t.Parallel()
				s := newSDK()
				s.Content = c.content
				post(t, s.client(t), url+chat, fmt.Sprintf(body, streams))
				attributes := spanAttributes(s)
				want := []string{c.prompt, c.completion}
				if strings.Contains(c.prompt, "%t") {
					want[0] = fmt.Sprintf(c.prompt, streams)
				}
				got := []string{attributes["otelmon.llm.prompt"], attributes["otelmon.llm.completion"]}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				for _, text := range got {
					if !utf8.ValidString(text) {
						t.Errorf("%q is no text", text)
					}
				}
				s.spans.Reset()
				if told := s.told(t); strings.Contains(told, "Where") || strings.Contains(told, "rich") || strings.Contains(told, canary) {
					t.Errorf("metrics tell %s", told)
				}
			})
		}
	}
}

func TestContentsOfSpansThatAreNotSampledAreNotEvenRedacted(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	var redacted atomic.Int64
	s.Content = llm.Content{MaxBytes: 100, Redact: func(text string) string { redacted.Add(1); return text }}
	post(t, s.over(answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))), "http://127.0.0.1"+chat, objectBody)
	if n := redacted.Load(); n != 0 || s.sums(t, "otelmon.llm.attempts")[""] != 1 {
		t.Errorf("%d texts were redacted", n)
	}
}
