package sampling

import (
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/bucket"
	"github.com/otelmon/toolkit/internal/tracestate"
)

// RateLimit returns a sampler that keeps at most so many traces a second on
// average, and after a quiet time a tenth of a second's worth at once, at
// least one. Zero or less, or NaN, keeps none.
//
// It bounds cost and nothing else. Which traces it keeps depends on when they
// come, so that services which limit by themselves keep different ones, and
// what it keeps carries no threshold: it cannot be counted from. [Adaptive]
// does both better, except that its bound is soft.
func RateLimit(perSecond float64) sdktrace.Sampler {
	burst := int(min(perSecond/10, 1e9))
	return rateLimit{bucket.New(perSecond, burst), fmt.Sprintf("RateLimit{%g}", perSecond)}
}

type rateLimit struct {
	bucket      *bucket.Bucket
	description string
}

func (rateLimit) IsRootSampler() {}

func (r rateLimit) Description() string { return r.description }

func (r rateLimit) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	decision := sdktrace.Drop
	if r.bucket.Take() {
		decision = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: decision, Tracestate: tracestate.WithoutThreshold(inherited(&p))}
}
