package sampling

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// The ot member of a tracestate holds sub-keys, as in ot=th:c;rv:6e6d1a75832a2f.
const (
	member        = "ot"
	thresholdKey  = "th" // traces whose randomness is below it are rejected
	randomnessKey = "rv" // replaces the randomness of the trace ID
)

// Thresholds and randomness have 56 bits.
const (
	bits      = 56
	hexDigits = bits / 4
	never     = 1 << bits // a threshold that rejects every trace
)

// randomnessOf returns the trace's explicit randomness, else that of its ID.
func randomnessOf(state trace.TraceState, id trace.TraceID) uint64 {
	if text := subKey(state.Get(member), randomnessKey); len(text) == hexDigits {
		if r, ok := decode(text); ok {
			return r
		}
	}
	return binary.BigEndian.Uint64(id[8:]) & (never - 1)
}

// contradicts reports whether the state has a threshold that is invalid, or
// that would have rejected the trace.
func contradicts(state trace.TraceState, id trace.TraceID) bool {
	value := state.Get(member)
	if !strings.Contains(value, thresholdKey) {
		return false
	}
	threshold, ok := decode(subKey(value, thresholdKey))
	return !ok || randomnessOf(state, id) < threshold
}

// withThreshold returns the state with the threshold in the ot member, which
// moves to the front; an empty one is removed. Invalid sub-keys are left out.
// A threshold that finds no room within the 256 characters of a member is left
// out as well.
func withThreshold(state trace.TraceState, threshold string) trace.TraceState {
	old := state.Get(member)
	value := otherSubKeys(old)
	switch {
	case threshold != "" && value != "":
		value = thresholdKey + ":" + threshold + ";" + value
	case threshold != "":
		value = thresholdKey + ":" + threshold
	case value == old:
		return state
	case value == "":
		return state.Delete(member)
	}
	next, err := state.Insert(member, value)
	if err != nil && threshold != "" {
		return withThreshold(state, "")
	}
	return next
}

// subKey returns the value of a sub-key, "" when it is missing or ambiguous.
func subKey(value, key string) string {
	found, count := "", 0
	for pair := range strings.SplitSeq(value, ";") {
		if k, v, _ := strings.Cut(pair, ":"); k == key {
			found = v
			count++
		}
	}
	if count != 1 {
		return ""
	}
	return found
}

// otherSubKeys returns the valid sub-keys without the threshold.
func otherSubKeys(value string) string {
	if value == "" {
		return ""
	}
	var kept []string
	for pair := range strings.SplitSeq(value, ";") {
		key, text, ok := strings.Cut(pair, ":")
		if key == randomnessKey {
			_, isHex := decode(text)
			ok = isHex && len(text) == hexDigits && text == subKey(value, randomnessKey)
		}
		if ok && key != thresholdKey && validKey(key) && validValue(text) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, ";")
}

func validKey(key string) bool {
	return key != "" && key[0] >= 'a' && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func validValue(value string) bool {
	for _, c := range []byte(value) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if !letter && !digit && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// decode reads 1 to 14 lower-case hexadecimal digits; missing ones are zeros at
// the end.
func decode(text string) (value uint64, ok bool) {
	if text == "" || len(text) > hexDigits {
		return 0, false
	}
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			value = value<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return value << (4 * (hexDigits - len(text))), true
}

// encode writes a threshold without zeros at the end.
func encode(threshold uint64) string {
	digits := strconv.FormatUint(never|threshold, 16)[1:]
	if digits = strings.TrimRight(digits, "0"); digits == "" {
		return "0"
	}
	return digits
}

// thresholdOf returns the threshold of a probability, with the four significant
// digits that the specification recommends: those after leading fs.
func thresholdOf(probability float64) uint64 {
	const precision = 4
	switch {
	case probability >= 1:
		return 0
	case !(probability >= 1.0/never): // NaN neither
		return never
	}
	_, exponent := math.Frexp(probability)
	shift := 4 * max(hexDigits-precision+exponent/4, 0)
	threshold := never - uint64(math.Round(probability*never))
	half := uint64(1) << shift >> 1
	return (threshold + half) >> shift << shift
}
