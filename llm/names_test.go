package llm_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
)

// byTeam has callers named by a header.
func byTeam(r *http.Request) string { return r.Header.Get("Team") }

// ask makes a call for the team, which is refused or not.
func (s *testSDK) ask(t testing.TB, client *http.Client, team string, refused bool) {
	t.Helper()
	headers := []string{"Team", team}
	if refused {
		headers = append(headers, "Authorization", "Bearer wrong")
	}
	post(t, client, "http://127.0.0.1"+chat, objectBody, headers...)
}

// strict answers those who have no key, since any key is wrong.
func strict(r *http.Request) (*http.Response, error) {
	response, err := answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
	if r.Header.Get("Authorization") != "" {
		response.StatusCode = http.StatusUnauthorized
	}
	return response, err
}

func (s *testSDK) callers(t testing.TB) map[string]float64 {
	t.Helper()
	return s.sums(t, telemetry.LLMAttempts, telemetry.LLMCaller)
}

func TestCallersBecomeLabelsOnceTheySucceeded(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Caller, s.Callers = byTeam, []string{"listed"}
	client := s.over(roundTripper(strict))
	for i := range 100 {
		s.ask(t, client, fmt.Sprint("stranger-", i), true)
	}
	s.ask(t, client, "listed", true)
	s.ask(t, client, "search", true)
	s.ask(t, client, "search", false)
	s.ask(t, client, "search", true)
	want := map[string]float64{"other": 101, "listed": 1, "search": 2}
	if diff := cmp.Diff(want, s.callers(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOtherAndListedCallersTakeNoPlace(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Caller, s.Callers = byTeam, []string{"listed"}
	client := s.over(roundTripper(strict))
	want := map[string]float64{"other": 2, "listed": 1}
	s.ask(t, client, "other", false)
	s.ask(t, client, "listed", false)
	for i := range 100 {
		team := fmt.Sprint("team-", i)
		s.ask(t, client, team, false)
		want[team] = 1
	}
	s.ask(t, client, "one too many", false)
	if diff := cmp.Diff(want, s.callers(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestACallerThatCannotBeToldFailsNoCall(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Caller = func(r *http.Request) string { panic(r.Header) }
	if got := post(t, s.over(roundTripper(strict)), "http://127.0.0.1"+chat, objectBody); got != message(`"content":"Hi"`) {
		t.Errorf("got %q", got)
	}
	if diff := cmp.Diff(map[string]float64{"": 1}, s.callers(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(seen{Outcome: "ok"}, s.seen(t)); diff != "" {
		t.Error(diff)
	}
}

func TestTransportsShareAMemory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shared bool
		want   map[string]float64 // of the second, by model, caller and attempt
	}{
		"the same one": {true, map[string]float64{"deepseek-flash,search,retry": 1}},
		"one each":     {false, map[string]float64{"other,other,first": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := newSDK(), newSDK()
			first.Caller, second.Caller = byTeam, byTeam
			first.Memory = &llm.Memory{}
			if c.shared {
				second.Memory = first.Memory
			}
			client := first.over(roundTripper(strict))
			first.ask(t, client, "search", false)
			first.ask(t, client, "search", true)
			second.ask(t, second.over(roundTripper(strict)), "search", true)
			got := second.sums(t, telemetry.LLMAttempts, telemetry.GenAIRequestModel, telemetry.LLMCaller, telemetry.LLMAttempt)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
