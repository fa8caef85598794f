// Package tracer provides the TracerProvider that otelmon sets up: the SDK's,
// which can also be asked for its sampling decision before a span is built.
package tracer

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/bucket"
	"github.com/otelmon/toolkit/internal/headsample"
)

// Limits bound what is sampled besides the sampler's own choice.
type Limits struct {
	// ForcedPerSecond bounds how many spans a second are sampled for the sole
	// reason that a remote parent is. Above it the sampler decides as if there were no
	// parent, from the same trace ID. Infinity lifts the bound.
	ForcedPerSecond float64
	// RescuesPerSecond bounds the spans of unsampled requests that failed or
	// took at least SlowerThan. Zero means none.
	RescuesPerSecond float64
	SlowerThan       time.Duration
}

// Provider is an SDK TracerProvider that is a [headsample.Decider]. Safe for
// concurrent use.
type Provider struct {
	*sdktrace.TracerProvider

	sampler    sdktrace.Sampler
	known      bool // the sampler does not look at attributes
	off        bool // the sampler never begins a trace
	byRoute    bool // the sampler tells routes apart
	forced     *bucket.Bucket
	rescues    *bucket.Bucket
	slowerThan time.Duration
}

// New returns a Provider with the sampler and the SDK's options. These are not
// to contain another sampler or an ID generator.
func New(sampler sdktrace.Sampler, limits Limits, options ...sdktrace.TracerProviderOption) *Provider {
	description := sampler.Description()
	return &Provider{
		TracerProvider: sdktrace.NewTracerProvider(append(slices.Clip(options),
			sdktrace.WithSampler(decidedSampler{sampler}), sdktrace.WithIDGenerator(decidedIDs{}))...),
		sampler:    sampler,
		known:      isKnown(description),
		off:        description == "AlwaysOffSampler" || strings.HasPrefix(description, "ParentBased{root:AlwaysOffSampler,"),
		byRoute:    strings.Contains(description, "Adaptive{") || strings.Contains(description, "Rules{"),
		forced:     bucket.New(limits.ForcedPerSecond, burst(limits.ForcedPerSecond)),
		rescues:    bucket.New(limits.RescuesPerSecond, burst(limits.RescuesPerSecond)),
		slowerThan: limits.SlowerThan,
	}
}

// burst is how many of n a second may come at once.
func burst(perSecond float64) int { return int(min(max(perSecond, 1), 1e6)) }

// Decide implements [headsample.Decider].
func (p *Provider) Decide(ctx context.Context, kind trace.SpanKind) (headsample.Decision, bool) {
	if !p.known {
		return headsample.Decision{}, false
	}
	parent := trace.SpanContextFromContext(ctx)
	traceID, spanID := headsample.NewIDs(parent)
	result := p.sample(ctx, parent, traceID, kind)
	flags := parent.TraceFlags() &^ trace.FlagsSampled
	if result.Decision == sdktrace.RecordAndSample {
		flags |= trace.FlagsSampled
	}
	return headsample.Decision{
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: traceID, SpanID: spanID, TraceFlags: flags, TraceState: result.Tracestate,
		}),
		Recording:  result.Decision != sdktrace.Drop,
		Attributes: result.Attributes,
		Final:      p.off || isFinal(result.Attributes),
	}, true
}

func (p *Provider) sample(ctx context.Context, parent trace.SpanContext, traceID trace.TraceID, kind trace.SpanKind) sdktrace.SamplingResult {
	parameters := sdktrace.SamplingParameters{ParentContext: ctx, TraceID: traceID, Kind: kind}
	if !parent.IsRemote() || !parent.IsSampled() || p.forced.Take() {
		return p.sampler.ShouldSample(parameters)
	}
	// Without IDs it is no parent, yet its tracestate counts.
	state := parent.TraceState()
	orphan := trace.NewSpanContext(trace.SpanContextConfig{TraceState: state})
	parameters.ParentContext = trace.ContextWithSpanContext(ctx, orphan)
	result := p.sampler.ShouldSample(parameters)
	if result.Decision != sdktrace.RecordAndSample {
		result.Tracestate = headsample.WithoutThreshold(state)
	}
	return result
}

func isFinal(attributes []attribute.KeyValue) bool {
	for _, kv := range attributes {
		if kv.Key == headsample.FinalKey {
			return kv.Value.AsBool()
		}
	}
	return false
}

// NeedsRoute implements [headsample.Decider].
func (p *Provider) NeedsRoute() bool { return p.byRoute }

// Rescue implements [headsample.Decider].
func (p *Provider) Rescue(failed bool, duration time.Duration) bool {
	return (failed || duration >= p.slowerThan) && p.rescues.Take()
}

// isKnown tells from its description whether a sampler consists of the SDK's
// and of package sampling's only. It is the one thing that a combination of
// samplers tells of its parts.
func isKnown(description string) bool {
	words := strings.FieldsFunc(description, func(r rune) bool { return strings.ContainsRune("{},:", r) })
	return len(words) > 0 && !slices.ContainsFunc(words, func(word string) bool {
		switch word {
		case "AlwaysOnSampler", "AlwaysOffSampler", "TraceIDRatioBased", "AlwaysRecord", "ParentBased", "root",
			"remoteParentSampled", "remoteParentNotSampled", "localParentSampled", "localParentNotSampled",
			"Ratio", "RateLimit", "Adaptive", "Rules", "fallback", "Drop", "Keep":
			return false
		}
		_, err := strconv.ParseFloat(word, 64)
		return err != nil
	})
}

// decidedSampler returns the decision that was left for a span, and else asks
// the sampler.
type decidedSampler struct{ sdktrace.Sampler }

// ShouldSample implements [sdktrace.Sampler].
func (s decidedSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	d, ok := headsample.Take(p.ParentContext)
	if !ok {
		return s.Sampler.ShouldSample(p)
	}
	result := sdktrace.SamplingResult{Decision: sdktrace.RecordOnly, Attributes: d.Attributes, Tracestate: d.SpanContext.TraceState()}
	if d.SpanContext.IsSampled() {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

// decidedIDs returns the IDs of the decision that was left for a span, and else
// random ones, as the SDK's own generator does.
type decidedIDs struct{}

// NewIDs implements [sdktrace.IDGenerator].
func (decidedIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if d, ok := headsample.Pending(ctx); ok {
		return d.SpanContext.TraceID(), d.SpanContext.SpanID()
	}
	return headsample.NewIDs(trace.SpanContext{})
}

// NewSpanID implements [sdktrace.IDGenerator].
func (decidedIDs) NewSpanID(ctx context.Context, traceID trace.TraceID) trace.SpanID {
	if d, ok := headsample.Pending(ctx); ok && d.SpanContext.TraceID() == traceID {
		return d.SpanContext.SpanID()
	}
	_, spanID := headsample.NewIDs(trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID}))
	return spanID
}
