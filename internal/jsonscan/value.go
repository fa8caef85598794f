package jsonscan

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// Kind is what a value is.
type Kind uint8

// The kinds of values.
const (
	Null Kind = iota + 1
	False
	True
	Number
	String
	Object
	Array
)

// Value is one value of a document. Text is valid during the visit only.
type Value struct {
	// Kind is what it is.
	Kind Kind
	// Text is the beginning of a number's digits, or of what stands between the
	// quotes of a string, still escaped: at most Scanner.MaxText bytes. It is
	// empty for the other kinds.
	Text []byte
	// Size is the number of bytes of the whole text, more than len(Text) when
	// that was cut.
	Size int64
	// Offset is that of the value's first byte (of a string, its opening quote)
	// in all that was written since Reset, counted from 0.
	Offset int64
}

// String returns the text of a string with its escapes resolved, and that of a
// number as it is; it is empty for the other kinds. As with encoding/json, half
// a surrogate pair and each byte that is not UTF-8 become U+FFFD. A text that
// was cut ends with a whole character.
func (v Value) String() string {
	switch v.Kind {
	case Number:
		return string(v.Text)
	case String:
	default:
		return ""
	}
	text := v.Text
	if v.cut() {
		text = wholeCharacters(text)
	}
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return string(text)
	}
	var resolved string
	quoted := append(append([]byte{'"'}, text...), '"')
	if err := json.Unmarshal(quoted, &resolved); err != nil {
		return "" // the value was not made by a Scanner
	}
	return resolved
}

// cut reports whether Text is not the whole text.
func (v Value) cut() bool { return v.Size > int64(len(v.Text)) }

// wholeCharacters returns the text without a character at its end that may not
// be all there.
func wholeCharacters(text []byte) []byte {
	n := 0
	for n < len(text) {
		size, room := characterSize(text[n:])
		if room > len(text)-n {
			break
		}
		n += size
	}
	return text[:n]
}

// characterSize returns the size of the first character or escape, and the room
// that it may need: half a surrogate pair may be followed by the other.
func characterSize(text []byte) (size, room int) {
	const escape, unicode = len(`\n`), len(`\u0000`)
	switch {
	case text[0] != '\\' && utf8.FullRune(text):
		_, size = utf8.DecodeRune(text)
		return size, size
	case text[0] != '\\':
		return 0, utf8.UTFMax
	case len(text) < escape || text[1] != 'u':
		return escape, escape
	case len(text) >= unicode && highSurrogate(text[2:unicode]):
		return unicode, 2 * unicode
	}
	return unicode, unicode
}

// highSurrogate reports whether the four digits are those of D800 to DBFF.
func highSurrogate(digits []byte) bool {
	code, err := strconv.ParseUint(string(digits), 16, 16)
	return err == nil && 0xd800 <= code && code <= 0xdbff
}

// Int returns the value of a number that is integral and fits 64 bits, however
// it is written: 12, 12.0 and 1.2e1 are the same. It reports false for all else,
// and for a number whose text was cut.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind != Number || v.cut() {
		return 0, false
	}
	digits, power, ok := decimal(v.Text)
	switch {
	case !ok || digits == 0:
		return 0, ok
	case power < 0:
		return 0, false
	}
	for ; ok && power > 0; power-- {
		digits, ok = appendDigit(digits, 0)
	}
	if v.Text[0] != '-' {
		ok = ok && digits != math.MinInt64
		digits = -digits
	}
	if !ok {
		return 0, false
	}
	return digits, true
}

// decimal returns digits and power such that the number without its sign is
// -digits * 10^power: below 0 there is room for each int64. Since digits do not
// end with 0, the number is no int64 when they do not fit or the power is
// negative.
func decimal(text []byte) (digits int64, power int, ok bool) {
	mantissa := text
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		power, _ = strconv.Atoi(string(text[i+1:])) // beyond its range it is the limit
		power = min(max(power, math.MinInt32), math.MaxInt32)
	}
	whole, fraction, _ := bytes.Cut(bytes.TrimPrefix(mantissa, []byte("-")), []byte("."))
	fraction = bytes.TrimRight(fraction, "0")
	if len(fraction) == 0 {
		trimmed := bytes.TrimRight(whole, "0")
		power += len(whole) - len(trimmed)
		whole = trimmed
	}
	for _, part := range [][]byte{whole, fraction} {
		for _, c := range part {
			if digits, ok = appendDigit(digits, c-'0'); !ok {
				return 0, 0, false
			}
		}
	}
	return digits, power - len(fraction), true
}

// appendDigit returns -digits with another digit, if that fits.
func appendDigit(digits int64, digit byte) (int64, bool) {
	d := int64(digit)
	if digits < (math.MinInt64+d)/10 {
		return 0, false
	}
	return 10*digits - d, true
}
