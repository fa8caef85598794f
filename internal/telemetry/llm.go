package telemetry

import "go.opentelemetry.io/otel/attribute"

// Metrics of the GenAI semantic conventions, which semconv left out from
// version 1.42 on, because they move to a repository of their own.
const (
	GenAIOperationDuration = "gen_ai.client.operation.duration"
	GenAITokenUsage        = "gen_ai.client.token.usage"
	GenAIFirstChunk        = "gen_ai.client.operation.time_to_first_chunk"
	GenAIOutputChunk       = "gen_ai.client.operation.time_per_output_chunk"
)

// LLMPrefix begins the names of our own metrics of LLM APIs.
const LLMPrefix = "otelmon.llm."

// Metrics of LLM APIs that the conventions have no name for.
const (
	LLMAttempts       = LLMPrefix + "attempts"
	LLMActiveRequests = LLMPrefix + "active_requests"
	LLMQueueDuration  = LLMPrefix + "queue.duration"
	LLMFirstToken     = LLMPrefix + "time_to_first_token"
	LLMFirstAnswer    = LLMPrefix + "time_to_first_answer_token"
	LLMTokens         = LLMPrefix + "tokens"
	LLMWastedTokens   = LLMPrefix + "wasted.tokens"
	LLMCost           = LLMPrefix + "cost"
	LLMWastedCost     = LLMPrefix + "wasted.cost"
	LLMUsageMissing   = LLMPrefix + "usage_missing"
	LLMPriceUnknown   = LLMPrefix + "price_unknown"
	LLMResponseSize   = LLMPrefix + "response.size"
)

// ProxyUpstreamFailures counts the requests that the proxy answered itself.
const ProxyUpstreamFailures = "otelmon.proxy.upstream.failures"

// ProxyReloads counts how often the proxy read its files again; those that were
// wrong have an ErrorType.
const ProxyReloads = "otelmon.proxy.reloads"

// Attributes of the GenAI semantic conventions.
const (
	GenAIOperation       = attribute.Key("gen_ai.operation.name")
	GenAIProvider        = attribute.Key("gen_ai.provider.name")
	GenAIRequestModel    = attribute.Key("gen_ai.request.model")
	GenAIRequestStream   = attribute.Key("gen_ai.request.stream")
	GenAIMaxTokens       = attribute.Key("gen_ai.request.max_tokens")
	GenAITemperature     = attribute.Key("gen_ai.request.temperature")
	GenAITopP            = attribute.Key("gen_ai.request.top_p")
	GenAIResponseModel   = attribute.Key("gen_ai.response.model")
	GenAIResponseID      = attribute.Key("gen_ai.response.id")
	GenAIFinishReasons   = attribute.Key("gen_ai.response.finish_reasons")
	GenAIFirstChunkTime  = attribute.Key("gen_ai.response.time_to_first_chunk")
	GenAITokenType       = attribute.Key("gen_ai.token.type")
	GenAIInputTokens     = attribute.Key("gen_ai.usage.input_tokens")
	GenAIOutputTokens    = attribute.Key("gen_ai.usage.output_tokens")
	GenAICacheRead       = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	GenAICacheCreation   = attribute.Key("gen_ai.usage.cache_creation.input_tokens")
	GenAIReasoningTokens = attribute.Key("gen_ai.usage.reasoning.output_tokens")

	// HTTPResendCount is how often the client tried before.
	HTTPResendCount = attribute.Key("http.request.resend_count")
)

// Attributes of LLM APIs that the conventions have no name for.
const (
	// LLMAPI is one of the APIs below.
	LLMAPI = attribute.Key(LLMPrefix + "api")
	// LLMOutcome is one of the outcomes below.
	LLMOutcome = attribute.Key(LLMPrefix + "outcome")
	// LLMAttempt is AttemptFirst or AttemptRetry.
	LLMAttempt = attribute.Key(LLMPrefix + "attempt")
	// LLMTokenClass is one of the classes below.
	LLMTokenClass = attribute.Key(LLMPrefix + "token.class")
	// LLMReason is why tokens are wasted, an outcome or WasteRetried, or why
	// the usage is missing, one of the reasons below.
	LLMReason = attribute.Key(LLMPrefix + "reason")
	// LLMCurrency is that of a cost, by ISO 4217.
	LLMCurrency = attribute.Key(LLMPrefix + "cost.currency")
	// LLMPriceSource is where a price comes from: default or file.
	LLMPriceSource = attribute.Key(LLMPrefix + "price.source")
	// LLMCaller is who makes a call, where that is told apart.
	LLMCaller = attribute.Key(LLMPrefix + "caller")
	// LLMRetryAfter is how long the server asked to wait, in seconds.
	LLMRetryAfter = attribute.Key(LLMPrefix + "retry_after")
	// LLMCostAmount is what a call costs, of a span.
	LLMCostAmount = attribute.Key(LLMPrefix + "cost.amount")
	// LLMPrompt and LLMCompletion are contents, of spans, if wanted.
	LLMPrompt     = attribute.Key(LLMPrefix + "prompt")
	LLMCompletion = attribute.Key(LLMPrefix + "completion")

	// ProxyUpstream is the name of an upstream of the proxy.
	ProxyUpstream = attribute.Key("otelmon.proxy.upstream")
)

// Values of GenAIOperation.
const (
	OperationChat           = "chat"
	OperationTextCompletion = "text_completion"
	OperationEmbeddings     = "embeddings"
)

// Values of LLMAPI.
const (
	APIChatCompletions = "chat_completions"
	APICompletions     = "completions"
	APIFIM             = "fim"
	APIEmbeddings      = "embeddings"
	APIResponses       = "responses"
	APIMessages        = "messages"
)

// Values of LLMAttempt. Attempts that are first are the operations.
const (
	AttemptFirst = "first"
	AttemptRetry = "retry"
)

// OtherModel stands for models, and for callers, that no call has succeeded
// with.
const OtherModel = "other"

// Values of LLMOutcome.
const (
	OutcomeOK              = "ok"
	OutcomeTruncated       = "truncated"        // the limit of tokens was reached, meant or not
	OutcomeContentFilter   = "content_filter"   // the provider withheld the answer or the rest of it, or refused the prompt
	OutcomeInterrupted     = "interrupted"      // the provider broke off, for lack of resources
	OutcomeEmpty           = "empty"            // complete, and nothing in it
	OutcomeAborted         = "aborted"          // the caller left before the end
	OutcomeIncomplete      = "incomplete"       // the answer ended before its end
	OutcomeMalformed       = "malformed"        // the answer is not what the API answers
	OutcomeStreamError     = "stream_error"     // an error within a stream that had begun
	OutcomeRateLimited     = "rate_limited"     // 429
	OutcomeNoBalance       = "no_balance"       // 402
	OutcomeUnauthorized    = "unauthorized"     // 401, 403
	OutcomeRejected        = "rejected"         // any other status that is no success, 3xx and 101 included
	OutcomeServerError     = "server_error"     // 5xx
	OutcomeTimeout         = "timeout"          // no answer in time
	OutcomeConnectionError = "connection_error" // no connection, or it broke before the answer
)

// Values of ErrorType for answers that came with status 200.
const (
	ErrorLength               = "length"
	ErrorContentFilter        = "content_filter"
	ErrorInsufficientResource = "insufficient_system_resource"
	ErrorEmpty                = "empty_response"
	ErrorMalformed            = "malformed_response"
	ErrorInStream             = "stream_error"
)

// Values of LLMTokenClass, which are disjoint.
const (
	TokenInputUncached   = "input_uncached"
	TokenInputCached     = "input_cached"
	TokenInputCacheWrite = "input_cache_write"
	TokenOutputAnswer    = "output_answer"
	TokenOutputReasoning = "output_reasoning"
	// TokenOutputUnsplit are those of an answer with reasoning whose usage does
	// not tell how many of them that took.
	TokenOutputUnsplit = "output_unsplit"
)

// WasteRetried is the LLMReason of tokens of a complete answer that the client
// asked for again.
const WasteRetried = "retried"

// Values of LLMReason for usage that is missing.
const (
	UsageAborted      = "aborted"       // the caller left before it came
	UsageIncomplete   = "incomplete"    // the answer broke off before it came
	UsageNotRequested = "not_requested" // a stream without stream_options.include_usage
	UsageAbsent       = "absent"        // the answer has none
	UsageInvalid      = "invalid"       // counts that contradict each other, or are no numbers
	UsageUnreadable   = "unreadable"    // an encoding that is not known, or too large
)
