package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// readText reads a string or key up to its end or to an escape.
func (s *Scanner) readText(p []byte) int {
	n := plainText(p)
	if n == len(p) {
		s.keep(p)
		return n
	}
	switch p[n] {
	case '"':
		s.endText(p[:n])
	case '\\':
		s.keep(p[:n+1])
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

// whole returns the text that ends with p. If p is all of it, it is not copied.
func (s *Scanner) whole(p []byte) []byte {
	if s.size > 0 {
		s.keep(p)
		return s.kept
	}
	s.size = int64(len(p))
	return p[:min(len(p), s.maxText())]
}

// keep copies p, which belongs to the text, as far as there is room.
func (s *Scanner) keep(p []byte) {
	if s.size == 0 {
		s.kept = s.kept[:0]
	}
	s.size += int64(len(p))
	room := max(s.maxText()-len(s.kept), 0)
	s.kept = append(s.kept, p[:min(len(p), room)]...)
}

// maxText returns how much of the text is told of.
func (s *Scanner) maxText() int {
	switch {
	case s.key:
		return maxKey
	case s.MaxText <= 0:
		return defaultMaxText
	}
	return s.MaxText
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

// endText goes on behind a string or key that ends with p.
func (s *Scanner) endText(p []byte) {
	text := s.whole(p)
	if !s.key {
		s.endScalar(text)
		return
	}
	s.key = false
	s.path.pushKey(text, s.size)
	s.state = beforeColon
}

// beginWord reads the first byte of a word. Kind is 0 for what is no value.
func (s *Scanner) beginWord(kind Kind, word string) {
	s.kind, s.word, s.state = kind, word[1:], inWord
}

// readWord reads more of a word.
func (s *Scanner) readWord(p []byte) int {
	n := min(len(p), len(s.word))
	if string(p[:n]) != s.word[:n] {
		s.state = malformed
		return n
	}
	s.word = s.word[n:]
	switch {
	case s.word != "":
	case s.kind == 0:
		s.state = betweenDocuments
	default:
		s.endScalar(nil)
	}
	return n
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
	default:
		if c == '0' && n != integer {
			return zero
		}
		return integer
	}
}

// complete reports whether a number can end here.
func (n number) complete() bool {
	return n == zero || n == integer || n == fraction || n == exponent
}

// beginNumber reads the first byte of a number.
func (s *Scanner) beginNumber(c byte) {
	s.kind = Number
	s.number = number(0).next(c)
	s.keep([]byte{c})
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
	s.endScalar(s.kept)
}
