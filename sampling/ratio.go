package sampling

import (
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracestate"
)

// Ratio returns a sampler that keeps each trace with the probability, from 0
// for none to 1 for all. NaN and what is below 0 count as 0, what is above 1
// as 1. The probability is rounded to four significant hexadecimal digits of
// the rejection threshold, and below 2^-56 to none.
//
// The decision is that of the specification's ProbabilitySampler: a trace is
// kept when its 56 random bits, those of the sub-key rv in the tracestate or
// else the last of the trace ID, reach the threshold. A trace that is kept at
// one ratio is therefore kept at every higher one, in every service that
// follows the specification; the SDK's TraceIDRatioBased keeps others. What is
// kept carries the threshold in the tracestate as ot=th.
func Ratio(probability float64) sdktrace.Sampler {
	if !(probability > 0) { // NaN neither
		probability = 0
	}
	probability = min(probability, 1)
	return ratio{newLevel(probability), fmt.Sprintf("Ratio{%g}", probability)}
}

// Keep returns a sampler that keeps every trace, as [Ratio] of 1 does.
func Keep() sdktrace.Sampler {
	return ratio{newLevel(1), "Keep"}
}

type ratio struct {
	level       *level
	description string
}

func (ratio) IsRootSampler() {}

func (r ratio) Description() string { return r.description }

func (r ratio) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return r.level.decide(&p)
}

// level is a probability as its threshold, written once for all its decisions.
type level struct {
	threshold tracestate.Threshold
	text      string
	state     trace.TraceState // of a trace that had none
}

func newLevel(probability float64) *level {
	l := &level{threshold: tracestate.ThresholdOf(probability)}
	if l.threshold < tracestate.Never {
		l.text = l.threshold.String()
		l.state = tracestate.WithThreshold(trace.TraceState{}, l.text)
	}
	return l
}

// decide is the consistent decision at the level.
func (l *level) decide(p *sdktrace.SamplingParameters) sdktrace.SamplingResult {
	state := inherited(p)
	if tracestate.Randomness(state, p.TraceID) < l.threshold {
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: tracestate.WithoutThreshold(state)}
	}
	if state.Len() == 0 {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: l.state}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: tracestate.WithThreshold(state, l.text)}
}

func inherited(p *sdktrace.SamplingParameters) trace.TraceState {
	return trace.SpanContextFromContext(p.ParentContext).TraceState()
}
