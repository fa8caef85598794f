package llm_test

import (
	"io"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// times are the sums of the histograms of seconds that have anything in them.
func (s *testSDK) times(t testing.TB) map[string]float64 {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			histogram, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				continue
			}
			for _, p := range histogram.DataPoints {
				sums[m.Name] += p.Sum
			}
		}
	}
	return sums
}

// trueTimes are those of the answer, as far as they are to be told.
func trueTimes(r fakellm.Record, stream bool) map[string]float64 {
	since := func(at time.Time) float64 { return at.Sub(r.Arrived).Seconds() }
	times := map[string]float64{telemetry.GenAIOperationDuration: since(r.LastByte)}
	if stream {
		times[telemetry.GenAIFirstChunk] = since(r.FirstEvent)
		times[telemetry.GenAIOutputChunk] = r.LastByte.Sub(r.FirstEvent).Seconds()
		times[telemetry.LLMFirstToken] = since(r.FirstToken)
		times[telemetry.LLMFirstAnswer] = since(r.FirstAnswer)
	}
	switch {
	case r.FirstKeepAlive.IsZero():
	case stream:
		times[telemetry.LLMQueueDuration] = since(r.FirstEvent)
	default: // until the last blank line
		every := max(r.Answer.KeepAlive, time.Second)
		times[telemetry.LLMQueueDuration] = since(r.FirstKeepAlive.Add((r.Answer.Queue - 1).Truncate(every)))
	}
	return times
}

func TestTimesAreThoseOfTheAnswer(t *testing.T) {
	t.Parallel()
	timed := fakellm.Answer{
		Text: "It is Paris.", Reasoning: "A capital.", Chunks: 4, Usage: fakellm.Usage{UncachedInput: 10, AnswerTokens: 5, ReasoningTokens: 5},
		HeaderDelay: time.Second, FirstToken: 10 * time.Second, Think: 40 * time.Second, Between: 700 * time.Millisecond,
	}
	for name, change := range map[string]func(*fakellm.Answer){
		"with reasoning":               func(*fakellm.Answer) {},
		"without reasoning":            func(a *fakellm.Answer) { a.Reasoning = "" },
		"with keep-alives before":      func(a *fakellm.Answer) { a.Queue, a.KeepAlive = 25*time.Second, 10*time.Second },
		"with CRLF and keep-alives":    func(a *fakellm.Answer) { a.Queue, a.CRLF = 3*time.Second, true },
		"compressed":                   func(a *fakellm.Answer) { a.Gzip = true },
		"compressed, with keep-alives": func(a *fakellm.Answer) { a.Gzip, a.Queue = true, time.Minute },
		"a byte at a time":             func(a *fakellm.Answer) { a.Split = 1 },
		"at once":                      func(a *fakellm.Answer) { *a = full() },
	} {
		for _, path := range []string{chat, text, responses, messages} {
			for kind, body := range map[string]string{"stream": streamBody, "object": objectBody} {
				t.Run(kind+" from "+path+" "+name, func(t *testing.T) {
					t.Parallel()
					answer := timed
					change(&answer)
					synctest.Test(t, func(t *testing.T) { testTimes(t, answer, path, body) })
				})
			}
		}
	}
}

func testTimes(t *testing.T, answer fakellm.Answer, path, body string) {
	t.Helper()
	s := newSDK()
	upstream := fakellm.New(func(fakellm.Request) fakellm.Answer { return answer })
	post(t, s.over(inMemory(t, upstream)), "http://127.0.0.1"+path, body, "Accept-Encoding", "gzip")
	synctest.Wait()
	want := trueTimes(upstream.Records()[0], body == streamBody)
	if diff := cmp.Diff(want, s.times(t), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("(-truth +told)\n%s", diff)
	}
}

// at is a piece of a stream, and when it is written.
type at struct {
	after time.Duration
	bytes string
}

// paced is a body whose pieces can be read at their times.
type paced struct {
	begun  time.Time
	pieces []at
}

// Read implements [io.Reader].
func (p *paced) Read(b []byte) (int, error) {
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	<-time.After(p.pieces[0].after - time.Since(p.begun))
	n := copy(b, p.pieces[0].bytes)
	if p.pieces[0].bytes = p.pieces[0].bytes[n:]; p.pieces[0].bytes == "" {
		p.pieces = p.pieces[1:]
	}
	return n, nil
}

func TestWhatStopsTheClocks(t *testing.T) {
	t.Parallel()
	const s = time.Second
	chunk := func(delta string) string {
		return stream(`{"model":"m","choices":[{"index":0,"delta":{` + delta + `}}]}`)
	}
	for name, c := range map[string]struct {
		pieces []at
		want   map[string]float64 // besides the duration
	}{
		"a role is a chunk and no token": {
			[]at{{1 * s, chunk(`"role":"assistant"`)}, {3 * s, chunk(`"content":"Hi"`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 1, telemetry.GenAIOutputChunk: 2, telemetry.LLMFirstToken: 3, telemetry.LLMFirstAnswer: 3},
		},
		"empty text is no token": {
			[]at{{1 * s, chunk(`"role":"assistant","content":"","refusal":null,"reasoning_content":""`)}, {3 * s, chunk(`"content":"Hi"`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 1, telemetry.GenAIOutputChunk: 2, telemetry.LLMFirstToken: 3, telemetry.LLMFirstAnswer: 3},
		},
		"a comment is nothing but the sign of a queue": {
			[]at{{1 * s, ": keep-alive\n\n"}, {3 * s, chunk(`"content":"Hi"`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 3, telemetry.LLMFirstToken: 3, telemetry.LLMFirstAnswer: 3, telemetry.LLMQueueDuration: 3},
		},
		"a blank line is nothing but the sign of a queue": {
			[]at{{1 * s, "\n"}, {3 * s, chunk(`"content":"Hi"`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 3, telemetry.LLMFirstToken: 3, telemetry.LLMFirstAnswer: 3, telemetry.LLMQueueDuration: 3},
		},
		"a comment after the beginning is no sign of a queue": {
			[]at{{1 * s, chunk(`"content":"Hi"`)}, {2 * s, ": still here\n\n"}},
			map[string]float64{telemetry.GenAIFirstChunk: 1, telemetry.LLMFirstToken: 1, telemetry.LLMFirstAnswer: 1},
		},
		"reasoning is a token and no answer": {
			[]at{{2 * s, chunk(`"content":null,"reasoning_content":"Hm"`)}, {5 * s, chunk(`"content":"Hi","reasoning_content":null`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 2, telemetry.GenAIOutputChunk: 3, telemetry.LLMFirstToken: 2, telemetry.LLMFirstAnswer: 5},
		},
		"reasoning of the other name is one too": {
			[]at{{2 * s, chunk(`"content":"","reasoning":"Hm"`)}, {5 * s, chunk(`"content":"Hi","reasoning":null`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 2, telemetry.GenAIOutputChunk: 3, telemetry.LLMFirstToken: 2, telemetry.LLMFirstAnswer: 5},
		},
		"a call of a tool is an answer": {
			[]at{{1 * s, chunk(`"content":null`)}, {4 * s, chunk(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":""}}]`)}},
			map[string]float64{telemetry.GenAIFirstChunk: 1, telemetry.GenAIOutputChunk: 3, telemetry.LLMFirstToken: 4, telemetry.LLMFirstAnswer: 4},
		},
		"an event counts when it is complete": {
			[]at{{1 * s, chunk(`"content":"Hi"`)[:40]}, {4 * s, chunk(`"content":"Hi"`)[40:]}},
			map[string]float64{telemetry.GenAIFirstChunk: 4, telemetry.LLMFirstToken: 4, telemetry.LLMFirstAnswer: 4},
		},
		"the end is no chunk": {
			[]at{{1 * s, chunk(`"content":"Hi"`)}, {3 * s, stream(finishChunk)}, {9 * s, stream("[DONE]")}},
			map[string]float64{telemetry.GenAIFirstChunk: 1, telemetry.GenAIOutputChunk: 2, telemetry.LLMFirstToken: 1, telemetry.LLMFirstAnswer: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				post(t, s.over(answering(eventStream, &paced{time.Now(), slices.Clone(c.pieces)})), "http://127.0.0.1"+chat, streamBody)
				got := s.times(t)
				if want := c.pieces[len(c.pieces)-1].after.Seconds(); got[telemetry.GenAIOperationDuration] != want {
					t.Errorf("duration: %v, want %v", got[telemetry.GenAIOperationDuration], want)
				}
				delete(got, telemetry.GenAIOperationDuration)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-truth +told)\n%s", diff)
				}
			})
		})
	}
}

// Blank lines before an object tell of a queue, until the last of them.
func TestQueueOfObjects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		pieces := []at{{time.Second, "\n"}, {2 * time.Second, " \r\n"}, {5 * time.Second, message(`"content":"Hi"`)}}
		post(t, s.over(answering(jsonType, &paced{time.Now(), pieces})), "http://127.0.0.1"+chat, objectBody)
		want := map[string]float64{telemetry.GenAIOperationDuration: 5, telemetry.LLMQueueDuration: 2}
		if diff := cmp.Diff(want, s.times(t)); diff != "" {
			t.Errorf("(-truth +told)\n%s", diff)
		}
	})
}

// The time between events of a long stream is recorded of some only; their
// mean is that of all.
func TestTimeBetweenTheEventsOfALongStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, between = 1000, 25 * time.Millisecond
		s := newSDK()
		var pieces []at
		for i := range events {
			pieces = append(pieces, at{time.Duration(i+1) * between, stream(textChunk)})
		}
		post(t, s.over(answering(eventStream, &paced{time.Now(), pieces})), "http://127.0.0.1"+chat, streamBody)
		count, sum := s.sums(t, telemetry.GenAIOutputChunk)[""], s.times(t)[telemetry.GenAIOutputChunk]
		if count < 32 || count > events || math.Abs(sum/count-between.Seconds()) > 1e-9 {
			t.Errorf("%v times of %v s in all, want a mean of %v", count, sum, between)
		}
	})
}

func TestDurationOfWhatHasNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			<-time.After(3 * time.Second)
			return nil, io.ErrUnexpectedEOF
		})
		post(t, s.over(base), "http://127.0.0.1"+chat, streamBody)
		if diff := cmp.Diff(map[string]float64{telemetry.GenAIOperationDuration: 3}, s.times(t)); diff != "" {
			t.Errorf("(-truth +told)\n%s", diff)
		}
	})
}

// The first token's time as the upstream and as the transport have it, over real
// sockets: the difference is what is logged.
func BenchmarkFirstTokenTruth(b *testing.B) {
	s := newSDK()
	answer := answer(func(a *fakellm.Answer) { a.FirstToken, a.Think = 3*time.Millisecond, 3*time.Millisecond })
	upstream, url := serve(b, func(fakellm.Request) fakellm.Answer { return answer })
	client := s.client(b)
	var token, answered []float64
	for b.Loop() {
		before := s.times(b)
		post(b, client, url+chat, streamBody)
		if err := upstream.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		records, now := upstream.Records(), s.times(b)
		last := records[len(records)-1]
		token = append(token, now[telemetry.LLMFirstToken]-before[telemetry.LLMFirstToken]-last.FirstToken.Sub(last.Arrived).Seconds())
		answered = append(answered, now[telemetry.LLMFirstAnswer]-before[telemetry.LLMFirstAnswer]-last.FirstAnswer.Sub(last.Arrived).Seconds())
	}
	for name, off := range map[string][]float64{"token": token, "answer": answered} {
		slices.Sort(off)
		b.ReportMetric(off[len(off)/2]*1e3, name+"-off-p50-ms")
		b.ReportMetric(max(off[len(off)*99/100], -off[0])*1e3, name+"-off-p99-ms")
	}
}
