package sampling

import (
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/tracestate"
)

// Drop returns a sampler that keeps no trace, not even one that fails: what it
// drops is never rescued, see [Rescue]. Under [ParentBased], which Setup wraps it
// in, nor is a request to it whose caller did not sample. A caller's sampled
// trace is followed all the same.
func Drop() sdktrace.Sampler {
	return drop{final()}
}

type drop struct {
	final []attribute.KeyValue // shared by all results, only read
}

func final() []attribute.KeyValue {
	return []attribute.KeyValue{headsample.FinalKey.Bool(true)}
}

// finalizer is a sampler that can say, without counting an arrival, whether it
// would drop a trace finally.
type finalizer interface {
	dropsFinally(p sdktrace.SamplingParameters) bool
}

func (drop) IsRootSampler() {}

func (drop) dropsFinally(sdktrace.SamplingParameters) bool { return true }

func (drop) Description() string { return "Drop" }

func (d drop) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{
		Decision:   sdktrace.Drop,
		Attributes: d.final,
		Tracestate: tracestate.WithoutThreshold(inherited(&p)),
	}
}
