package llm_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/middleware"
)

func TestModelsBecomeLabelsOnceTheySucceeded(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Models = []string{"listed"}
	_, url := serve(t, fakellm.ByModel(map[string]fakellm.Answer{
		"refused": {Status: 404}, "listed": {Status: 404}, "failed": {Cut: fakellm.CutError}, "page": {Cut: fakellm.CutHTML},
		"good": full(), "alias": {Text: "Hi", Model: "behind-the-alias"}, "left": {Text: "Hi", Cut: fakellm.CutEOF, CutAfter: 1},
	}))
	client := s.client(t)
	for _, model := range []string{"refused", "listed", "failed", "page", "good", "alias", "left", "good"} {
		post(t, client, url+chat, chatBody(model, true))
	}
	post(t, client, url+embeddings, `{"model":"alias"}`)
	want := map[string]float64{
		"other,": 2, "listed,": 1, "good,good": 2, "alias,behind-the-alias": 2,
		"failed,failed": 1, "left,left": 1, // the provider took them
	}
	if diff := cmp.Diff(want, s.sums(t, telemetry.LLMAttempts, telemetry.GenAIRequestModel, telemetry.GenAIResponseModel)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"chat alias", "chat failed", "chat good", "chat good", "chat left", "chat listed", "chat page", "chat refused", "embeddings alias"}, spanNames(s)); diff != "" {
		t.Errorf("names of spans: %s", diff)
	}
	if active := s.sums(t, telemetry.LLMActiveRequests)[""]; active != 0 {
		t.Errorf("%v calls are active", active)
	}
}

// Embeddings tell their model after their data.
func TestTheModelOfAnEmbeddingBecomesALabel(t *testing.T) {
	t.Parallel()
	s := newSDK()
	body := `{"object":"list","data":[{"embedding":[0.1]}],"model":"the-dated-one","usage":{"prompt_tokens":3,"total_tokens":3}}`
	for range 2 {
		post(t, s.over(answering(jsonType, strings.NewReader(body))), "http://127.0.0.1"+embeddings, `{"model":"asked"}`)
	}
	want := map[string]float64{"asked,the-dated-one": 2}
	if diff := cmp.Diff(want, s.sums(t, telemetry.LLMAttempts, telemetry.GenAIRequestModel, telemetry.GenAIResponseModel)); diff != "" {
		t.Error(diff)
	}
}

func spanNames(s *testSDK) (names []string) {
	for _, span := range s.spans.Ended() {
		names = append(names, span.Name())
	}
	slices.Sort(names)
	return names
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Caller = func(r *http.Request) string { return r.Header.Get("Team") }
	client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
		return answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
	}))
	for i := range 300 {
		url := fmt.Sprintf("http://host-%d.example.com:%d%s", i, 1000+i, chat)
		post(t, client, url, chatBody(fmt.Sprintf("model-%d", i), false), "Team", fmt.Sprintf("team-%d", i))
	}
	for _, c := range []struct {
		key   string
		sums  map[string]float64
		limit int
		rest  string
	}{
		{"models", s.sums(t, telemetry.LLMAttempts, telemetry.GenAIRequestModel), 100, "other"},
		{"callers", s.sums(t, telemetry.LLMAttempts, telemetry.LLMCaller), 101, "other"},
		{"servers", s.sums(t, telemetry.LLMAttempts, telemetry.ServerAddress), 201, telemetry.Other},
	} {
		if len(c.sums) > c.limit || len(c.sums) < c.limit-1 || c.sums[c.rest] == 0 {
			t.Errorf("%d %s, the rest is %v", len(c.sums), c.key, c.sums[c.rest])
		}
	}
}

func TestLabelsAreText(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Caller = func(*http.Request) string { return "team \xff" }
	s.Models = []string{"listed \xff"}
	for _, body := range []string{`{"model":"a\ud800"}`, "{\"model\":\"\xff\"}", `{"model":"` + strings.Repeat("m", 300) + `"}`, `{"model":7}`, `{"model":""}`} {
		for _, path := range []string{chat, "/openai/deployments/%FF%FE/chat/completions"} {
			post(t, s.over(answering(jsonType, strings.NewReader(strings.Replace(message(`"content":"Hi"`), `"m"`, "\"\xfe\"", 1)))), "http://127.0.0.1"+path, body)
		}
	}
	for _, name := range []string{telemetry.LLMAttempts, telemetry.LLMTokens} {
		for key := range s.sums(t, name, telemetry.GenAIRequestModel, telemetry.GenAIResponseModel, telemetry.LLMCaller) {
			if !utf8.ValidString(key) || len(key) > 600 {
				t.Errorf("%s has %q", name, key)
			}
		}
	}
	for _, span := range s.spans.Ended() {
		for _, a := range span.Attributes() {
			if !utf8.ValidString(a.Value.String()) {
				t.Errorf("the span has %s=%q", a.Key, a.Value.String())
			}
		}
		if !utf8.ValidString(span.Name()) {
			t.Errorf("the span is named %q", span.Name())
		}
	}
}

func TestProviderByHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"api.deepseek.com": "deepseek", "API.DeepSeek.com:443": "deepseek", "api.openai.com": "openai", "eu.api.openai.com": "openai",
		"api.anthropic.com": "anthropic", "mine.openai.azure.com": "azure.ai.openai", "mine.services.ai.azure.com": "azure.ai.inference",
		"generativelanguage.googleapis.com": "gcp.gemini", "us-central1-aiplatform.googleapis.com": "_OTHER", "api.mistral.ai": "mistral_ai",
		"api.groq.com": "groq", "api.x.ai": "x_ai", "api.moonshot.cn": "moonshot_ai", "bedrock-runtime.eu-west-1.amazonaws.com": "aws.bedrock",
		"gateway.example.com": "mine", "gateway.example.com:8443": "another", "localhost:8080": "_OTHER", "evilapi.openai.com": "_OTHER",
		"api.openai.com.example.com": "_OTHER", "[::1]:8080": "six",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			s.Providers = map[string]string{"gateway.example.com": "mine", "Gateway.Example.com:8443": "another", "::1": "six"}
			post(t, s.over(answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))), "https://"+host+chat, objectBody)
			if got := only(t, s.sums(t, telemetry.LLMAttempts, telemetry.GenAIProvider)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWhatIsRecognised(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"POST /v1/chat/completions": "chat_completions", "POST /chat/completions": "chat_completions", "POST /chat/completions/": "chat_completions",
		"POST /beta/chat/completions": "chat_completions", "POST /api/v1/chat/completions": "chat_completions",
		"POST /openai/deployments/gpt/chat/completions": "chat_completions", "POST /v1beta/openai/chat/completions": "chat_completions",
		"POST /v1/completions": "completions", "POST /completions": "completions", "POST /beta/completions": "fim", "POST /v1/fim/completions": "fim",
		"POST /v1/embeddings": "embeddings", "POST /embeddings": "embeddings", "POST /openai/deployments/gpt/embeddings": "embeddings",
		"POST /v1/responses": "responses", "POST /responses": "responses", "POST /openai/v1/responses": "responses",
		"POST /anthropic/v1/messages": "messages", "ANTHROPIC /v1/messages": "messages", "ANTHROPIC /messages": "messages",
		"POST /v1/messages": "", "GET /v1/models": "", "GET /v1/chat/completions": "", "DELETE /v1/responses/1": "", "GET /v1/responses": "",
		"POST /surveys/12/responses": "", "POST /v1/responses/1/cancel": "", "POST /chats/7/messages": "", "ANTHROPIC /v1/messages/batches": "",
		"ANTHROPIC /v1/messages/count_tokens": "", "POST /v1/images/generations": "", "POST /v1/autocompletions": "", "POST /jobs/completions": "",
		"MULTIPART /v1/chat/completions": "", "MULTIPART /v1/audio/transcriptions": "", "POST /": "", "POST ": "",
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			method, path, _ := strings.Cut(request, " ")
			r := newRequest(t, t.Context(), "http://127.0.0.1"+path, objectBody)
			switch method {
			case "ANTHROPIC":
				r.Header.Set("Anthropic-Version", "2023-06-01")
			case "MULTIPART":
				r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			default:
				r.Method = method
			}
			response, err := s.over(answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, response, nil)
			response.Body.Close()
			if got := only(t, s.sums(t, telemetry.LLMAttempts, telemetry.LLMAPI)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			names := s.metricNames(t)
			for _, name := range names {
				if plain := strings.HasPrefix(name, "http."); plain == (want != "") {
					t.Errorf("there is %s", name)
				}
			}
			if len(names) == 0 {
				t.Error("nothing was recorded")
			}
		})
	}
}

// metricNames are those of metrics that have anything in them.
func (s *testSDK) metricNames(t testing.TB) []string {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			names[m.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func TestACallIsCountedOnceWhateverStandsAroundIt(t *testing.T) {
	t.Parallel()
	upstream, url := serve(t, func(fakellm.Request) fakellm.Answer { return full() })
	for name, wrap := range map[string]func(s *testSDK, base http.RoundTripper) http.RoundTripper{
		"a plain Transport inside": func(s *testSDK, base http.RoundTripper) http.RoundTripper {
			return llm.Transport(middleware.Transport(base, s.HTTP), s.Config)
		},
		"a plain Transport around": func(s *testSDK, base http.RoundTripper) http.RoundTripper {
			return middleware.Transport(llm.Transport(base, s.Config), s.HTTP)
		},
		"one inside and one around": func(s *testSDK, base http.RoundTripper) http.RoundTripper {
			return middleware.Transport(llm.Transport(middleware.Transport(base, s.HTTP), s.Config), s.HTTP)
		},
		"another of its kind around": func(s *testSDK, base http.RoundTripper) http.RoundTripper {
			return llm.Transport(llm.Transport(base, s.Config), s.Config)
		},
		"all of them": func(s *testSDK, base http.RoundTripper) http.RoundTripper {
			inner := llm.Transport(middleware.Transport(base, s.HTTP), s.Config)
			return middleware.Transport(llm.Transport(middleware.Transport(inner, s.HTTP), s.Config), s.HTTP)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			s.HTTP.MeterProvider, s.HTTP.TracerProvider = s.MeterProvider, s.TracerProvider
			base := &http.Transport{}
			t.Cleanup(base.CloseIdleConnections)
			client := &http.Client{Transport: wrap(s, base)}
			post(t, client, url+chat, streamBody)
			if calls := s.sums(t, telemetry.LLMAttempts)[""]; calls != 1 {
				t.Errorf("%v calls", calls)
			}
			for _, name := range s.metricNames(t) {
				if strings.HasPrefix(name, "http.") || strings.HasPrefix(name, "otelmon.http.") {
					t.Errorf("the call emits %s", name)
				}
			}
			if n := len(spanNames(s)); n > 2 || n > 1 && !strings.Contains(name, "around") && name != "all of them" {
				t.Errorf("spans: %v", spanNames(s))
			}
			response, err := client.Get(url + "/v1/models")
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, response, nil)
			response.Body.Close()
			if plain := s.sums(t, "http.client.request.duration")[""]; plain != 1 {
				t.Errorf("%v plain requests", plain)
			}
		})
	}
	if err := upstream.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
