package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/proxy"
)

func TestReload(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan struct{}), make(chan struct{})
	former := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-goOn
		_, _ = io.WriteString(w, "former")
	}))
	latter := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "latter") }))
	p := newProxied(t, to(former.URL))
	c := dial(t, p.URL)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, "the request", asked)
	if err := p.proxy.Reload(proxy.Config{}); err == nil || !strings.HasPrefix(err.Error(), "upstreams: ") {
		t.Errorf("got error %v", err)
	}
	if err := p.proxy.Reload(to(latter.URL)); err != nil {
		t.Fatal(err)
	}
	_, body := get(t, p.URL)
	same(t, "answer to a new request", "latter", body)
	same(t, "requests under way", []string{"http.request.method=GET = 1"}, p.series(t, "http.server.active_requests"))
	close(goOn)
	same(t, "answer to the request that was under way", "former", c.read(c.head("GET").Body, 6))
	p.eventually(t, "http.server.request.duration",
		"http.request.method=GET http.response.status_code=200 http.route=_OTHER = 2")
}

// All upstreams, also those after a reload, go on from what was learnt before.
func TestReloadForgetsNothing(t *testing.T) {
	t.Parallel()
	upstream := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"model":"m","choices":[{"finish_reason":"stop","message":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`)
	}))
	cfg := proxy.Config{Upstreams: []proxy.Upstream{{URL: upstream.URL, Prefix: "/a"}, {URL: upstream.URL + "/down", Prefix: "/b"}}}
	p := newProxied(t, cfg)
	ask := func(path string) {
		response, err := http.Post(p.URL+path+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
	}
	ask("/a")
	until(t, "the call to be measured", func() bool { return len(p.series(t, telemetry.LLMAttempts)) == 1 })
	ask("/b")
	if err := p.proxy.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	ask("/b")
	const attributes = "gen_ai.operation.name=chat gen_ai.provider.name=_OTHER gen_ai.request.model=m "
	p.eventually(t, telemetry.LLMAttempts,
		attributes+"gen_ai.response.model=m otelmon.llm.api=chat_completions otelmon.llm.attempt=first otelmon.llm.outcome=ok = 1",
		attributes+"otelmon.llm.api=chat_completions otelmon.llm.attempt=first otelmon.llm.outcome=server_error = 1",
		attributes+"otelmon.llm.api=chat_completions otelmon.llm.attempt=retry otelmon.llm.outcome=server_error = 1")
}
