package llm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// newRequest returns a request of an LLM API.
func newRequest(t testing.TB, ctx context.Context, url, body string) *http.Request { //nolint:revive // t comes first in tests
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// A caller does something with an answer that has headers.
type caller func(t *testing.T, response *http.Response, cancel context.CancelFunc)

func readAll(t *testing.T, response *http.Response, _ context.CancelFunc) {
	t.Helper()
	if _, err := io.ReadAll(response.Body); err != nil {
		t.Error(err)
	}
}

// readUntil reads lines up to one with the mark.
func readUntil(t *testing.T, body io.Reader, mark string) {
	t.Helper()
	lines := bufio.NewReaderSize(body, 16)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("before %q: %v", mark, err)
		}
		if strings.Contains(line, mark) {
			return
		}
	}
}

func until(mark string) caller {
	return func(t *testing.T, response *http.Response, _ context.CancelFunc) {
		t.Helper()
		readUntil(t, response.Body, mark)
	}
}

func decode(t *testing.T, response *http.Response, _ context.CancelFunc) {
	t.Helper()
	var v struct{ Model string }
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil || v.Model != "deepseek-flash" {
		t.Errorf("got %q, %v", v.Model, err)
	}
}

func TestOutcomeByWhatTheCallerDoes(t *testing.T) {
	t.Parallel()
	aborted := unknown("aborted", "canceled", "aborted")
	for name, c := range map[string]struct {
		body   string
		answer fakellm.Answer
		do     caller
		want   seen
	}{
		"reading a stream to its end is fine":              {streamBody, full(), readAll, seen{Outcome: "ok"}},
		"leaving a stream at [DONE] is fine":               {streamBody, full(), until("[DONE]"), seen{Outcome: "ok"}},
		"leaving an object after decoding is fine":         {objectBody, full(), decode, seen{Outcome: "ok"}},
		"closing a stream with nothing read is an abort":   {streamBody, cut(fakellm.CutHang), func(*testing.T, *http.Response, context.CancelFunc) {}, aborted},
		"closing a stream in its middle is an abort":       {streamBody, cut(fakellm.CutHang), until("content"), aborted},
		"closing an object in its middle is an abort":      {objectBody, cut(fakellm.CutEOF), func(*testing.T, *http.Response, context.CancelFunc) {}, aborted},
		"canceling in the middle is an abort":              {streamBody, cut(fakellm.CutHang), cancelAfter("content"), aborted},
		"canceling and not reading on is an abort":         {streamBody, cut(fakellm.CutHang), canceled, aborted},
		"leaving at [DONE] of a stream without usage":      {`{"model":"deepseek-flash","stream":true}`, full(), until("[DONE]"), seen{Outcome: "ok", Missing: "not_requested"}},
		"leaving an error unread changes nothing":          {objectBody, status(500), func(*testing.T, *http.Response, context.CancelFunc) {}, refused("server_error", "500", "500")},
		"leaving after the usage has known tokens":         {streamBody, full(), until(`"usage":{`), seen{Outcome: "ok"}},
		"leaving after the finish reason lacks only usage": {streamBody, full(), until(`"finish_reason":"stop"`), seen{Outcome: "ok", Missing: "aborted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			upstream, url := serve(t, func(fakellm.Request) fakellm.Answer { return c.answer })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			response, err := s.client(t).Do(newRequest(t, ctx, url+chat, c.body))
			if err != nil {
				t.Fatal(err)
			}
			c.do(t, response, cancel)
			response.Body.Close()
			if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
			if err := upstream.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func cancelAfter(mark string) caller {
	return func(t *testing.T, response *http.Response, cancel context.CancelFunc) {
		t.Helper()
		readUntil(t, response.Body, mark)
		cancel()
		if _, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("reading on: %v", err)
		}
	}
}

func canceled(_ *testing.T, _ *http.Response, cancel context.CancelFunc) { cancel() }

func TestOutcomeWithoutAnswer(t *testing.T) {
	t.Parallel()
	notSent := func(outcome, errorType string) seen { return seen{Outcome: outcome, ErrorType: errorType} }
	for name, c := range map[string]struct {
		base roundTripper
		want seen
	}{
		"a refused connection took no tokens": {dialing(func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:1")
		}), notSent("connection_error", "connection_refused")},
		"an unknown name took no tokens": {dialing(func(context.Context) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true}
		}), notSent("connection_error", "name_resolution")},
		"a connection that is not made in time took no tokens": {dialing(func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		}), notSent("timeout", "timeout")},
		"a reset after the request leaves tokens unknown": {
			sent(&net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}),
			seen{Outcome: "connection_error", ErrorType: "unexpected_eof", Missing: "incomplete"},
		},
		"a deadline after the request leaves tokens unknown": {
			sent(context.DeadlineExceeded),
			seen{Outcome: "timeout", ErrorType: "timeout", Missing: "incomplete"},
		},
		"leaving after the request leaves tokens unknown": {
			sent(context.Canceled),
			seen{Outcome: "aborted", ErrorType: "canceled", Missing: "aborted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			_, err := s.over(c.base).Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, objectBody))
			if err == nil {
				t.Fatal("no error")
			}
			got := s.seen(t)
			if got.Status == "" || strings.Contains(got.Status, "messages") {
				t.Errorf("status of the span: %q", got.Status)
			}
			got.Status = ""
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// dialing returns a real http.Transport that dials in this way.
func dialing(dial func(context.Context) (net.Conn, error)) roundTripper {
	return (&http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}).RoundTrip
}

// sent fails once the request is sent.
func sent(err error) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		return nil, err
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		client, context time.Duration
		answer          fakellm.Answer
		want            seen
	}{
		"of the client before the headers":  {time.Second, 0, fakellm.Answer{HeaderDelay: time.Hour}, unknown("timeout", "timeout", "incomplete")},
		"of the context before the headers": {0, time.Second, fakellm.Answer{HeaderDelay: time.Hour}, unknown("timeout", "timeout", "incomplete")},
		"of the client within the stream":   {time.Second, 0, cut(fakellm.CutHang), unknown("timeout", "timeout", "incomplete")},
		"of the context within the stream":  {0, time.Second, cut(fakellm.CutHang), unknown("timeout", "timeout", "incomplete")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				client := s.over(inMemory(t, fakellm.New(func(fakellm.Request) fakellm.Answer { return c.answer })))
				client.Timeout = c.client
				ctx := t.Context()
				if c.context > 0 {
					timed, cancel := context.WithTimeout(ctx, c.context)
					defer cancel()
					ctx = timed
				}
				response, err := client.Do(newRequest(t, ctx, "http://127.0.0.1"+chat, streamBody))
				if err == nil {
					_, err = io.ReadAll(response.Body)
					response.Body.Close()
				}
				if err == nil {
					t.Error("no error")
				}
				if diff := cmp.Diff(c.want, s.seen(t)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAnAnswerThatNobodyReadsIsRecordedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.IdleTimeout = time.Minute
		client := s.over(inMemory(t, fakellm.New(func(fakellm.Request) fakellm.Answer { return full() })))
		response, err := client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, streamBody))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute - time.Nanosecond)
		if active := s.sums(t, telemetry.LLMActiveRequests)[""]; active != 1 {
			t.Errorf("%v calls are active before the timeout", active)
		}
		<-time.After(time.Second)
		want := unknown("aborted", "canceled", "aborted")
		if diff := cmp.Diff(want, s.seen(t)); diff != "" {
			t.Error(diff)
		}
		content, err := io.ReadAll(response.Body) // nothing was closed
		if err != nil || !bytes.HasSuffix(content, []byte("[DONE]\n\n")) {
			t.Errorf("reading on: %q, %v", content, err)
		}
		response.Body.Close()
		<-time.After(time.Hour)
		if diff := cmp.Diff(want, s.seen(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAReaderThatWaitsIsNotIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.IdleTimeout = time.Minute
		slow := answer(func(a *fakellm.Answer) { a.FirstToken, a.Between = time.Hour, 10*time.Minute })
		client := s.over(inMemory(t, fakellm.New(func(fakellm.Request) fakellm.Answer { return slow })))
		response, err := client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, streamBody))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			t.Error(err)
		}
		response.Body.Close()
		if diff := cmp.Diff(seen{Outcome: "ok"}, s.seen(t)); diff != "" {
			t.Error(diff)
		}
	})
}
