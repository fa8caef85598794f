package fakellm

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// HangHeader is the header of a request whose client is going to leave, with
// any value: [Mixed] answers such a request with a body that hangs in its
// middle, and no other.
const HangHeader = "Fakellm-Hang"

// Mixed returns a choice that gives the same sequence of answers for the same
// seed: texts, reasoning, cache hits, tool calls, errors, answers that were
// truncated or filtered, and all faults but [CutLarge], [CutHang] being only
// for requests with [HangHeader]. The vendor is that of the path and of the
// model's name. Nothing takes time. Safe for concurrent use, where only the
// set of answers is the same.
func Mixed(seed uint64) func(Request) Answer {
	var calls atomic.Uint64
	return func(r Request) Answer {
		random := rand.New(rand.NewPCG(seed, calls.Add(1)))
		answer := mixedAnswer(random)
		answer.Vendor = vendorOf(r)
		answer.UsageWithFinish = answer.UsageWithFinish && answer.Vendor == DeepSeek
		if r.Header.Get(HangHeader) != "" {
			answer.Cut, answer.CutAfter, answer.Status = CutHang, 1+random.IntN(3), 0
		}
		return answer
	}
}

func mixedAnswer(random *rand.Rand) Answer {
	a := Answer{
		Text:            "The capital of France is Paris, which lies on the Seine.",
		Chunks:          1 + random.IntN(12),
		Usage:           mixedUsage(random),
		UsageWithFinish: random.IntN(2) == 0,
		CRLF:            random.IntN(10) == 0,
		Gzip:            random.IntN(10) == 0,
	}
	if random.IntN(10) == 0 {
		a.Split = 1 + random.IntN(40)
	}
	if random.IntN(3) == 0 {
		a.Reasoning = "The user asks for a capital. It is Paris."
		a.Usage.ReasoningTokens = 1 + random.Int64N(4000)
	}
	switch n := random.IntN(100); {
	case n < 10:
		a.ToolCall = "get_weather"
	case n < 15:
		a.FinishReason = []string{"length", "content_filter", "insufficient_system_resource"}[random.IntN(3)]
	case n < 22:
		mixedError(random, &a)
	case n < 27:
		a.Cut = []Cut{CutEOF, CutReset, CutError, CutMalformed, CutHTML}[random.IntN(5)]
		a.CutAfter = random.IntN(6)
		a.NoUsage = a.Cut == CutMalformed // some clients stop reading there, others see what follows
	case n < 29:
		a.NoUsage = true
	case n < 30:
		a.Text = ""
		a.Usage.AnswerTokens = 0
	}
	return a
}

func mixedUsage(random *rand.Rand) Usage {
	u := Usage{UncachedInput: 1 + random.Int64N(3000), AnswerTokens: 1 + random.Int64N(1500)}
	if random.IntN(2) == 0 {
		u.CachedInput = 64 * random.Int64N(200)
	}
	if random.IntN(8) == 0 {
		u.CacheWrite = 1 + random.Int64N(2000)
	}
	return u
}

func mixedError(random *rand.Rand, a *Answer) {
	statuses := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, statusOverloaded,
	}
	a.Status = statuses[random.IntN(len(statuses))]
	if a.Status == http.StatusTooManyRequests {
		a.RetryAfter = time.Second
	}
}
