package middleware

import (
	"maps"
	"sync"
	"sync/atomic"
)

// cache remembers a bounded number of values. Reading takes no lock and does not
// allocate; adding copies all, since that soon ends. The zero value is empty.
type cache[K comparable, V any] struct {
	values atomic.Pointer[map[K]V]
	mu     sync.Mutex // held while adding
}

func (c *cache[K, V]) get(key K) (V, bool) {
	if values := c.values.Load(); values != nil {
		v, ok := (*values)[key]
		return v, ok
	}
	var none V
	return none, false
}

// add returns the value remembered for the key: that of create, unless another
// goroutine was faster. It reports false when limit others are there already.
func (c *cache[K, V]) add(key K, limit int, create func() V) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.get(key); ok {
		return v, true
	}
	values := map[K]V{}
	if old := c.values.Load(); old != nil {
		values = maps.Clone(*old)
	}
	if len(values) >= limit {
		var none V
		return none, false
	}
	v := create()
	values[key] = v
	c.values.Store(&values)
	return v, true
}
