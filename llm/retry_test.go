package llm_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// attempt is a request, after a pause, and the answer to it.
type attempt struct {
	pause      time.Duration
	key, body  string
	path       string
	count      string // of retries, as the client tells it
	status     int
	retryAfter string
}

// make makes the attempts, each with the same client.
func makeAttempts(t *testing.T, s *testSDK, attempts []attempt) {
	t.Helper()
	var now attempt
	client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := answering(jsonType, strings.NewReader(objectWith(chat, `{"prompt_tokens":10,"completion_tokens":5}`)))(r)
		if now.status != 0 {
			response.StatusCode = now.status
			response.Header.Set("Retry-After", now.retryAfter)
		}
		return response, err
	}))
	for _, now = range attempts {
		<-time.After(now.pause)
		headers := []string{"Authorization", "Bearer " + now.key}
		if now.count != "" {
			headers = append(headers, "X-Stainless-Retry-Count", now.count)
		}
		post(t, client, "http://127.0.0.1"+now.path+chat, `{"model":"deepseek-flash","input":"`+now.body+`"}`, headers...)
	}
}

func TestWhatIsARetry(t *testing.T) {
	t.Parallel()
	const s, failed = time.Second, 500
	for name, c := range map[string]struct {
		attempts       []attempt
		first, retries float64
	}{
		"the same request after a failure":       {[]attempt{{status: failed}, {pause: 59 * s}}, 1, 1},
		"not after a minute":                     {[]attempt{{status: failed}, {pause: 61 * s}}, 2, 0},
		"a third one too":                        {[]attempt{{status: failed}, {pause: 2 * s, status: failed}, {pause: 4 * s}}, 1, 2},
		"not a fourth, after one that succeeded": {[]attempt{{status: failed}, {}, {}}, 2, 1},
		"not after a success":                    {[]attempt{{}, {}}, 2, 0},
		"not with another body":                  {[]attempt{{status: failed}, {body: "other"}}, 2, 0},
		"not with another key":                   {[]attempt{{status: failed}, {key: "other"}}, 2, 0},
		"not at another path":                    {[]attempt{{status: failed}, {path: "/v2"}}, 2, 0},
		"not beyond a short Retry-After":         {[]attempt{{status: 429, retryAfter: "10"}, {pause: 71 * s}}, 2, 0},
		"within a long Retry-After and a minute": {[]attempt{{status: 429, retryAfter: "120"}, {pause: 179 * s}}, 1, 1},
		"not after that":                         {[]attempt{{status: 429, retryAfter: "120"}, {pause: 181 * s}}, 2, 0},
		"within a Retry-After of a date":         {[]attempt{{status: 429, retryAfter: "Sat, 01 Jan 2000 00:02:00 GMT"}, {pause: 179 * s}}, 1, 1},
		"not after an endless Retry-After":       {[]attempt{{status: 429, retryAfter: "1e18"}, {pause: 3661 * s}}, 2, 0},
		"not after one that makes no sense":      {[]attempt{{status: 429, retryAfter: "soon"}, {pause: 61 * s}}, 2, 0},
		"not after one in the past":              {[]attempt{{status: 429, retryAfter: "-100"}, {pause: 59 * s}, {pause: 1 * s}}, 2, 1},
		"nor one that is no number":              {[]attempt{{status: 429, retryAfter: "NaN"}, {pause: 61 * s}}, 2, 0},
		"what the client says is one":            {[]attempt{{count: "1"}, {count: "2", body: "other"}}, 0, 2},
		"what it says is none, is none":          {[]attempt{{count: "0"}}, 1, 0},
		"what it says in no number":              {[]attempt{{count: "x"}, {count: "-1"}}, 2, 0},
		"others in between change nothing":       {[]attempt{{status: failed}, {body: "b"}, {body: "c", status: failed}, {}, {body: "c"}}, 3, 2},
		"a client that says so after a failure":  {[]attempt{{status: failed}, {count: "1"}}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				makeAttempts(t, s, c.attempts)
				got := s.sums(t, telemetry.LLMAttempts, telemetry.LLMAttempt)
				if got["first"] != c.first || got["retry"] != c.retries {
					t.Errorf("got %v, want %v first and %v retries", got, c.first, c.retries)
				}
			})
		})
	}
}

// What a client asks for again although it got it was paid for twice.
func TestTokensOfCompleteAnswersThatAreAskedForAgainAreWasted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attempts []attempt
		want     map[string]float64
	}{
		"by a client that says so":       {[]attempt{{}, {count: "1"}}, map[string]float64{"retried": 15}},
		"not by one that does not":       {[]attempt{{}, {}}, map[string]float64{}},
		"not with another body":          {[]attempt{{}, {count: "1", body: "other"}}, map[string]float64{}},
		"not long after":                 {[]attempt{{}, {count: "1", pause: time.Hour}}, map[string]float64{}},
		"not after a failure":            {[]attempt{{status: 500}, {count: "1"}}, map[string]float64{}},
		"twice, where it happened twice": {[]attempt{{}, {count: "1"}, {count: "2"}}, map[string]float64{"retried": 30}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				s.Prices = testBook(t)
				makeAttempts(t, s, c.attempts)
				if diff := cmp.Diff(c.want, s.sums(t, telemetry.LLMWastedTokens, telemetry.LLMReason)); diff != "" {
					t.Error(diff)
				}
				want := c.want["retried"] * 2 / 1e6 // 10 tokens at 1 and 5 at 4 a million
				if got := s.sums(t, telemetry.LLMWastedCost)[""]; got < want-1e-12 || got > want+1e-12 {
					t.Errorf("%v are wasted, not %v", got, want)
				}
			})
		})
	}
}

func TestACallThatBeganBeforeTheFailureIsNoRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		var pauses atomic.Int64
		client := s.over(roundTripper(func(*http.Request) (*http.Response, error) {
			<-time.After(10 * time.Second / time.Duration(pauses.Add(1)))
			return nil, io.ErrUnexpectedEOF
		}))
		done := make(chan struct{})
		go func() {
			defer close(done)
			post(t, client, "http://127.0.0.1"+chat, objectBody)
		}()
		post(t, client, "http://127.0.0.1"+chat, objectBody)
		<-done
		if got := s.sums(t, telemetry.LLMAttempts, telemetry.LLMAttempt); got["first"] != 2 {
			t.Errorf("got %v", got)
		}
	})
}

func TestFailuresAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		var attempts []attempt
		for i := range 10_000 {
			attempts = append(attempts, attempt{body: fmt.Sprint(i), status: 500})
		}
		makeAttempts(t, s, append(attempts, attempts[0], attempts[9999]))
		want := map[string]float64{"first": 10_001, "retry": 1}
		if diff := cmp.Diff(want, s.sums(t, telemetry.LLMAttempts, telemetry.LLMAttempt)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRetriesOfABodyThatWasNotSentAsAWhole(t *testing.T) {
	t.Parallel()
	s := newSDK()
	client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
		_, _ = io.CopyN(io.Discard, r.Body, 20)
		return nil, io.ErrUnexpectedEOF
	}))
	for range 2 {
		post(t, client, "http://127.0.0.1"+chat, objectBody)
	}
	if got := s.sums(t, telemetry.LLMAttempts, telemetry.LLMAttempt); got["first"] != 2 {
		t.Errorf("got %v", got)
	}
}

func TestSpansTellOfRetries(t *testing.T) {
	t.Parallel()
	s := newSDK()
	makeAttempts(t, s, []attempt{{count: "3", status: 429, retryAfter: "2.5"}})
	attributes := spanAttributes(s)
	got := []string{attributes["http.request.resend_count"], attributes["otelmon.llm.retry_after"]}
	if diff := cmp.Diff([]string{"3", "2.5"}, got); diff != "" {
		t.Error(diff)
	}
}
