package llm

import (
	"context"
	"reflect"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

// startSpan starts the span, unless it is known that it is not to be recorded.
// Where the model is not known yet, it is named later.
func (c *call) startSpan() {
	c.ctx, c.span = c.original.Context(), trace.SpanFromContext(context.Background())
	if c.transport.cfg.HTTP.Disable&middleware.Traces != 0 {
		return
	}
	r := c.original
	asked := &headsample.Context{Context: c.ctx, Kind: trace.SpanKindClient, Request: headsample.Request{
		Method: r.Method, Path: r.URL.Path, Scheme: r.URL.Scheme, Header: r.Header,
	}}
	if decider, ok := c.transport.cfg.tracer().(headsample.Decider); ok {
		decision, ok := decider.Decide(asked, trace.SpanKindClient)
		switch {
		case !ok:
		case decision.Recording:
			asked.Leave(decision)
		default:
			c.ctx = decision.Without(c.ctx)
			return
		}
	}
	name := c.api.operation
	if c.model != "" {
		name += " " + valid(c.model)
	}
	_, c.span = c.transport.tracer().Start(asked, name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(c.start), trace.WithAttributes(c.target.attributes(c.api)...))
	c.ctx = trace.ContextWithSpan(c.ctx, c.span)
}

// madeTracer is a tracer and where it came from.
type madeTracer struct {
	trace.Tracer

	provider trace.TracerProvider
}

// tracer returns the tracer of the provider of the moment, which is nearly always
// that of the last time.
func (t *transport) tracer() trace.Tracer {
	provider := t.cfg.tracer()
	last := t.made.Load()
	if last == nil || last.provider != provider {
		last = &madeTracer{provider.Tracer(telemetry.Scope+"/llm",
			trace.WithInstrumentationVersion(telemetry.Version), trace.WithSchemaURL(telemetry.SchemaURL)), provider}
		if reflect.ValueOf(provider).Comparable() {
			t.made.Store(last)
		}
	}
	return last
}

// recordSpan tells the span all, and ends it.
func (c *call) recordSpan(end conclusion) {
	defer c.span.End(trace.WithTimestamp(c.start.Add(end.duration)))
	if !c.span.IsRecording() {
		return
	}
	if end.facts.model != "" {
		c.span.SetName(c.api.operation + " " + valid(end.facts.model))
	}
	c.span.SetAttributes(c.requestAttributes(end)...)
	c.span.SetAttributes(c.answerAttributes(end)...)
	if end.counted {
		c.span.SetAttributes(tokenAttributes(end)...)
	}
	if end.errorType != "" {
		c.span.SetAttributes(telemetry.ErrorType.String(end.errorType))
		c.span.SetStatus(codes.Error, end.description)
	}
}

func (c *call) requestAttributes(end conclusion) []attribute.KeyValue {
	f := end.facts
	attributes := []attribute.KeyValue{telemetry.GenAIRequestStream.Bool(f.stream)}
	if f.model != "" {
		attributes = append(attributes, telemetry.GenAIRequestModel.String(valid(f.model)))
	}
	if f.maxTokens > 0 {
		attributes = append(attributes, telemetry.GenAIMaxTokens.Int64(f.maxTokens))
	}
	if f.temperature >= 0 {
		attributes = append(attributes, telemetry.GenAITemperature.Float64(f.temperature))
	}
	if f.topP >= 0 {
		attributes = append(attributes, telemetry.GenAITopP.Float64(f.topP))
	}
	if c.resent > 0 {
		attributes = append(attributes, telemetry.HTTPResendCount.Int(c.resent))
	}
	if c.caller != "" {
		attributes = append(attributes, telemetry.LLMCaller.String(valid(c.caller)))
	}
	if len(f.content) > 0 {
		attributes = append(attributes, telemetry.LLMPrompt.String(c.redacted(f.content)))
	}
	return attributes
}

func (c *call) answerAttributes(end conclusion) []attribute.KeyValue {
	a := end.answer
	attributes := []attribute.KeyValue{telemetry.LLMOutcome.String(end.outcome), telemetry.HTTPResponseBodySize.Int64(end.size)}
	if c.status != 0 {
		attributes = append(attributes, telemetry.HTTPStatusCode.Int(c.status))
	}
	if a.model != "" {
		attributes = append(attributes, telemetry.GenAIResponseModel.String(valid(a.model)))
	}
	if a.id != "" {
		attributes = append(attributes, telemetry.GenAIResponseID.String(valid(a.id)))
	}
	if len(a.finish) > 0 {
		attributes = append(attributes, telemetry.GenAIFinishReasons.StringSlice(a.finish))
	}
	if a.stream && a.first != 0 {
		attributes = append(attributes, telemetry.GenAIFirstChunkTime.Float64(a.first.Seconds()))
	}
	if c.retryAfter > 0 {
		attributes = append(attributes, telemetry.LLMRetryAfter.Float64(c.retryAfter.Seconds()))
	}
	if len(a.text) > 0 {
		attributes = append(attributes, telemetry.LLMCompletion.String(c.redacted(a.text)))
	}
	return attributes
}

// tokenAttributes follow the conventions: those of caches and of reasoning are
// included in the others.
func tokenAttributes(end conclusion) []attribute.KeyValue {
	t := end.tokens
	attributes := []attribute.KeyValue{
		telemetry.GenAIInputTokens.Int64(t.input()),
		telemetry.GenAIOutputTokens.Int64(t.output()),
	}
	for _, part := range []attribute.KeyValue{
		telemetry.GenAICacheRead.Int64(t.cached),
		telemetry.GenAICacheCreation.Int64(t.cacheWrite),
		telemetry.GenAIReasoningTokens.Int64(t.reasoning),
	} {
		if part.Value.AsInt64() > 0 {
			attributes = append(attributes, part)
		}
	}
	if end.cost.known {
		attributes = append(attributes, telemetry.LLMCostAmount.Float64(end.cost.total), telemetry.LLMCurrency.String(end.cost.currency))
	}
	return attributes
}

// redacted returns what may be recorded of a text. A redaction that panics
// leaves nothing.
func (c *call) redacted(text []byte) (kept string) {
	kept = valid(string(text))
	redact := c.transport.cfg.Content.Redact
	if redact == nil {
		return kept
	}
	defer func() {
		if recover() != nil {
			kept = ""
		}
	}()
	return redact(kept)
}

// valid repairs text that is not UTF-8, which would spoil what it is sent with.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
