package zpages

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

const (
	watched   = 2 * time.Second  // between collections while somebody looks on
	unwatched = 10 * time.Second // between collections while nobody does
	attention = 15 * time.Second // how long a browser that has gone silent is thought to look on
	patience  = 5 * time.Second  // how long a collection may take
)

// page is one live page, of one SDK.
type page struct {
	reader  *reader
	spans   *spans.Store
	metrics *metrics.Store
	started time.Time
	sdk     atomic.Pointer[otelmon.SDK] // nil until start
	hidden  atomic.Bool                 // nobody may see the page
	logger  *slog.Logger

	looked atomic.Int64         // when a browser last asked, since started
	wake   chan chan<- struct{} // asks for a collection, the end of which is told by closing
}

func newPage(logger *slog.Logger) *page {
	p := &page{
		logger:  logger,
		spans:   spans.New(),
		metrics: metrics.New(),
		started: time.Now(),
		wake:    make(chan chan<- struct{}),
	}
	p.looked.Store(int64(-attention))
	p.reader = &reader{ManualReader: sdkmetric.NewManualReader()}
	return p
}

var errUsed = errors.New("the live page was that of another Setup; accepted: a Config that zpages.Install was called with for this one")

// start begins to collect, until the SDK shuts its readers down, unless nobody may
// see the page. There is one SDK that knows the reader.
func (p *page) start(sdk *otelmon.SDK) error {
	if !p.sdk.CompareAndSwap(nil, sdk) {
		return errUsed
	}
	if listener := sdk.Status().Scrape; !guarded(listener) {
		p.hidden.Store(true)
		if listener.URL != "" {
			p.logger.Warn("otelmon: the live page is not shown: other machines can reach it, and it asks for no password", "page", listener.URL, "see", "docs/zpages.md")
		}
		return p.spans.Shutdown(context.Background()) // it holds nothing then, and does not wait
	}
	p.reader.run(p.collectOnAndOn)
	return nil
}

func (p *page) collectOnAndOn(ctx context.Context) {
	var rm metricdata.ResourceMetrics // one for all, so that its memory is used again
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		var done chan<- struct{}
		select {
		case <-ctx.Done():
			return
		case done = <-p.wake:
		case <-due.C:
		}
		p.collect(ctx, &rm)
		if done != nil {
			close(done)
		}
		due.Reset(p.pause())
	}
}

// collect leaves a collection out that fails or takes too long: those who write
// callbacks are told by the exporters.
func (p *page) collect(ctx context.Context, rm *metricdata.ResourceMetrics) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if p.reader.Collect(ctx, rm) == nil {
		p.metrics.Add(time.Now(), rm, p.spans.Traced())
	}
}

func (p *page) pause() time.Duration {
	if time.Since(p.started)-time.Duration(p.looked.Load()) < attention {
		return watched
	}
	return unwatched
}

// look notes that a browser has asked. If none did lately, it has metrics collected
// and waits for that, so that the first picture is no old one.
func (p *page) look(ctx context.Context) {
	first := p.pause() == unwatched
	p.looked.Store(int64(time.Since(p.started)))
	if !first {
		return
	}
	done := make(chan struct{})
	select {
	case p.wake <- done:
	default: // a collection runs
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(patience):
	}
}

// reader is the page's own, and ends what reads from it.
type reader struct {
	*sdkmetric.ManualReader

	running sync.WaitGroup
	mu      sync.Mutex
	stop    context.CancelFunc // nil before run
	ended   bool
}

func (r *reader) run(collect func(context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { collect(ctx) })
}

// Shutdown ends the collection that runs, and all later ones.
func (r *reader) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	r.ended = true
	if r.stop != nil {
		r.stop()
	}
	r.mu.Unlock()
	err := r.ManualReader.Shutdown(ctx)
	r.running.Wait()
	return err
}
