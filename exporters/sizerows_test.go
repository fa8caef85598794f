package exporters_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// mostRequestBytes is below what gRPC servers take by default.
const mostRequestBytes = 3584 << 10

func checkRequestSizes(t *testing.T, got faultcollector.Received) {
	t.Helper()
	check := func(size int) {
		if size > mostRequestBytes {
			t.Errorf("got a request of %d bytes", size)
		}
	}
	for _, request := range got.Traces {
		check(proto.Size(request))
	}
	for _, request := range got.Metrics {
		check(proto.Size(request))
	}
	for _, request := range got.Logs {
		check(proto.Size(request))
	}
}

func TestNothingIsLostForItsSize(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ cap, want int }{
		"long values are cut":   {0, exporters.DefaultMaxValueBytes},
		"long values are whole": {-1, 64 << 10},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{MaxValueBytes: test.cap, QueueBytes: 128 << 20}, func(t *testing.T, r *rig) {
				text := attribute.String("text", strings.Repeat("x", 64<<10))
				for range 512 {
					r.span(t, text)
					r.record(t, text)
				}
				r.deliverWithin(t, 10*time.Second)
				got := r.collector.Received()
				checkRequestSizes(t, got)
				for _, request := range got.Traces {
					for _, span := range request.ResourceSpans[0].ScopeSpans[0].Spans {
						if n := len(span.Attributes[0].Value.GetStringValue()); n != test.want {
							t.Fatalf("got a value of %d bytes, want %d", n, test.want)
						}
					}
				}
			})
		})
	}
}

// Requests of any mix of sizes and scopes stay below the limit.
func TestRequestsOfManyScopesStayBelowTheLimit(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{MaxValueBytes: -1, DisableLogs: true}, func(t *testing.T, r *rig) {
		for i := range 600 {
			scope := strings.Repeat("scope", i*20)
			_, span := r.tracer.Tracer(scope).Start(t.Context(), "checkout", trace.WithAttributes(attribute.String("text", strings.Repeat("x", i*50))))
			r.spans = append(r.spans, span.SpanContext().SpanID())
			span.End()
		}
		r.deliverWithin(t, 10*time.Second)
		checkRequestSizes(t, r.collector.Received())
	})
}

// A single item that no request can hold costs nobody else anything.
func TestItemThatIsTooLarge(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{MaxValueBytes: -1}, func(t *testing.T, r *rig) {
		for i := range 10 {
			var attributes []attribute.KeyValue
			if i == 4 {
				attributes = []attribute.KeyValue{attribute.String("text", strings.Repeat("x", 4<<20))}
			}
			r.span(t, attributes...)
			r.record(t, attributes...)
		}
		_ = r.flush(t.Context())
		if diff := cmp.Diff([]int{4}, r.missingSpans()); diff != "" {
			t.Errorf("missing spans differ (-want +got):\n%s", diff)
		}
		r.checkLost(t, nil, map[string]int64{"too_large": 1})
	})
}

// A peer that takes less than others gets less at a time. Over HTTP its limit is
// set; over gRPC it says no three times.
func TestPeerThatTakesSmallRequests(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.LimitHTTPBytes(2500)
		tooLarge := faultcollector.Reply{Code: grpccodes.ResourceExhausted, Message: "grpc: received message larger than max (9000 vs. 2500)"}
		sequence := faultcollector.Sequence(tooLarge, tooLarge, tooLarge)
		r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
			if request.HTTP || request.Signal == "logs" {
				return faultcollector.Reply{}
			}
			return sequence(request)
		})
		text := attribute.String("text", strings.Repeat("x", 1000))
		for range 9 {
			r.span(t, text)
			r.record(t, text)
		}
		r.deliverWithin(t, 10*time.Second)
		if got := r.collector.Received(); len(got.Traces) < 4 {
			t.Errorf("got %d requests of traces, want them smaller", len(got.Traces))
		}
	})
}

func TestPeerThatTakesNothingOfThisSize(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.LimitHTTPBytes(10)
		times := r.answering(func(faultcollector.Request) faultcollector.Reply {
			return faultcollector.Reply{Code: grpccodes.ResourceExhausted, Message: "grpc: message after decompression larger than max (9000 vs. 10)"}
		})
		for range 4 {
			r.span(t)
			r.record(t)
		}
		_ = r.flush(t.Context())
		r.checkLost(t, map[string]int64{"too_large": 4}, nil)
		if n := len(*times); n != 7 && n != 0 { // 4, 2, 1, 1, 2, 1, 1; HTTP refuses them before
			t.Errorf("got %d requests, want 7", n)
		}
	})
}

// The queue's bound holds also when what waits is large.
func TestQueueNeverHoldsMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	const limit = 16 << 20
	overBoth(t, exporters.OTLP{MaxValueBytes: -1, QueueBytes: limit}, func(t *testing.T, r *rig) {
		r.collector.Refuse()
		text := attribute.String("text", strings.Repeat("x", 64<<10))
		for range 60 {
			r.emitFor(t, 20, time.Second, text)
			found := r.accounts(t)
			if err := identity(found); err != nil {
				t.Fatal(err)
			}
			for _, signal := range []string{"traces", "logs"} {
				if a := found[signal]; a.mostBytes != limit/2 {
					t.Fatalf("%s: got a limit of %d bytes, want half", signal, a.mostBytes)
				}
			}
		}
		for signal, a := range r.accounts(t) {
			if signal != "metrics" && (a.dropped["queue_full"] == 0 || a.bytes < limit/2-(128<<10)) {
				t.Errorf("%s: got %+v, want a full queue", signal, a)
			}
		}
		r.collector.Heal()
	})
}

// A batch that cannot be delivered does not take the whole of a small queue, so
// that the newest items stay, whatever their size.
func TestSmallQueueKeepsTheNewest(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{MaxValueBytes: -1, QueueBytes: 256 << 10}, func(t *testing.T, r *rig) {
		r.collector.Refuse()
		r.emitFor(t, 100, 30*time.Second, attribute.String("text", strings.Repeat("x", 1000)))
		r.emitFor(t, 10, 5*time.Second, attribute.String("text", strings.Repeat("x", 50_000)))
		r.emitFor(t, 10, time.Second)
		last := len(r.spans) - 1
		r.collector.Heal()
		_ = r.flush(t.Context())
		for signal, missing := range map[string][]int{"traces": r.missingSpans(), "logs": r.missingRecords()} {
			if newest := missing[len(missing)-1]; newest > last-10 {
				t.Errorf("%s: number %d of %d is missing, want the newest to stay", signal, newest, last)
			}
		}
	})
}

// Bad text anywhere in an item costs no item.
func TestBadTextAnywhere(t *testing.T) {
	t.Parallel()
	const bad, mended = "a\xffb\xc3", "a\uFFFDb\uFFFD"
	text, list := attribute.String(bad, bad), attribute.StringSlice("list", []string{bad, "good"})
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		for range 5 {
			r.span(t)
			r.record(t)
		}
		ctx, span := r.tracer.Tracer(bad, trace.WithInstrumentationVersion(bad), trace.WithInstrumentationAttributes(text, list)).Start(t.Context(), bad,
			trace.WithAttributes(text, list), trace.WithLinks(trace.Link{Attributes: []attribute.KeyValue{text, list}}))
		span.AddEvent(bad, trace.WithAttributes(text, list))
		span.SetStatus(codes.Error, bad)
		r.spans = append(r.spans, span.SpanContext().SpanID())
		span.End()
		for body, value := range map[string]attribute.Value{mended: attribute.StringValue(bad), "": attribute.MapValue(text, list)} {
			var record log.Record
			record.SetBody(value)
			record.SetSeverityText(bad)
			record.SetEventName(bad)
			record.AddAttributes(text, list)
			r.logger.Logger(bad).Emit(ctx, record)
			r.bodies = append(r.bodies, body)
		}
		r.deliverWithin(t, 10*time.Second)
	})
}
