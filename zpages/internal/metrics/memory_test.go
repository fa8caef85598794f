//go:build !race

package metrics_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

func TestMemoryIsBounded(t *testing.T) { // not parallel: others would be counted
	for name, tt := range map[string]struct {
		traffic *traffic
		limit   int64
	}{
		"few routes":                     {newTraffic(10), 1 << 19},
		"as many routes as have a place": {newTraffic(256), 3 << 20},
		"many routes":                    {newTraffic(2000), 4 << 20},
		"many routes and wide buckets":   {newTraffic(2000).everywhere(), 7 << 20},
	} {
		before := heap()
		store, now := filled(tt.traffic)
		used := heap() - before
		runtime.KeepAlive(tt.traffic)
		t.Logf("%s: %d KiB", name, used>>10)
		if used > tt.limit {
			t.Errorf("%s: a Store has %d bytes, want at most %d", name, used, tt.limit)
		}
		if got := len(store.View(now, metrics.Query{Window: 15 * time.Minute}).Routes); got < min(len(tt.traffic.points)/12, 256) {
			t.Errorf("%s: got %d rows", name, got)
		}
	}
}

// everywhere makes each series have as many boundaries as are kept, and many
// requests of all durations.
func (tr *traffic) everywhere() *traffic {
	tr.inEach = 200
	for _, p := range tr.points {
		p.Bounds, p.BucketCounts = ascending(64), make([]uint64, 65)
	}
	return tr
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
