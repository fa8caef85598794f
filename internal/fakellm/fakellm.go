// Package fakellm is an upstream for tests, benchmarks and examples: an HTTP
// handler that answers as the APIs of DeepSeek, OpenAI and Anthropic do, byte
// shapes included, with times and faults of choice, and that keeps the truth
// about what it sent.
//
// It serves any prefix followed by /chat/completions, /completions,
// /embeddings, /responses and /messages, and GET of a path that ends in
// /models. The path decides about the shape of the answer, the [Vendor] about
// the fields and the errors that differ.
package fakellm

import (
	"net/http"
	"time"
)

// Answer is what the upstream does with one request. The zero value is an
// empty text with a usage of zeros, at once. It is comparable.
type Answer struct {
	// Text and Reasoning are what the model says. A stream sends each in
	// Chunks pieces, 5 by default and at most one per character. OpenAI does
	// not show the reasoning in chat completions, and neither is it sent there.
	Text, Reasoning string
	Chunks          int
	// ToolCall is the name of a function that is called, after the text if
	// there is one.
	ToolCall string
	// Stamp begins each piece of a streamed text with the time when it is
	// written: 19 digits of nanoseconds since 1970 and a space.
	Stamp bool

	// Usage is what the answer tells about tokens. Where an API has no field
	// for it, cached and written input is told as uncached, and reasoning as
	// answer; [Record] keeps what was told.
	Usage Usage
	// NoUsage leaves the usage out, asked for or not.
	NoUsage bool
	// UsageWithFinish puts the usage of a stream of chat completions into the
	// chunk with the finish reason, asked for or not, as DeepSeek's servers
	// do, in place of the chunk of its own that is documented.
	UsageWithFinish bool
	// FinishReason is one of chat completions: stop, the default, or
	// tool_calls if there is one; length; content_filter;
	// insufficient_system_resource. Other APIs get their own word for it.
	FinishReason string
	// Model is the model of the answer, by default the one that was asked
	// for.
	Model string
	// Vendor is whose fields the usage has and whose errors are sent.
	Vendor Vendor

	// Status makes the answer an error when it is 400 or more, with the body
	// that the vendor has for it. RetryAfter, rounded up to seconds, is told
	// with it, and to the millisecond too by OpenAI.
	Status     int
	RetryAfter time.Duration

	// HeaderDelay passes before the headers. In the Queue, which is after
	// them, only keep-alives are sent: comments in a stream, blank lines
	// before an object; one at once and then one every KeepAlive, 1 s by
	// default. FirstToken passes from there to the first token. Think passes
	// from the first token of the reasoning to the first one of the text, or
	// before the first token if no reasoning is shown. Between passes between
	// two pieces, those of the reasoning only if there is no Think. An object
	// is sent when its stream would have ended; without a Queue its headers
	// come with it.
	HeaderDelay, Queue, KeepAlive, FirstToken, Think, Between time.Duration

	// Cut is what goes wrong with the body, after CutAfter pieces of text and
	// reasoning, in a stream before the end of it if there are fewer. LargeMiB
	// is the size of the event of [CutLarge].
	Cut      Cut
	CutAfter int
	LargeMiB int

	// Gzip compresses the body if the client accepts it, each event so that
	// it can be read at once. CRLF ends the lines of a stream with both
	// characters. Split sends the body in pieces of so many bytes; by default
	// an event is sent at once.
	Gzip, CRLF bool
	Split      int
}

// Usage is a number of tokens. No token is in two fields.
type Usage struct {
	UncachedInput, CachedInput, CacheWrite, AnswerTokens, ReasoningTokens int64
}

// Vendor is whose API is played.
type Vendor int

// The vendors.
const (
	// DeepSeek tells cached tokens twice, and shows the reasoning.
	DeepSeek Vendor = iota
	// OpenAI tells tokens of audio and predictions too, which are always 0,
	// and hides the reasoning.
	OpenAI
	// Anthropic tells sums only, outside of /messages; that path has
	// Anthropic's usage and errors whatever the vendor.
	Anthropic
)

// Cut is what goes wrong with a body.
type Cut int

// The ways to break a body, first of a stream and then of an object.
const (
	// CutNone is a body without fault.
	CutNone Cut = iota
	// CutEOF ends the body properly, but a stream without the events that end
	// an answer. Half of an object is sent.
	CutEOF
	// CutReset resets the connection, or the stream of HTTP/2. Half of
	// an object is sent before.
	CutReset
	// CutHang sends nothing more until the client leaves. Half of an object is
	// sent before.
	CutHang
	// CutError is an error in the place of an event, which ends the stream.
	// It is sent instead of an object, with status 200.
	CutError
	// CutMalformed is an additional event that is no JSON; the rest is as
	// ever. An object lacks its last brace.
	CutMalformed
	// CutHTML is a page of HTML with status 200 instead of a stream or of an
	// object.
	CutHTML
	// CutLarge is an additional event whose text has LargeMiB mebibytes; the
	// rest is as ever. The text of an object is as long.
	CutLarge
)

// Request is what was asked.
type Request struct {
	// Path is that of the URL, Model that of the body.
	Path, Model string
	// Stream and IncludeUsage are whether a stream, and the usage in it, was
	// asked for.
	Stream, IncludeUsage bool
	Header               http.Header
	Body                 []byte
}

// ByModel answers with the entry of the model that is asked for, and with a
// plain short answer if there is none, so that a client that cannot be changed
// chooses by the name of the model. The map must not be changed afterwards.
func ByModel(answers map[string]Answer) func(Request) Answer {
	return func(r Request) Answer {
		if answer, ok := answers[r.Model]; ok {
			return answer
		}
		return plain(r)
	}
}

func plain(r Request) Answer {
	return Answer{
		Text:   "Hello! How can I help you today?",
		Usage:  Usage{UncachedInput: 11, AnswerTokens: 9},
		Vendor: vendorOf(r),
	}
}
