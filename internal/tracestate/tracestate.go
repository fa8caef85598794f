// Package tracestate reads and writes the sampling threshold and randomness in
// the ot member of a W3C tracestate, as in ot=th:c;rv:6e6d1a75832a2f. It
// follows the OpenTelemetry specification "TraceState: Probability Sampling".
// All functions are safe for concurrent use.
package tracestate

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

const (
	member        = "ot"
	thresholdKey  = "th"
	randomnessKey = "rv"
)

// Thresholds and randomness have 56 bits.
const (
	bits      = 56
	hexDigits = bits / 4
)

// Threshold is the randomness from which on traces are kept; those below it are
// rejected. It is at most [Never].
type Threshold uint64

// Never is the threshold that rejects every trace. It cannot be written.
const Never Threshold = 1 << bits

// ThresholdOf returns the threshold of a probability, with the four significant
// digits that the specification recommends: those after leading fs. It is
// [Never] for NaN and for what is below 2^-56.
func ThresholdOf(probability float64) Threshold {
	const precision = 4
	switch {
	case probability >= 1:
		return 0
	case !(probability >= 1.0/float64(Never)): // NaN neither
		return Never
	}
	_, exponent := math.Frexp(probability)
	shift := 4 * max(hexDigits-precision+exponent/4, 0)
	threshold := Never - Threshold(math.Round(probability*float64(Never)))
	half := Threshold(1) << shift >> 1
	return (threshold + half) >> shift << shift
}

// String returns the value of the sub-key th: hexadecimal digits without zeros
// at the end. That of [Never] has no meaning.
func (t Threshold) String() string {
	digits := strconv.FormatUint(uint64(Never|t), 16)[1:]
	if digits = strings.TrimRight(digits, "0"); digits == "" {
		return "0"
	}
	return digits
}

// Randomness returns the trace's explicit randomness, the sub-key rv, else that
// of its ID. It is below [Never].
func Randomness(state trace.TraceState, id trace.TraceID) Threshold {
	if text, _ := subKey(state.Get(member), randomnessKey); len(text) == hexDigits {
		if r, ok := decode(text); ok {
			return r
		}
	}
	return Threshold(binary.BigEndian.Uint64(id[8:])) & (Never - 1)
}

// Contradicts reports whether the state has a threshold that cannot be true of
// a sampled trace: one that is invalid, or that would have rejected it.
func Contradicts(state trace.TraceState, id trace.TraceID) bool {
	text, present := subKey(state.Get(member), thresholdKey)
	if !present {
		return false
	}
	threshold, ok := decode(text)
	return !ok || Randomness(state, id) < threshold
}

// WithThreshold returns the state with a threshold, given as its String, in the
// ot member, which moves to the front. Invalid sub-keys are left out. A
// threshold that finds no room within the 256 characters of a member is left out
// as well.
func WithThreshold(state trace.TraceState, threshold string) trace.TraceState {
	value := thresholdKey + ":" + threshold
	if others := otherSubKeys(state.Get(member)); others != "" {
		value += ";" + others
	}
	next, err := state.Insert(member, value)
	if err != nil {
		return WithoutThreshold(state)
	}
	return next
}

// WithoutThreshold returns the state without the threshold, which says how many
// spans a sampled one stands for, and without invalid sub-keys. An ot member
// that is left empty is removed, one that is changed moves to the front.
func WithoutThreshold(state trace.TraceState) trace.TraceState {
	old := state.Get(member)
	value := otherSubKeys(old)
	switch value {
	case old:
		return state
	case "":
		return state.Delete(member)
	}
	next, _ := state.Insert(member, value) // shorter than the old one, which was valid
	return next
}

// subKey returns the value of a sub-key, "" when it is missing or there twice.
func subKey(value, key string) (text string, present bool) {
	if value == "" {
		return "", false // as for most traces
	}
	for pair := range strings.SplitSeq(value, ";") {
		k, v, _ := strings.Cut(pair, ":")
		switch {
		case k != key:
		case present:
			return "", true
		default:
			text, present = v, true
		}
	}
	return text, present
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
			only, _ := subKey(value, randomnessKey)
			ok = isHex && len(text) == hexDigits && text == only
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
func decode(text string) (value Threshold, ok bool) {
	if text == "" || len(text) > hexDigits {
		return 0, false
	}
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | Threshold(c-'0')
		case c >= 'a' && c <= 'f':
			value = value<<4 | Threshold(c-'a'+10)
		default:
			return 0, false
		}
	}
	return value << (4 * (hexDigits - len(text))), true
}
