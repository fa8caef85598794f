//go:build !race

package metrics_test

import (
	"runtime"
	"testing"

	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

func TestMemoryIsBounded(t *testing.T) { // not parallel: others would be counted
	for routes, limit := range map[int]int64{256: 8 << 20, 2000: 10 << 20, 10: 1 << 20} {
		tr := newTraffic(routes)
		before := heap()
		store, now := filled(tr)
		used := heap() - before
		runtime.KeepAlive(tr)
		t.Logf("%d routes: %d KiB", routes, used>>10)
		if used > limit {
			t.Errorf("a Store with %d routes has %d bytes, want at most %d", routes, used, limit)
		}
		if got := len(store.View(now, metrics.Query{}).Routes); got < min(routes, 256) {
			t.Errorf("got %d rows, want all that have a place", got)
		}
	}
}

// heap returns the bytes that are in use.
func heap() int64 {
	var stats runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
