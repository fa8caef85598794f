package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/otelmon/toolkit/llm/price"
)

// What a call of a real API takes at most: the prompt is short, and the request
// limits the output.
const (
	maxInputTokens  = 100
	maxOutputTokens = 500
)

// realSessions returns those with the APIs whose keys are in the environment.
func realSessions(getenv func(string) string) (sessions []session) {
	for _, known := range []struct {
		variable string
		api      api
		limit    question
	}{
		{
			"DEEPSEEK_API_KEY",
			api{provider: "deepseek", base: "https://api.deepseek.com", model: "deepseek-flash"},
			question{MaxTokens: maxOutputTokens},
		},
		{
			"OPENAI_API_KEY",
			api{provider: "openai", base: "https://api.openai.com/v1", model: "gpt-5-nano"},
			question{MaxCompletionTokens: maxOutputTokens},
		},
	} {
		if known.api.key = getenv(known.variable); known.api.key != "" {
			sessions = append(sessions, session{api: known.api, questions: tiny(known.limit)})
		}
	}
	return sessions
}

// tiny are one question for a stream and one for an answer as a whole.
func tiny(q question) []question {
	q.Messages = []message{{Role: "user", Content: "Say hello in one word."}}
	q.ReasoningEffort = "low"
	streamed := q
	streamed.Stream = true
	return []question{streamed, q}
}

// announcement says what the sessions cost at most.
func announcement(sessions []session, at time.Time) string {
	var text strings.Builder
	for _, s := range sessions {
		calls := len(s.questions)
		fmt.Fprintf(&text, "%d calls of %s, at most %d tokens in and %d out each: ", calls, s.api.model, maxInputTokens, maxOutputTokens)
		rates, ok := price.Default().Rates(s.api.provider, s.api.model, at)
		if !ok {
			text.WriteString("the price is not known.\n")
			continue
		}
		most := float64(calls) * (maxInputTokens*rates.Input + maxOutputTokens*max(rates.Output, rates.Reasoning)) / 1e6
		fmt.Fprintf(&text, "%.5f %s at most.\n", most, rates.Currency)
	}
	return text.String()
}
