// Package jsonscan reads JSON as its bytes come in and tells of the values in
// it, without keeping the document.
//
// A [Scanner] is a state machine that is pushed: whoever reads a stream writes
// each piece to it, split anywhere, and goes on. It never fails and never holds
// anything back. What it keeps is bounded whatever the input: the beginning of
// one text, one path and a bit for each level of nesting. After its buffers have
// grown it allocates nothing.
//
// The grammar is that of RFC 8259, strictly, with three additions: a byte order
// mark at the beginning is skipped, several documents may follow each other with
// or without white space between them (so newline-delimited JSON is read too),
// and UTF-8 is not checked. A number has to be delimited: 01 is malformed rather
// than two documents.
package jsonscan

// Limits of what is kept and followed.
const (
	defaultMaxText = 256
	maxKey         = 64
	maxPath        = 512
	maxDepth       = 10_000
)

// state is what the scanner is in the middle of, or expects next.
type state uint8

const (
	atStart          state = iota // nothing was read, a byte order mark may come
	betweenDocuments              // a document, or the end of the input
	beforeValue                   // a value has to come
	beforeElement                 // the first element of an array, or its end
	beforeMember                  // the first key of an object, or its end
	beforeKey                     // a key has to come
	beforeColon
	afterValue // a comma, or the end of the object or array
	inText     // of a string or a key
	inEscape   // after a backslash
	inHex      // in the digits of \u
	inNumber
	inWord // in true, false, null or the byte order mark
	malformed
)

// Scanner tells of the values in what is written to it. The zero value is ready
// for use. It is not safe for concurrent use; Visit must not write to it.
type Scanner struct {
	// Visit is called for each scalar when it ends, and for each object and
	// array when it begins. Nil only checks the input.
	//
	// The path is that of the value, valid during the call: keys joined by a
	// point, with [] for each array, such as choices[].delta.content. It is
	// empty for the document itself and [] for an element of an array at the
	// top. A key that is empty, longer than 64 bytes, or not only of letters,
	// digits, _ and - as it is written (so one with escapes too) is shown as ?:
	// {"usage.total":1} cannot be mistaken for {"usage":{"total":1}}. Values
	// whose path would be longer than 512 bytes are not visited. A key that is
	// there twice is visited twice.
	Visit func(path []byte, v Value)

	// MaxText is how many bytes of a text are kept for Visit. Default: 256.
	MaxText int

	state     state
	documents int
	offset    int64 // since Reset, of the first byte that is not read

	path   path
	levels []uint64 // a bit for each level: it is an array
	depth  int

	// The value or key that is read.
	kind   Kind
	start  int64  // its offset
	key    bool   // what is read is a key
	kept   []byte // of a text that is not complete
	size   int64  // of the text so far
	number number
	digits int    // of \u that have still to come
	word   string // what has still to come of a word
}

// Write reads p. It always returns len(p) and no error, and keeps nothing of p.
func (s *Scanner) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := s.step(rest)
		s.offset += int64(n)
		rest = rest[n:]
	}
	return len(p), nil
}

// Reset forgets all that was written. It keeps Visit, MaxText and the buffers.
func (s *Scanner) Reset() {
	*s = Scanner{
		Visit: s.Visit, MaxText: s.MaxText,
		path: path{text: s.path.text[:0], sizes: s.path.sizes[:0]}, levels: s.levels[:0], kept: s.kept[:0],
	}
}

// End tells that the input is complete. A number at the top that nothing
// delimits ends here. A document that is not complete is malformed: after End,
// the input was a sequence of JSON documents exactly if Malformed is false. To
// write more, Reset first.
func (s *Scanner) End() {
	if s.state == inNumber && s.depth == 0 {
		s.endNumber()
	}
	if s.state != atStart && s.state != betweenDocuments {
		s.state = malformed
	}
}

// Documents returns the number of complete documents so far. A number at the top
// is complete when something delimits it, or with End.
func (s *Scanner) Documents() int { return s.documents }

// Malformed reports whether the input was not JSON from some byte on. Nothing
// after that byte is visited.
func (s *Scanner) Malformed() bool { return s.state == malformed }

// Blank reports whether nothing but white space was written so far.
func (s *Scanner) Blank() bool {
	return s.documents == 0 && (s.state == atStart || s.state == betweenDocuments)
}

// step reads the beginning of p and returns how many bytes that was. It may be
// none when the state changed.
func (s *Scanner) step(p []byte) int {
	switch s.state {
	case inText:
		return s.readText(p)
	case inEscape:
		s.readEscape(p[:1])
	case inHex:
		s.readHex(p[:1])
	case inNumber:
		return s.readNumber(p)
	case inWord:
		return s.readWord(p)
	case malformed:
		return len(p)
	case atStart:
		return s.readStart(p)
	default:
		return s.readTokens(p)
	}
	return 1
}

// readStart reads the first byte of all, if that is the one of a byte order mark.
func (s *Scanner) readStart(p []byte) int {
	const byteOrderMark = "\xef\xbb\xbf"
	if p[0] == byteOrderMark[0] {
		s.beginWord(0, byteOrderMark)
		return 1
	}
	s.state = betweenDocuments
	return 0
}

// readTokens reads what is not within a scalar or a key, and texts that end in p.
func (s *Scanner) readTokens(p []byte) int {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case ' ', '\n', '\r', '\t':
			continue
		}
		s.readToken(p[i], s.offset+int64(i))
		if s.state == inText {
			i += s.readText(p[i+1:])
		}
		if s.state >= inText {
			return i + 1
		}
	}
	return len(p)
}

// readToken reads a byte that is no white space.
func (s *Scanner) readToken(c byte, offset int64) {
	switch s.state {
	case beforeColon:
		s.expect(c == ':', beforeValue)
	case beforeMember, beforeKey:
		s.readKey(c)
	case afterValue:
		s.readNext(c)
	default:
		if c == ']' && s.state == beforeElement {
			s.close(c)
			return
		}
		s.begin(c, offset)
	}
}

// expect goes on to the next state if the byte is what has to come.
func (s *Scanner) expect(ok bool, next state) {
	if !ok {
		next = malformed
	}
	s.state = next
}

// readKey reads the first byte of a key, or the end of an object without one.
func (s *Scanner) readKey(c byte) {
	if c == '}' && s.state == beforeMember {
		s.close(c)
		return
	}
	s.key = true
	s.size = 0
	s.expect(c == '"', inText)
}

// readNext reads what follows a value in an object or array.
func (s *Scanner) readNext(c byte) {
	switch {
	case c != ',':
		s.close(c)
	case s.inArray():
		s.state = beforeValue
	default:
		s.state = beforeKey
	}
}

// begin reads the first byte of a value.
func (s *Scanner) begin(c byte, offset int64) {
	s.start = offset
	s.size = 0
	switch c {
	case '{':
		s.open(Object, beforeMember)
	case '[':
		s.open(Array, beforeElement)
	case '"':
		s.kind, s.state = String, inText
	case 't':
		s.beginWord(True, "true")
	case 'f':
		s.beginWord(False, "false")
	case 'n':
		s.beginWord(Null, "null")
	default:
		s.beginNumber(c)
	}
}

// open goes a level down, into an object or array.
func (s *Scanner) open(kind Kind, next state) {
	s.kind = kind
	s.visit(nil)
	if s.depth == maxDepth {
		s.state = malformed
		return
	}
	word, bit := s.depth/64, uint64(1)<<(s.depth%64)
	if word == len(s.levels) {
		s.levels = append(s.levels, 0)
	}
	s.levels[word] &^= bit
	if kind == Array {
		s.levels[word] |= bit
		s.path.pushElement()
	}
	s.depth++
	s.state = next
}

// close goes a level up, if c ends the object or array.
func (s *Scanner) close(c byte) {
	switch array := s.inArray(); {
	case c == ']' && array:
		s.path.pop()
	case c == '}' && !array:
	default:
		s.state = malformed
		return
	}
	s.depth--
	s.endValue()
}

// inArray reports whether the innermost level is an array. There is one.
func (s *Scanner) inArray() bool {
	level := s.depth - 1
	return s.levels[level/64]>>(level%64)&1 == 1
}

// endScalar tells of a scalar that is complete.
func (s *Scanner) endScalar(text []byte) {
	s.visit(text)
	s.endValue()
}

// endValue goes on behind a value.
func (s *Scanner) endValue() {
	if s.depth == 0 {
		s.documents++
		s.state = betweenDocuments
		return
	}
	if !s.inArray() {
		s.path.pop()
	}
	s.state = afterValue
}

// visit tells of a value.
func (s *Scanner) visit(text []byte) {
	if s.Visit != nil && s.path.complete() {
		s.Visit(s.path.text, Value{Kind: s.kind, Text: text, Size: s.size, Offset: s.start})
	}
}
