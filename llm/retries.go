package llm

import (
	"sync"
	"time"
)

const (
	// retryWindow is how long after a failed attempt the same request is
	// taken for its retry, besides what the server asked to wait.
	retryWindow = time.Minute
	// maxAttempts is how many ended attempts are remembered.
	maxAttempts = 1024
)

// attempts remembers those that ended lately, by hashes of their requests.
type attempts struct {
	mu     sync.Mutex
	byHash map[uint64]attempt
	oldest []uint64 // a ring, to forget by
	next   int
}

// attempt is one that ended.
type attempt struct {
	ended, until time.Time
	tokens       tokens
	cost         cost
}

// remember notes the end of an attempt of which a retry may follow.
func (a *attempts) remember(hash uint64, ended attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byHash == nil {
		a.byHash = map[uint64]attempt{}
		a.oldest = make([]uint64, maxAttempts)
	}
	delete(a.byHash, a.oldest[a.next])
	a.oldest[a.next] = hash
	a.next = (a.next + 1) % maxAttempts
	a.byHash[hash] = ended
}

// take returns the attempt that one which began at start is a retry of, and
// forgets it.
func (a *attempts) take(hash uint64, start time.Time) (attempt, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, ok := a.byHash[hash]
	if !ok || start.Before(before.ended) {
		return attempt{}, false
	}
	delete(a.byHash, hash)
	return before, !start.After(before.until)
}
