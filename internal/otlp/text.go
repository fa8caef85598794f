package otlp

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// string writes the text, repaired, up to most bytes of it, even when it is
// empty. It reports whether there was more.
func (m *message) string(field protowire.Number, s string, most int) (cut bool) {
	begin, cut, valid := prefix(s, most)
	if valid {
		m.bytes = protowire.AppendTag(m.bytes, field, protowire.BytesType)
		m.bytes = protowire.AppendString(m.bytes, begin)
		return cut
	}
	start := m.begin(field)
	m.bytes, cut = appendRepaired(m.bytes, s, most)
	m.end(start)
	return cut
}

// prefix returns the whole characters among the first bytes of the text, and
// whether the text goes on. Where it is not valid, as far as the character after
// the prefix, there is no telling before it is repaired.
func prefix(s string, most int) (begin string, cut, valid bool) {
	if len(s) <= most {
		return s, false, utf8.ValidString(s)
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	r, size := utf8.DecodeRuneInString(s[end:])
	valid = end+size > most && !invalid(r, size) && utf8.ValidString(s[:end])
	return s[:end], true, valid
}

// invalid reports whether decoding a character gave none.
func invalid(r rune, size int) bool { return r == utf8.RuneError && size == 1 }

// appendRepaired appends what strings.ToValidUTF8 makes of the text, up to most
// bytes of it: a run of invalid bytes becomes one replacement character. It
// reads no more of the text than it needs, since that may be long.
func appendRepaired(b []byte, s string, most int) (_ []byte, cut bool) {
	start, afterInvalid := len(b), false
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		again := afterInvalid
		afterInvalid = invalid(r, size)
		if afterInvalid && again {
			continue
		}
		if len(b)-start+utf8.RuneLen(r) > most {
			return b, true
		}
		b = utf8.AppendRune(b, r)
	}
	return b, false
}
