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
	reached  bool           // the peer has answered
	failing  bool           // the last attempt got no answer
	since    time.Time      // when trouble began; zero when there is none
	lost     lossesBySignal // since then
	lastLoss time.Time
}

// attempt takes the outcome of an attempt; nil is an answer.
func (h *health) attempt(err error) {
	h.mu.Lock()
	before, now := h.failing, time.Now()
	h.failing = err != nil
	h.reached = h.reached || err == nil
	began := err != nil && h.since.IsZero()
	if began {
		h.since = now
	}
	over := err == nil && !h.since.IsZero() && (before || now.Sub(h.lastLoss) >= calm)
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
