package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/otelmon/toolkit/proxy"
)

// handler serves each request with the latest proxy to its end. A proxy that
// was replaced is closed after its last request. Safe for concurrent use.
type handler struct {
	active atomic.Int64 // requests under way

	mu      sync.RWMutex
	current *generation
	retired sync.WaitGroup // generations that have requests yet
}

type generation struct {
	proxy    *proxy.Proxy
	requests sync.WaitGroup
}

// ServeHTTP returns when the request is done, also if it became an upgraded
// connection, of which http.Server does not know.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := h.enter()
	if g == nil {
		http.Error(w, "The proxy is stopping.", http.StatusServiceUnavailable)
		return
	}
	defer g.requests.Done()
	h.active.Add(1)
	defer h.active.Add(-1)
	g.proxy.ServeHTTP(w, r)
}

func (h *handler) enter() *generation {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.current != nil {
		h.current.requests.Add(1)
	}
	return h.current
}

// swap has new requests go to next; nil refuses them.
func (h *handler) swap(next *proxy.Proxy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.current; old != nil {
		h.retired.Go(func() {
			old.requests.Wait()
			old.proxy.Close()
		})
	}
	h.current = nil
	if next != nil {
		h.current = &generation{proxy: next}
	}
}

// wait reports whether all proxies that were replaced are closed before ctx
// ends.
func (h *handler) wait(ctx context.Context) bool {
	done := make(chan struct{})
	go func() {
		h.retired.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
