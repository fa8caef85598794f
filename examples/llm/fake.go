package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// fake has two addresses, because the provider is known by the host.
type fake struct {
	server           http.Server
	deepSeek, openAI string
}

func startFake(ctx context.Context) (*fake, error) {
	upstream := fakellm.New(answers())
	upstream.Keep(0)
	f := &fake{server: http.Server{Handler: upstream, ReadHeaderTimeout: 5 * time.Second}}
	for _, base := range []*string{&f.deepSeek, &f.openAI} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			f.stop()
			return nil, fmt.Errorf("starting the fake: %w", err)
		}
		*base = "http://" + listener.Addr().String()
		go func() { _ = f.server.Serve(listener) }() // until stop
	}
	return f, nil
}

func (f *fake) stop() { _ = f.server.Close() }

// sessions are with three models. Each asks about the same long text again and
// again, which the provider keeps in its cache.
func (f *fake) sessions() []session {
	flash := session{api: api{provider: "deepseek", base: f.deepSeek, model: "deepseek-flash"}, questions: questions(14, true)}
	pro := session{api: api{provider: "deepseek", base: f.deepSeek, model: "deepseek-v4-pro"}, questions: questions(8, true)}
	nano := session{api: api{provider: "openai", base: f.openAI, model: "gpt-5-nano"}, questions: questions(18, false)}
	pro.questions[5].leave = true
	return []session{flash, pro, nano}
}

func questions(n int, stream bool) []question {
	document := message{Role: "system", Content: strings.Repeat("A long text that all questions are about. ", 50)}
	asked := make([]question, n)
	for i := range asked {
		asked[i] = question{
			Messages: []message{document, {Role: "user", Content: fmt.Sprintf("What does page %d say?", i+1)}},
			Stream:   stream,
		}
	}
	return asked
}

// answers gives each request the next answer of its model.
func answers() func(fakellm.Request) fakellm.Answer {
	var mu sync.Mutex
	asked := map[string]int{}
	return func(r fakellm.Request) fakellm.Answer {
		mu.Lock()
		defer mu.Unlock()
		asked[r.Model]++
		return answer(r.Model, asked[r.Model])
	}
}

// answer is the nth of a model. Of its times only the order of magnitude to
// each other is real.
func answer(model string, n int) fakellm.Answer {
	a := fakellm.Answer{
		Text:        "It says that the quarter was better than the one before, and why.",
		Chunks:      12,
		HeaderDelay: 30 * time.Millisecond,
		FirstToken:  time.Duration(40+15*(n%5)) * time.Millisecond,
		Between:     10 * time.Millisecond,
		Usage:       usage(n),
	}
	switch model {
	case "deepseek-flash":
		flash(&a, n)
	case "deepseek-v4-pro":
		pro(&a, n)
	default:
		nano(&a, n)
	}
	return a
}

// usage has the text in the cache from the second question on.
func usage(n int) fakellm.Usage {
	u := fakellm.Usage{UncachedInput: int64(40 + n), CachedInput: 2048, AnswerTokens: int64(150 + 20*(n%7))}
	if n == 1 {
		u.UncachedInput, u.CachedInput = u.UncachedInput+u.CachedInput, 0
	}
	return u
}

func flash(a *fakellm.Answer, n int) {
	switch n {
	case 4:
		a.Status, a.RetryAfter = http.StatusTooManyRequests, time.Second
	case 9:
		a.FinishReason = "length"
	}
}

// pro thinks before it answers, and has a queue.
func pro(a *fakellm.Answer, n int) {
	a.Reasoning = "The user asks for the content of a page. Let me find it in the text."
	a.Think = time.Duration(120+40*(n%3)) * time.Millisecond
	a.Usage.ReasoningTokens = int64(300 + 60*n)
	if n == 3 {
		a.Queue, a.KeepAlive = 800*time.Millisecond, 200*time.Millisecond
	}
}

// nano thinks too, but does not show it.
func nano(a *fakellm.Answer, n int) {
	a.Vendor = fakellm.OpenAI
	a.Usage.ReasoningTokens = 64
	if n == 7 {
		a.Status = http.StatusServiceUnavailable
	}
}
