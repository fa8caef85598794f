package llm_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm/price"
)

// The prices of the models of the mix, by class of tokens. One of them has none.
const mixedPrices = `
models:
  - {provider: deepseek, name: deepseek-flash, currency: USD, prices: [{from: 2026-01-01, input: 0.15, cached_input: 0.003, output: 0.6}]}
  - {provider: deepseek, name: gpt-5.6-sol, currency: USD, prices: [{from: 2026-01-01, input: 1.25, cached_input: 0.125, cache_write: 1.5, output: 10, reasoning: 11}]}
  - {provider: deepseek, name: claude-opus-5, currency: EUR, prices: [{from: 2026-01-01, input: 5, cached_input: 0.5, cache_write: 6.25, cache_write_1h: 10, output: 25}]}
`

func mixedModels() []string {
	return []string{"deepseek-flash", "gpt-5.6-sol", "claude-opus-5", "unpriced"}
}

// mixedTruth is what is to be seen of the requests that the upstream answered.
type mixedTruth struct {
	attempts, missing, tokens, cost, usage, wasted, bytes map[string]float64
	byID                                                  map[string]fakellm.Record
	unpriced                                              float64
}

func TestTokensAndCostOfTenThousandCalls(t *testing.T) {
	t.Parallel()
	calls, workers := 10_000, 32
	if raceDetector {
		calls = 1_000
	}
	book, err := price.Parse([]byte(mixedPrices))
	if err != nil {
		t.Fatal(err)
	}
	s := newSDK()
	s.Prices, s.Models = book, mixedModels()
	upstream, url := serve(t, fakellm.Mixed(1))
	asIs := s.client(t)
	s.IncludeUsage = true
	asking := s.client(t)
	var working sync.WaitGroup
	for worker := range workers {
		working.Go(func() {
			for i := worker; i < calls; i += workers {
				mixedCall(t, []*http.Client{asIs, asking}, url, i)
			}
		})
	}
	working.Wait()
	if err := upstream.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	records := upstream.Records()
	if len(records) != calls {
		t.Errorf("%d requests came, not %d", len(records), calls)
	}
	truth := mixedTruthOf(records, book)
	compareMixed(t, s, &truth)
	compareSpans(t, s, &truth, calls)
}

// mixedCall makes a call of one of the APIs, and reads its answer, or leaves it.
func mixedCall(t *testing.T, clients []*http.Client, url string, i int) {
	random := rand.New(rand.NewPCG(2, uint64(i)))
	path := []string{chat, chat, "/chat/completions", "/beta/completions", text, embeddings, responses, messages}[random.IntN(8)]
	model := mixedModels()[random.IntN(4)]
	options := ""
	if random.IntN(2) == 0 {
		options = `,"stream_options":{"include_usage":true}`
	}
	leaves := random.IntN(50) == 0
	stream := random.IntN(2) == 0 || leaves && path == responses // its objects begin with their errors
	body := fmt.Sprintf(`{"model":%q,"stream":%t%s,"input":"%d"}`, model, stream, options, i)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := newRequest(t, ctx, url+path, body)
	r.Header.Set("Accept-Encoding", []string{"gzip", "identity"}[random.IntN(2)])
	if leaves {
		r.Header.Set(fakellm.HangHeader, "1")
	}
	response, err := clients[random.IntN(2)].Do(r)
	if err != nil {
		return // the connection was reset before the headers
	}
	if leaves {
		leave(response, cancel, random.IntN(4))
		return
	}
	content, err := io.ReadAll(response.Body)
	if err == nil && options == "" && strings.Contains(string(content), `"choices":[],"usage"`) {
		t.Errorf("the client did not ask for %q", content)
	}
	response.Body.Close()
}

// leave leaves an answer that hangs in one of four ways.
func leave(response *http.Response, cancel context.CancelFunc, way int) {
	defer response.Body.Close()
	switch way {
	case 0:
	case 1:
		cancel()
	case 2:
		time.AfterFunc(5*time.Millisecond, cancel)
		_, _ = io.Copy(io.Discard, response.Body)
	default:
		time.AfterFunc(5*time.Millisecond, func() { response.Body.Close() })
		_, _ = io.Copy(io.Discard, response.Body)
	}
}

func mixedTruthOf(records []fakellm.Record, book *price.Book) mixedTruth {
	truth := mixedTruth{
		attempts: map[string]float64{}, missing: map[string]float64{}, tokens: map[string]float64{}, cost: map[string]float64{},
		usage: map[string]float64{}, wasted: map[string]float64{}, bytes: map[string]float64{}, byID: map[string]fakellm.Record{},
	}
	for _, r := range records {
		outcome, missing := mixedOutcome(r)
		truth.attempts[outcome]++
		truth.bytes[outcome] += float64(r.Bytes)
		truth.byID[r.ID] = r
		switch {
		case missing != "":
			truth.missing[missing]++
		case r.Status == http.StatusOK:
			truth.count(r, outcome, book)
		}
	}
	return truth
}

// mixedOutcome is the outcome of a request, and why its usage is missing.
func mixedOutcome(r fakellm.Record) (outcome, missing string) {
	a := r.Answer
	of := func(path string) bool { return strings.HasSuffix(r.Path, path) }
	switch {
	case a.Status != 0:
		return refusals[a.Status], ""
	case a.Cut == fakellm.CutHang:
		return "aborted", "aborted"
	case a.Cut == fakellm.CutReset, a.Cut == fakellm.CutEOF, a.Cut == fakellm.CutMalformed && (!r.Stream || of("/embeddings")):
		return "incomplete", "incomplete"
	case a.Cut == fakellm.CutError:
		return "stream_error", "incomplete"
	case a.Cut == fakellm.CutHTML:
		return "malformed", "incomplete"
	case of("/responses") && a.FinishReason == "insufficient_system_resource":
		return "stream_error", "incomplete"
	}
	outcome = finishes[a.FinishReason]
	switch {
	case of("/embeddings"):
		outcome = "ok"
	case a.Cut == fakellm.CutMalformed:
		outcome = "malformed"
	case outcome == "ok" && a.Text == "":
		outcome = "empty"
	}
	switch {
	case r.UsageSent:
		return outcome, ""
	case outcome == "malformed":
		return outcome, "incomplete"
	case r.Stream && !r.IncludeUsage && (of("/chat/completions") || of("/completions")):
		return outcome, "not_requested"
	}
	return outcome, "absent"
}

var ( //nolint:gochecknoglobals // constants
	refusals = map[int]string{
		400: "rejected", 401: "unauthorized", 402: "no_balance", 422: "rejected",
		429: "rate_limited", 500: "server_error", 503: "server_error", 529: "server_error",
	}
	finishes = map[string]string{
		"": "ok", "length": "truncated", "content_filter": "content_filter", "insufficient_system_resource": "interrupted",
	}
)

// count adds a request whose usage was told.
func (truth *mixedTruth) count(r fakellm.Record, outcome string, book *price.Book) {
	u := r.Usage
	rates, known := book.Rates("deepseek", r.Model, r.Arrived)
	if !known {
		truth.unpriced++
	}
	for class, of := range map[string]struct {
		tokens int64
		price  float64
	}{
		"input_uncached": {u.UncachedInput, rates.Input}, "input_cached": {u.CachedInput, rates.CachedInput},
		"input_cache_write": {u.CacheWrite, rates.CacheWrite},
		"output_answer":     {u.AnswerTokens, rates.Output}, "output_reasoning": {u.ReasoningTokens, rates.Reasoning},
	} {
		if of.tokens == 0 {
			continue
		}
		truth.tokens[r.Model+","+class] += float64(of.tokens)
		if known {
			truth.cost[r.Model+","+class+","+rates.Currency+",file"] += float64(of.tokens) * of.price / 1e6
		}
		if outcome != "ok" {
			truth.wasted[outcome] += float64(of.tokens)
		}
	}
	truth.usage[r.Model+",input"] += float64(u.UncachedInput + u.CachedInput + u.CacheWrite)
	if !strings.HasSuffix(r.Path, "/embeddings") {
		truth.usage[r.Model+",output"] += float64(u.AnswerTokens + u.ReasoningTokens)
	}
}

func compareMixed(t *testing.T, s *testSDK, truth *mixedTruth) {
	t.Helper()
	attempts := s.sums(t, telemetry.LLMAttempts, telemetry.LLMOutcome)
	// The reset of a connection may drop what was sent before it, headers included.
	attempts["incomplete"] += attempts["connection_error"]
	delete(attempts, "connection_error")
	bytes := s.sums(t, telemetry.LLMResponseSize, telemetry.LLMOutcome)
	for _, outcome := range []string{"incomplete", "aborted"} {
		if got := bytes[outcome]; got > truth.bytes[outcome] {
			t.Errorf("%v bytes of answers that were %s, only %v were sent", got, outcome, truth.bytes[outcome])
		}
		delete(bytes, outcome)
		delete(truth.bytes, outcome)
	}
	delete(bytes, "connection_error")
	exactly := cmpopts.EquateApprox(0, 1e-9)
	for name, c := range map[string]struct{ want, got map[string]float64 }{
		"attempts":      {truth.attempts, attempts},
		"bytes":         {truth.bytes, bytes},
		"missing usage": {truth.missing, s.sums(t, telemetry.LLMUsageMissing, telemetry.LLMReason)},
		"tokens":        {truth.tokens, s.sums(t, telemetry.LLMTokens, telemetry.GenAIResponseModel, telemetry.LLMTokenClass)},
		"wasted tokens": {truth.wasted, s.sums(t, telemetry.LLMWastedTokens, telemetry.LLMReason)},
		"token usage":   {truth.usage, s.sums(t, telemetry.GenAITokenUsage, telemetry.GenAIResponseModel, telemetry.GenAITokenType)},
		"cost": {truth.cost, s.sums(t, telemetry.LLMCost,
			telemetry.GenAIResponseModel, telemetry.LLMTokenClass, telemetry.LLMCurrency, telemetry.LLMPriceSource)},
		"no price": {map[string]float64{"": truth.unpriced}, s.sums(t, telemetry.LLMPriceUnknown)},
		"retries":  {map[string]float64{"first": sum(truth.attempts)}, s.sums(t, telemetry.LLMAttempts, telemetry.LLMAttempt)},
		"duration": {map[string]float64{"": sum(truth.attempts)}, s.sums(t, telemetry.GenAIOperationDuration)},
		"active":   {map[string]float64{"": 0}, s.sums(t, telemetry.LLMActiveRequests)},
		"plain":    {map[string]float64{}, s.sums(t, "http.client.request.duration")},
	} {
		if diff := cmp.Diff(c.want, c.got, exactly); diff != "" {
			t.Errorf("%s (-truth +told):\n%s", name, diff)
		}
		if name == "attempts" && len(c.got) < 12 {
			t.Errorf("the mix has too few outcomes: %v", c.got)
		}
	}
}

func sum(of map[string]float64) (total float64) {
	for v := range maps.Values(of) {
		total += v
	}
	return total
}

// compareSpans compares each call by its ID.
func compareSpans(t *testing.T, s *testSDK, truth *mixedTruth, calls int) {
	t.Helper()
	spans, found := s.spans.Ended(), 0
	if len(spans) != calls || len(s.spans.Started()) != calls {
		t.Errorf("%d spans, %d of which ended, for %d calls", len(s.spans.Started()), len(spans), calls)
	}
	for _, span := range spans {
		attributes := attribute.NewSet(span.Attributes()...)
		id, _ := attributes.Value(telemetry.GenAIResponseID)
		r, ok := truth.byID[id.AsString()]
		if !ok {
			continue
		}
		found++
		want, got := mixedSpan(r), keyOf(attributes, []attribute.Key{
			telemetry.LLMOutcome, telemetry.GenAIResponseModel, telemetry.GenAIInputTokens, telemetry.GenAICacheRead,
			telemetry.GenAICacheCreation, telemetry.GenAIOutputTokens, telemetry.GenAIReasoningTokens,
		})
		if got != want && got != strings.Replace(want, r.Model, "", 1) { // it may break off before the model
			t.Errorf("the call %s was told as %s, not %s", r.ID, got, want)
		}
	}
	if found < calls/2 {
		t.Errorf("only %d of the spans have the ID of an answer", found)
	}
}

// mixedSpan is what the span of a request has to tell.
func mixedSpan(r fakellm.Record) string {
	outcome, missing := mixedOutcome(r)
	if u := r.Usage; missing == "" {
		return fmt.Sprintf("%s,%s,%d,%s,%s,%d,%s", outcome, r.Model,
			u.UncachedInput+u.CachedInput+u.CacheWrite, some(u.CachedInput), some(u.CacheWrite),
			u.AnswerTokens+u.ReasoningTokens, some(u.ReasoningTokens))
	}
	return outcome + "," + r.Model + ",,,,,"
}

// some returns nothing for 0.
func some(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
