package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of the memory that the answers of one API take, in bytes: of all of
// them, and of one value in them, which may have two bytes there.
const (
	maxDecoded = 128 << 20
	perValue   = 128
)

// A decoder decodes answers for as long as there is room for them. Safe for
// concurrent use.
type decoder struct{ taken atomic.Int64 }

// full says that there is no room for another answer.
func (d *decoder) full() bool { return d.taken.Load() > maxDecoded }

func (d *decoder) decode(text []byte, data any) error {
	if d.taken.Add(int64(len(text)+perValue*countValues(text))) > maxDecoded {
		return errTooLarge
	}
	return json.Unmarshal(text, data)
}

// countValues returns how many values a text of JSON has at most, by what
// separates them.
func countValues(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++ // what is escaped does not end it
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// A statusError is an answer that is not what was asked for.
type statusError struct {
	path   string
	status int
	text   string // "" for a web page
}

func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("%s answers %d with a web page", e.path, e.status)
	}
	return fmt.Sprintf("%s answers %d: %s", e.path, e.status, e.text)
}

// unexpected describes an answer that has another status or form than it should.
func unexpected(path string, a answer) error {
	e := &statusError{path: path, status: a.status, text: "nothing"}
	switch text := printable(string(a.body)); {
	case strings.HasPrefix(text, "<"), strings.HasPrefix(a.header.Get("Content-Type"), "text/html"):
		e.text = ""
	case a.status >= 300 && a.status < 400:
		e.text = "go to " + printable(shown(a.header.Get("Location")))
	case text != "":
		e.text = text
	}
	return e
}

// isMissing says that the server does not have what it was asked for.
func isMissing(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed || e.status == http.StatusNotImplemented)
}

// isRefused says that the server understood a request and did not like it.
func isRefused(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusBadRequest || e.status == http.StatusUnprocessableEntity)
}

// unauthorized says that the server wants other credentials.
func unauthorized(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusUnauthorized || e.status == http.StatusForbidden)
}

// notAPI is the finding that a URL does not lead to what it is said to be.
func notAPI(part, name, base string, err error) Finding {
	if errors.Is(err, errInterrupted) {
		return unfinished(part, "asking "+shown(base), errInterrupted)
	}
	f := Finding{Part: part, Check: "reachable", Level: Failure, Message: shown(base) + ": " + err.Error()}
	status := 0
	if e, ok := errors.AsType[*statusError](err); ok {
		status = e.status
	}
	switch {
	case errors.Is(err, errTooLarge):
		f.Advice = "Give the URL where the API of " + name + " begins."
	case status == 0:
		f.Advice = name + " has to run there, and be reachable from here: check the host, the port and firewalls."
	case unauthorized(err):
		f.Advice = credentialsAdvice(base)
	case status >= 500:
		f.Advice = name + " may still be starting: try again, and see its log."
	default:
		f.Advice = "Give the URL where the API of " + name + " begins, without the path of a page of it, and with the prefix of a proxy if there is one."
	}
	return f
}

// maxClockDifference is more than the whole seconds of a Date header explain.
const maxClockDifference = 5 * time.Second

// clockFinding compares the clock of a server with this one; nothing for one that
// does not tell the time.
func clockFinding(part string, a answer) []Finding {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return nil
	}
	f := Finding{Part: part, Check: "clock", Message: "its clock agrees with the one here"}
	if ahead := time.Until(date).Round(time.Second); ahead.Abs() > maxClockDifference {
		f.Level = Warning
		f.Message = fmt.Sprintf("its clock is %s %s", rounded(ahead.Abs()), map[bool]string{true: "ahead", false: "behind"}[ahead > 0])
		f.Advice = "Let both hosts keep time by NTP: what is pushed with a wrong time is refused, or not seen yet."
	}
	return []Finding{f}
}
