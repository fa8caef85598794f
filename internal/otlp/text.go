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
// whether the text goes on. Where the prefix is not valid, or the next character
// would still fit, there is no telling before the text is repaired.
func prefix(s string, most int) (begin string, cut, valid bool) {
	if len(s) <= most {
		return s, false, utf8.ValidString(s)
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	_, next := utf8.DecodeRuneInString(s[end:])
	return s[:end], true, end+next > most && utf8.ValidString(s[:end])
}

// appendRepaired appends what strings.ToValidUTF8 makes of the text, up to most
// bytes of it: a run of invalid bytes becomes one replacement character. It
// reads no more of the text than it needs, since that may be long.
func appendRepaired(b []byte, s string, most int) (_ []byte, cut bool) {
	start, afterInvalid := len(b), false
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		invalid := r == utf8.RuneError && size == 1
		if invalid && afterInvalid {
			continue
		}
		afterInvalid = invalid
		if len(b)-start+utf8.RuneLen(r) > most {
			return b, true
		}
		b = utf8.AppendRune(b, r)
	}
	return b, false
}
