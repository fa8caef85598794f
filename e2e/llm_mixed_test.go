package e2e_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/fakellm"

	"github.com/otelmon/toolkit/e2e/harness"
)

// pricedModels have a price, unpriced has none.
var pricedModels = []string{"deepseek-flash", "gpt-5.6-sol", "claude-opus-5"}

const unpriced = "model-without-a-price"

// testTenThousandCalls has 32 clients make a mix of calls, with all faults and
// with some that are left, at the same time.
func testTenThousandCalls(t *testing.T, command string) {
	const calls, workers = 10_000, 32
	w := newWay(t, fakellm.Mixed(5))
	args := []string{"--upstream", w.url, "--provider", "deepseek", "--prices", priceFile(t, pricedModels)}
	for _, model := range append(pricedModels, unpriced) {
		args = append(args, "--model", model)
	}
	p := harness.StartProxy(t, command, harness.NoOTLP(), args...)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	var working sync.WaitGroup
	for worker := range workers {
		working.Go(func() {
			for i := worker; i < calls; i += workers {
				mixedCall(t, client, p.URL, i)
			}
		})
	}
	working.Wait()
	if err := w.upstream.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	records := w.upstream.Records()
	if len(records) != calls {
		t.Errorf("%d requests came, not %d", len(records), calls)
	}
	truth := told{}
	for _, r := range records {
		truth.countMixed(r)
	}
	harness.Eventually(t, 30*time.Second, "the truth on the page of metrics", func() error {
		told := toldBy(p.Page(t))
		told.forgetResets(truth)
		return truth.differ(told)
	})
	if got := len(truth); got < 150 {
		t.Errorf("the mix has %d numbers only: %v", got, truth)
	}
}

// mixedCall makes a call of one of the APIs, and reads its answer or leaves it.
func mixedCall(t *testing.T, client *http.Client, url string, i int) {
	random := rand.New(rand.NewPCG(6, uint64(i)))
	api := []api{chat, chat, chat, textCompletion, fillInMiddle, embeddings, response, messages}[random.IntN(8)]
	model := append(pricedModels, unpriced)[random.IntN(4)]
	options := ""
	if random.IntN(2) == 0 {
		options = `,"stream_options":{"include_usage":true}`
	}
	body := fmt.Sprintf(`{"model":%q,"stream":%t%s,"input":"%d"}`, model, random.IntN(2) == 0, options, i)
	ctx, leave := context.WithTimeout(t.Context(), time.Minute)
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+curlPaths[api], strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Anthropic-Version", "2023-06-01")
	request.Header.Set("Accept-Encoding", []string{"gzip", "identity"}[random.IntN(2)])
	leaves := random.IntN(50) == 0 && api != response // half of which may tell already that it failed
	if leaves {
		request.Header.Set(fakellm.HangHeader, "1")
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Errorf("call %d: %v", i, err)
		return
	}
	defer answer.Body.Close()
	if !leaves {
		_, _ = io.Copy(io.Discard, answer.Body) // those that break off too
		return
	}
	if way := random.IntN(3); way > 0 {
		_, _ = answer.Body.Read(make([]byte, 20*way))
	}
	leave()
}

// countMixed adds a request, of which only the fake knows what it is.
func (t told) countMixed(r fakellm.Record) {
	outcome, missing := mixedOutcome(r)
	t["attempts: ,"+r.Model+","+outcome+",first"]++
	if missing != "" {
		t["missing usage: ,"+r.Model+","+missing]++
	}
	t.count(r, "", outcome)
}

// mixedOutcome is the outcome of a request, and why its usage is missing.
func mixedOutcome(r fakellm.Record) (outcome, missing string) {
	a := r.Answer
	at := func(api api) bool { return r.Path == curlPaths[api] }
	switch {
	case a.Status != 0:
		return map[int]string{
			400: "rejected", 401: "unauthorized", 402: "no_balance", 422: "rejected", 429: "rate_limited",
			500: "server_error", 503: "server_error", 529: "server_error",
		}[a.Status], ""
	case a.Cut == fakellm.CutHang:
		return "aborted", "aborted"
	case a.Cut == fakellm.CutReset, a.Cut == fakellm.CutEOF, a.Cut == fakellm.CutMalformed && (!r.Stream || at(embeddings)):
		return "incomplete", "incomplete"
	case a.Cut == fakellm.CutError, at(response) && a.FinishReason == "insufficient_system_resource":
		return "stream_error", "incomplete"
	case a.Cut != fakellm.CutNone:
		return "malformed", "incomplete"
	case at(embeddings), a.FinishReason == "" && a.Text+a.ToolCall != "":
		outcome = "ok"
	case a.FinishReason == "":
		outcome = "empty"
	default:
		outcome = map[string]string{
			"length": "truncated", "content_filter": "content_filter", "insufficient_system_resource": "interrupted",
		}[a.FinishReason]
	}
	switch {
	case r.UsageSent:
		return outcome, ""
	case r.Stream && !r.IncludeUsage && (at(chat) || at(textCompletion) || at(fillInMiddle)):
		return outcome, "not_requested"
	}
	return outcome, "absent"
}

// forgetResets takes what is told of connections that broke off for what it is:
// what the upstream sent last may be lost with them, the header too.
func (t told) forgetResets(truth told) {
	for key, n := range t {
		if before, ok := strings.CutSuffix(key, ",connection_error,first"); ok {
			t[before+",incomplete,first"] += n
			delete(t, key)
		}
	}
	for key := range truth {
		if strings.HasPrefix(key, "first ") {
			t[key] = truth[key]
		}
	}
}
