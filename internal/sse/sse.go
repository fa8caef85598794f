// Package sse splits a stream of server-sent events as its bytes come in (WHATWG
// HTML, "server-sent events").
//
// A [Parser] is pushed: whoever reads a stream writes each piece to it, split
// anywhere, and goes on. It never fails and never holds anything back. What it
// keeps is bounded by MaxEvent: the data of the event that is not complete and
// the line that is not. An event that comes in one piece, with one line of data,
// is not copied. After the buffers have grown, nothing is allocated.
package sse

import (
	"bytes"
	"strings"
)

const (
	defaultMaxEvent = 1 << 20
	maxReused       = 64 << 10
	byteOrderMark   = "\xef\xbb\xbf"
	// maxPrefix is how much is needed of a line to know what it is.
	maxPrefix = len(byteOrderMark + "event:")
)

// Is tells whether a Content-Type is that of server-sent events. It does not
// allocate.
func Is(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream")
}

// Event is one event. Type and Data are valid during the call only.
type Event struct {
	// Type is the value of the last field "event", empty when there is none.
	Type []byte
	// Data is the lines of "data" joined by \n; nil when TooLarge.
	Data []byte
	// TooLarge tells that the event exceeded MaxEvent: its data was left out, and
	// its type too if that came too late.
	TooLarge bool
	// Start and End are offsets in the stream, counted from 0: of the event's
	// first byte, and of what follows the blank line that ends it. Events do not
	// overlap; between them there are only whole lines that are no event's.
	Start, End int64
}

// Parser tells of the events in what is written to it. The zero value is ready
// for use. It is not safe for concurrent use; the functions must not write to it.
//
// The stream is a sequence of events, comments and blank lines, each with a range
// of bytes. A comment between events is none of theirs; one within an event is.
// An event that ends with CR is told of at once: should an LF follow in the next
// piece, it belongs to no event either, so that whoever leaves out the next one
// does not break the line ending of this one.
type Parser struct {
	// OnEvent is called when a blank line ended an event that had data, also if
	// it was too large. As in a browser, events without data are not told of.
	OnEvent func(Event)

	// OnComment is called for a comment line such as ": keep-alive", and for a
	// blank line that ends neither an event nor a comment. Servers send both to
	// keep a connection.
	OnComment func()

	// MaxEvent is the largest size of an event, in bytes up to the blank line that
	// ends it; no more than that is kept. Default: 1 MiB.
	MaxEvent int

	written   int64 // offset of what comes next
	start     int64 // of the event, comment or blank line
	lineStart int64
	afterCR   bool // the last line ended with CR, to which an LF may belong

	open      bool // the event has a line
	commented bool // the last line was a comment between events
	tooLarge  bool
	hasData   bool
	name      []byte // the event's type

	// The data so far is whole, part of what is written at the moment, or else
	// the first dataSize bytes of kept; a line that is not complete follows.
	whole    []byte
	kept     []byte
	dataSize int
}

// Write reads b. It always returns len(b) and no error, and keeps nothing of b.
func (p *Parser) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		rest = rest[p.readLine(rest):]
	}
	p.keepData()
	return len(b), nil
}

// Pending returns the offset at which the event starts that is not complete yet:
// the number of bytes written so far when there is none. A line that is not
// complete counts as one. It never decreases.
func (p *Parser) Pending() int64 { return p.start }

// readLine reads a line, or what there is of it, and returns how much that was.
func (p *Parser) readLine(b []byte) int {
	if p.afterCR {
		p.afterCR = false
		if b[0] == '\n' {
			p.nextLine(1)
			return 1
		}
	}
	n := lineEnd(b)
	line, rest := b[:n], b[n:]
	p.written += int64(n)
	p.checkSize()
	if len(rest) == 0 || len(p.kept) > p.dataSize {
		line = p.keepLine(line)
	}
	if len(rest) == 0 {
		return n
	}
	ending := 1
	if bytes.HasPrefix(rest, []byte("\r\n")) {
		ending = 2
	}
	p.afterCR = len(rest) == 1 && rest[0] == '\r'
	p.endLine(line, ending)
	return n + ending
}

// lineEnd returns where the first line of b ends, len(b) if it does not. It looks
// at a piece at a time, so that a distant LF is not looked for with each CR.
func lineEnd(b []byte) int {
	const size = 1 << 10
	for start := 0; start < len(b); start += size {
		piece := b[start:min(start+size, len(b))]
		end := bytes.IndexByte(piece, '\n')
		if end < 0 {
			end = len(piece)
		}
		if cr := bytes.IndexByte(piece[:end], '\r'); cr >= 0 {
			end = cr
		}
		if end < len(piece) {
			return start + end
		}
	}
	return len(b)
}

// endLine reads a line that is complete, with an ending of so many bytes.
func (p *Parser) endLine(line []byte, ending int) {
	if p.lineStart == 0 {
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	switch {
	case len(line) == 0:
		p.endEvent(ending)
	case line[0] == ':':
		p.comment()
	default:
		p.field(line)
	}
	p.nextLine(ending)
}

// nextLine goes on behind the ending of a line.
func (p *Parser) nextLine(ending int) {
	p.written += int64(ending)
	p.lineStart = p.written
	p.kept = p.kept[:p.dataSize]
	if !p.open {
		p.start = p.written
		p.tooLarge = false
		p.name, p.kept = reuse(p.name), reuse(p.kept)
	}
}

// reuse returns the buffer emptied, or none if it has become large.
func reuse(buffer []byte) []byte {
	if cap(buffer) > maxReused {
		return nil
	}
	return buffer[:0]
}

// comment reads a comment line.
func (p *Parser) comment() {
	p.commented = !p.open
	if p.OnComment != nil {
		p.OnComment()
	}
}

// field reads any other line.
func (p *Parser) field(line []byte) {
	p.open, p.commented = true, false
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		p.addData(value)
	case "event":
		if !p.tooLarge {
			p.name = append(p.name[:0], value...)
		}
	}
}

// addData reads a line of data.
func (p *Parser) addData(line []byte) {
	switch {
	case p.tooLarge:
	case !p.hasData:
		p.whole = line
	default:
		p.keepData()
		p.kept = append(append(p.kept[:p.dataSize], '\n'), line...)
		p.dataSize = len(p.kept)
	}
	p.hasData = true
}

// endEvent reads a blank line.
func (p *Parser) endEvent(ending int) {
	switch {
	case p.hasData && p.OnEvent != nil:
		p.OnEvent(p.event(ending))
	case !p.open && !p.commented && p.OnComment != nil:
		p.OnComment()
	}
	p.open, p.commented, p.hasData = false, false, false
	p.whole, p.dataSize = nil, 0
}

// event returns the event that a blank line ends.
func (p *Parser) event(ending int) Event {
	event := Event{Type: p.name, TooLarge: p.tooLarge, Start: p.start, End: p.written + int64(ending)}
	switch {
	case p.tooLarge:
	case p.whole != nil:
		event.Data = p.whole
	default:
		event.Data = p.kept[:p.dataSize]
	}
	return event
}

// checkSize drops the data of an event that has become too large.
func (p *Parser) checkSize() {
	limit := p.MaxEvent
	if limit <= 0 {
		limit = defaultMaxEvent
	}
	if p.written-p.start <= int64(limit) {
		return
	}
	p.tooLarge = true
	line := p.kept[p.dataSize:]
	p.kept = append(p.kept[:0], line[:min(len(line), maxPrefix)]...)
	p.whole, p.dataSize = nil, 0
}

// keepData copies the data, which is part of what is written at the moment.
func (p *Parser) keepData() {
	if p.whole != nil {
		p.kept = append(p.kept[:0], p.whole...)
		p.whole, p.dataSize = nil, len(p.kept)
	}
}

// keepLine adds to the line that is not complete and returns what is kept of it.
func (p *Parser) keepLine(part []byte) []byte {
	p.keepData()
	if p.tooLarge {
		room := max(maxPrefix-(len(p.kept)-p.dataSize), 0)
		part = part[:min(len(part), room)]
	}
	p.kept = append(p.kept, part...)
	return p.kept[p.dataSize:]
}
