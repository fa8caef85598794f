package exporters_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// A peer that takes nothing, whatever its size, is not asked for each item.
func TestPeerThatTakesNothingGetsFewRequests(t *testing.T) {
	t.Parallel()
	const items, most = 512, 64
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		requests := make(map[string]int)
		r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
			requests[request.Signal]++
			return faultcollector.Reply{Code: codes.ResourceExhausted, Status: 413, Message: "grpc: received message larger than max (9 vs. 0)"}
		})
		orders := r.counter(t, "orders")
		for i := range items {
			r.span(t)
			r.record(t)
			orders.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("n", i)))
		}
		_ = r.flush(t.Context()) // all is lost
		for _, signal := range []string{"traces", "logs", "metrics"} {
			if n := requests[signal]; n == 0 || n > most {
				t.Errorf("got %d requests of %d %s, want at most %d", n, items, signal, most)
			}
		}
		r.checkLost(t, map[string]int64{"too_large": items}, nil)
		for range 10 { // as if the peer were another one now
			r.collector.Answer(nil)
			before := len(r.missingSpans())
			r.span(t)
			r.record(t)
			_ = r.flush(t.Context())
			if got := len(r.missingSpans()); got != before {
				t.Fatalf("got %d spans lost, want %d as before", got, before)
			}
		}
	})
}

// What such a peer loses is what it does not take, wherever that is in a batch.
// Over gRPC the peer's limit cannot be set.
func TestItemsThatThePeerDoesNotTakeAreLostAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]func(number int) (large bool){
		"one":                     func(i int) bool { return i == 300 },
		"the first":               func(i int) bool { return i == 0 },
		"the last":                func(i int) bool { return i == 511 },
		"each thirtieth":          func(i int) bool { return i%30 == 0 },
		"half of them, at random": func(i int) bool { return rand.New(rand.NewPCG(1, uint64(i))).IntN(2) == 0 },
		"the last hundred":        func(i int) bool { return i >= 412 },
		"the first twenty":        func(i int) bool { return i < 20 },
		"all but one":             func(i int) bool { return i != 77 },
	}
	for name, large := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overOne(t, protocolHTTP, exporters.OTLP{}, func(t *testing.T, r *rig) {
				r.collector.LimitHTTPBytes(1500)
				long := attribute.String("text", strings.Repeat("x", 2000))
				var want []int
				for i := range 512 {
					var attributes []attribute.KeyValue
					if large(i) {
						attributes = append(attributes, long)
						want = append(want, i)
					}
					r.span(t, attributes...)
					r.record(t, attributes...)
				}
				_ = r.flush(t.Context())
				for signal, missing := range map[string][]int{"spans": r.missingSpans(), "log records": r.missingRecords()} {
					if diff := cmp.Diff(want, missing); diff != "" {
						t.Errorf("missing %s differ (-want +got):\n%s", signal, diff)
					}
				}
				r.checkLost(t, map[string]int64{"too_large": int64(len(want))}, nil)
			})
		})
	}
}
