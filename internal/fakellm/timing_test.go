package fakellm_test

import (
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// watched notes when each part of a body was flushed.
type watched struct {
	*httptest.ResponseRecorder
	begin   time.Time
	flushed []string
	read    int
}

func (w *watched) Flush() {
	w.ResponseRecorder.Flush()
	part := w.Body.String()[w.read:]
	w.read += len(part)
	w.flushed = append(w.flushed, time.Since(w.begin).String()+" "+mark(part))
}

// mark is what a part is about.
func mark(part string) string {
	for _, known := range []struct{ has, name string }{
		{": keep-alive", "keep-alive"},
		{`"message":{`, "object"},
		{`"role"`, "role"},
		{`"reasoning_content":"`, "reasoning"},
		{`"finish_reason":"`, "finish"},
		{`"content":"`, "text"},
		{"[DONE]", "done"},
		{"error", "error"},
	} {
		if strings.Contains(part, known.has) {
			return known.name
		}
	}
	return strconv.Quote(part)
}

func watch(t *testing.T, u *fakellm.Upstream, body string) []string {
	t.Helper()
	w := &watched{ResponseRecorder: httptest.NewRecorder(), begin: time.Now()}
	u.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/chat/completions", strings.NewReader(body)))
	return w.flushed
}

const s = time.Second

var timed = fakellm.Answer{ //nolint:gochecknoglobals // a constant
	Text: "text", Reasoning: "thought", Chunks: 2,
	HeaderDelay: 1 * s, Queue: 5 * s, KeepAlive: 2 * s, FirstToken: 10 * s, Think: 60 * s, Between: 100 * s,
}

func TestTimesOfAnswers(t *testing.T) {
	t.Parallel()
	with := func(change func(*fakellm.Answer)) fakellm.Answer {
		a := timed
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		answer fakellm.Answer
		body   string
		want   []string
	}{
		"a stream waits in the queue, thinks and talks": {timed, askStream, []string{
			`1s ""`, "1s keep-alive", "3s keep-alive", "5s keep-alive", "6s role",
			"16s reasoning", "46s reasoning", "1m16s text", "2m56s text", "2m56s finish", "2m56s done",
		}},
		"an object comes when the stream ends": {timed, askObject, []string{
			`1s ""`, `1s "\n"`, `3s "\n"`, `5s "\n"`, "2m56s object",
		}},
		"an object without a queue brings its headers": {
			with(func(a *fakellm.Answer) { a.Queue = 0 }), askObject, []string{"2m51s object"},
		},
		"without a time to think the pieces of reasoning are as far apart as those of the text": {
			with(func(a *fakellm.Answer) { a.Queue, a.Think = 0, 0 }), askStream,
			[]string{`1s ""`, "1s role", "11s reasoning", "1m51s reasoning", "3m31s text", "5m11s text", "5m11s finish", "5m11s done"},
		},
		"reasoning that is not shown passes before the first token": {
			with(func(a *fakellm.Answer) { a.Queue, a.Vendor = 0, fakellm.OpenAI }), askStream,
			[]string{`1s ""`, "1s role", "1m11s text", "2m51s text", "2m51s finish", "2m51s done"},
		},
		"an empty answer takes its time too": {
			fakellm.Answer{FirstToken: 10 * s}, askStream, []string{`0s ""`, "0s role", "10s finish", "10s done"},
		},
		"an error waits for its headers only": {
			with(func(a *fakellm.Answer) { a.Status = 503 }), askStream, nil,
		},
		"a fault is an event like others": {
			with(func(a *fakellm.Answer) { a.Queue, a.Reasoning, a.Cut, a.CutAfter = 0, "", fakellm.CutError, 1 }), askStream,
			[]string{`1s ""`, "1s role", "1m11s text", "2m51s error"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(c.want, watch(t, always(c.answer), c.body)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestRecordHasTheTimesOfTheMilestones(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, begin := always(timed), time.Now()
		watch(t, u, askStream)
		r := only(t, u)
		got := map[string]time.Duration{}
		for name, at := range map[string]time.Time{
			"arrived": r.Arrived, "headers": r.HeadersSent, "keep-alive": r.FirstKeepAlive, "event": r.FirstEvent,
			"token": r.FirstToken, "answer": r.FirstAnswer, "last": r.LastByte,
		} {
			got[name] = at.Sub(begin)
		}
		want := map[string]time.Duration{
			"arrived": 0, "headers": 1 * s, "keep-alive": 1 * s, "event": 6 * s, "token": 16 * s, "answer": 76 * s, "last": 176 * s,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStampsAreTheTimesOfTheirPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		u := always(fakellm.Answer{Text: "text", Chunks: 2, Stamp: true, FirstToken: 10 * s, Between: 1 * s})
		got := readAnswer(t, "/chat/completions", ask(t, u, "/chat/completions", askStream).Body.String(), true).Text
		want := ""
		for i, piece := range []string{" te", " xt"} {
			want += "0" + strconv.FormatInt(begin.Add(10*s+time.Duration(i)*s).UnixNano(), 10) + piece
		}
		if got != want {
			t.Errorf("text %q, want %q", got, want)
		}
	})
}

func TestEmbeddingTakesTheTimeOfItsFirstToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, begin := always(fakellm.Answer{FirstToken: 10 * s}), time.Now()
		ask(t, u, "/embeddings", askObject)
		if took := time.Since(begin); took != 10*s {
			t.Errorf("took %v, want 10s", took)
		}
	})
}

// A client that leaves ends its request at once, wherever that is.
func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after          time.Duration
		status, events int
	}{
		"before the headers":      {500 * time.Millisecond, 0, 0},
		"in the queue":            {4 * s, 200, 0},
		"before the first token":  {10 * s, 200, 1},
		"in the reasoning":        {20 * s, 200, 2},
		"between pieces of text":  {80 * s, 200, 4},
		"in a stream that hangs":  {300 * s, 200, 5},
		"before anything is sent": {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				answer := timed
				answer.Cut, answer.CutAfter = fakellm.CutHang, 9
				u, begin := always(answer), time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), c.after)
				defer cancel()
				u.ServeHTTP(httptest.NewRecorder(),
					httptest.NewRequestWithContext(ctx, "POST", "/chat/completions", strings.NewReader(askUsage)))
				if took := time.Since(begin); took != c.after {
					t.Errorf("ended after %v, want %v", took, c.after)
				}
				r := only(t, u)
				if !r.ClientLeft || r.Complete || r.UsageSent || r.Status != c.status || r.Events != c.events {
					t.Errorf("left %v, complete %v, usage %v, status %d, %d events; want true, false, false, %d, %d",
						r.ClientLeft, r.Complete, r.UsageSent, r.Status, r.Events, c.status, c.events)
				}
			})
		})
	}
}
