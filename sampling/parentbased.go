package sampling

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// ParentBased returns a sampler that asks root about spans without a parent,
// and follows the parent otherwise, as the SDK's ParentBased does. A nil root
// keeps every trace.
//
// Unlike the SDK's it never passes on a threshold that cannot be true: of a
// sampled parent whose threshold is invalid or would have rejected the trace,
// and of a parent that is not sampled. The spans of a parent without a
// threshold, such as one that TraceIDRatioBased kept, get none either.
func ParentBased(root sdktrace.Sampler) sdktrace.Sampler {
	if root == nil {
		root = Keep()
	}
	return parentBased{root, "ParentBased{root:" + root.Description() + "}"}
}

type parentBased struct {
	root        sdktrace.Sampler
	description string
}

func (s parentBased) Description() string { return s.description }

func (s parentBased) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	if !parent.IsValid() {
		return s.root.ShouldSample(p)
	}
	state := parent.TraceState()
	if !parent.IsSampled() {
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: withThreshold(state, "")}
	}
	if contradicts(state, parent.TraceID()) {
		state = withThreshold(state, "")
	}
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: state}
}
