package llm

import (
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// instruments are those of a Transport.
type instruments struct {
	duration, firstChunk, outputChunk metric.Float64Histogram
	queue, firstToken, firstAnswer    metric.Float64Histogram
	tokenUsage                        metric.Int64Histogram
	attempts, tokens, wastedTokens    metric.Int64Counter
	usageMissing, priceUnknown, size  metric.Int64Counter
	cost, wastedCost                  metric.Float64Counter
	active                            metric.Int64UpDownCounter
	options                           *bounded.Map[series, *options]
}

func newInstruments(provider metric.MeterProvider) instruments {
	m := maker{telemetry.Meter(provider, "llm")}
	return instruments{
		duration:     m.seconds(telemetry.GenAIOperationDuration, "Duration of calls of LLM APIs, to the end of the answer."),
		firstChunk:   m.seconds(telemetry.GenAIFirstChunk, "Time until the first event of a stream."),
		outputChunk:  m.seconds(telemetry.GenAIOutputChunk, "Time from one event of a stream to the next."),
		queue:        m.seconds(telemetry.LLMQueueDuration, "Time in which the server said that the answer is not ready, where it says so."),
		firstToken:   m.seconds(telemetry.LLMFirstToken, "Time until the first token of a stream, reasoning included."),
		firstAnswer:  m.seconds(telemetry.LLMFirstAnswer, "Time until the first token of a stream that is not reasoning."),
		tokenUsage:   m.tokens(telemetry.GenAITokenUsage, "Tokens of a call by type, cached ones and reasoning included."),
		attempts:     m.count(telemetry.LLMAttempts, "{attempt}", "Calls that ended, by outcome. First attempts are the operations."),
		tokens:       m.count(telemetry.LLMTokens, "{token}", "Tokens by disjoint class."),
		wastedTokens: m.count(telemetry.LLMWastedTokens, "{token}", "Tokens of calls that were of no use, by reason."),
		usageMissing: m.count(telemetry.LLMUsageMissing, "{call}", "Calls whose tokens are not known, by reason."),
		priceUnknown: m.count(telemetry.LLMPriceUnknown, "{call}", "Calls whose tokens are known and whose price is not."),
		size:         m.count(telemetry.LLMResponseSize, "By", "Bytes that were read of answers, by outcome."),
		cost:         m.sum(telemetry.LLMCost, "Cost of calls by class of tokens."),
		wastedCost:   m.sum(telemetry.LLMWastedCost, "Cost of calls that were of no use, by reason."),
		active:       m.active(),
		options:      &bounded.Map[series, *options]{},
	}
}

// maker makes instruments. An error is passed on, since no caller can be told;
// the instrument works nevertheless, or records nothing.
type maker struct{ metric.Meter }

// seconds has the boundaries of the conventions; otelmon's MeterProvider adds
// to them.
func (m maker) seconds(name, description string) metric.Float64Histogram {
	h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92))
	report(err)
	return h
}

func (m maker) tokens(name, description string) metric.Int64Histogram {
	h, err := m.Int64Histogram(name, metric.WithUnit("{token}"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864))
	report(err)
	return h
}

func (m maker) count(name, unit, description string) metric.Int64Counter {
	c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	report(err)
	return c
}

func (m maker) sum(name, description string) metric.Float64Counter {
	c, err := m.Float64Counter(name, metric.WithUnit("{currency}"), metric.WithDescription(description))
	report(err)
	return c
}

func (m maker) active() metric.Int64UpDownCounter {
	c, err := m.Int64UpDownCounter(telemetry.LLMActiveRequests, metric.WithUnit("{request}"),
		metric.WithDescription("Calls of LLM APIs that have not ended."))
	report(err)
	return c
}

func report(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// series is what tells the calls of one series from others.
type series struct {
	api               *api
	target            *target
	request, response string // models
	more              [4]label
}

type label struct {
	key   attribute.Key
	value string
}

// with returns the series with further labels; those without a value are left
// out.
func (s series) with(labels ...label) series {
	free := 0
	for free < len(s.more) && s.more[free].key != "" {
		free++
	}
	for _, l := range labels {
		if l.value != "" {
			s.more[free] = l
			free++
		}
	}
	return s
}

// maxSeries is how many series are remembered, so that recording them does not
// build their attributes anew. Further ones are recorded all the same.
const maxSeries = 2000

// options are the attributes of a series, as instruments take them.
type options struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func (in *instruments) of(s series) *options {
	return in.options.GetOrMake(s, maxSeries, func() *options {
		attributes := s.target.attributes(s.api)
		for _, l := range append(s.more[:], label{telemetry.GenAIRequestModel, s.request}, label{telemetry.GenAIResponseModel, s.response}) {
			if l.value != "" {
				attributes = append(attributes, l.key.String(l.value))
			}
		}
		option := metric.WithAttributeSet(attribute.NewSet(attributes...))
		return &options{[]metric.AddOption{option}, []metric.RecordOption{option}}
	})
}

// series returns the one of calls with these models.
func (c *call) series(requestModel, responseModel string) series {
	label := c.transport.models.label
	return series{api: c.api, target: c.target, request: label(requestModel), response: label(responseModel)}
}

// admit lets the models, and the caller, become attributes once the provider has
// accepted them: an answer has begun.
func (c *call) admit(requestModel string) {
	if !c.answer.success {
		return
	}
	c.transport.callers.admit(c.caller)
	if c.answer.shaped {
		c.transport.models.admit(requestModel)
		c.transport.models.admit(c.answer.model)
	}
}

// activate counts the call among those that have not ended.
func (c *call) activate() {
	c.active = c.transport.instruments.of(c.series(c.model, ""))
	c.transport.instruments.active.Add(c.ctx, 1, c.active.add...)
}

func (c *call) deactivate() {
	if c.active != nil {
		c.transport.instruments.active.Add(c.ctx, -1, c.active.add...)
		c.active = nil
	}
}

// modelKnown counts the call with its model from now on.
func (c *call) modelKnown(model string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.model = model
	if c.active != nil {
		c.deactivate()
		c.activate()
	}
}

// After the first of a stream only one time between events in so many is
// recorded: a record costs as much as all else that is done for an event. Both
// keep the quantiles as they are.
const (
	allChunks  = 32
	someChunks = 8
)

// recordChunk records the time since the event before.
func (c *call) recordChunk(sinceLast time.Duration) {
	c.chunks++
	if c.chunks > allChunks && c.chunks%someChunks != 0 {
		return
	}
	if c.chunkOptions == nil {
		c.admit(c.model)
		s := c.series(c.model, c.answer.model)
		c.chunkOptions = c.transport.instruments.of(series{
			api: s.api, request: s.request, response: s.response,
			more: [4]label{{telemetry.GenAIProvider, c.target.provider}},
		})
	}
	c.transport.instruments.outputChunk.Record(c.ctx, sinceLast.Seconds(), c.chunkOptions.record...)
}

// record records the call at its end.
func (c *call) record(end conclusion) {
	in, base := &c.transport.instruments, c.series(end.facts.model, end.answer.model)
	in.duration.Record(c.ctx, end.duration.Seconds(), in.of(base.with(label{telemetry.ErrorType, end.errorType})).record...)
	c.recordMilestones(base, end.answer)
	calls := base.with(label{telemetry.LLMCaller, c.transport.callers.label(c.caller)})
	outcome := label{telemetry.LLMOutcome, end.outcome}
	kind := telemetry.AttemptFirst
	if end.retried {
		kind = telemetry.AttemptRetry
	}
	in.attempts.Add(c.ctx, 1, in.of(calls.with(outcome, label{telemetry.LLMAttempt, kind})).add...)
	in.size.Add(c.ctx, end.size, in.of(calls.with(outcome)).add...)
	if end.missing != "" {
		in.usageMissing.Add(c.ctx, 1, in.of(calls.with(label{telemetry.LLMReason, end.missing})).add...)
	}
	if end.counted {
		c.recordUsage(base, end)
		c.recordTokens(calls, end)
	}
	c.recordWaste(calls, end.repeated, telemetry.WasteRetried)
}

// recordMilestones records the times of an answer, as far as it came.
func (c *call) recordMilestones(base series, a *answer) {
	in, option := &c.transport.instruments, c.transport.instruments.of(base)
	if a.waited != 0 {
		in.queue.Record(c.ctx, a.queued().Seconds(), option.record...)
	}
	if !a.stream {
		return
	}
	if a.first != 0 {
		in.firstChunk.Record(c.ctx, a.first.Seconds(), option.record...)
	}
	if a.token != 0 {
		in.firstToken.Record(c.ctx, a.token.Seconds(), option.record...)
	}
	if a.answered != 0 {
		in.firstAnswer.Record(c.ctx, a.answered.Seconds(), option.record...)
	}
}

// recordUsage records tokens as the conventions total them.
func (c *call) recordUsage(base series, end conclusion) {
	in := &c.transport.instruments
	in.tokenUsage.Record(c.ctx, end.tokens.input(), in.of(base.with(label{telemetry.GenAITokenType, "input"})).record...)
	if c.api != &embeddings {
		in.tokenUsage.Record(c.ctx, end.tokens.output(), in.of(base.with(label{telemetry.GenAITokenType, "output"})).record...)
	}
}

func (c *call) recordTokens(base series, end conclusion) {
	in := &c.transport.instruments
	if !end.cost.known {
		in.priceUnknown.Add(c.ctx, 1, in.of(base).add...)
	}
	for i, class := range end.tokens.classes() {
		if class.n == 0 {
			continue
		}
		name := label{telemetry.LLMTokenClass, class.name}
		in.tokens.Add(c.ctx, class.n, in.of(base.with(name)).add...)
		if end.cost.known {
			in.cost.Add(c.ctx, end.cost.classes[i], in.of(base.with(name,
				label{telemetry.LLMCurrency, end.cost.currency}, label{telemetry.LLMPriceSource, end.cost.source})).add...)
		}
	}
	if end.errorType != "" {
		c.recordWaste(base, spent{end.tokens, end.cost}, end.outcome)
	}
}

func (c *call) recordWaste(base series, took spent, why string) {
	in, reason := &c.transport.instruments, label{telemetry.LLMReason, why}
	if n := took.tokens.input() + took.tokens.output(); n > 0 {
		in.wastedTokens.Add(c.ctx, n, in.of(base.with(reason)).add...)
	}
	if took.cost.known {
		in.wastedCost.Add(c.ctx, took.cost.total, in.of(base.with(reason, label{telemetry.LLMCurrency, took.cost.currency})).add...)
	}
}
