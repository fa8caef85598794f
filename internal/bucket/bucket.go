// Package bucket limits how often something happens.
package bucket

import (
	"math"
	"sync/atomic"
	"time"
)

// Bucket is a token bucket: so many a second on average, and a burst of so
// many at once after a quiet time. Safe for concurrent use; it takes no lock.
type Bucket struct {
	start    time.Time
	interval int64        // nanoseconds for one token
	slack    int64        // nanoseconds that the burst is ahead
	full     atomic.Int64 // when the bucket is full again, in nanoseconds since start
	rate     float64
}

// New returns a full Bucket. A rate of zero or less, or NaN, never allows; one
// above a thousand million always does. A burst below one counts as one.
func New(perSecond float64, burst int) *Bucket {
	b := &Bucket{start: time.Now(), rate: perSecond}
	if perSecond > 0 {
		b.interval = int64(math.Min(float64(time.Second)/perSecond, math.MaxInt64/4))
		b.slack = int64(math.Min(float64(b.interval)*float64(max(burst, 1)-1), math.MaxInt64/4))
	}
	return b
}

// Take takes a token and reports whether there was one.
func (b *Bucket) Take() bool {
	switch {
	case !(b.rate > 0): // NaN neither
		return false
	case b.interval == 0:
		return true
	}
	now := int64(time.Since(b.start))
	for {
		full := b.full.Load()
		next := max(full, now) + b.interval
		if next-now > b.interval+b.slack {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}
