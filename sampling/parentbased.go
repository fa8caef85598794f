package sampling

import (
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracestate"
)

// ParentBased returns a sampler that asks root about spans without a parent,
// and follows the parent otherwise, as the SDK's ParentBased does. A nil root
// keeps every trace.
//
// Unlike the SDK's it never passes on a threshold that cannot be true: of a
// sampled parent whose threshold is invalid or would have rejected the trace,
// and of a parent that is not sampled. The spans of a parent without a
// threshold, such as one that TraceIDRatioBased kept, get none either.
//
// Of a remote parent that is not sampled, root is asked whether [Drop] would
// decide, so that what a rule drops is not rescued either, see [Rescue]. That
// counts towards no limit.
func ParentBased(root sdktrace.Sampler) sdktrace.Sampler {
	if root == nil {
		root = Keep()
	}
	s := parentBased{root: root, final: final(), description: "ParentBased{root:" + root.Description() + "}"}
	s.finalizer, _ = root.(finalizer)
	return s
}

type parentBased struct {
	root        sdktrace.Sampler
	finalizer   finalizer            // the root, nil when it drops nothing finally
	final       []attribute.KeyValue // shared by all results, only read
	description string
}

func (s parentBased) Description() string { return s.description }

func (s parentBased) dropsFinally(p sdktrace.SamplingParameters) bool {
	return s.finalizer != nil && s.finalizer.dropsFinally(p)
}

func (s parentBased) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	if !parent.IsValid() {
		return s.root.ShouldSample(p)
	}
	state := parent.TraceState()
	if !parent.IsSampled() {
		result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: tracestate.WithoutThreshold(state)}
		if parent.IsRemote() && s.dropsFinally(p) {
			result.Attributes = s.final
		}
		return result
	}
	if tracestate.Contradicts(state, parent.TraceID()) {
		state = tracestate.WithoutThreshold(state)
	}
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: state}
}
