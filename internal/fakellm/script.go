package fakellm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const (
	defaultChunks = 5
	created       = 1_764_664_800 // the same in all answers, so that they are prepared once
	maxScripts    = 256
	maxCached     = 64 << 10 // bytes of text
	toolArguments = `{"location":"San Francisco","unit":"celsius"}`
)

// What is replaced in a prepared event when it is sent. JSON escapes these
// characters, so that no text has them.
const (
	idMark    = "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
	stampMark = "\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02 "
)

// shape is what an answer's bytes depend on.
type shape struct {
	api                  api
	stream, includeUsage bool
	model                string // of the answer
	answer               Answer
}

// script is a prepared answer.
type script struct {
	contentType string
	events      []event // one for what is no stream
	usage       Usage   // what they tell
}

// event is a part of the body that is written at once.
type event struct {
	data  []byte
	kind  kind
	tells tells
	pause time.Duration // before it
	ids   []int         // where idMark is
	stamp int           // where stampMark is, or -1
}

type kind int

const (
	other     kind = iota
	reasoning      // a piece of it
	answering      // a piece of the text or of a tool call
	ending         // what follows the last piece
)

type tells int

const (
	nothing tells = iota
	inputOnly
	allUsage
)

// scripts prepares answers and keeps them. Safe for concurrent use.
type scripts struct {
	mu    sync.RWMutex
	known map[shape]*script
}

func (s *scripts) get(of shape) *script {
	s.mu.RLock()
	known := s.known[of]
	s.mu.RUnlock()
	if known != nil {
		return known
	}
	made := newScript(of)
	if of.answer.Cut == CutLarge || len(of.answer.Text)+len(of.answer.Reasoning) > maxCached {
		return made
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxScripts {
		s.known = make(map[shape]*script, maxScripts)
	}
	s.known[of] = made
	return made
}

func newScript(of shape) *script {
	s := &script{usage: of.api.told(of.answer), contentType: "application/json"}
	events := of.api.stream(of)
	duration := pace(events, of.answer)
	switch {
	case of.answer.Cut == CutHTML:
		s.contentType = "text/html; charset=utf-8"
		s.events = []event{{data: []byte(htmlPage), pause: duration}}
	case of.stream:
		s.contentType = "text/event-stream; charset=utf-8"
		s.events = cutStream(events, of)
	default:
		s.events = []event{cutObject(event{data: of.api.object(of), kind: answering, tells: of.objectTells(), pause: duration}, of)}
	}
	for i := range s.events {
		s.events[i].prepare(of)
	}
	return s
}

// pace sets the pauses before the pieces of a stream, and returns their sum.
func pace(events []event, a Answer) time.Duration {
	shown := 0
	for _, e := range events {
		if e.kind == reasoning {
			shown++
		}
	}
	sum, before := time.Duration(0), other
	for i := range events {
		e := &events[i]
		if e.kind == other || e.kind == ending && before != other {
			continue
		}
		e.pause = pauseAfter(before, shown, a)
		sum += e.pause
		before = e.kind
	}
	if before == other { // there is no stream of it
		return pauseAfter(other, 0, a)
	}
	return sum
}

// pauseAfter is the pause between a piece of this kind and the next one; other
// is for the first piece, or for the end if there is none.
func pauseAfter(before kind, reasoningPieces int, a Answer) time.Duration {
	switch {
	case before == other && reasoningPieces == 0:
		return a.FirstToken + a.Think
	case before == other:
		return a.FirstToken
	case before == reasoning && a.Think > 0:
		return a.Think / time.Duration(reasoningPieces)
	default:
		return a.Between
	}
}

// shownReasoning is the reasoning that the API tells.
func (of shape) shownReasoning() string {
	if of.api == completions || of.api == embeddings || of.api == chat && of.answer.Vendor == OpenAI {
		return ""
	}
	return of.answer.Reasoning
}

// prepare finds the places where marks are, after the line ends are final.
func (e *event) prepare(of shape) {
	if of.stream && of.answer.CRLF {
		e.data = bytes.ReplaceAll(e.data, []byte("\n"), []byte("\r\n"))
	}
	for from := 0; ; {
		at := bytes.Index(e.data[from:], []byte(idMark))
		if at < 0 {
			break
		}
		e.ids = append(e.ids, from+at)
		from += at + len(idMark)
	}
	e.stamp = bytes.Index(e.data, []byte(stampMark))
}

// pieces divides a text into at most Chunks pieces of whole characters.
func pieces(text string, a Answer) []string {
	characters := []rune(text)
	n := a.Chunks
	if n <= 0 {
		n = defaultChunks
	}
	n = min(n, len(characters))
	out := make([]string, n)
	for i := range out {
		out[i] = string(characters[i*len(characters)/n : (i+1)*len(characters)/n])
	}
	return out
}

// textPieces are the pieces of the text as JSON strings, stamped if asked for.
func (of shape) textPieces() []string {
	out := pieces(of.answer.Text, of.answer)
	for i, piece := range out {
		out[i] = quote(piece)
		if of.answer.Stamp {
			out[i] = `"` + stampMark + out[i][1:]
		}
	}
	return out
}

func (of shape) reasoningPieces() []string {
	out := pieces(of.shownReasoning(), of.answer)
	for i, piece := range out {
		out[i] = quote(piece)
	}
	return out
}

// argumentPieces are those of the call of a tool, as JSON strings.
func argumentPieces() []string {
	out := pieces(toolArguments, Answer{Chunks: 3})
	for i, piece := range out {
		out[i] = quote(piece)
	}
	return out
}

// quote is a JSON string.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // a string has no value that JSON lacks
		return `""`
	}
	return string(quoted)
}

func (of shape) finishReason() string {
	switch {
	case of.answer.FinishReason != "":
		return of.answer.FinishReason
	case of.answer.ToolCall != "":
		return "tool_calls"
	default:
		return "stop"
	}
}

// data is an event without a name, as in chat completions.
func data(k kind, format string, args ...any) event {
	return event{kind: k, data: fmt.Appendf(nil, "data: "+format+"\n\n", args...)}
}

// named is an event with a name, as of Anthropic and of the responses.
func named(k kind, name, format string, args ...any) event {
	return event{kind: k, data: fmt.Appendf(nil, "event: "+name+"\ndata: "+format+"\n\n", args...)}
}

func responseModel(a Answer, requested string) string {
	if a.Model != "" {
		return a.Model
	}
	return requested
}
