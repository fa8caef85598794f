package spans

import (
	"cmp"
	"slices"
	"time"

	"github.com/otelmon/toolkit/zpages/internal/text"
)

const (
	maxFailures = 50          // traces that failed, and as many that panicked
	maxAlike    = 5           // of them with one name and type
	again       = time.Second // for one more of these to take the place of another

	maxSlow       = 50 // traces
	maxSlowAge    = 15 * time.Minute
	slowWindow    = 3 * time.Minute
	maxSlowWindow = 10 // traces that ended in one window
	maxSlowAlike  = 3  // of them with one name
)

// class is why a trace is kept. What is worse is greater.
type class int

const (
	unremarkable class = iota
	slow
	failed
	panicked
	classes = iota
)

// judge decides about the trace of a local root that has just ended. If it is kept
// for another root already, the row becomes that of this one if this is worse, or as
// bad and no leftover of the other: it is around that, or newer.
func (s *Store) judge(r *record, root *span) {
	c, now := r.classOf(root), time.Now()
	switch {
	case c > slow && (c > r.class || c == r.class && root.entry):
		if r.class != unremarkable || !s.repeated(c, root.name, r.errorType(root), now) {
			s.keep(r, c, root, now)
		}
	case r.class == unremarkable, r.class == slow && root.duration() > r.duration:
		if s.isSlow(root.name, root.duration(), now) {
			s.keep(r, slow, root, now)
		}
	}
	if len(r.open) > 0 {
		return
	}
	r.call = nil // was of the roots so far
	if r.class == unremarkable {
		s.forget(r)
	}
}

func (r *record) classOf(root *span) class {
	switch {
	case root.panicked():
		return panicked
	case root.failed(), r.call != nil:
		return failed
	}
	return unremarkable
}

// keep lists the trace with this root, in place of one that is worth less.
func (s *Store) keep(r *record, c class, root *span, now time.Time) {
	s.unlist(r)
	r.class, r.ended, r.duration = c, now, root.duration()
	r.row, r.kind = newRow(r, root), cut(r.errorType(root), maxLine)
	r.spans, r.bytes = slices.Clone(r.spans), 0
	for i := range r.spans {
		r.spans[i].detach()
		r.bytes += r.spans[i].bytes
	}
	s.keptBytes += r.bytes
	s.expire(now)
	if rival := s.rival(r); rival != nil {
		s.forget(rival)
	}
	s.kept[c] = append(s.kept[c], r)
}

// repeated tells whether a trace would only push out another that is as bad, and
// one alike was kept a moment ago.
func (s *Store) repeated(c class, name, errorType string, now time.Time) bool {
	name, errorType = text.Cut(name, maxLine), text.Cut(errorType, maxLine)
	alike, recent := 0, false
	for _, r := range s.kept[c] {
		if r.row.Name == name && r.kind == errorType {
			alike++
			recent = now.Sub(r.ended) < again
		}
	}
	return recent && (alike >= maxAlike || len(s.kept[c]) >= maxFailures)
}

// rival returns the trace that has to go for r, or nil if there is room.
func (s *Store) rival(r *record) *record {
	if r.class == slow {
		return s.slowRival(r.row.Name, r.ended)
	}
	return failureRival(s.kept[r.class], r)
}

// failureRival returns the oldest of those alike, or else of those with the name
// that has most, so that what fails often does not hide what fails rarely.
func failureRival(list []*record, r *record) *record {
	names, alike := map[string]int{}, 0
	var oldest *record
	for _, other := range list {
		names[other.row.Name]++
		if other.row.Name == r.row.Name && other.kind == r.kind {
			alike++
			oldest = cmp.Or(oldest, other)
		}
	}
	if alike >= maxAlike {
		return oldest
	}
	if len(list) < maxFailures {
		return nil
	}
	oldest = list[0]
	for _, other := range list {
		if names[other.row.Name] > names[oldest.row.Name] {
			oldest = other
		}
	}
	return oldest
}

// floor is what the fastest of a window that is full has taken: no root of that
// window that took no longer is among the slowest.
type floor struct {
	window, duration time.Duration
	known            bool
}

// isSlow tells whether a root is among the slowest of its time.
func (s *Store) isSlow(name string, duration time.Duration, now time.Time) bool {
	if s.floor.known && s.floor.window == s.window(now) && duration <= s.floor.duration {
		return false
	}
	rival := s.slowRival(text.Cut(name, maxLine), now)
	return rival == nil || duration > rival.duration
}

// slowRival returns the fastest of those with the name, or else of all that
// ended in the same window: neither a burst nor one slow route hides the rest.
func (s *Store) slowRival(name string, ended time.Time) *record {
	window, all, alike := s.window(ended), 0, 0
	var fastest, fastestAlike *record
	for _, other := range slices.Backward(s.kept[slow]) {
		if s.window(other.ended) != window {
			break // and so did all before
		}
		all++
		if fastest == nil || other.duration < fastest.duration {
			fastest = other
		}
		if other.row.Name != name {
			continue
		}
		alike++
		if fastestAlike == nil || other.duration < fastestAlike.duration {
			fastestAlike = other
		}
	}
	if all >= maxSlowWindow {
		s.floor = floor{window, fastest.duration, true}
	}
	switch {
	case alike >= maxSlowAlike:
		return fastestAlike
	case all >= maxSlowWindow:
		return fastest
	}
	return nil
}

func (s *Store) window(t time.Time) time.Duration { return t.Sub(s.began) / slowWindow }

// expire forgets what was slow long ago.
func (s *Store) expire(now time.Time) {
	for len(s.kept[slow]) > 0 && now.Sub(s.kept[slow][0].ended) > maxSlowAge {
		s.forget(s.kept[slow][0])
	}
}

// oldest returns the trace that is kept for longest. There is one.
func (s *Store) oldest() *record {
	var oldest *record
	for _, list := range s.kept {
		if len(list) > 0 && (oldest == nil || list[0].ended.Before(oldest.ended)) {
			oldest = list[0]
		}
	}
	return oldest
}
