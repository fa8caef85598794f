package proxy_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/proxy"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	cfg := proxy.Config{Upstreams: []proxy.Upstream{
		{URL: upstream.URL, Routes: []string{"/v1/files/{id}", "/v1/files/{id}/content", "/v1/{rest...}", "/a/", "/b/{x}/{y}", "/"}},
		{URL: upstream.URL, Prefix: "/deepseek"},
		{URL: upstream.URL, Prefix: "/deepseek/more", Routes: []string{"/chat/{kind}", "/all/{path...}"}},
	}}
	for path, want := range map[string]string{
		"/":                                "/",
		"/v1/files/1":                      "/v1/files/{id}",
		"/v1/files/a%2Fb":                  "/v1/files/{id}",
		"/v1/files/a%2Fb{":                 "/v1/files/{id}",
		"/v1/files/1?a=/b":                 "/v1/files/{id}",
		"/v1/files/1/content":              "/v1/files/{id}/content",
		"/v1/files/1/":                     "/v1/{rest...}",
		"/v1/files/":                       "/v1/{rest...}",
		"/v1//":                            "/v1/{rest...}",
		"/v1/":                             "/v1/{rest...}",
		"/v1":                              "",
		"/a/":                              "/a/",
		"/a":                               "",
		"//a/":                             "",
		"/b/1/2":                           "/b/{x}/{y}",
		"/b//2":                            "",
		"/b/1":                             "",
		"/chat/completions":                "/chat/completions",
		"/beta/completions":                "/beta/completions",
		"/surveys/12/responses":            "",
		"/deepseek/chat/completions":       "/deepseek/chat/completions",
		"/deepseek/v1/chat/completions":    "/deepseek/v1/chat/completions",
		"/deepseek/anthropic/v1/messages":  "/deepseek/anthropic/v1/messages",
		"/deepseek/v1/fim/completions":     "/deepseek/v1/fim/completions",
		"/deepseek/v1/embeddings":          "/deepseek/v1/embeddings",
		"/deepseek/v1/responses":           "/deepseek/v1/responses",
		"/deepseek/v1/models":              "",
		"/deepseek/12345/chat/completions": "",
		"/deepseek":                        "",
		"/deepseek/more/chat/completions":  "/deepseek/more/chat/{kind}",
		"/deepseek/more/all/a/b":           "/deepseek/more/all/{path...}",
		"/deepseek/openai/deployments/gpt-4/embeddings": "/deepseek/openai/deployments/{deployment}/embeddings",
		"/deepseekers/chat/completions":                 "",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := newProxied(t, cfg)
			client := dial(t, p.URL) // and stays until the request is recorded
			client.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			client.head(http.MethodGet)
			if want == "" {
				want = telemetry.Other
			}
			p.eventually(t, telemetry.ServerDuration, fmt.Sprintf("http.request.method=GET http.response.status_code=200 http.route=%s = 1", want))
		})
	}
}

func TestUpstreamsAreMeasuredAsClients(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}`)
	}))
	cfg := to(upstream.URL)
	cfg.Upstreams[0].Provider = "deepseek"
	p := newProxied(t, cfg)
	get(t, p.URL+"/files")
	response, err := http.Post(p.URL+"/chat/completions", "application/json", strings.NewReader(`{"model":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	p.eventually(t, telemetry.ClientDuration, "http.request.method=GET http.response.status_code=200 = 1")
	calls := p.series(t, telemetry.GenAIOperationDuration)
	if len(calls) != 1 || !strings.Contains(calls[0], "gen_ai.provider.name=deepseek") {
		t.Errorf("got calls %v, want one of deepseek", calls)
	}
	tokens := p.series(t, telemetry.LLMTokens)
	if len(tokens) == 0 {
		t.Error("got no tokens")
	}
}

func TestCallers(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{}`)
	}))
	byHeader := proxy.Caller{Header: "x-team", Allowed: []string{"search", "Ads"}}
	byKey := proxy.Caller{KeyFingerprint: true}
	for name, test := range map[string]struct {
		caller proxy.Caller
		header http.Header
		want   string // "" for no attribute
	}{
		"nobody asks":                     {proxy.Caller{}, http.Header{"X-Team": {"search"}}, ""},
		"a team":                          {byHeader, http.Header{"X-Team": {"search"}}, "search"},
		"a team in another case":          {byHeader, http.Header{"X-Team": {"Search"}}, "other"},
		"a team nobody knows":             {byHeader, http.Header{"X-Team": {"evil"}}, "other"},
		"no team":                         {byHeader, nil, "other"},
		"a bearer token":                  {byKey, http.Header{"Authorization": {"Bearer abc"}}, "ba7816bf"}, // SHA-256("abc"), FIPS 180-2
		"a bearer token, in another case": {byKey, http.Header{"Authorization": {"bearer abc"}}, "ba7816bf"},
		"Anthropic's header":              {byKey, http.Header{"X-Api-Key": {"abc"}}, "ba7816bf"},
		"Azure's header":                  {byKey, http.Header{"Api-Key": {"abc"}}, "ba7816bf"},
		"no key":                          {byKey, nil, "none"},
		"a password":                      {byKey, http.Header{"Authorization": {"Basic abc"}}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := to(upstream.URL)
			cfg.Caller = test.caller
			p := newProxied(t, cfg)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m"}`))
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(request.Header, test.header)
			response, err := p.Client().Transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			var calls []string
			until(t, "the call", func() bool {
				calls = p.series(t, telemetry.LLMAttempts)
				return len(calls) > 0
			})
			got := ""
			if _, rest, ok := strings.Cut(calls[0], string(telemetry.LLMCaller)+"="); ok {
				got, _, _ = strings.Cut(rest, " ")
			}
			same(t, "caller", test.want, got)
			if slices.ContainsFunc(calls, func(line string) bool { return strings.Contains(line, "abc") }) {
				t.Errorf("the key is in %v", calls)
			}
		})
	}
}
