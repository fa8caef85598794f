package exporters

import (
	"context"
	"fmt"
	"sync"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// cutOff is how long a Shutdown waits, after its context ended, for exports to
// notice.
const cutOff = 100 * time.Millisecond

// part ends one signal. The SDK's own Shutdown gives up half-way when its
// context ends, with goroutines and exports left running, and a second call
// returns at once.
type part struct {
	gate  *gate
	stop  func(context.Context) error // the SDK's Shutdown
	once  sync.Once
	ended chan struct{}
	err   error // of stop, once ended
}

// shutdown flushes, with exports bounded by ctx, stops the signal and gives its
// connection up. Later calls wait for the first one and bound it too.
func (p *part) shutdown(ctx context.Context) error {
	p.gate.drain(ctx)
	p.once.Do(func() { go p.end(ctx) })
	select {
	case <-p.ended:
		return p.err
	case <-ctx.Done():
	}
	late := time.NewTimer(cutOff)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C: // a callback of the user's hangs
		p.gate.end()
	}
	return ctx.Err()
}

func (p *part) end(ctx context.Context) {
	p.err = p.stop(ctx)
	p.gate.end()
	close(p.ended)
}

// running returns an error unless the part has ended.
func (p *part) running(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	default:
		return fmt.Errorf("%s: still running at the deadline: %w", p.gate.signal, ctx.Err())
	}
}

type spanProcessor struct {
	sdktrace.SpanProcessor
	part *part
}

func (p *spanProcessor) Shutdown(ctx context.Context) error { return p.part.shutdown(ctx) }

type logProcessor struct {
	*sdklog.BatchProcessor
	part *part
}

func (p *logProcessor) Shutdown(ctx context.Context) error { return p.part.shutdown(ctx) }

type metricReader struct {
	*sdkmetric.PeriodicReader
	part *part
}

func (r *metricReader) Shutdown(ctx context.Context) error { return r.part.shutdown(ctx) }

// untilCutOff makes a Shutdown wait for its exports, which the gate cuts off
// when ctx ends, so that what it had to drop is counted.
func untilCutOff(shutdown func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return shutdown(context.WithoutCancel(ctx)) }
}
