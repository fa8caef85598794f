package meter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// callbackPatience is how long a collection waits for one callback. What has to be waited for longer does not belong into
// a callback, and while it waits no other metric is exported: Prometheus gives a scrape up after 10 s by default.
const callbackPatience = time.Second

// failure is what went wrong in a call of a callback.
type failure struct {
	errorType string
	err       error
}

var (
	errHangs  = errors.New("it did not return within " + callbackPatience.String() + " or the time that the collection had; it is skipped until it does")
	errGoexit = errors.New("panic: it called runtime.Goexit")
)

// call is one call of a callback, and the observer that the callback gets. It passes observations on until the callback
// has returned or was left alone: the SDK's observer is not to be used after that.
type call struct {
	embedded.Observer
	returned chan struct{} // closed when failed is set

	mu     sync.Mutex
	next   metric.Observer
	over   bool // nothing is passed on any more
	left   bool // nobody waits for it
	failed *failure
}

// attempt calls the callback and returns nil when all went well. One that hangs is left alone in its goroutine, where it
// may go on.
func (r *registration) attempt(ctx context.Context, next metric.Observer) *failure {
	if r.hanging.Load() > 0 {
		return &failure{telemetry.ErrorTimeout, errHangs}
	}
	if ctx.Err() != nil { // another callback took all the time, or the collection was given up
		return nil
	}
	patience := callbackPatience
	if deadline, ok := ctx.Deadline(); ok { // the others and the export need some of it
		patience = min(patience, time.Until(deadline)/2)
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := &call{next: next, returned: make(chan struct{})}
	go c.run(bounded, r.callback, &r.hanging)
	select {
	case <-c.returned:
	case <-bounded.Done():
		switch left := c.leave(&r.hanging); {
		case left && errors.Is(ctx.Err(), context.Canceled): // the collection was given up, whoever it waited for
			return nil
		case left:
			return &failure{telemetry.ErrorTimeout, errHangs}
		}
	}
	if c.failed != nil && c.failed.errorType == telemetry.ErrorReturned && bounded.Err() != nil {
		return &failure{telemetry.ErrorTimeout, c.failed.err}
	}
	return c.failed
}

// run is a goroutine of its own. A panic, which would end the process, and [runtime.Goexit], which would end the
// goroutine that collects, end here.
func (c *call) run(ctx context.Context, callback metric.Callback, hanging *atomic.Int32) {
	failed := &failure{telemetry.ErrorPanic, errGoexit}
	defer func() {
		if value := recover(); value != nil {
			failed = &failure{telemetry.ErrorPanic, fmt.Errorf("panic: %v", value)}
		}
		c.end(failed, hanging)
	}()
	err := callback(ctx, c)
	failed = nil
	if err != nil {
		failed = &failure{telemetry.ErrorReturned, err}
	}
}

func (c *call) end(failed *failure, hanging *atomic.Int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.failed = failed
	if c.left {
		hanging.Add(-1)
	}
	close(c.returned)
}

// leave ends the waiting. It reports false when the callback has returned meanwhile.
func (c *call) leave(hanging *atomic.Int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.over, c.left = true, true
	hanging.Add(1)
	return true
}

// ObserveInt64 records a value, unless the call is over.
func (c *call) ObserveInt64(instrument metric.Int64Observable, value int64, opts ...metric.ObserveOption) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.next.ObserveInt64(instrument, value, opts...)
	}
}

// ObserveFloat64 records a value, unless the call is over.
func (c *call) ObserveFloat64(instrument metric.Float64Observable, value float64, opts ...metric.ObserveOption) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.next.ObserveFloat64(instrument, value, opts...)
	}
}
