package llm

import (
	"net/http"
	"strconv"
	"time"

	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// conclusion is what there is to say of a call at its end.
type conclusion struct {
	facts       facts
	answer      *answer // as it was then
	duration    time.Duration
	size        int64 // of the body, as it was read
	outcome     string
	errorType   string // empty: none
	description string // of the error, for the span
	retried     bool   // it is an attempt after others
	tokens      tokens
	counted     bool   // tokens are known
	missing     string // why they are not; empty where none are to be expected
	cost        cost
	repeated    spent // by one that was complete, and asked for again all the same
}

// conclusion is called with the lock held.
func (c *call) conclusion(how ending, fault failure.Failure) conclusion {
	seen := c.answer
	if c.hides { // it goes on being looked into
		copied := *seen
		seen = &copied
	}
	end := conclusion{facts: c.request.read(), answer: seen, size: c.bytes, duration: c.elapsed()}
	if end.facts.model == "" {
		end.facts.model = c.model
	}
	switch {
	case seen.doneAt != 0:
		end.duration = seen.doneAt
	case how == forgotten:
		end.duration = c.last
	}
	end.outcome, end.errorType = c.outcome(how, fault)
	if end.errorType != "" {
		end.description = c.description(end.errorType, fault)
	}
	c.admit(end.facts.model)
	end.missing = c.usageMissing(&end, how)
	if end.counted {
		end.cost = c.price(&end)
	}
	c.findRetry(&end, time.Now())
	return end
}

// description says what is known of the error: never its message, which may
// quote the prompt.
func (c *call) description(errorType string, fault failure.Failure) string {
	switch {
	case fault.ErrorType() != "":
		return fault.Error()
	case c.answer.errorCode != "":
		return c.answer.errorCode
	}
	return errorType
}

// outcome says how the call ended, and with what error.type.
func (c *call) outcome(how ending, fault failure.Failure) (outcome, errorType string) {
	a := c.answer
	switch {
	case c.status == 0 && c.request.failed.Load():
		return telemetry.OutcomeAborted, telemetry.ErrorCanceled
	case c.status == 0:
		return withoutAnswer(how, fault)
	case !a.success:
		return outcomeOfStatus(c.status, a.errorCode), strconv.Itoa(c.status)
	case a.failed:
		return telemetry.OutcomeStreamError, telemetry.ErrorInStream
	case c.opaque:
		return c.opaqueOutcome(how, fault)
	case a.malformed, !a.stream && a.complete() && !a.shaped:
		return telemetry.OutcomeMalformed, telemetry.ErrorMalformed
	case !a.complete() && !(a.skippedEvents && how == read): // its end may have been in there
		return brokenOff(how, fault)
	}
	return a.finished()
}

func withoutAnswer(how ending, fault failure.Failure) (outcome, errorType string) {
	switch errorType = fault.ErrorType(); {
	case how == closed, how == forgotten, errorType == telemetry.ErrorCanceled:
		return telemetry.OutcomeAborted, telemetry.ErrorCanceled
	case errorType == telemetry.ErrorTimeout:
		return telemetry.OutcomeTimeout, errorType
	}
	return telemetry.OutcomeConnectionError, errorType
}

// brokenOff is for answers that are not complete.
func brokenOff(how ending, fault failure.Failure) (outcome, errorType string) {
	if how == read {
		return telemetry.OutcomeIncomplete, telemetry.ErrorUnexpectedEOF
	}
	outcome, errorType = withoutAnswer(how, fault)
	if outcome == telemetry.OutcomeConnectionError {
		outcome = telemetry.OutcomeIncomplete
	}
	return outcome, errorType
}

// opaqueOutcome is for answers that could not be looked into.
func (c *call) opaqueOutcome(how ending, fault failure.Failure) (outcome, errorType string) {
	if how != read {
		return brokenOff(how, fault)
	}
	return telemetry.OutcomeOK, ""
}

// outcomeOfStatus knows that OpenAI says 429 also where the credit is used up,
// and Azure 400 where its filter refuses the prompt.
func outcomeOfStatus(status int, code string) string {
	switch {
	case status == http.StatusPaymentRequired, code == "insufficient_quota":
		return telemetry.OutcomeNoBalance
	case code == "content_filter" && status < http.StatusInternalServerError:
		return telemetry.OutcomeContentFilter
	case status == http.StatusTooManyRequests:
		return telemetry.OutcomeRateLimited
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return telemetry.OutcomeUnauthorized
	case status >= http.StatusInternalServerError:
		return telemetry.OutcomeServerError
	}
	return telemetry.OutcomeRejected
}

// finished is for answers that are complete: by the first reason that says more
// than that it stopped.
func (a *answer) finished() (outcome, errorType string) {
	for _, reason := range a.finish {
		switch reason {
		case "length", "max_tokens", "max_output_tokens", "model_context_window_exceeded":
			return telemetry.OutcomeTruncated, telemetry.ErrorLength
		case "content_filter", "refusal":
			return telemetry.OutcomeContentFilter, telemetry.ErrorContentFilter
		case "insufficient_system_resource", "aborted":
			return telemetry.OutcomeInterrupted, telemetry.ErrorInsufficientResource
		}
	}
	if !a.content {
		return telemetry.OutcomeEmpty, telemetry.ErrorEmpty
	}
	return telemetry.OutcomeOK, ""
}

// usageMissing takes the tokens, or says why there are none. Calls that were
// not sent as a whole, or refused, take none, and so nothing is missing.
func (c *call) usageMissing(end *conclusion, how ending) string {
	a := c.answer
	switch unanswered := c.status == 0; {
	case unanswered && end.facts.hash == 0, !unanswered && !a.success:
		return ""
	}
	if a.usageCame && !c.opaque && (a.stream || a.complete()) {
		t, missing := a.usage.tokens(a.reasoned, c.api != &embeddings)
		end.tokens, end.counted = t, missing == ""
		return missing
	}
	switch {
	case c.opaque, a.skippedEvents:
		return telemetry.UsageUnreadable
	case end.outcome == telemetry.OutcomeAborted:
		return telemetry.UsageAborted
	case !a.complete() || a.failed || a.malformed || end.outcome == telemetry.OutcomeTimeout:
		return telemetry.UsageIncomplete
	case a.stream && !end.facts.includeUsage && !c.hides && c.api.asksForUsage:
		return telemetry.UsageNotRequested
	case a.stream && how != read && !a.ended: // after the finish reason
		return telemetry.UsageAborted
	}
	return telemetry.UsageAbsent
}

// findRetry tells whether this attempt is one after another, and remembers it
// for the next. What the client says of that is true; else the same request
// after a failure is a retry.
func (c *call) findRetry(end *conclusion, now time.Time) {
	end.retried = c.resent > 0
	key := c.key(end.facts.hash)
	if key == 0 {
		return
	}
	memory := c.transport.cfg.Memory
	if _, ok := memory.failures.take(key, c.start); ok && !c.tellsRetries {
		end.retried = true
	}
	if c.resent > 0 {
		end.repeated, _ = memory.successes.take(key, c.start)
	}
	took := spent{end.tokens, end.cost}
	switch {
	case end.errorType != "":
		memory.failures.remember(key, now, c.retryAfter, took)
	case end.counted:
		memory.successes.remember(key, now, 0, took)
	}
}
