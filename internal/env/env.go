// Package env reads environment variables strictly: a value that is not
// accepted is reported with the variable's name, the value and what is
// accepted, and the default is used, where the OpenTelemetry SDK would panic,
// spin, log a secret or silently take something else.
package env

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reader reads variables, collects what was wrong with them and records what
// was made of them. The zero value reads the process's environment. It is not
// safe for concurrent use.
type Reader struct {
	// Lookup replaces [os.LookupEnv].
	Lookup func(name string) (value string, ok bool)

	errs     []error
	settings map[string]*Setting
}

// Pair is one key and value of a list variable.
type Pair struct {
	Key, Value string
}

// Err joins everything that was reported so far, nil if nothing was.
func (r *Reader) Err() error { return errors.Join(r.errs...) }

// Report adds an error that names the variable, its value as [Shown] and what
// is accepted.
func (r *Reader) Report(name, reason string) {
	value := r.value(name)
	if value != "" && Secret(name, value) {
		reason = strings.ReplaceAll(reason, value, "it") // such as the path in an error of the system's
	}
	r.Refuse(name, fmt.Errorf("%s%s: %s; accepted: %s", name, Shown(name, value), reason, variables[name].Accepted))
}

// Shown returns "=" and the value for an error about a variable or field. A
// value that is [Secret] is left out.
func Shown(name, value string) string {
	if Secret(name, value) {
		return " " + hidden
	}
	return "=" + strconv.Quote(truncate(value, 100))
}

// Secret reports whether a value may hold credentials: headers, URLs, anything
// with an @, endpoints with a query or fragment, and keys where a path should be.
func Secret(name, value string) bool {
	name = strings.ToUpper(name)
	endpoint := strings.HasSuffix(name, "ENDPOINT") && strings.ContainsAny(value, "?#")
	return strings.HasSuffix(name, "_HEADERS") || strings.HasSuffix(name, "_URL") || endpoint ||
		strings.Contains(value, "@") || strings.Contains(value, "-----BEGIN")
}

// Add collects an error that is not about a variable; nil is none. The same
// text is kept once, since signals share variables.
func (r *Reader) Add(err error) {
	if err == nil {
		return
	}
	same := func(e error) bool { return e.Error() == err.Error() }
	if !slices.ContainsFunc(r.errs, same) {
		r.errs = append(r.errs, err)
	}
}

// value returns the trimmed value, "" when the variable is unset: the
// specification treats empty as unset.
func (r *Reader) value(name string) string {
	lookup := r.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	value, _ := lookup(name)
	return strings.TrimSpace(value)
}

// IsSet reports whether a variable has a value, which it does not read.
func (r *Reader) IsSet(name string) bool { return r.value(name) != "" }

// String returns the trimmed value, "" when the variable is unset.
func (r *Reader) String(name string) string {
	value := r.value(name)
	r.Holds(name, value, r.origin(name))
	return value
}

func (r *Reader) origin(name string) string {
	if r.IsSet(name) {
		return FromEnvironment
	}
	return FromDefault
}

// Text returns the value with invalid UTF-8 replaced and reported, since one
// such value makes a whole OTLP request undeliverable.
func (r *Reader) Text(name string) string {
	value := r.String(name)
	if !utf8.ValidString(value) {
		r.Report(name, "not valid UTF-8, bad bytes replaced")
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}

// Bool returns true for "true" in any case, false for "false" and unset.
func (r *Reader) Bool(name string) bool {
	value := strings.ToLower(r.value(name))
	if value == "true" || value == "false" {
		r.Holds(name, value, FromEnvironment)
		return value == "true"
	}
	if value != "" {
		r.Report(name, "not a boolean, taken as false")
	}
	r.Holds(name, "false", FromDefault)
	return false
}

// Int returns the number, or fallback when the variable is unset or not a
// number from least to most. A fallback below zero is for no limit.
func (r *Reader) Int(name string, fallback, least, most int) int {
	value := r.value(name)
	n, err := strconv.Atoi(value)
	if err == nil && n >= least && n <= most {
		r.Holds(name, strconv.Itoa(n), FromEnvironment)
		return n
	}
	if value != "" {
		r.Report(name, fmt.Sprintf("not a number from %d to %d, %d is used", least, most, fallback))
	}
	shown := strconv.Itoa(fallback)
	if fallback < 0 {
		shown = "no limit"
	}
	r.Holds(name, shown, FromDefault)
	return fallback
}

// Milliseconds returns the duration, or fallback when the variable is unset
// or not a whole number of milliseconds from least to a day.
func (r *Reader) Milliseconds(name string, fallback, least time.Duration) time.Duration {
	const most = 24 * time.Hour
	value := r.value(name)
	n, err := strconv.ParseInt(value, 10, 64)
	if err == nil && n >= least.Milliseconds() && n <= most.Milliseconds() {
		d := time.Duration(n) * time.Millisecond
		r.Holds(name, d.String(), FromEnvironment)
		return d
	}
	if value != "" {
		r.Report(name, fmt.Sprintf("not a whole number of milliseconds in range, %v is used", fallback))
	}
	r.Holds(name, fallback.String(), FromDefault)
	return fallback
}

// OneOf returns the value in lower case, or fallback when the variable is
// unset or not among the accepted values. With an empty fallback the caller
// decides, and calls [Reader.Holds].
func (r *Reader) OneOf(name, fallback string, accepted ...string) string {
	value := strings.ToLower(r.value(name))
	if slices.Contains(accepted, value) {
		r.Holds(name, value, FromEnvironment)
		return value
	}
	if value != "" {
		reason := "unknown value"
		if fallback != "" {
			reason += fmt.Sprintf(", %q is used", fallback)
		}
		r.Report(name, reason)
	}
	if fallback != "" {
		r.Holds(name, fallback, FromDefault)
	}
	return fallback
}

// ListOf returns the comma-separated values in lower case without repeats, or
// fallback when none of them is accepted. Unknown values are left out.
func (r *Reader) ListOf(name string, fallback []string, accepted ...string) []string {
	var values []string
	for i, value := range split(strings.ToLower(r.value(name))) {
		value = strings.TrimSpace(value)
		switch {
		case slices.Contains(values, value):
		case !slices.Contains(accepted, value):
			r.Report(name, fmt.Sprintf("member %d is unknown and left out", i+1))
		default:
			values = append(values, value)
		}
	}
	origin := FromEnvironment
	if len(values) == 0 {
		values, origin = fallback, FromDefault
	}
	r.Holds(name, strings.Join(values, ","), origin)
	return values
}

// Pairs returns the key=value members in their order, percent-decoded. A
// member that is malformed or whose key was there before is reported; the
// other members are kept, of equal keys the last. It returns false when a
// member was malformed.
func (r *Reader) Pairs(name string) (pairs []Pair, ok bool) {
	ok = true
	for i, member := range split(r.value(name)) {
		pair, problem := parsePair(member)
		if problem != "" {
			r.Report(name, fmt.Sprintf("member %d %s", i+1, problem))
			ok = false
		}
		if pair.Key == "" {
			continue
		}
		same := func(p Pair) bool { return p.Key == pair.Key }
		if before := slices.IndexFunc(pairs, same); before >= 0 {
			r.Report(name, fmt.Sprintf("member %d repeats a key, the last value is used", i+1))
			pairs = slices.Delete(pairs, before, before+1)
		}
		pairs = append(pairs, pair)
	}
	r.Holds(name, joined(pairs), r.origin(name))
	return pairs, ok
}

func joined(pairs []Pair) string {
	members := make([]string, len(pairs))
	for i, pair := range pairs {
		members[i] = pair.Key + "=" + pair.Value
	}
	return strings.Join(members, ",")
}

func split(list string) []string {
	members := strings.Split(list, ",")
	return slices.DeleteFunc(members, func(m string) bool { return strings.TrimSpace(m) == "" })
}

// parsePair returns an empty key when the member cannot be used at all.
func parsePair(member string) (pair Pair, problem string) {
	rawKey, rawValue, ok := strings.Cut(member, "=")
	if !ok {
		return Pair{}, "has no ="
	}
	key, err := url.PathUnescape(strings.TrimSpace(rawKey))
	if err != nil || key == "" {
		return Pair{}, "has a malformed key"
	}
	value, err := url.PathUnescape(strings.TrimSpace(rawValue))
	if err != nil {
		return Pair{}, "has a malformed percent-encoding"
	}
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		problem = "is not valid UTF-8, bad bytes replaced"
	}
	return Pair{strings.ToValidUTF8(key, "\uFFFD"), strings.ToValidUTF8(value, "\uFFFD")}, problem
}

// truncate bounds what a mistaken value can add to an error.
func truncate(value string, most int) string {
	if len(value) <= most {
		return value
	}
	return strings.ToValidUTF8(value[:most], "") + "..."
}
