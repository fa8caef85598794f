package llm

import (
	"bytes"
	"time"

	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
)

const (
	// maxEvent bounds what is kept of a stream. A longer event is passed on as
	// any other, but not looked into.
	maxEvent = 1 << 20
	// maxName bounds the names of models, IDs and reasons.
	maxName = 256
	// maxFinishReasons is how many choices are looked at.
	maxFinishReasons = 8
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
	waited    bool                          // the server said that it is not ready yet
	onChunk   func(sinceLast time.Duration) // each but the first; may be nil

	plain                    plainChunk
	hides                    bool // events with nothing but usage are to be hidden
	hidden                   []span
	eventUsage, eventChoices bool // what the last event had

	model, id     string
	finish        []string
	errorCode     string
	text          []byte // of the completion, up to maxText
	maxText       int
	usage         usage
	shaped        bool   // something in it is of the API's answers
	event         string // type of the event, where the API has types
	content       bool   // text, a call of a tool, or data
	reasoned      bool
	usageCame     bool // as far as it goes: not the preliminary one of a stream
	ended         bool // by the mark of the API
	failed        bool // an error in it
	malformed     bool
	skippedEvents bool // too large to be looked into
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
		return
	}
	_, _ = a.json.Write(p)
	switch {
	case a.first != 0:
	case a.json.Blank():
		a.waited = true
	default:
		a.first = now
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
		return a.ended || len(a.finish) > 0
	}
	return a.json.Documents() > 0
}

func (a *answer) onComment() { a.waited = a.waited || a.first == 0 }

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

func (a *answer) finishReason(v jsonscan.Value) {
	if v.Kind == jsonscan.String && len(a.finish) < maxFinishReasons {
		a.finish = append(a.finish, v.String())
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
