package llm

import (
	"sync"
	"time"
)

const (
	// retryWindow is how long after a failed attempt the same request is
	// taken for its retry, besides what the server asked to wait.
	retryWindow = time.Minute
	// maxRetryAfter bounds what servers ask for.
	maxRetryAfter = time.Hour
	// maxAttempts is how many requests are remembered whose attempts ended.
	maxAttempts = 8192
)

// attempts remembers those that ended lately, by hashes of their requests. The
// zero value is empty. Safe for concurrent use.
type attempts struct {
	mu     sync.Mutex
	byHash map[uint64]*ended
	oldest []uint64 // a ring, to forget by
	next   int
}

// ended are the attempts with one request that nobody has tried again yet.
type ended struct {
	count       int
	first, last time.Time // when they ended
	wait        time.Duration
	spent       spent // by the last
	slot        int   // in the ring
}

// spent is what an attempt took.
type spent struct {
	tokens tokens
	cost   cost
}

// remember notes the end of an attempt of which a retry may follow, for as long
// as the server asked to wait and a while.
func (a *attempts) remember(hash uint64, now time.Time, wait time.Duration, took spent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byHash == nil {
		a.byHash, a.oldest = map[uint64]*ended{}, make([]uint64, maxAttempts)
	}
	e := a.byHash[hash]
	if e == nil {
		a.forget(a.oldest[a.next], a.next)
		e = &ended{first: now, slot: a.next}
		a.byHash[hash], a.oldest[a.next] = e, hash
		a.next = (a.next + 1) % maxAttempts
	}
	e.count++
	e.last, e.wait, e.spent = now, wait, took
}

// forget makes room in the slot of the ring.
func (a *attempts) forget(hash uint64, slot int) {
	if e := a.byHash[hash]; e != nil && e.slot == slot {
		delete(a.byHash, hash)
	}
}

// take returns what an attempt took of which one that began at start is a
// retry, and forgets that attempt.
func (a *attempts) take(hash uint64, start time.Time) (spent, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.byHash[hash]
	if e == nil || start.Before(e.first) {
		return spent{}, false
	}
	if e.count--; e.count == 0 {
		delete(a.byHash, hash)
	}
	if start.After(e.last.Add(retryWindow + e.wait)) {
		delete(a.byHash, hash)
		return spent{}, false
	}
	return e.spent, true
}
