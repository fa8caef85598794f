package exporters

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/diag"
)

// calm is how long nothing is to be lost, while the peer answers, for trouble to
// be over.
const calm = 10 * time.Second

// health tells about the deliveries over one connection: a line when the peer
// cannot be reached, one when something is lost, then at most one a minute, and
// one when that is over.
type health struct {
	address string
	log     *diag.Log

	mu       sync.Mutex
	reached  bool            // the peer has answered
	failing  bool            // the last attempt got no answer
	refused  map[string]bool // signals of which the latest answer refused something
	since    time.Time       // when trouble began; zero when there is none
	lost     lossesBySignal  // since then
	lastLoss time.Time
	returned chan struct{} // closed when the peer is back
}

// back returns a channel that is closed when the peer is back.
func (h *health) back() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.returned == nil {
		h.returned = make(chan struct{})
	}
	return h.returned
}

// attempt takes the outcome of an attempt: an error is no answer, and an answer
// may refuse all or some of what was sent.
func (h *health) attempt(signal string, err error, refused bool) {
	h.mu.Lock()
	before, now := h.failing, time.Now()
	h.failing = err != nil
	h.reached = h.reached || err == nil
	began := err != nil && h.since.IsZero()
	if began {
		h.since = now
	}
	h.note(signal, err == nil, refused)
	quiet := now.Sub(h.lastLoss) >= calm && len(h.refused) == 0
	over := err == nil && !refused && !h.since.IsZero() && (before || quiet)
	if err == nil && before && h.returned != nil {
		close(h.returned)
		h.returned = nil
	}
	after, lost := now.Sub(h.since), h.lost
	if over {
		h.since, h.lost = time.Time{}, nil
	}
	h.mu.Unlock()
	switch {
	case over:
		h.log.Info("recovered "+h.address, "recovered, telemetry is delivered again", "endpoint", h.address,
			"after", after.Round(time.Millisecond).String(), "lost", lost.String())
	case err != nil && !before:
		h.log.Warn("failing "+h.address, "cannot deliver telemetry, trying on", "endpoint", h.address, "error", brief(err))
	}
}

// note remembers which signals are refused. The mutex is held.
func (h *health) note(signal string, answered, refused bool) {
	switch {
	case !answered: // says nothing about it
	case !refused:
		delete(h.refused, signal)
	case h.refused == nil:
		h.refused = map[string]bool{signal: true}
	default:
		h.refused[signal] = true
	}
}

// lose takes what is lost, by reason.
func (h *health) lose(signal string, lost map[string]int, err error) {
	if len(lost) == 0 {
		return
	}
	h.mu.Lock()
	message := "telemetry is being lost"
	if h.lost[signal] == nil {
		message = "loss of telemetry started"
	}
	h.lastLoss = time.Now()
	if h.since.IsZero() {
		h.since = h.lastLoss
	}
	if h.lost == nil {
		h.lost = make(lossesBySignal)
	}
	all := h.lost[signal]
	for reason, n := range lost {
		add(&all, reason, n)
	}
	h.lost[signal] = all
	text := byReason(all)
	h.mu.Unlock()
	if err == nil {
		err = errors.New("there is no room left")
	}
	h.log.Warn("loss "+h.address+signal, message, "endpoint", h.address, "signal", signal, "lost", text, "error", brief(err))
}

// state says whether the peer ever answered and whether the last attempt
// failed.
func (h *health) state() (reached, failing bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reached, h.failing
}

// lossesBySignal are numbers of items by signal and reason.
type lossesBySignal map[string]map[string]int

// String is "0", or such as "logs: 3 401; traces: 512 queue_full, 7 rejected".
func (l lossesBySignal) String() string {
	if len(l) == 0 {
		return "0"
	}
	var parts []string
	for _, signal := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, signal+": "+byReason(l[signal]))
	}
	return strings.Join(parts, "; ")
}

func byReason(lost map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(lost)) {
		parts = append(parts, fmt.Sprintf("%d %s", lost[reason], reason))
	}
	return strings.Join(parts, ", ")
}
