package llm

import (
	"bytes"
	"slices"
	"time"

	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	// maxEvent bounds what is kept of a stream. A longer event is passed on as
	// any other, but not looked into.
	maxEvent = 1 << 20
	// maxName bounds the names of models, IDs and reasons.
	maxName = 256
	// maxFinishReasons is how many different ones are kept.
	maxFinishReasons = 8
	// maxChoices is how many an answer is expected to have at most.
	maxChoices = 1024
)

// answer is what is learnt of an answer while its body passes by. It keeps
// nothing of the texts.
type answer struct {
	api     *api
	stream  bool
	success bool // by the status
	events  sse.Parser
	json    jsonscan.Scanner

	// Times since the call began; 0: not yet.
	now       time.Duration // when the bytes came that are being looked at
	first     time.Duration // chunk: the first event, or byte of a document
	token     time.Duration // first of any kind
	answered  time.Duration // first that is not of reasoning
	lastChunk time.Duration
	waited    time.Duration                 // the last time when the server said that it is not ready yet
	doneAt    time.Duration                 // the answer was complete
	onChunk   func(sinceLast time.Duration) // each but the first; may be nil

	plain                    plainChunk
	hides                    bool // events with nothing but usage are to be hidden
	hidden                   []span
	eventUsage, eventChoices bool // what the last event had

	model, id         string
	finish            []string // different ones
	finishes, choices int
	errorCode         string
	text              []byte // of the completion, up to maxText
	maxText           int
	usage             usage
	shaped            bool   // something in it is of the API's answers
	event             string // type of the event, where the API has types
	content           bool   // text, a call of a tool, or data
	reasoned          bool
	usageCame         bool // as far as it goes: not the preliminary one of a stream
	ended             bool // by the mark of the API
	failed            bool // an error in it
	malformed         bool
	skippedEvents     bool // too large to be looked into
}

func newAnswer(a *api, stream, success bool) *answer {
	answer := &answer{api: a, stream: stream, success: success}
	answer.json.Visit = answer.visit
	answer.json.MaxText = maxName
	if stream {
		answer.events = sse.Parser{OnEvent: answer.onEvent, OnComment: answer.onComment, MaxEvent: maxEvent}
	}
	return answer
}

// record makes the answer keep the first bytes of the completion.
func (a *answer) record(maxText int) {
	a.maxText = maxText
	a.json.MaxText = max(maxText, maxName)
}

// write takes what came of the body at now.
func (a *answer) write(p []byte, now time.Duration) {
	a.now = now
	if a.stream {
		_, _ = a.events.Write(p) // never fails
	} else {
		a.writeDocument(p)
	}
	if a.doneAt == 0 && (a.ended || !a.stream && a.complete()) {
		a.doneAt = now
	}
}

func (a *answer) writeDocument(p []byte) {
	_, _ = a.json.Write(p) // never fails
	switch {
	case a.first != 0:
	case a.json.Blank():
		a.waited = a.now
	default:
		a.first = a.now
	}
	a.malformed = a.json.Malformed()
}

// close tells that nothing follows.
func (a *answer) close() {
	if !a.stream {
		a.json.End() // what lacks its end is incomplete, and not malformed
	}
}

// complete reports whether all of the answer was there that matters.
func (a *answer) complete() bool {
	if a.stream {
		return a.ended || a.finishes > 0 && a.finishes >= a.choices
	}
	return a.json.Documents() > 0
}

// queued returns how long the server said that the answer was not ready: of a
// stream until the first event, where there was one, else until it said so last,
// since a document comes when it is written to its end.
func (a *answer) queued() time.Duration {
	if a.stream && a.first != 0 {
		return a.first
	}
	return a.waited
}

func (a *answer) onComment() {
	if a.first == 0 {
		a.waited = a.now
	}
}

func (a *answer) onEvent(e sse.Event) {
	if e.TooLarge {
		a.skippedEvents, a.content = true, true
		a.ended = a.ended || string(e.Type) == "response.completed"
		a.chunk()
		return
	}
	a.api.event(a, e)
}

// chunk takes note of the time of an event that is part of the answer.
func (a *answer) chunk() {
	switch {
	case a.first == 0:
		a.first = a.now
	case a.onChunk != nil:
		a.onChunk(a.now - a.lastChunk)
	}
	a.lastChunk = a.now
}

// scan looks into the document of one event.
func (a *answer) scan(data []byte) {
	a.eventUsage, a.eventChoices = false, false
	came := a.usageCame
	a.json.Reset()
	_, _ = a.json.Write(data)
	a.json.End()
	if a.json.Malformed() || a.json.Documents() == 0 {
		a.malformed, a.usageCame = true, came
	}
}

// plausible does what scan does for events that need not be looked into.
func (a *answer) plausible(data []byte) {
	data = bytes.TrimSpace(data)
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		a.malformed = true
	}
}

func (a *answer) visit(path []byte, v jsonscan.Value) { a.api.visit(a, path, v) }

// text of the answer, or of a call of a tool.
func (a *answer) answerToken(v jsonscan.Value) {
	if v.Kind != jsonscan.String || v.Size == 0 {
		return
	}
	a.content = true
	if a.token == 0 {
		a.token = a.now
	}
	if a.answered == 0 {
		a.answered = a.now
	}
	if room := a.maxText - len(a.text); room > 0 {
		text := v.String()
		a.text = append(a.text, text[:min(room, len(text))]...)
	}
}

func (a *answer) reasoningToken(v jsonscan.Value) {
	if v.Kind != jsonscan.String || v.Size == 0 {
		return
	}
	a.reasoned = true
	if a.token == 0 {
		a.token = a.now
	}
}

// finishReason takes why a choice ended. Some gateways have "" in all chunks
// before the last.
func (a *answer) finishReason(v jsonscan.Value) {
	if v.Kind != jsonscan.String || v.Size == 0 || string(v.Text) == "null" {
		return
	}
	a.finishes++
	if reason := term(v); len(a.finish) < maxFinishReasons && !slices.Contains(a.finish, reason) {
		a.finish = append(a.finish, reason)
	}
}

// choice takes the index of one.
func (a *answer) choice(v jsonscan.Value) {
	if n, ok := v.Int(); ok && n >= 0 && n < maxChoices {
		a.choices = max(a.choices, int(n)+1)
	}
}

// term returns a word of an API, or _OTHER for what may be anything: gateways
// quote what they were sent.
func term(v jsonscan.Value) string {
	const maxTerm = 64
	if v.Kind != jsonscan.String || v.Size == 0 || v.Size > maxTerm {
		return telemetry.Other
	}
	for _, c := range v.Text {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '_' && c != '-' && c != '.' {
			return telemetry.Other
		}
	}
	return string(v.Text)
}

// code takes what an error calls itself.
func (a *answer) code(v jsonscan.Value) {
	if v.Kind == jsonscan.String && a.errorCode == "" {
		a.errorCode = term(v)
	}
}

// eventType remembers the type of an event. Where the stream has none, the
// document tells it.
func (a *answer) eventType(name []byte) {
	if string(name) != a.event { // the comparison does not allocate
		a.event = string(name)
	}
}

func (a *answer) name(into *string, v jsonscan.Value) {
	if v.Kind == jsonscan.String && *into == "" && v.Size <= maxName {
		*into = v.String()
	}
}

// fault takes what stands under "error".
func (a *answer) fault(v jsonscan.Value) { a.failed = a.failed || v.Kind != jsonscan.Null }

// known reports whether events of mere text need not be looked into any more.
func (a *answer) known() bool {
	return a.model != "" && a.answered != 0 && len(a.text) >= a.maxText
}
