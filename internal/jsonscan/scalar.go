package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// readText reads a string or key up to its end or to an escape.
func (s *Scanner) readText(p []byte) int {
	n := plainText(p)
	s.keep(p[:n])
	if n == len(p) {
		return n
	}
	switch p[n] {
	case '"':
		s.endText()
	case '\\':
		s.keep(p[n : n+1])
		s.state = inEscape
	default:
		s.state = malformed
	}
	return n + 1
}

// plainText returns the length of what comes before the first quote, backslash
// or control character, eight bytes at a time: content is most of what is read.
func plainText(p []byte) int {
	n := 0
	for ; len(p)-n >= 8; n += 8 {
		if found := special(binary.LittleEndian.Uint64(p[n:])); found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for ; n < len(p); n++ {
		if c := p[n]; c < ' ' || c == '"' || c == '\\' {
			return n
		}
	}
	return n
}

// special sets the highest bit of each byte that is a quote, a backslash or a
// control character. Bytes above the lowest of them may be marked without cause,
// since subtractions borrow.
func special(eight uint64) uint64 {
	const each = 0x0101010101010101
	quote, backslash := eight^('"'*each), eight^('\\'*each)
	return ((quote - each) | (backslash - each) | (eight - ' '*each)) & ^eight & (0x80 * each)
}

// keep adds to the text what there is room for.
func (s *Scanner) keep(p []byte) {
	s.size += int64(len(p))
	limit := s.MaxText
	switch {
	case s.key:
		limit = maxKey
	case limit <= 0:
		limit = defaultMaxText
	}
	s.text = append(s.text, p[:min(len(p), limit-len(s.text))]...)
}

// readEscape reads the byte after a backslash.
func (s *Scanner) readEscape(p []byte) {
	s.keep(p)
	switch p[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.state = inText
	case 'u':
		s.state, s.digits = inHex, 4
	default:
		s.state = malformed
	}
}

// readHex reads a digit of \u.
func (s *Scanner) readHex(p []byte) {
	s.keep(p)
	switch c := p[0] | 0x20; {
	case '0' <= p[0] && p[0] <= '9', 'a' <= c && c <= 'f':
		if s.digits--; s.digits == 0 {
			s.state = inText
		}
	default:
		s.state = malformed
	}
}

// endText reads the quote at the end of a string or key.
func (s *Scanner) endText() {
	if !s.key {
		s.endScalar()
		return
	}
	s.key = false
	s.path.pushKey(s.text, s.size)
	s.state = beforeColon
}

// beginWord reads the first byte of a word. Kind is 0 for what is no value.
func (s *Scanner) beginWord(kind Kind, word string) {
	s.kind, s.word, s.state = kind, word[1:], inWord
}

// readWord reads another byte of a word.
func (s *Scanner) readWord(c byte) {
	if c != s.word[0] {
		s.state = malformed
		return
	}
	s.word = s.word[1:]
	switch {
	case s.word != "":
	case s.kind == 0:
		s.state = betweenDocuments
	default:
		s.endScalar()
	}
}

// number is the part of a number that was read last, 0 for none.
type number uint8

const (
	minus number = iota + 1
	zero
	integer
	point
	fraction
	exponentMark
	exponentSign
	exponent
)

// next returns the part that the byte belongs to, 0 if it cannot follow.
func (n number) next(c byte) number {
	switch {
	case '0' <= c && c <= '9':
		return n.nextDigit(c)
	case c == '.' && (n == zero || n == integer):
		return point
	case (c == 'e' || c == 'E') && (n == zero || n == integer || n == fraction):
		return exponentMark
	case c == '-' && n == 0:
		return minus
	case (c == '-' || c == '+') && n == exponentMark:
		return exponentSign
	}
	return 0
}

func (n number) nextDigit(c byte) number {
	switch n {
	case zero:
		return 0
	case point, fraction:
		return fraction
	case exponentMark, exponentSign, exponent:
		return exponent
	}
	if c == '0' && n != integer {
		return zero
	}
	return integer
}

// complete reports whether a number can end here.
func (n number) complete() bool {
	return n == zero || n == integer || n == fraction || n == exponent
}

// beginNumber reads the first byte of a number.
func (s *Scanner) beginNumber(c byte) {
	s.kind = Number
	s.number = number(0).next(c)
	s.text, s.size = append(s.text, c), 1
	s.expect(s.number != 0, inNumber)
}

// readNumber reads a number up to its end.
func (s *Scanner) readNumber(p []byte) int {
	n := 0
	for ; n < len(p); n++ {
		next := s.number.next(p[n])
		if next == 0 {
			break
		}
		s.number = next
	}
	s.keep(p[:n])
	switch {
	case n == len(p):
	case plainByte(p[n]), p[n] == '+', p[n] == '.':
		s.state = malformed
	default:
		s.endNumber()
	}
	return n
}

// endNumber goes on behind a number, or finds that it is none.
func (s *Scanner) endNumber() {
	if !s.number.complete() {
		s.state = malformed
		return
	}
	s.endScalar()
}
