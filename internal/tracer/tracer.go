// Package tracer provides the TracerProvider that otelmon sets up: the SDK's,
// which can also be asked for its sampling decision before a span is built.
package tracer

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/bucket"
	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/tracestate"
)

// Limits bound what is sampled besides the sampler's own choice.
type Limits struct {
	// ForcedPerSecond bounds how many spans a second are sampled because a
	// remote parent is. Above it the sampler decides as if there were no parent,
	// from the same trace ID. Infinity lifts the bound, and so does a sampler that
	// begins every trace.
	ForcedPerSecond float64
	// RescuesPerSecond bounds the spans of unsampled requests that failed or
	// took at least SlowerThan; the latter take about half of them at most. Zero
	// means none.
	RescuesPerSecond float64
	SlowerThan       time.Duration
}

// Provider is an SDK TracerProvider that is a [headsample.Decider]. Safe for
// concurrent use.
type Provider struct {
	*sdktrace.TracerProvider

	sampler        sdktrace.Sampler
	known          bool // the sampler is known, and does not look at attributes
	off            bool // it never begins a trace
	all            bool // it begins every trace
	byRoute        bool // it tells routes apart
	byHeader       bool // it looks at headers
	forced         *bucket.Bucket
	rescues, slows *bucket.Bucket
	slowerThan     time.Duration
	started        started
}

// New returns a Provider with the sampler and the SDK's options. These are not
// to contain another sampler or an ID generator.
func New(sampler sdktrace.Sampler, limits Limits, options ...sdktrace.TracerProviderOption) *Provider {
	description := sampler.Description()
	known := consistsOfKnown(reflect.ValueOf(sampler))
	root := rootOf(description)
	p := &Provider{
		sampler:    sampler,
		known:      known && !slices.ContainsFunc(words(description), isForeign),
		off:        known && root == "AlwaysOffSampler",
		all:        known && (root == "AlwaysOnSampler" || root == "Keep"),
		byRoute:    strings.Contains(description, "Adaptive{") || strings.Contains(description, "Rules{"),
		byHeader:   strings.Contains(description, "header:"),
		forced:     bucket.New(limits.ForcedPerSecond, burst(limits.ForcedPerSecond)),
		rescues:    bucket.New(limits.RescuesPerSecond, burst(limits.RescuesPerSecond)),
		slows:      bucket.New(limits.RescuesPerSecond/2, burst(limits.RescuesPerSecond/2)),
		slowerThan: limits.SlowerThan,
	}
	p.TracerProvider = sdktrace.NewTracerProvider(append(slices.Clip(options),
		sdktrace.WithSampler(decidedSampler{p}), sdktrace.WithIDGenerator(decidedIDs{}))...)
	return p
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
	result := p.sample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: traceID, Name: p.name(ctx), Kind: kind})
	if result.Decision == sdktrace.Drop { // any other decision counts when the span is started
		p.started.count(parent, sdktrace.Drop)
	}
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
		Final:      p.final(result),
	}, true
}

// name is what the span is called when there is no route, for a sampler that
// goes by it.
func (p *Provider) name(ctx context.Context) string {
	if !p.byRoute {
		return ""
	}
	if c := headsample.Of(ctx); c != nil {
		return c.Request.Method
	}
	return ""
}

// sample asks the sampler. About a span that only its remote parent wants, and
// that is above the bound, it asks as if there were no parent. How probable it
// was to be kept is not known then.
func (p *Provider) sample(parameters sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.byHeader {
		if c := headsample.Of(parameters.ParentContext); c != nil {
			parameters.ParentContext = headsample.WithHeader(parameters.ParentContext, c.Request.Header)
		}
	}
	parent := trace.SpanContextFromContext(parameters.ParentContext)
	if p.all || !parent.IsRemote() || !parent.IsSampled() || p.forced.Take() {
		return p.sampler.ShouldSample(parameters)
	}
	// Without IDs it is no parent, yet its tracestate counts.
	orphan := trace.NewSpanContext(trace.SpanContextConfig{TraceState: parent.TraceState()})
	parameters.ParentContext = trace.ContextWithSpanContext(parameters.ParentContext, orphan)
	result := p.sampler.ShouldSample(parameters)
	result.Tracestate = tracestate.WithoutThreshold(result.Tracestate)
	return result
}

func (p *Provider) final(result sdktrace.SamplingResult) bool {
	return p.off || isFinal(result.Attributes)
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

// Rescue implements [headsample.Decider]. About half of the rescues at most are
// of requests that are merely slow, so that those that fail find room.
func (p *Provider) Rescue(failed bool, duration time.Duration) bool {
	switch {
	case failed:
		return p.rescues.Take()
	case duration >= p.slowerThan:
		return p.slows.Take() && p.rescues.Take()
	}
	return false
}

// consistsOfKnown tells whether a sampler and those inside it are the SDK's and
// package sampling's only. Their descriptions would not do, since others may
// embed one and inherit it.
func consistsOfKnown(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Interface, reflect.Pointer:
		return v.IsNil() || consistsOfKnown(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if !consistsOfKnown(v.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if !consistsOfKnown(v.MapIndex(key)) {
				return false
			}
		}
	case reflect.Struct:
		if !isKnown(v.Type()) {
			return !isSampler(v.Type())
		}
		for _, field := range v.Fields() {
			if !consistsOfKnown(field) {
				return false
			}
		}
	default:
		return isKnown(v.Type()) || !isSampler(v.Type())
	}
	return true
}

func isKnown(t reflect.Type) bool {
	return t.PkgPath() == "go.opentelemetry.io/otel/sdk/trace" || t.PkgPath() == "github.com/otelmon/toolkit/sampling"
}

func isSampler(t reflect.Type) bool {
	sampler := reflect.TypeFor[sdktrace.Sampler]()
	return t.Implements(sampler) || reflect.PointerTo(t).Implements(sampler)
}

// words returns the names and numbers of a description, the one thing that a
// combination of samplers tells of its parts.
func words(description string) []string {
	return strings.FieldsFunc(description, func(r rune) bool { return strings.ContainsRune("{},:", r) })
}

// rootOf returns the name of the sampler that decides about roots.
func rootOf(description string) string {
	names := words(strings.TrimPrefix(description, "ParentBased{root:"))
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func isForeign(word string) bool {
	switch word {
	case "AlwaysOnSampler", "AlwaysOffSampler", "TraceIDRatioBased", "AlwaysRecord", "ParentBased", "root",
		"remoteParentSampled", "remoteParentNotSampled", "localParentSampled", "localParentNotSampled",
		"Ratio", "RateLimit", "Adaptive", "Rules", "fallback", "header", "Drop", "Keep":
		return false
	}
	_, err := strconv.ParseFloat(word, 64)
	return err != nil
}

// decidedSampler returns the decision that was left for a span, and else asks
// the sampler. It counts the decision.
type decidedSampler struct{ provider *Provider }

// Description implements [sdktrace.Sampler].
func (s decidedSampler) Description() string { return s.provider.sampler.Description() }

// ShouldSample implements [sdktrace.Sampler].
func (s decidedSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := s.decide(&p)
	s.provider.started.count(trace.SpanContextFromContext(p.ParentContext), result.Decision)
	return result
}

func (s decidedSampler) decide(p *sdktrace.SamplingParameters) sdktrace.SamplingResult {
	c, d := headsample.Pending(p.ParentContext)
	switch {
	case c == nil:
		return s.provider.sampler.ShouldSample(*p)
	case d == nil:
		c.Settle()
		result := s.provider.sample(*p)
		c.Final = s.provider.final(result)
		return result
	}
	c.Settle()
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
	if _, d := headsample.Pending(ctx); d != nil {
		return d.SpanContext.TraceID(), d.SpanContext.SpanID()
	}
	return headsample.NewIDs(trace.SpanContext{})
}

// NewSpanID implements [sdktrace.IDGenerator].
func (decidedIDs) NewSpanID(ctx context.Context, traceID trace.TraceID) trace.SpanID {
	if _, d := headsample.Pending(ctx); d != nil && d.SpanContext.TraceID() == traceID {
		return d.SpanContext.SpanID()
	}
	_, spanID := headsample.NewIDs(trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID}))
	return spanID
}
