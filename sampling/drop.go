package sampling

import (
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/headsample"
)

// Drop returns a sampler that keeps no trace, not even one that fails: what it
// drops is never rescued, see [Rescue].
func Drop() sdktrace.Sampler {
	return drop{[]attribute.KeyValue{headsample.FinalKey.Bool(true)}}
}

type drop struct {
	final []attribute.KeyValue // shared by all results, only read
}

func (drop) IsRootSampler() {}

func (drop) Description() string { return "Drop" }

func (d drop) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{
		Decision:   sdktrace.Drop,
		Attributes: d.final,
		Tracestate: withThreshold(inherited(&p), ""),
	}
}
