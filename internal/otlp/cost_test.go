package otlp_test

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/otlp"
)

// ordinary returns spans of ten attributes of one resource and scope.
func ordinary(n int) tracetest.SpanStubs {
	by := resource.NewSchemaless(attribute.String("service.name", "shop"), attribute.String("service.version", "1.2.3"))
	spans := make(tracetest.SpanStubs, n)
	for i := range spans {
		id := trace.SpanContextConfig{TraceID: traceID, SpanID: trace.SpanID{byte(i), byte(i >> 8), 1}, TraceFlags: 1}
		at := time.Unix(1_800_000_000, int64(i))
		spans[i] = tracetest.SpanStub{
			Name: "GET /users/{id}", SpanContext: trace.NewSpanContext(id), Parent: trace.NewSpanContext(id), SpanKind: trace.SpanKindServer,
			StartTime: at, EndTime: at.Add(time.Millisecond), Attributes: tenAttributes(i),
			Resource: by, InstrumentationScope: instrumentation.Scope{Name: "example.com/http", Version: "v1.2.3"},
		}
	}
	return spans
}

func tenAttributes(i int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("http.route", "/users/{id}"),
		attribute.String("url.path", "/users/"+strconv.Itoa(i)),
		attribute.String("url.scheme", "https"),
		attribute.String("server.address", "shop.example.com"),
		attribute.String("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
		attribute.Int("http.response.status_code", 200),
		attribute.Int("http.response.body.size", i),
		attribute.Float64("queue.seconds", 0.25),
		attribute.Bool("cache.hit", i%2 == 0),
	}
}

// Not parallel, as what other tests allocate would count.
func TestOrdinaryItemsAreEncodedWithoutAllocation(t *testing.T) {
	span := ordinary(1).Snapshots()[0]
	record := record(resource.Empty(), instrumentation.Scope{})
	record.SetBody(attribute.StringValue("user logged in"))
	record.SetSeverity(log.SeverityInfo)
	record.SetAttributes(tenAttributes(1)...)
	e, room := otlp.Encoder{ValueBytes: 64}, make([]byte, 0, 4096)
	for name, encode := range map[string]func(){
		"a span":       func() { e.AppendSpan(room, span) },
		"a log record": func() { e.AppendLogRecord(room, &record) },
	} {
		if got := testing.AllocsPerRun(100, encode); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}

const batch = 512

// BenchmarkSpans encodes a batch, per span: with the encoder as the queue uses
// it, and with the OpenTelemetry project's exporter.
func BenchmarkSpans(b *testing.B) {
	spans := ordinary(batch).Snapshots()
	b.Run("encoder", func(b *testing.B) {
		b.ReportAllocs()
		e := otlp.Encoder{ValueBytes: 4096}
		origin := e.NewOrigin(spans[0].Resource(), spans[0].InstrumentationScope())
		items, room := make([]otlp.Item, batch), make([]byte, 0, 4096)
		for range perBatch(b) {
			for i, s := range spans {
				message, _ := e.AppendSpan(room, s)
				items[i] = otlp.Item{Origin: origin, Message: bytes.Clone(message)}
			}
			otlp.AppendRequest(nil, items)
		}
	})
	b.Run("exporter", func(b *testing.B) {
		b.ReportAllocs()
		client := &traceClient{}
		exporter := otlptrace.NewUnstarted(client)
		for range perBatch(b) {
			if err := exporter.ExportSpans(b.Context(), spans); err != nil {
				b.Fatal(err)
			}
			if _, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: client.sent}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// perBatch returns the batches that make b.N spans.
func perBatch(b *testing.B) int {
	b.Helper()
	return (b.N + batch - 1) / batch
}

// BenchmarkSpan encodes one span, as the goroutine that ends it does.
func BenchmarkSpan(b *testing.B) {
	span := ordinary(1).Snapshots()[0]
	e, room := otlp.Encoder{ValueBytes: 4096}, make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		e.AppendSpan(room, span)
	}
}
