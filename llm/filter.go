package llm

import "github.com/otelmon/toolkit/internal/sse"

// filteredBody is the body of a stream without the event that has nothing but
// the usage. Each event is held back until it is complete, because any may be
// the one; an event that is too long for that is passed on as it comes.
type filteredBody struct {
	body

	scratch []byte
	buffer  []byte // where held begins
	held    []byte // of the stream, from the offset on
	offset  int64
	ready   int  // bytes of held that may be passed on
	afterCR bool // what was removed ends with CR, to which an LF may belong
	err     error
}

// Read implements [io.Reader].
func (b *filteredBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.ready == 0 && b.err == nil {
		b.fill(len(p))
	}
	if b.ready == 0 {
		return 0, b.err
	}
	n := copy(p, b.held[:b.ready])
	b.held, b.ready, b.offset = b.held[n:], b.ready-n, b.offset+int64(n)
	return n, nil
}

func (b *filteredBody) fill(size int) {
	if size = min(size, 32<<10); cap(b.scratch) < size {
		b.scratch = make([]byte, size)
	}
	n, err := b.body.Read(b.scratch[:size])
	read := b.scratch[:n]
	if b.afterCR && n > 0 && read[0] == '\n' {
		read, b.offset = read[1:], b.offset+1
	}
	b.afterCR = b.afterCR && n == 0
	if len(b.held) > 0 {
		b.held = append(b.held, read...)
	} else {
		b.buffer = append(b.buffer[:0], read...)
		b.held = b.buffer
	}
	b.err = err
	hidden, until := b.call.hidden()
	for _, e := range hidden {
		b.remove(e)
	}
	b.ready = len(b.held)
	complete := until - b.offset // negative: the beginning of the event has been passed on
	if err == nil && complete >= 0 && (complete > 0 || len(b.held) <= maxEvent) {
		b.ready = int(min(complete, int64(len(b.held))))
	}
}

// remove takes an event out of what is held. The offset of what follows stays
// right by moving the offset of all.
func (b *filteredBody) remove(e span) {
	from, to := int(e.start-b.offset), int(e.end-b.offset)
	if from < 0 || to > len(b.held) { // its beginning has been passed on
		return
	}
	b.afterCR = to == len(b.held) && b.held[to-1] == '\r'
	b.held = append(b.held[:from], b.held[to:]...)
	b.offset += int64(to - from)
}

// span is where an event is in the stream.
type span struct{ start, end int64 }

// hide notes an event that is to be hidden, if there is nothing but usage in it.
func (a *answer) hide(e sse.Event) {
	if a.hides && a.eventUsage && !a.eventChoices {
		a.hidden = append(a.hidden, span{e.Start, e.End})
	}
}

// hidden returns the events to hide that came since the last time, and up to
// where the stream may be passed on.
func (c *call) hidden() (events []span, until int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answer
	events, a.hidden = a.hidden, nil
	return events, a.events.Pending()
}
