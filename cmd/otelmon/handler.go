package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
)

// handler passes requests on until it is stopped, and knows of those that are
// under way. Safe for concurrent use.
type handler struct {
	next   http.Handler
	active atomic.Int64

	mu       sync.RWMutex
	stopped  bool
	requests sync.WaitGroup
}

// ServeHTTP returns when the request is done, also if it became an upgraded
// connection, of which http.Server does not know.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		http.Error(w, "The proxy is stopping.", http.StatusServiceUnavailable)
		return
	}
	defer h.requests.Done()
	h.active.Add(1)
	defer h.active.Add(-1)
	h.next.ServeHTTP(w, r)
}

func (h *handler) enter() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.stopped {
		h.requests.Add(1)
	}
	return !h.stopped
}

// stop refuses new requests.
func (h *handler) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
}

// wait reports whether all requests are done before ctx ends. It follows stop.
func (h *handler) wait(ctx context.Context) bool {
	done := make(chan struct{})
	go func() {
		h.requests.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
