package llm_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
)

// failing answers each request with status 500, once all of it was sent.
func failing(r *http.Request) (*http.Response, error) {
	response, err := answering(jsonType, strings.NewReader(`{}`))(r)
	response.StatusCode = http.StatusInternalServerError
	return response, err
}

// expectAttempts compares how many attempts were the first ones, and how many
// were retries.
func (s *testSDK) expectAttempts(t testing.TB, first, retries float64) {
	t.Helper()
	want := map[string]float64{"first": first, "retry": retries}
	for kind, n := range want {
		if n == 0 {
			delete(want, kind)
		}
	}
	if diff := cmp.Diff(want, s.sums(t, telemetry.LLMAttempts, telemetry.LLMAttempt)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRetriesOfTheSameRequestAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers = 10
		s := newSDK()
		client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
			<-time.After(time.Second)
			return failing(r)
		}))
		for range 2 { // the attempts, and then their retries
			var all sync.WaitGroup
			for range callers {
				all.Go(func() { post(t, client, "http://127.0.0.1"+chat, objectBody) })
			}
			all.Wait()
		}
		s.expectAttempts(t, callers, callers)
	})
}

func TestRetriesOfManyDifferentRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const requests = 2000
		s := newSDK()
		var attempts []attempt
		for i := range requests {
			attempts = append(attempts, attempt{body: fmt.Sprint(i), status: 500})
		}
		makeAttempts(t, s, append(attempts, attempts...))
		s.expectAttempts(t, requests, requests)
	})
}

func TestAClientThatSaysThatItDidNotTryBeforeIsRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		makeAttempts(t, s, []attempt{{status: 500}, {count: "0", status: 500}, {count: "0", status: 500}, {count: "0"}})
		s.expectAttempts(t, 4, 0)
	})
}

func TestTheQueryTellsRequestsApart(t *testing.T) {
	t.Parallel()
	s := newSDK()
	client := s.over(roundTripper(failing))
	for _, query := range []string{"?deployment=a", "?deployment=b", "", "?deployment=a"} {
		post(t, client, "http://127.0.0.1"+chat+query, objectBody)
	}
	s.expectAttempts(t, 3, 1)
}

// A caller that fails in the middle of its request sent no call, whether the
// model was read ahead by then or not.
func TestACallerThatBreaksOffItsRequestAborts(t *testing.T) {
	t.Parallel()
	long := objectBody[:len(objectBody)-2] + strings.Repeat(" ", 100<<10)
	for name, begin := range map[string]string{"before the model": `{"mess`, "after it": objectBody[:30], "long after it": long} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			}))
			defer server.Close()
			s := newSDK()
			body := io.MultiReader(strings.NewReader(begin), iotest.ErrReader(io.ErrClosedPipe))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+chat, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := s.client(t).Do(r)
			if err == nil {
				response.Body.Close()
				t.Fatal("no error")
			}
			got := s.seen(t)
			got.Status = ""
			if diff := cmp.Diff(seen{Outcome: "aborted", ErrorType: "canceled"}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A body that base reads on after it asked for another one is not what it sends.
func TestABodyThatIsReadAfterAnotherOneTookItsPlace(t *testing.T) {
	t.Parallel()
	long := `{"model":"deepseek-flash","temperature":0.5,"messages":["` + strings.Repeat("a", 200<<10) + `"]}`
	for name, body := range map[string]string{"of which all was read ahead": objectBody, "of which a part was": long, "that is changed": `{"model":"deepseek-flash","stream":true}`} {
		for when, before := range map[string]int64{"": 0, ", and before": 10, ", and before beyond that": 100 << 10} {
			for version, includes := range map[string]bool{"": false, ", asking for usage": true} {
				t.Run(name+when+version, func(t *testing.T) {
					t.Parallel()
					s := newSDK()
					s.IncludeUsage = includes
					s.Memory = &llm.Memory{}
					// The second is known as a retry if it is known what was sent of
					// the first.
					stale := roundTripper(func(r *http.Request) (*http.Response, error) { return failing(sendStale(t, r, before)) })
					for _, base := range []roundTripper{stale, failing, failing} {
						post(t, s.over(base), "http://127.0.0.1"+chat, body)
					}
					s.expectAttempts(t, 1, 2)
				})
			}
		}
	}
}

// sendStale reads a part of the body, then all of another one, and then a part
// of the rest of the first.
func sendStale(t testing.TB, r *http.Request, before int64) *http.Request {
	t.Helper()
	first := r.Body
	_, _ = io.CopyN(io.Discard, first, before)
	again, err := r.GetBody()
	if err != nil {
		t.Error(err)
		return r
	}
	content, err := io.ReadAll(again)
	if err != nil {
		t.Error(err)
	}
	_, _ = io.CopyN(io.Discard, first, 15)
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.Body = io.NopCloser(bytes.NewReader(content))
	return out
}
