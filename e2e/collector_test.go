package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/e2e/harness"
)

const (
	acceptedSpans      = "otelcol_receiver_accepted_spans_total"
	queueSize          = "otelcol_exporter_queue_size"
	sentSpans          = "otelcol_exporter_sent_spans_total"
	enqueueFailedSpans = "otelcol_exporter_enqueue_failed_spans_total"
)

// The tests below run one after the other, since each keeps two cores busy.

// A Collector that is killed loses nothing that it has accepted, and its
// clients send again what it has not.
func TestCollectorKilledUnderLoad(t *testing.T) {
	const kills = 10
	traces := harness.StartTraceSink(t)
	collector := harness.NewCollector(t, t.TempDir(), traces, harness.FreeAddress(t))
	collector.Start(t)
	load := startLoad(t, collector, "killed", 0)
	for range kills {
		waitMetric(t, collector, acceptedSpans, nil, 100)
		waitMetric(t, collector, queueSize, map[string]string{"data_type": "traces"}, 1)
		collector.Kill()
		collector.Start(t)
	}
	sent := load.stop(t)
	duplicates := waitDelivered(t, traces, "killed", sent)
	t.Logf("%d kills: %d spans sent, all delivered, %d deliveries too many", kills, len(sent), duplicates)
	// What is on its way may be sent again: a request of the client's, with 512
	// spans at most, or a batch of the Collector's, with those of a second.
	if limit := kills * 512; duplicates > limit {
		t.Errorf("got %d deliveries too many, want %d at most", duplicates, limit)
	}
}

// Retries together with a stored queue are what keeps spans when the Collector
// ends while the backend is down.
func TestCollectorRestartedWhileBackendIsDown(t *testing.T) {
	tests := map[string]func(*testing.T, *harness.Collector){
		"it is asked to end": func(t *testing.T, c *harness.Collector) { c.Terminate(t) },
		"it is killed":       func(_ *testing.T, c *harness.Collector) { c.Kill() },
	}
	for title, end := range tests {
		t.Run(title, func(t *testing.T) {
			traces := harness.StartTraceSink(t)
			collector := harness.NewCollector(t, t.TempDir(), traces, harness.FreeAddress(t))
			collector.Start(t)
			traces.Stop()
			load := startLoad(t, collector, "restarted", 0)
			waitMetric(t, collector, acceptedSpans, nil, 300)
			sent := load.stop(t)
			end(t, collector)
			collector.Start(t)
			traces.Start(t)
			duplicates := waitDelivered(t, traces, "restarted", sent)
			t.Logf("%d spans sent, all delivered, %d deliveries too many", len(sent), duplicates)
		})
	}
}

// A disk without space must not end the Collector. What it cannot store it
// refuses, and clients send that again.
func TestCollectorWithFullDisk(t *testing.T) {
	disk := smallDisk(t)
	traces := harness.StartTraceSink(t)
	collector := harness.NewCollector(t, disk, traces, harness.FreeAddress(t))
	collector.Start(t)
	traces.Stop()
	// The spans of a second are more than the disk can take.
	load := startLoad(t, collector, "full", 8000)
	waitMetric(t, collector, enqueueFailedSpans, nil, 1)

	resize(t, disk, "64m")
	before := len(load.ended())
	traces.Start(t)
	waitMetric(t, collector, sentSpans, nil, 1)
	later := load.stop(t)[before:]
	if len(later) == 0 {
		t.Fatal("no span ended after there was space again")
	}
	waitDelivered(t, traces, "full", later)
	failed, err := collector.Metric(enqueueFailedSpans, nil)
	t.Logf("%v spans refused, %v; all %d that ended after there was space again delivered; of %d before, %d lost",
		failed, err, len(later), before, missing(traces, "full", load.ended()[:before]))
}

// smallDisk mounts a file system of 1 MiB until the test ends.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1m", "otelmon-e2e", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here, which takes Linux and root: %v: %s", err, out)
	}
	t.Cleanup(func() {
		// Lazily, as the Collector ends after this.
		if out, err := exec.CommandContext(context.Background(), "umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

func resize(t *testing.T, disk, size string) {
	t.Helper()
	run(t, "mount", "-o", "remount,size="+size, disk)
}

// A load is a service that ends a span every 5 ms.
type load struct {
	sdk  *otelmon.SDK
	end  context.CancelFunc
	done sync.WaitGroup

	mu  sync.Mutex
	ids []string // see ended
}

// startLoad starts a load that sends to a Collector spans with an attribute of
// some bytes in each half.
func startLoad(t *testing.T, collector *harness.Collector, name string, bytes int) *load {
	t.Helper()
	sdk, err := otelmon.Setup(t.Context(), otelmon.Config{
		ServiceName:       name,
		DisableGlobals:    true,
		DisablePrometheus: true,
		OTLP:              exporters.OTLP{Endpoint: collector.OTLPEndpoint},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	l := &load{sdk: sdk, end: end}
	// In two, since long values may be cut.
	text := strings.Repeat("x", bytes/2)
	l.done.Go(func() {
		l.send(ctx, sdk.TracerProvider().Tracer("load"), attribute.String("one", text), attribute.String("two", text))
	})
	return l
}

func (l *load) send(ctx context.Context, tracer trace.Tracer, attributes ...attribute.KeyValue) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, span := tracer.Start(ctx, "work", trace.WithAttributes(attributes...))
			span.End()
			l.mu.Lock()
			l.ids = append(l.ids, span.SpanContext().SpanID().String())
			l.mu.Unlock()
		}
	}
}

// ended returns the IDs of the spans that have ended, in that order.
func (l *load) ended() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}

// stop ends the load, has the SDK deliver everything to the Collector and
// returns the IDs of all spans.
func (l *load) stop(t *testing.T) []string {
	t.Helper()
	l.end()
	l.done.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), arrival)
	defer cancel()
	if err := l.sdk.Shutdown(ctx); err != nil {
		t.Fatalf("the SDK could not deliver to the Collector: %v", err)
	}
	return l.ended()
}

// waitMetric waits until one of the Collector's own metrics has reached a value.
func waitMetric(t *testing.T, c *harness.Collector, name string, labels map[string]string, least float64) {
	t.Helper()
	harness.Eventually(t, arrival, name, func() error {
		if err := c.Running(); err != nil {
			t.Fatal(err)
		}
		got, err := c.Metric(name, labels)
		if err == nil && got < least {
			err = fmt.Errorf("got %v, want %v", got, least)
		}
		return err
	})
}

// waitDelivered waits until every span has arrived and returns how many
// deliveries there were beyond one of each.
func waitDelivered(t *testing.T, traces *harness.TraceSink, service string, sent []string) int {
	t.Helper()
	harness.Eventually(t, arrival, "spans of "+service, func() error {
		if n := missing(traces, service, sent); n > 0 {
			return fmt.Errorf("%d of %d are missing", n, len(sent))
		}
		return nil
	})
	return len(traces.Spans(service)) - len(sent)
}

// missing returns how many spans have not arrived.
func missing(traces *harness.TraceSink, service string, sent []string) int {
	arrived := map[string]bool{}
	for _, s := range traces.Spans(service) {
		arrived[s.SpanID] = true
	}
	n := 0
	for _, id := range sent {
		if !arrived[id] {
			n++
		}
	}
	return n
}
