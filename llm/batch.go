package llm

import "time"

// maxBatch bounds what waits of a stream to be looked into.
const maxBatch = 8 << 10

// batch is what was read of a stream, piece by piece, and when.
type batch struct {
	bytes []byte
	marks []mark
}

// mark is the end of a piece in the batch, and the time when it was read.
type mark struct {
	end int
	at  time.Duration
}

// add takes a copy of the piece. It reports false when there is no room.
func (b *batch) add(p []byte, at time.Duration) bool {
	if len(b.bytes)+len(p) > maxBatch {
		return false
	}
	if b.bytes == nil {
		b.bytes, b.marks = make([]byte, 0, maxBatch), make([]mark, 0, 32)
	}
	b.bytes = append(b.bytes, p...)
	b.marks = append(b.marks, mark{len(b.bytes), at})
	return true
}

// drain passes all pieces on and is empty then.
func (b *batch) drain(look func(p []byte, at time.Duration)) {
	start := 0
	for _, m := range b.marks {
		look(b.bytes[start:m.end], m.at)
		start = m.end
	}
	b.bytes, b.marks = b.bytes[:0], b.marks[:0]
}
