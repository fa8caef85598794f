package e2e_test

import (
	"maps"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// A scenario is a call and what is to be told of it. The model is called by the
// title.
type scenario struct {
	api           api
	stream, usage bool           // whether they are asked for
	leaves        int            // after so many events; 0: at the end
	answer        fakellm.Answer // of the upstream
	then          fakellm.Answer // when the client tries again, if it is not the same
	twice         bool           // the user asks the same once more

	attempts map[string]float64 // by outcome and attempt, of a client that tries again and says so
	others   map[string]float64 // those of other clients; nil: of the former those that are first
	missing  string             // why the usage is missing
}

func ok() map[string]float64 { return map[string]float64{"ok,first": 1} }

func once(outcome string) map[string]float64 { return map[string]float64{outcome + ",first": 1} }

// thrice is what becomes of a failure that lasts.
func thrice(outcome string) map[string]float64 {
	return map[string]float64{outcome + ",first": 1, outcome + ",retry": 2}
}

// plain is an answer with tokens of its own number in each class that all APIs
// can tell.
func plain(vendor fakellm.Vendor) fakellm.Answer {
	return fakellm.Answer{
		Text: canaryCompletion + " is what the model says.", Vendor: vendor,
		Usage: fakellm.Usage{UncachedInput: 1009, AnswerTokens: 211},
	}
}

// rich has all that an answer can have.
func rich(vendor fakellm.Vendor) fakellm.Answer {
	a := plain(vendor)
	a.Reasoning, a.ToolCall = canaryCompletion+" is what it thinks.", "get_weather"
	a.Usage.CachedInput, a.Usage.ReasoningTokens = 7040, 503
	if vendor != fakellm.DeepSeek {
		a.Usage.CacheWrite = 307
	}
	return a
}

func with(a fakellm.Answer, change func(*fakellm.Answer)) fakellm.Answer {
	change(&a)
	return a
}

// refusal tells OpenAI's clients to try again at once.
func refusal(status int) fakellm.Answer {
	return fakellm.Answer{Vendor: fakellm.OpenAI, Status: status, RetryAfter: time.Millisecond}
}

func cut(how fakellm.Cut) fakellm.Answer {
	return with(plain(fakellm.OpenAI), func(a *fakellm.Answer) {
		a.Cut, a.CutAfter = how, 2
		a.NoUsage = how == fakellm.CutMalformed // what follows is read or not
	})
}

func scenarios() map[string]scenario {
	return merged(objects(), streams(), failures(), broken())
}

func merged(tables ...map[string]scenario) map[string]scenario {
	all := map[string]scenario{}
	for _, table := range tables {
		maps.Copy(all, table)
	}
	return all
}

func objects() map[string]scenario {
	return map[string]scenario{
		"chat":                                 {api: chat, answer: plain(fakellm.OpenAI), attempts: ok()},
		"chat of DeepSeek with everything":     {api: chat, answer: rich(fakellm.DeepSeek), attempts: ok()},
		"chat of OpenAI with everything":       {api: chat, answer: rich(fakellm.OpenAI), attempts: ok()},
		"chat in gzip":                         {api: chat, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.Gzip = true }), attempts: ok()},
		"chat after a queue":                   {api: chat, answer: with(plain(fakellm.DeepSeek), queued), attempts: ok()},
		"chat without usage":                   {api: chat, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.NoUsage = true }), attempts: ok(), missing: "absent"},
		"chat that another model answers":      {api: chat, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.Model = answeringModel }), attempts: ok()},
		"chat at the limit of tokens":          {api: chat, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.FinishReason = "length" }), attempts: once("truncated")},
		"text completion":                      {api: textCompletion, answer: rich(fakellm.OpenAI), attempts: ok()},
		"fill in the middle":                   {api: fillInMiddle, answer: plain(fakellm.DeepSeek), attempts: ok()},
		"embeddings":                           {api: embeddings, answer: plain(fakellm.OpenAI), attempts: ok()},
		"response":                             {api: response, answer: plain(fakellm.OpenAI), attempts: ok()},
		"response with everything":             {api: response, answer: rich(fakellm.OpenAI), attempts: ok()},
		"response that the filter cuts short":  {api: response, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.FinishReason = "content_filter" }), attempts: once("content_filter")},
		"message":                              {api: messages, answer: plain(fakellm.Anthropic), attempts: ok()},
		"message with everything":              {api: messages, answer: rich(fakellm.Anthropic), attempts: ok()},
		"message in gzip":                      {api: messages, answer: with(rich(fakellm.Anthropic), func(a *fakellm.Answer) { a.Gzip = true }), attempts: ok()},
		"message without anything in it":       {api: messages, answer: with(plain(fakellm.Anthropic), func(a *fakellm.Answer) { a.Text = "" }), attempts: once("empty")},
		"page of HTML instead of an answer":    {api: chat, answer: cut(fakellm.CutHTML), attempts: once("malformed"), missing: "incomplete"},
		"error instead of an answer, by a 200": {api: chat, answer: cut(fakellm.CutError), attempts: once("stream_error"), missing: "incomplete"},
	}
}

// answeringModel is not the one that was asked for.
const answeringModel = "answering-model"

func queued(a *fakellm.Answer) { a.Queue, a.KeepAlive = 40*time.Millisecond, 10*time.Millisecond }

func streams() map[string]scenario {
	return map[string]scenario{
		"stream":                           {api: chat, stream: true, answer: plain(fakellm.OpenAI), attempts: ok(), missing: "not_requested"},
		"stream with usage":                {api: chat, stream: true, usage: true, answer: plain(fakellm.OpenAI), attempts: ok()},
		"stream of DeepSeek":               {api: chat, stream: true, usage: true, answer: rich(fakellm.DeepSeek), attempts: ok()},
		"stream with usage in its last":    {api: chat, stream: true, answer: with(rich(fakellm.DeepSeek), func(a *fakellm.Answer) { a.UsageWithFinish = true }), attempts: ok()},
		"stream of OpenAI with everything": {api: chat, stream: true, usage: true, answer: rich(fakellm.OpenAI), attempts: ok()},
		"stream in gzip":                   {api: chat, stream: true, usage: true, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.Gzip = true }), attempts: ok()},
		"stream after a queue":             {api: chat, stream: true, usage: true, answer: with(plain(fakellm.DeepSeek), queued), attempts: ok()},
		"stream in pieces with CRLF":       {api: chat, stream: true, usage: true, answer: with(rich(fakellm.DeepSeek), func(a *fakellm.Answer) { a.Split, a.CRLF = 7, true }), attempts: ok()},
		"stream of 500 events":             {api: chat, stream: true, usage: true, answer: with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.Text, a.Chunks = long, 500 }), attempts: ok()},
		"stream of a text completion":      {api: textCompletion, stream: true, usage: true, answer: plain(fakellm.OpenAI), attempts: ok()},
		"stream of a fill in the middle":   {api: fillInMiddle, stream: true, answer: plain(fakellm.DeepSeek), attempts: ok(), missing: "not_requested"},
		"stream of a response":             {api: response, stream: true, answer: rich(fakellm.OpenAI), attempts: ok()},
		"stream of a message":              {api: messages, stream: true, answer: plain(fakellm.Anthropic), attempts: ok()},
		"stream of a message in full":      {api: messages, stream: true, answer: rich(fakellm.Anthropic), attempts: ok()},
	}
}

// long is as many characters as it is to have events.
var long = strings.Repeat("x", 500)

func failures() map[string]scenario {
	table := map[string]scenario{
		"429 by DeepSeek": {api: chat, answer: fakellm.Answer{Status: 429, RetryAfter: time.Second}, attempts: thrice("rate_limited")},
		"400 that is asked for again": {
			api: chat, answer: refusal(400), twice: true, attempts: map[string]float64{"rejected,first": 2},
			others: map[string]float64{"rejected,first": 1, "rejected,retry": 1},
		},
		"529 of a message":          {api: messages, answer: refusal(529), attempts: thrice("server_error")},
		"401 of a message":          {api: messages, answer: refusal(401), attempts: once("unauthorized")},
		"500 of a response":         {api: response, stream: true, answer: refusal(500), attempts: thrice("server_error")},
		"503 and then a stream":     {api: chat, stream: true, usage: true, answer: refusal(503), then: plain(fakellm.OpenAI), attempts: map[string]float64{"server_error,first": 1, "ok,retry": 1}},
		"429 and then an embedding": {api: embeddings, answer: refusal(429), then: plain(fakellm.OpenAI), attempts: map[string]float64{"rate_limited,first": 1, "ok,retry": 1}},
		"429 and then a message":    {api: messages, answer: refusal(429), then: rich(fakellm.Anthropic), attempts: map[string]float64{"rate_limited,first": 1, "ok,retry": 1}},
	}
	for title, status := range map[string]int{"400": 400, "401": 401, "402": 402, "422": 422} {
		outcome := map[int]string{400: "rejected", 401: "unauthorized", 402: "no_balance", 422: "rejected"}[status]
		table[title] = scenario{api: chat, answer: refusal(status), attempts: once(outcome)}
		table[title+" of a stream"] = scenario{api: chat, stream: true, answer: fakellm.Answer{Status: status}, attempts: once(outcome)}
	}
	for title, status := range map[string]int{"429": 429, "500": 500, "503": 503} {
		outcome := map[int]string{429: "rate_limited", 500: "server_error", 503: "server_error"}[status]
		table[title] = scenario{api: chat, answer: refusal(status), attempts: thrice(outcome)}
		table[title+" of a stream"] = scenario{api: chat, stream: true, answer: refusal(status), attempts: thrice(outcome)}
	}
	return table
}

func broken() map[string]scenario {
	table := map[string]scenario{
		"client that leaves a stream":   {api: chat, stream: true, usage: true, leaves: 3, answer: cut(fakellm.CutHang), attempts: once("aborted"), missing: "aborted"},
		"client that leaves a message":  {api: messages, stream: true, leaves: 4, answer: cut(fakellm.CutHang), attempts: once("aborted"), missing: "aborted"},
		"client that leaves a response": {api: response, stream: true, leaves: 5, answer: cut(fakellm.CutHang), attempts: once("aborted"), missing: "aborted"},
	}
	for title, fault := range map[string]struct {
		cut     fakellm.Cut
		outcome string
	}{
		"that ends early":       {fakellm.CutEOF, "incomplete"},
		"that is reset":         {fakellm.CutReset, "incomplete"},
		"with an error in it":   {fakellm.CutError, "stream_error"},
		"with something broken": {fakellm.CutMalformed, "malformed"},
	} {
		for kind, of := range map[string]api{"stream ": chat, "message ": messages, "response ": response} {
			table[kind+title] = scenario{
				api: of, stream: true, usage: true, answer: cut(fault.cut),
				attempts: once(fault.outcome), missing: "incomplete",
			}
		}
	}
	return table
}
