package llm_test

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/middleware"
)

func TestWhatASpanTells(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.Prices = testBook(t)
	s.Caller = func(*http.Request) string { return "search" }
	ctx, parent := s.TracerProvider.Tracer("test").Start(t.Context(), "around")
	content, header := bodyOf(t, answer(func(a *fakellm.Answer) { a.Model = "deepseek-flash-0324" }), chat, streamBody)
	body := `{"model":"deepseek-flash","stream":true,"stream_options":{"include_usage":true},"max_tokens":100,"temperature":0.5,"top_p":0.9,"messages":[]}`
	response, err := s.over(replay(content, header)).Do(newRequest(t, ctx, "https://127.0.0.1:8443"+chat, body))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, response, nil)
	response.Body.Close()
	parent.End()
	span := s.spans.Ended()[0]
	if span.Parent().SpanID() != parent.SpanContext().SpanID() || span.SpanKind() != trace.SpanKindClient || span.Name() != "chat deepseek-flash" {
		t.Errorf("%s of kind %s below %s", span.Name(), span.SpanKind(), span.Parent().SpanID())
	}
	got := map[string]string{}
	for _, a := range span.Attributes() {
		if got[string(a.Key)] != "" {
			t.Errorf("%s is there twice", a.Key)
		}
		got[string(a.Key)] = a.Value.String()
	}
	delete(got, "gen_ai.response.time_to_first_chunk")
	want := map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "deepseek", "otelmon.llm.api": "chat_completions",
		"server.address": "127.0.0.1", "server.port": "8443", "http.response.status_code": "200", "otelmon.llm.outcome": "ok",
		"gen_ai.request.model": "deepseek-flash", "gen_ai.request.stream": "true", "gen_ai.request.max_tokens": "100",
		"gen_ai.request.temperature": "0.5", "gen_ai.request.top_p": "0.9", "otelmon.llm.caller": "search",
		"gen_ai.response.model": "deepseek-flash-0324", "gen_ai.response.id": "00000000-0000-4000-8000-000000000001",
		"gen_ai.response.finish_reasons": `["stop"]`, "http.response.body.size": "2966",
		"gen_ai.usage.input_tokens": "164", "gen_ai.usage.output_tokens": "50",
		"gen_ai.usage.cache_read.input_tokens": "64", "gen_ai.usage.reasoning.output_tokens": "20",
		"otelmon.llm.cost.amount": "0.0003264", "otelmon.llm.cost.currency": "USD",
	}
	want["http.response.body.size"] = got["http.response.body.size"] // compared with the truth elsewhere
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The attributes of metrics are those and no others.
func TestAttributesOfMetrics(t *testing.T) {
	t.Parallel()
	const (
		base  = "gen_ai.operation.name gen_ai.provider.name gen_ai.request.model gen_ai.response.model otelmon.llm.api server.address server.port"
		chunk = "gen_ai.operation.name gen_ai.provider.name gen_ai.request.model gen_ai.response.model"
	)
	with := func(more ...string) string {
		keys := append(strings.Fields(base), more...)
		slices.Sort(keys)
		return strings.Join(keys, " ")
	}
	s := newSDK()
	s.Prices, s.Models = testBook(t), []string{"deepseek-flash"}
	s.Caller = func(*http.Request) string { return "search" }
	upstream, url := serve(t, fakellm.ByModel(map[string]fakellm.Answer{
		"deepseek-flash": answer(func(a *fakellm.Answer) { a.Queue, a.KeepAlive, a.FinishReason = 2, 1, "length" }),
	}))
	client := s.client(t)
	post(t, client, url+chat, streamBody)
	post(t, client, url+chat, `{"model":"deepseek-flash","stream":true}`)
	post(t, client, url+chat, strings.Replace(streamBody, "deepseek-flash", "another", 1))
	if err := upstream.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		telemetry.GenAIOperationDuration: with("error.type"), telemetry.GenAIFirstChunk: base, telemetry.GenAIOutputChunk: chunk,
		telemetry.GenAITokenUsage: with("gen_ai.token.type"), telemetry.LLMFirstToken: base, telemetry.LLMFirstAnswer: base, telemetry.LLMQueueDuration: base,
		telemetry.LLMAttempts:       with("otelmon.llm.caller", "otelmon.llm.outcome", "otelmon.llm.attempt"),
		telemetry.LLMResponseSize:   with("otelmon.llm.caller", "otelmon.llm.outcome"),
		telemetry.LLMTokens:         with("otelmon.llm.caller", "otelmon.llm.token.class"),
		telemetry.LLMCost:           with("otelmon.llm.caller", "otelmon.llm.token.class", "otelmon.llm.cost.currency", "otelmon.llm.price.source"),
		telemetry.LLMWastedTokens:   with("otelmon.llm.caller", "otelmon.llm.reason"),
		telemetry.LLMWastedCost:     with("otelmon.llm.caller", "otelmon.llm.reason", "otelmon.llm.cost.currency"),
		telemetry.LLMUsageMissing:   with("otelmon.llm.caller", "otelmon.llm.reason"),
		telemetry.LLMPriceUnknown:   with("otelmon.llm.caller"),
		telemetry.LLMActiveRequests: base,
	}
	got := s.keys(t)
	// A call that has no answer yet has no model of it, and its own may follow.
	want[telemetry.LLMActiveRequests] = got[telemetry.LLMActiveRequests]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if active := got[telemetry.LLMActiveRequests]; strings.Contains(active, "caller") || !strings.Contains(active, "gen_ai.request.model") {
		t.Errorf("active requests have %s", active)
	}
}

// keys are those of the attributes of each metric, of any of its series.
func (s *testSDK) keys(t testing.TB) map[string]string {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			keys := map[string]bool{}
			for _, set := range attributeSets(m.Data) {
				for _, a := range set.ToSlice() {
					keys[string(a.Key)] = true
				}
			}
			all[m.Name] = strings.Join(slices.Sorted(maps.Keys(keys)), " ")
		}
	}
	return all
}

func attributeSets(data metricdata.Aggregation) (sets []attribute.Set) {
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	}
	return sets
}

func TestABodyThatIsReadAndClosedAtTheSameTime(t *testing.T) {
	t.Parallel()
	for name, includes := range map[string]bool{"as it is": false, "with the usage hidden": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const calls = 50
			s := newSDK()
			s.IncludeUsage = includes
			upstream, url := serve(t, func(fakellm.Request) fakellm.Answer {
				return answer(func(a *fakellm.Answer) { a.Split, a.Gzip = 20, !includes })
			})
			client := s.client(t)
			for range calls {
				r := newRequest(t, t.Context(), url+chat, `{"model":"m","stream":true}`)
				r.Header.Set("Accept-Encoding", "gzip")
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(io.Discard, response.Body) })
				both.Go(func() { response.Body.Close() })
				both.Wait()
				response.Body.Close()
				if n, err := response.Body.Read(make([]byte, 10)); n > 0 || err == nil {
					t.Errorf("%d bytes after the close, %v", n, err)
				}
			}
			if err := upstream.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, active := s.sums(t, telemetry.LLMAttempts)[""], s.sums(t, telemetry.LLMActiveRequests)[""]; n != calls || active != 0 || len(s.spans.Ended()) != calls {
				t.Errorf("%v calls were counted, %v are active, %d spans", n, active, len(s.spans.Ended()))
			}
		})
	}
}

func TestAnUpgradedConnectionStaysOne(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = io.WriteString(conn, line)
	}))
	t.Cleanup(server.Close)
	s := newSDK()
	r := newRequest(t, t.Context(), server.URL+chat, objectBody)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	response, err := s.client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	both, ok := response.Body.(io.ReadWriter)
	if !ok {
		t.Fatalf("the body is %T", response.Body)
	}
	_, _ = io.WriteString(both, "hello\n")
	if line, err := bufio.NewReader(both).ReadString('\n'); line != "hello\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if n := s.sums(t, telemetry.LLMAttempts)[""]; n != 1 {
		t.Errorf("%v calls", n)
	}
}

// idle is a base whose connections can be closed.
type idle struct {
	roundTripper

	closed int
}

func (i *idle) CloseIdleConnections() { i.closed++ }

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	base := &idle{}
	client := newSDK().over(base)
	client.CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("closed %d times", base.closed)
	}
	newSDK().over(roundTripper(nil)).CloseIdleConnections() // which has nothing to close
}

func TestTheZeroConfigurationWorks(t *testing.T) {
	t.Parallel()
	client := &http.Client{Transport: llm.Transport(answering(jsonType, strings.NewReader(message(`"content":"Hi"`))), llm.Config{})}
	if got := post(t, client, "https://api.deepseek.com"+chat, objectBody); got != message(`"content":"Hi"`) {
		t.Errorf("got %q", got)
	}
}

func TestWithoutTraces(t *testing.T) {
	t.Parallel()
	s := newSDK()
	s.HTTP.Disable = middleware.Traces
	client := s.over(answering(jsonType, strings.NewReader(message(`"content":"Hi"`))))
	post(t, client, "http://127.0.0.1"+chat, objectBody)
	if n := s.sums(t, telemetry.LLMAttempts)[""]; n != 1 || len(s.spans.Started()) != 0 {
		t.Errorf("%v calls, %d spans", n, len(s.spans.Started()))
	}
}

func TestARequestWithoutURLFailsAsEver(t *testing.T) {
	t.Parallel()
	broken := errors.New("no URL")
	base := roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken })
	_, err := llm.Transport(base, newSDK().Config).RoundTrip(&http.Request{Method: http.MethodPost})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
