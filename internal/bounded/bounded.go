// Package bounded provides a map that is read with every request and stops
// growing at a limit.
package bounded

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Map remembers a bounded number of values. Reading takes no lock and does not
// allocate; adding copies all, since that soon ends. The zero value is empty.
// Safe for concurrent use.
type Map[K comparable, V any] struct {
	values atomic.Pointer[map[K]V]
	adding sync.Mutex
}

// Get returns the value of the key, if it is there.
func (m *Map[K, V]) Get(key K) (V, bool) {
	value, ok := m.load()[key]
	return value, ok
}

// Add returns the value of the key: that of create, unless there is one. It
// reports false when limit others are there already.
func (m *Map[K, V]) Add(key K, limit int, create func() V) (V, bool) {
	if value, ok := m.Get(key); ok || len(m.load()) >= limit {
		return value, ok
	}
	m.adding.Lock()
	defer m.adding.Unlock()
	if value, ok := m.Get(key); ok || len(m.load()) >= limit {
		return value, ok
	}
	values := maps.Clone(m.load())
	if values == nil {
		values = map[K]V{}
	}
	value := create()
	values[key] = value
	m.values.Store(&values)
	return value, true
}

// GetOrMake returns the value of the key, which is made when there is none, and
// remembered unless limit others are.
func (m *Map[K, V]) GetOrMake(key K, limit int, create func() V) V {
	if value, ok := m.Get(key); ok {
		return value
	}
	if value, ok := m.Add(key, limit, create); ok {
		return value
	}
	return create()
}

// load returns what is not to be changed.
func (m *Map[K, V]) load() map[K]V {
	if values := m.values.Load(); values != nil {
		return *values
	}
	return nil
}
