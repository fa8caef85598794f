package otlp_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/otelmon/toolkit/internal/otlp"
)

// The OpenTelemetry project's exporters are the oracle.

// traceClient keeps what the exporter would send.
type traceClient struct{ sent []*tracepb.ResourceSpans }

func (*traceClient) Start(context.Context) error { return nil }
func (*traceClient) Stop(context.Context) error  { return nil }

func (c *traceClient) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	c.sent = spans
	return nil
}

func exportedSpans(tb testing.TB, spans []sdktrace.ReadOnlySpan) *coltracepb.ExportTraceServiceRequest {
	tb.Helper()
	client := &traceClient{}
	if err := otlptrace.NewUnstarted(client).ExportSpans(tb.Context(), spans); err != nil {
		tb.Fatalf("exporting spans: %v", err)
	}
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: client.sent}
}

// exportedLogs returns what the exporter would send, except that a resource
// without attributes is there, as it is with spans.
func exportedLogs(tb testing.TB, records []sdklog.Record) *collogspb.ExportLogsServiceRequest {
	tb.Helper()
	sent := &collogspb.ExportLogsServiceRequest{}
	keep := func(_ context.Context, _ string, request, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
		sent = request.(*collogspb.ExportLogsServiceRequest)
		return nil
	}
	conn, err := grpc.NewClient("passthrough:///none",
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(keep))
	if err != nil {
		tb.Fatalf("making a connection: %v", err)
	}
	defer func() { _ = conn.Close() }()
	exporter, err := otlploggrpc.New(tb.Context(), otlploggrpc.WithGRPCConn(conn))
	if err != nil {
		tb.Fatalf("making a log exporter: %v", err)
	}
	if err := exporter.Export(tb.Context(), records); err != nil {
		tb.Fatalf("exporting log records: %v", err)
	}
	for _, of := range sent.GetResourceLogs() {
		if of.Resource == nil {
			of.Resource = &resourcepb.Resource{}
		}
	}
	return sent
}

func encodedSpans(tb testing.TB, e otlp.Encoder, spans []sdktrace.ReadOnlySpan) (*coltracepb.ExportTraceServiceRequest, int) {
	tb.Helper()
	items, cut := spanItems(e, spans)
	request := &coltracepb.ExportTraceServiceRequest{}
	decode(tb, items, request)
	return request, cut
}

func encodedLogs(tb testing.TB, e otlp.Encoder, records []sdklog.Record) (*collogspb.ExportLogsServiceRequest, int) {
	tb.Helper()
	var items []otlp.Item
	cuts := 0
	for _, r := range records {
		message, cut := e.AppendLogRecord(nil, &r)
		items = append(items, otlp.Item{Origin: e.NewOrigin(r.Resource(), r.InstrumentationScope()), Message: message})
		cuts += cut
	}
	request := &collogspb.ExportLogsServiceRequest{}
	decode(tb, items, request)
	return request, cuts
}

// spanItems gives each span an origin of its own, so that equal ones have to be
// found.
func spanItems(e otlp.Encoder, spans []sdktrace.ReadOnlySpan) (items []otlp.Item, cuts int) {
	for _, s := range spans {
		message, cut := e.AppendSpan(nil, s)
		items = append(items, otlp.Item{Origin: e.NewOrigin(s.Resource(), s.InstrumentationScope()), Message: message})
		cuts += cut
	}
	return items, cuts
}

// decode reads the request of the items, after other bytes, and checks its size.
func decode(tb testing.TB, items []otlp.Item, request proto.Message) {
	tb.Helper()
	other := []byte("other")
	b := otlp.AppendRequest(other, items)
	if !bytes.HasPrefix(b, other) {
		tb.Fatalf("the request overwrote what was there: %q", b)
	}
	b = b[len(other):]
	if err := proto.Unmarshal(b, request); err != nil {
		tb.Fatalf("decoding %x: %v", b, err)
	}
	if got := request.ProtoReflect().GetUnknown(); len(got) > 0 {
		tb.Errorf("got unknown fields %x", got)
	}
	most := 0
	for _, item := range items {
		most += item.Origin.Size() + item.Size()
	}
	if len(b) > most {
		tb.Errorf("got a request of %d bytes, want at most %d", len(b), most)
	}
}

// compare ignores the order of resources and scopes, in which nobody is
// interested.
func compare(tb testing.TB, got, want proto.Message) {
	tb.Helper()
	if proto.Equal(got, want) {
		return
	}
	diff := cmp.Diff(want, got, protocmp.Transform(),
		protocmp.SortRepeated(before[*tracepb.ResourceSpans]),
		protocmp.SortRepeated(before[*tracepb.ScopeSpans]),
		protocmp.SortRepeated(before[*logspb.ResourceLogs]),
		protocmp.SortRepeated(before[*logspb.ScopeLogs]))
	if diff != "" {
		tb.Fatalf("encoded otherwise than by the exporter (-want +got):\n%s", diff)
	}
}

func before[M interface {
	proto.Message
	GetSchemaUrl() string
}](a, b M) bool {
	return bytes.Compare(key(a), key(b)) < 0
}

// key is equal for two resources or scopes of which only the items differ.
func key(m proto.Message) []byte {
	switch m := m.(type) {
	case *tracepb.ResourceSpans:
		return marshal(&tracepb.ResourceSpans{Resource: m.Resource, SchemaUrl: m.SchemaUrl})
	case *tracepb.ScopeSpans:
		return marshal(&tracepb.ScopeSpans{Scope: m.Scope, SchemaUrl: m.SchemaUrl})
	case *logspb.ResourceLogs:
		return marshal(&logspb.ResourceLogs{Resource: m.Resource, SchemaUrl: m.SchemaUrl})
	case *logspb.ScopeLogs:
		return marshal(&logspb.ScopeLogs{Scope: m.Scope, SchemaUrl: m.SchemaUrl})
	}
	return nil
}

func marshal(m proto.Message) []byte {
	b, _ := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	return b
}
