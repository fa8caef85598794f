package exporters

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Losses is what a pipeline could not deliver from its start to one moment. The
// zero value is nothing.
type Losses struct {
	signals []signalLosses
}

type signalLosses struct {
	signal, address string
	tally
}

// tally counts what one signal could not deliver. Its numbers only grow, so
// that those who compare two moments do not disturb each other.
type tally struct {
	lost   int   // for good
	missed int   // by exports whose successor carries the same again
	madeUp int   // of missed, what had a successor
	err    error // the latest, since an outage repeats itself
}

// since returns how much was not delivered after an earlier moment. What was
// missed counts when no export came after it.
func (t tally) since(before tally) int {
	return t.lost - before.lost + t.missed - max(before.missed, t.madeUp)
}

// Since returns an error that says how many spans, metrics and log records were
// not delivered after an earlier moment of the same pipeline, and the latest
// reason; nil when all were. There is one line for each address and reason.
// Metrics count by their last export, as they are cumulative; with delta
// temporality each export counts.
func (l Losses) Since(before Losses) error {
	var errs []error
	var all []*undelivered
	for i, now := range l.signals {
		var then tally
		if i < len(before.signals) {
			then = before.signals[i].tally
		}
		n := now.since(then)
		if n <= 0 {
			continue
		}
		reason := brief(now.err)
		same := func(u *undelivered) bool { return u.address == now.address && u.reason == reason }
		at := slices.IndexFunc(all, same)
		if at < 0 {
			at = len(all)
			all = append(all, &undelivered{address: now.address, reason: reason})
			errs = append(errs, all[at])
		}
		all[at].signals = append(all[at].signals, fmt.Sprintf("%s (%d)", now.signal, n))
		all[at].causes = append(all[at].causes, now.err)
	}
	return errors.Join(errs...)
}

// undelivered is what could not be sent to one address for one reason.
type undelivered struct {
	address, reason string
	signals         []string
	causes          []error
}

func (u *undelivered) Error() string {
	return fmt.Sprintf("not delivered to %s: %s: %s", u.address, strings.Join(u.signals, ", "), u.reason)
}

func (u *undelivered) Unwrap() []error { return u.causes }
