package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/otelmon/toolkit/e2e/harness"
)

const (
	spansPerTrace = 4
	// Shorter than shipped, so that tests need not wait as long.
	decisionWait = 4 * time.Second
	// Half of the traces belong to the share that is kept, those whose random
	// bits begin with 8 or more.
	keptHalf = "OTELMON_TAIL_THRESHOLD=8"
)

// The tests below start several Collectors each and share two cores with them,
// so that they do not run in parallel.

// The spans of a trace enter by different agents, and still one gateway decides on
// the whole of it.
func TestGatewaysSampleWholeTraces(t *testing.T) {
	tier := startTier(t, 2)
	agents := startAgents(t, tier, nil)
	kinds := map[string]tracedCase{
		"plain":                    {},
		"arrives with a threshold": {state: "ot=th:4", share: "ot=th:8"},
		"is of a smaller share":    {state: "ot=th:c", share: "ot=th:c", random: "c"},
		"has other members":        {state: "ot=th:4;a:b,congo=1", share: "ot=th:8;a:b,congo=1", rest: "ot=a:b,congo=1"},
		"fails":                    {state: "ot=th:4", share: "ot=th:8", err: true, keep: true},
		"has a rescued span":       {rescued: true, keep: true},
		"is slow":                  {state: "ot=th:0", share: "ot=th:8", duration: 2 * time.Second, keep: true},
		"random bits are explicit and high": {
			state: "ot=rv:ffffffffffffff;th:0", random: "0",
			share: "ot=rv:ffffffffffffff;th:8", keep: true, explicit: true,
		},
		"random bits are explicit and low": {state: "ot=th:0;rv:00000000000000", random: "f", explicit: true},
	}
	sent := map[string][]tracedTrace{}
	var all []tracedTrace
	for range 40 {
		for kind, c := range kinds {
			trace := newTracedTrace(t, c)
			trace.send(t, agents)
			sent[kind], all = append(sent[kind], trace), append(all, trace)
		}
	}
	waitWhole(t, all, tier)
	for kind, traces := range sent {
		for _, trace := range traces {
			checkStates(t, kind, trace, tier)
		}
	}
	for i, sink := range tier.sinks {
		if len(sink.Spans("gateways")) == 0 {
			t.Errorf("gateway %d kept nothing", i)
		}
	}
}

// checkStates wants a trace to be kept only if it is to be, and its spans to carry
// the tracestate of their kind.
func checkStates(t *testing.T, kind string, trace tracedTrace, tier *tier) {
	t.Helper()
	want := trace.rest
	if trace.ofShare() {
		want = trace.share
	}
	for gateway, spans := range tier.spans(trace.id) {
		if !trace.kept() {
			t.Errorf("%s: gateway %d kept %s", kind, gateway, trace.id)
		}
		for _, span := range spans {
			if span.TraceState != want {
				t.Errorf("%s: %s has tracestate %q, want %q", kind, trace.id, span.TraceState, want)
			}
		}
	}
}

// A gateway that is killed under load comes back with an empty memory.
func TestGatewayKilledUnderLoad(t *testing.T) {
	tests := map[string]struct{ replicas bool }{
		"two tiers lose nothing that agents accepted":     {replicas: true},
		"one tier loses what the gateway had not decided": {replicas: false},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) { testKill(t, test.replicas) })
	}
}

func testKill(t *testing.T, withReplicas bool) {
	var (
		first    = startTier(t, 2)
		tiers    = []*tier{first}
		replicas *tier
	)
	if withReplicas {
		replicas = startTier(t, 2)
		tiers = append(tiers, replicas)
	}
	agents := startAgents(t, first, replicas)
	sent, killed := killUnderLoad(t, first.gateways[0], agents)
	waitWhole(t, sendMore(t, agents), tiers...)

	lost, copies := lostSpans(sent, tiers)
	t.Logf("%d traces: %d deliveries too many, spans of %d traces lost", len(sent), copies, len(lost))
	if withReplicas && len(lost) > 0 {
		t.Errorf("got spans of %d traces lost, want none", len(lost))
	}
	for _, trace := range lost {
		t.Logf("%s was sent %v before the gateway was killed", trace.id, killed.Sub(trace.begun))
		if trace.begun.After(killed) {
			t.Errorf("spans of %s are lost, which was sent when the gateway had ended", trace.id)
		}
	}
}

// killUnderLoad kills a gateway and starts it again while traces are sent, and
// returns these and when the gateway had ended.
func killUnderLoad(t *testing.T, gateway *harness.Collector, agents []collectortrace.TraceServiceClient) ([]tracedTrace, time.Time) {
	t.Helper()
	sending := startSending(t, agents)
	pause(2 * decisionWait)
	gateway.Kill()
	killed := time.Now()
	pause(decisionWait)
	gateway.Start(t)
	pause(decisionWait)
	return sending.stop(), killed
}

func sendMore(t *testing.T, agents []collectortrace.TraceServiceClient) (sent []tracedTrace) {
	t.Helper()
	for range 100 {
		trace := newTracedTrace(t, tracedCase{})
		trace.send(t, agents)
		sent = append(sent, trace)
	}
	return sent
}

// A tier is some gateways, each with a backend of its own.
type tier struct {
	gateways []*harness.Collector
	sinks    []*harness.TraceSink
}

func startTier(t *testing.T, gateways int) *tier {
	t.Helper()
	started := &tier{}
	for range gateways {
		sink := harness.StartTraceSink(t)
		gateway := harness.NewGateway(t, t.TempDir(), sink, keptHalf, "OTELMON_TAIL_WAIT="+decisionWait.String())
		gateway.Start(t)
		started.gateways, started.sinks = append(started.gateways, gateway), append(started.sinks, sink)
	}
	return started
}

// spans returns the spans of a trace by the gateway that kept them.
func (tr *tier) spans(trace string) map[int][]harness.Span {
	spans := map[int][]harness.Span{}
	for i, sink := range tr.sinks {
		if of := sink.Trace(trace); len(of) > 0 {
			spans[i] = of
		}
	}
	return spans
}

// startAgents starts two agents in front of a tier and returns clients of them.
func startAgents(t *testing.T, gateways, replicas *tier) []collectortrace.TraceServiceClient {
	t.Helper()
	var (
		clients []collectortrace.TraceServiceClient
		second  []*harness.Collector
	)
	if replicas != nil {
		second = replicas.gateways
	}
	for range 2 {
		agent := harness.NewAgent(t, t.TempDir(), gateways.sinks[0], gateways.gateways, second)
		agent.Start(t)
		clients = append(clients, collectortrace.NewTraceServiceClient(dialCollector(t, agent)))
	}
	return clients
}

// tracedCase is a kind of trace, and what its spans are to carry when kept.
type tracedCase struct {
	state    string // tracestate as sent
	random   string // first digit of the random bits, if they are not to be random
	explicit bool   // keep decides, not the trace ID
	err      bool   // one span fails
	rescued  bool   // one span is marked as rescued
	duration time.Duration

	keep  bool   // whether or not it belongs to the share
	share string // tracestate of what belongs to the share
	rest  string // tracestate of what is kept without
}

type tracedTrace struct {
	tracedCase
	id    string    // hex
	begun time.Time // to be sent
}

func newTracedTrace(t *testing.T, c tracedCase) tracedTrace {
	t.Helper()
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	text := hex.EncodeToString(id)
	if c.random != "" {
		text = text[:18] + c.random + text[19:]
	}
	return tracedTrace{tracedCase: c, id: text}
}

// ofShare tells whether the trace belongs to the share, as the specification of
// probability sampling has it.
func (tr tracedTrace) ofShare() bool {
	if tr.explicit {
		return tr.keep
	}
	return tr.id[18] >= '8'
}

func (tr tracedTrace) kept() bool { return tr.keep || tr.ofShare() }

// send sends each span of the trace by the next agent.
func (tr *tracedTrace) send(t *testing.T, agents []collectortrace.TraceServiceClient) {
	t.Helper()
	if err := tr.trySend(t.Context(), agents); err != nil {
		t.Fatal(err)
	}
}

func (tr *tracedTrace) trySend(ctx context.Context, agents []collectortrace.TraceServiceClient) error {
	id, err := hex.DecodeString(tr.id)
	if err != nil {
		return err
	}
	end := time.Now()
	tr.begun = end
	for agent, client := range agents {
		scope := &trace.ScopeSpans{}
		for i := agent; i < spansPerTrace; i += len(agents) {
			span := &trace.Span{
				TraceId: id, SpanId: append([]byte("span-00"), byte(i)), TraceState: tr.state, Name: "work",
				StartTimeUnixNano: uint64(end.Add(-tr.duration).UnixNano()), EndTimeUnixNano: uint64(end.UnixNano()),
			}
			if i == spansPerTrace-1 && tr.err {
				span.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR}
			}
			if i == spansPerTrace-1 && tr.rescued {
				span.Attributes = []*common.KeyValue{{Key: "otelmon.sampling.rescued", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}}}
			}
			scope.Spans = append(scope.Spans, span)
		}
		if _, err := client.Export(ctx, &collectortrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
			Resource: resourceOf(map[string]string{"service.name": "gateways"}), ScopeSpans: []*trace.ScopeSpans{scope},
		}}}); err != nil {
			return fmt.Errorf("export by agent %d: %w", agent, err)
		}
	}
	return nil
}

// sending is a client that sends a trace every 10 ms, every tenth with an error.
type sending struct {
	end    context.CancelFunc
	done   sync.WaitGroup
	traces []tracedTrace
}

func startSending(t *testing.T, agents []collectortrace.TraceServiceClient) *sending {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &sending{end: cancel}
	s.done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			trace := newTracedTrace(t, tracedCase{err: n%10 == 0, keep: n%10 == 0})
			if err := trace.trySend(t.Context(), agents); err != nil {
				t.Error(err) // an agent refused, which none has a reason for
				return
			}
			s.traces = append(s.traces, trace)
		}
	})
	return s
}

// stop ends the client and returns what it sent, all of it accepted.
func (s *sending) stop() []tracedTrace {
	s.end()
	s.done.Wait()
	return s.traces
}

// pause lets a load run for a time.
func pause(d time.Duration) { <-time.After(d) }

// waitWhole waits until each trace that is to be kept has arrived from each tier,
// whole and from one gateway.
func waitWhole(t *testing.T, traces []tracedTrace, tiers ...*tier) {
	t.Helper()
	harness.Eventually(t, arrival, "whole traces", func() error {
		for _, trace := range traces {
			for _, tier := range tiers {
				spans := tier.spans(trace.id)
				if !trace.kept() && len(spans) == 0 {
					continue
				}
				if len(spans) != 1 {
					return fmt.Errorf("%s came from gateways %v, want one", trace.id, slices.Collect(maps.Keys(spans)))
				}
				for _, of := range spans {
					if len(of) != spansPerTrace {
						return fmt.Errorf("%s came with %d spans, want %d", trace.id, len(of), spansPerTrace)
					}
				}
			}
		}
		return nil
	})
}

// lostSpans returns the traces of which spans were to be kept and have not arrived
// from any tier, and how many deliveries there were beyond one of each span.
func lostSpans(traces []tracedTrace, tiers []*tier) (lost []tracedTrace, copies int) {
	for _, trace := range traces {
		arrived, deliveries := map[string]bool{}, 0
		for _, tier := range tiers {
			for _, spans := range tier.spans(trace.id) {
				for _, span := range spans {
					arrived[span.SpanID] = true
					deliveries++
				}
			}
		}
		copies += deliveries - len(arrived)
		if trace.kept() && len(arrived) < spansPerTrace {
			lost = append(lost, trace)
		}
	}
	return lost, copies
}
