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
		want := kinds[kind]
		for _, trace := range traces {
			for gateway, spans := range tier.spans(trace.id) {
				if !trace.kept() {
					t.Errorf("%s: gateway %d kept %s", kind, gateway, trace.id)
				}
				for _, span := range spans {
					state := want.rest
					if trace.ofShare() {
						state = want.share
					}
					if span.TraceState != state {
						t.Errorf("%s: %s has tracestate %q, want %q", kind, trace.id, span.TraceState, state)
					}
				}
			}
		}
	}
	for i, sink := range tier.sinks {
		if len(sink.Spans("gateways")) == 0 {
			t.Errorf("gateway %d kept nothing", i)
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
		t.Run(title, func(t *testing.T) {
			var (
				first    = startTier(t, 2)
				tiers    = []*tier{first}
				replicas *tier
			)
			if test.replicas {
				replicas = startTier(t, 2)
				tiers = append(tiers, replicas)
			}
			agents := startAgents(t, first, replicas)

			sending := startSending(t, agents)
			pause(2 * decisionWait)
			killed := time.Now()
			first.gateways[0].Kill()
			pause(decisionWait)
			first.gateways[0].Start(t)
			pause(decisionWait)
			sent := sending.stop()

			var after []tracedTrace
			for range 100 {
				trace := newTracedTrace(t, tracedCase{})
				trace.send(t, agents)
				after = append(after, trace)
			}
			waitWhole(t, after, tiers...)

			lost, copies := lostSpans(sent, tiers)
			t.Logf("%d traces: %d spans lost, %d deliveries too many", len(sent), len(lost), copies)
			if test.replicas && len(lost) > 0 {
				t.Errorf("got %d spans lost, want none", len(lost))
			}
			for _, at := range lost {
				// A second more, since traces are decided once a second and agents
				// hold spans for a second.
				if before := killed.Sub(at); before < -time.Second || before > decisionWait+3*time.Second {
					t.Errorf("a span is lost that an agent accepted %v before the gateway was killed", before)
				}
			}
		})
	}
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
	id       string // hex
	accepted time.Time
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
	tr.accepted = time.Now()
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

// lostSpans returns, of the spans that were to be kept and have not arrived from
// any tier, when they were accepted, and how many deliveries there were beyond one
// of each.
func lostSpans(traces []tracedTrace, tiers []*tier) (lost []time.Time, copies int) {
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
		if trace.kept() {
			lost = append(lost, slices.Repeat([]time.Time{trace.accepted}, spansPerTrace-len(arrived))...)
		}
	}
	return lost, copies
}
