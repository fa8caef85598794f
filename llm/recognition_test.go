package llm_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Paths such as /v1/messages are not those of LLM APIs alone.
func TestACallHasAModel(t *testing.T) {
	t.Parallel()
	const azure = "/openai/deployments/gpt"
	for name, c := range map[string]struct {
		path, body string
		want       string // the API; empty: it is plain HTTP
	}{
		"responses without a model":             {responses, `{"input":"Hi"}`, ""},
		"embeddings without a model":            {embeddings, `{"input":"Hi"}`, ""},
		"completions without a model":           {text, `{"prompt":"Hi"}`, ""},
		"messages without a model":              {"/v1/messages", `{"text":"Hi"}`, ""},
		"a model that is none":                  {responses, `{"model":null,"input":{"model":"m"}}`, ""},
		"what is no JSON":                       {responses, `input=Hi&model=m`, ""},
		"nothing":                               {responses, ``, ""},
		"responses with a model":                {responses, `{"input":"Hi","model":"m"}`, "responses"},
		"embeddings with a model":               {embeddings, `{"input":"Hi","model":"m"}`, "embeddings"},
		"completions with a model":              {text, `{"prompt":"Hi","model":"m"}`, "completions"},
		"messages with a model":                 {"/v1/messages", `{"messages":[],"model":"m"}`, "messages"},
		"chat completions without a model":      {chat, `{"messages":[]}`, "chat_completions"},
		"chat completions of nothing":           {chat, ``, "chat_completions"},
		"embeddings of a deployment":            {azure + "/embeddings", `{"input":"Hi"}`, "embeddings"},
		"completions of a deployment":           {azure + "/completions", `{"prompt":"Hi"}`, "completions"},
		"chat completions of a deployment":      {azure + "/chat/completions", `{"messages":[]}`, "chat_completions"},
		"responses with a model beyond a limit": {responses, `{"input":"` + strings.Repeat("a", 64<<10) + `"}`, "responses"},
	} {
		for length, form := range map[string]func(io.Reader) io.Reader{
			"":                    func(r io.Reader) io.Reader { return r },
			", of unknown length": func(r io.Reader) io.Reader { return io.MultiReader(r) },
		} {
			t.Run(name+length, func(t *testing.T) {
				t.Parallel()
				s := newSDK()
				var got []byte
				base := roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Body != nil {
						got, _ = io.ReadAll(r.Body)
					}
					return answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
				})
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+c.path, form(strings.NewReader(c.body)))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Anthropic-Version", "2023-06-01")
				size := r.ContentLength
				response, err := s.over(base).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, response, nil)
				response.Body.Close()
				if string(got) != c.body || r.ContentLength != size {
					t.Errorf("%.100q of %d bytes arrived, of %d", got, len(got), size)
				}
				s.expectKind(t, c.want)
			})
		}
	}
}

// expectKind has the metrics be those of a call of the API, or of a plain
// request.
func (s *testSDK) expectKind(t testing.TB, api string) {
	t.Helper()
	if got := only(t, s.sums(t, telemetry.LLMAttempts, telemetry.LLMAPI)); got != api {
		t.Errorf("it counts as %q", got)
	}
	if plain := s.sums(t, "http.client.request.duration")[""]; (plain == 1) != (api == "") {
		t.Errorf("%v plain requests", plain)
	}
	for _, name := range s.metricNames(t) {
		if isPlain := strings.Contains(name, "http."); isPlain != (api == "") {
			t.Errorf("there is %s", name)
		}
	}
}
