package headsample_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
)

type key struct{}

func newContext(parent context.Context, kind trace.SpanKind) *headsample.Context {
	return &headsample.Context{Context: parent, Kind: kind}
}

func TestContextIsFoundByItsKind(t *testing.T) {
	t.Parallel()
	server := newContext(context.WithValue(t.Context(), key{}, "kept"), trace.SpanKindServer)
	client := newContext(server, trace.SpanKindClient)
	tests := map[string]struct {
		ctx            context.Context
		server, client *headsample.Context
	}{
		"neither":    {t.Context(), nil, nil},
		"a server's": {server, server, nil},
		"a client's hides the server's around it": {client, nil, client},
		"a context derived from it":               {context.WithoutCancel(client), nil, client},
		"one of another kind":                     {newContext(t.Context(), trace.SpanKindInternal), nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := headsample.Server(tt.ctx); got != tt.server {
				t.Errorf("got server %v, want %v", got, tt.server)
			}
			if got := headsample.Client(tt.ctx); got != tt.client {
				t.Errorf("got client %v, want %v", got, tt.client)
			}
		})
	}
	if got := client.Value(key{}); got != "kept" {
		t.Errorf("got %v, want the value of the context around", got)
	}
}

func TestDecisionIsFoundUntilItIsSettled(t *testing.T) {
	t.Parallel()
	server := newContext(t.Context(), trace.SpanKindServer)
	client := newContext(server, trace.SpanKindClient)
	want := func(what string, waits *headsample.Context, decided bool) {
		t.Helper()
		for _, ctx := range []context.Context{server, client} {
			if c, d := headsample.Pending(ctx); c != waits || d != nil != decided {
				t.Errorf("%s: got %v, %v", what, c, d)
			}
		}
	}
	want("before", nil, false)
	left := headsample.Decision{Recording: true, SpanContext: headsample.Unsampled(trace.SpanContext{})}
	server.Leave(left)
	want("left", server, true)
	if _, d := headsample.Pending(client); !d.SpanContext.Equal(left.SpanContext) {
		t.Errorf("got %v, want what was left", d.SpanContext)
	}
	server.Settle()
	want("settled", nil, false)
	server.Ask()
	want("asked", server, false)
	server.Settle()
	want("settled again", nil, false)
}

func TestIDsAreNew(t *testing.T) {
	t.Parallel()
	parent := headsample.Unsampled(trace.SpanContext{})
	spans, traces := map[trace.SpanID]bool{}, map[trace.TraceID]bool{}
	for range 1000 {
		traceID, spanID := headsample.NewIDs(parent)
		if traceID != parent.TraceID() || !spanID.IsValid() || spans[spanID] {
			t.Fatalf("got %s %s", traceID, spanID)
		}
		spans[spanID] = true
		traceID, _ = headsample.NewIDs(trace.SpanContext{})
		if !traceID.IsValid() || traces[traceID] {
			t.Fatalf("got %s", traceID)
		}
		traces[traceID] = true
	}
}

func TestUnsampledKeepsAllButTheFlag(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	const random = trace.TraceFlags(2)
	parent := headsample.Unsampled(trace.SpanContext{}).WithTraceFlags(random | trace.FlagsSampled).WithTraceState(state).WithRemote(true)
	got := headsample.Unsampled(parent)
	if got.SpanID() == parent.SpanID() || !got.Equal(parent.WithTraceFlags(random).WithSpanID(got.SpanID()).WithRemote(false)) {
		t.Errorf("got %v of %v", got, parent)
	}
}
