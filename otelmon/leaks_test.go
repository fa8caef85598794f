package otelmon_test

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// Not parallel: counts the process's goroutines and descriptors, and sets the
// globals.
func TestSetupAndShutdownThousandTimesLeaveNothingBehind(t *testing.T) {
	unauthenticated := faultcollector.Reply{Code: codes.Unauthenticated}
	partial := faultcollector.Reply{Rejected: 1, Message: "one is bad"}
	garbage := faultcollector.Reply{Body: []byte("\xff\xff no message")}
	answer := func(reply faultcollector.Reply) func(*faultcollector.Collector) {
		return func(c *faultcollector.Collector) { c.Answer(faultcollector.Always(reply)) }
	}
	const answers, silent = 5 * time.Second, 5 * time.Millisecond
	for name, row := range map[string]struct {
		fault    func(*faultcollector.Collector)
		deadline time.Duration // of a shutdown
	}{
		"a Collector that works":        {func(*faultcollector.Collector) {}, answers},
		"a Collector that is down":      {(*faultcollector.Collector).Refuse, silent},
		"a Collector that hangs":        {(*faultcollector.Collector).Hang, silent},
		"credentials that are refused":  {answer(unauthenticated), answers},
		"spans that are refused":        {answer(partial), answers},
		"answers that make no sense":    {answer(garbage), answers},
		"an end before the first flush": {func(*faultcollector.Collector) {}, time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			collector := faultcollector.Start(t)
			collector.KeepIDsOnly()
			row.fault(collector)
			cycle := func(i int) {
				endpoint := []string{collector.GRPC, collector.HTTP}[i%2]
				cycle(t, exporters.OTLP{Endpoint: endpoint, Protocol: protocols[i%2]}, row.deadline)
			}
			for i := range 10 {
				cycle(i)
			}
			goroutines, files := settled(t, 0, 0)
			heap := heapInUse()
			for i := range 143 { // 1,001 in all
				cycle(i)
			}
			afterGoroutines, afterFiles := settled(t, goroutines, files)
			const mostBytes = 2 << 20
			if after := heapInUse(); after > heap+mostBytes {
				t.Errorf("the heap grew from %d to %d bytes", heap, after)
			}
			if afterGoroutines > goroutines || afterFiles > files {
				stacks := make([]byte, 1<<16)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Errorf("got %d goroutines and %d descriptors, want no more than %d and %d\n%s", afterGoroutines, afterFiles, goroutines, files, stacks)
			}
		})
	}
}

// cycle sets up, records a span and a log record, and shuts down.
func cycle(t *testing.T, push exporters.OTLP, deadline time.Duration) {
	t.Helper()
	sdk, err := otelmon.Setup(t.Context(), otelmon.Config{
		ServiceName: "test",
		Logger:      newLines().logger(),
		Prometheus:  exporters.Prometheus{Address: "127.0.0.1:0"},
		OTLP:        push,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(t.Context(), "operation")
	span.End()
	slog.New(sdk.SlogHandler(nil)).InfoContext(t.Context(), "done")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	_ = sdk.Shutdown(ctx) // what it could not deliver is another test's matter
}

// settled counts goroutines and descriptors once they are down to the given
// numbers, or when patience ends.
func settled(t *testing.T, goroutines, files int) (int, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	lastGoroutines, lastFiles := -1, -1
	for same := 0; ; {
		nowGoroutines, nowFiles := runtime.NumGoroutine(), openFiles()
		if goroutines > 0 && nowGoroutines <= goroutines && nowFiles <= files {
			return nowGoroutines, nowFiles
		}
		same++
		if nowGoroutines != lastGoroutines || nowFiles != lastFiles {
			same = 0
		}
		lastGoroutines, lastFiles = nowGoroutines, nowFiles
		select {
		case <-tick.C:
			if goroutines == 0 && same > 20 {
				return nowGoroutines, nowFiles
			}
		case <-ctx.Done():
			return nowGoroutines, nowFiles
		}
	}
}

// heapInUse is what the heap holds after two collections, the second of which
// takes what finalizers kept.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// openFiles counts the process's descriptors, 0 where the system has no list.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
