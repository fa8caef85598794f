package exporters

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/diag"
)

// calm is how long nothing is to be lost, while the peer answers, for trouble
// without an outage to be over; lenient is how long another signal stands in the
// way that got no answer or was refused, which may not be heard of again.
const (
	calm    = 10 * time.Second
	lenient = 2 * time.Minute
)

// health tells about the deliveries over one connection: a line when the peer
// cannot be reached, one when something is lost, then at most one a minute, and
// one when that is over. A line that comes too soon after the last of its kind
// is written later, if it is still true. Safe for concurrent use.
type health struct {
	address string
	log     *diag.Log

	mu       sync.Mutex
	reached  bool      // the peer has answered
	since    time.Time // when trouble began; zero when there is none
	outage   bool      // it is more than losses
	until    time.Time // when it was over; zero while it goes on
	told     bool      // that the peer cannot be reached
	problem  error     // of the last attempt without an answer
	lastLoss time.Time
	signals  map[string]*signalHealth
	returned chan struct{} // closed when the peer is back
}

type signalHealth struct {
	attempts
	failed  time.Time      // when its last attempt got no answer; zero if it did
	waits   time.Time      // until when the peer wants no other attempt
	refused time.Time      // when its last answer refused something; zero if it did not
	lost    map[string]int // since trouble began, by reason
}

// attempts is how those of one signal went.
type attempts struct {
	up        bool      // the last one was acknowledged
	since     time.Time // when that began; zero before the first
	problem   string    // the latest, also when it is over
	problemAt time.Time
}

func (a *attempts) note(o outcome, now time.Time) {
	if up := o.failure == nil; up != a.up || a.since.IsZero() {
		a.up, a.since = up, now
	}
	if err := o.err(); err != nil {
		a.problem, a.problemAt = brief(err), now
	}
}

func newHealth(address string, log *diag.Log) *health {
	return &health{address: address, log: log, signals: make(map[string]*signalHealth), returned: make(chan struct{})}
}

// back returns a channel that is closed when the peer is back.
func (h *health) back() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.returned
}

// of returns the health of a signal. The mutex is held.
func (h *health) of(signal string) *signalHealth {
	s := h.signals[signal]
	if s == nil {
		s = &signalHealth{}
		h.signals[signal] = s
	}
	return s
}

// attempt takes the outcome of an attempt: there is no answer when it is to be
// made again, and an answer may refuse all or some of what was sent.
func (h *health) attempt(signal string, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, now := h.of(signal), time.Now()
	s.note(o, now)
	if f := o.failure; f != nil && f.retry {
		s.failed, h.outage, h.problem, h.until = now, true, f.err, time.Time{}
		if h.since.IsZero() {
			h.since = now
		}
		h.tellFailing(signal)
		return
	}
	if !s.failed.IsZero() { // the others need not wait
		close(h.returned)
		h.returned = make(chan struct{})
	}
	h.reached = true
	s.failed, s.waits, s.refused = time.Time{}, time.Time{}, time.Time{}
	if o.failure != nil || o.rejected > 0 {
		s.refused = now
		return
	}
	if h.until.IsZero() && h.over(now) {
		h.until, h.problem = now, nil
	}
	h.tellRecovered()
}

// wait is told how long the peer wants to be left alone by a signal.
func (h *health) wait(signal string, while time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of(signal).waits = time.Now().Add(while)
}

// over reports whether a delivery ends the trouble. The mutex is held.
func (h *health) over(now time.Time) bool {
	if h.since.IsZero() {
		return false
	}
	for _, s := range h.signals {
		if now.Sub(s.failed) < lenient || now.Before(s.waits) || s.lost != nil && now.Sub(s.refused) < lenient {
			return false
		}
	}
	return h.outage || now.Sub(h.lastLoss) >= calm
}

// tellFailing is called with the mutex held, as the next one: lines of two
// signals do not overtake each other.
func (h *health) tellFailing(signal string) {
	if !h.told {
		h.told = h.log.Try(slog.LevelWarn, "failing "+h.address, "cannot deliver telemetry, trying on",
			"endpoint", h.address, "signal", signal, "error", brief(h.problem))
	}
}

func (h *health) tellRecovered() {
	if h.until.IsZero() {
		return
	}
	lost := h.lostText()
	if (h.told || lost != "0") && !h.log.Try(slog.LevelInfo, "recovered "+h.address, "recovered, telemetry is delivered again",
		"endpoint", h.address, "after", h.until.Sub(h.since).Round(time.Millisecond).String(), "lost", lost) {
		return
	}
	h.since, h.until, h.outage, h.told, h.problem = time.Time{}, time.Time{}, false, false, nil
	for _, s := range h.signals {
		s.lost = nil
	}
}

// lostText is "0", or such as "logs: 3 401; traces: 512 queue_full, 7 rejected".
func (h *health) lostText() string {
	var parts []string
	for _, signal := range slices.Sorted(maps.Keys(h.signals)) {
		if lost := h.signals[signal].lost; len(lost) > 0 {
			parts = append(parts, signal+": "+byReason(lost))
		}
	}
	if parts == nil {
		return "0"
	}
	return strings.Join(parts, "; ")
}

func byReason[N int | int64](lost map[string]N) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(lost)) {
		parts = append(parts, fmt.Sprintf("%d %s", lost[reason], reason))
	}
	return strings.Join(parts, ", ")
}

// lose takes what is lost, by reason. An error says more about it.
func (h *health) lose(signal string, lost map[string]int, err error) {
	if len(lost) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.of(signal)
	message := "telemetry is being lost"
	if s.lost == nil {
		message = "loss of telemetry started"
	}
	h.lastLoss, h.until = time.Now(), time.Time{}
	if h.since.IsZero() {
		h.since = h.lastLoss
	}
	for reason, n := range lost {
		add(&s.lost, reason, n)
	}
	h.tellLoss(signal, message, err)
}

func (h *health) tellLoss(signal, message string, err error) {
	class := "loss " + h.address + " " + signal
	if !h.log.Due(class) {
		return
	}
	args := []any{"endpoint", h.address, "signal", signal, "lost", byReason(h.of(signal).lost)}
	if err == nil {
		err = h.problem
	}
	if err != nil {
		args = append(args, "error", brief(err))
	}
	h.log.Warn(class, message, args...)
}

// miss takes metrics that were not taken and that the next export carries again.
func (h *health) miss(points int64, err error) {
	h.log.Warn("missed "+h.address, "metrics were not taken, the next export carries them again",
		"endpoint", h.address, "points", points, "error", brief(err))
}

// fail takes why something of a signal was not delivered, sent or not.
func (h *health) fail(signal string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.of(signal)
	s.problem, s.problemAt = brief(err), time.Now()
}

// attemptsOf returns how those of a signal went.
func (h *health) attemptsOf(signal string) attempts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of(signal).attempts
}

// state says whether the peer ever answered, and what is wrong; nil for nothing.
func (h *health) state() (reached bool, problem error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.signals {
		if !s.failed.IsZero() {
			return h.reached, h.problem
		}
	}
	return h.reached, nil
}
