package meter

import (
	"context"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/trace"
)

const histogramExemplars = 4

// selectReservoir gives histograms a few exemplars and everything else one. The SDK's default holds one for each bucket,
// and its memory is taken before the first exemplar arrives.
func selectReservoir(aggregation sdkmetric.Aggregation) exemplar.ReservoirProvider {
	size := 1
	switch aggregation.(type) {
	case sdkmetric.AggregationExplicitBucketHistogram, sdkmetric.AggregationBase2ExponentialHistogram:
		size = histogramExemplars
	}
	return func(attribute.Set) exemplar.Reservoir { return &reservoir{size: size} }
}

// reservoir keeps the largest measurement since the last collection and a random choice of the others. What it holds
// stays until the first measurement after a collection. It takes no memory for slots before it needs them. The SDK
// serialises the calls.
type reservoir struct {
	slots     []slot // the largest is slots[0]
	size      int
	seen      int // measurements that were not the largest, since the last collection
	collected bool
}

// slot holds no pointers, which spares the garbage collector one object per exemplar.
type slot struct {
	value   exemplar.Value
	unix    int64 // nanoseconds
	traceID trace.TraceID
	spanID  trace.SpanID
}

// Offer ignores the attributes that a filter dropped: they were dropped for being unbounded or private, and more than 128
// characters of them make the Prometheus exporter refuse all exemplars of the point.
func (r *reservoir) Offer(ctx context.Context, t time.Time, value exemplar.Value, _ []attribute.KeyValue) {
	if r.collected {
		r.slots, r.seen, r.collected = r.slots[:0], 0, false
	}
	span := trace.SpanContextFromContext(ctx)
	s := slot{value: value, unix: t.UnixNano(), traceID: span.TraceID(), spanID: span.SpanID()}
	if len(r.slots) == 0 {
		r.slots = append(r.slots, s)
		return
	}
	if number(value) >= number(r.slots[0].value) {
		r.slots[0], s = s, r.slots[0]
	}
	r.offerOther(s)
}

func (r *reservoir) offerOther(s slot) {
	r.seen++
	if len(r.slots) < r.size {
		r.slots = append(r.slots, s)
		return
	}
	if i := 1 + rand.IntN(r.seen); i < r.size {
		r.slots[i] = s
	}
}

// Collect lists the largest last: of several exemplars in one bucket, and of all those of a counter, Prometheus keeps
// the last.
func (r *reservoir) Collect(dest *[]exemplar.Exemplar) {
	*dest = (*dest)[:0]
	for i := len(r.slots) - 1; i >= 0; i-- {
		s := &r.slots[i]
		e := exemplar.Exemplar{Value: s.value, Time: time.Unix(0, s.unix)}
		if s.traceID.IsValid() {
			traceID, spanID := s.traceID, s.spanID
			e.TraceID, e.SpanID = traceID[:], spanID[:]
		}
		*dest = append(*dest, e)
	}
	r.collected = true
}

func number(v exemplar.Value) float64 {
	if v.Type() == exemplar.Int64ValueType {
		return float64(v.Int64())
	}
	return v.Float64()
}
