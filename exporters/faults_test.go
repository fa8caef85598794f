package exporters_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// tick is how often a rig emits what belongs to that time.
const tick = 100 * time.Millisecond

// rig is a pipeline to a Collector that has faults, and remembers what went
// into it.
type rig struct {
	*sender
	collector *faultcollector.Collector
	log       *lines
	numbers   *sdkmetric.ManualReader
	through   atomic.Pointer[dialer] // in place of the Collector's, when set

	spans  []trace.SpanID // in the order in which they ended
	bodies []string       // of log records, all different
	name   string         // which the bodies begin with

	mayHaveMore bool // the Collector kept what it did not acknowledge
}

type dialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// overBoth runs a case over each protocol, in fake time. Whatever it did, what
// it leaves is sent at the end, and the accounts have to be right.
func overBoth(t *testing.T, config exporters.OTLP, run func(t *testing.T, r *rig)) {
	t.Helper()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		overOne(t, protocol, config, run)
	}
}

// overOne is overBoth for one protocol.
func overOne(t *testing.T, protocol string, config exporters.OTLP, run func(t *testing.T, r *rig)) {
	t.Helper()
	t.Run("over "+protocol, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := startRig(t, faultcollector.StartInMemory(t), protocol, config)
			run(t, r)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_ = r.shutdown(ctx) // the accounts say more
			r.checkAccounts(t)
		})
	})
}

// startRig connects as config says; in memory that is with dial.
func startRig(t *testing.T, collector *faultcollector.Collector, protocol string, config exporters.OTLP) *rig {
	t.Helper()
	r := &rig{collector: collector, log: newLines()}
	config.Protocol, config.Logger = protocol, slog.New(r.log)
	if config.Endpoint == "" {
		config.Endpoint = map[string]string{protocolGRPC: collector.GRPC, protocolHTTP: collector.HTTP}[protocol]
	}
	if config.MetricInterval == 0 {
		config.MetricInterval = time.Hour
	}
	if inMemory(collector) {
		config.Dial = r.dial
	}
	r.sender = start(t, config)
	r.numbers = observe(t, r.OTLPPipeline)
	return r
}

func inMemory(collector *faultcollector.Collector) bool {
	return strings.HasPrefix(collector.GRPC, "127.0.0.4:")
}

func (r *rig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d := r.through.Load(); d != nil {
		return d.dial(ctx, network, address)
	}
	return r.collector.Dial(ctx, network, address)
}

func (r *rig) span(t *testing.T, attributes ...attribute.KeyValue) {
	t.Helper()
	_, span := r.tracer.Tracer("shop").Start(t.Context(), "checkout", trace.WithAttributes(attributes...))
	r.spans = append(r.spans, span.SpanContext().SpanID())
	span.End()
}

func (r *rig) record(t *testing.T, attributes ...attribute.KeyValue) {
	t.Helper()
	r.bodies = append(r.bodies, r.name+strconv.Itoa(len(r.bodies)))
	var record log.Record
	record.SetBody(attribute.StringValue(r.bodies[len(r.bodies)-1]))
	record.AddAttributes(attributes...)
	r.logger.Logger("shop").Emit(t.Context(), record)
}

// emitFor ends spans, and as many log records, at a steady rate.
func (r *rig) emitFor(t *testing.T, perSecond int, while time.Duration, attributes ...attribute.KeyValue) {
	t.Helper()
	steadily(perSecond, while, func() {
		r.span(t, attributes...)
		r.record(t, attributes...)
	})
}

func (r *rig) spansFor(t *testing.T, perSecond int, while time.Duration) {
	t.Helper()
	steadily(perSecond, while, func() { r.span(t) })
}

func steadily(perSecond int, while time.Duration, do func()) {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for range while / tick {
		for range perSecond * int(tick) / int(time.Second) {
			do()
		}
		<-ticks.C
	}
}

// missingSpans returns the numbers of the spans that the Collector does not
// have.
func (r *rig) missingSpans() []int {
	var missing []int
	got := r.collector.Received().SpanIDs()
	for i, id := range r.spans {
		if got[id] == 0 {
			missing = append(missing, i)
		}
	}
	return missing
}

func (r *rig) missingRecords() []int {
	var missing []int
	got := r.collector.Received().LogBodies()
	for i, body := range r.bodies {
		if got[body] == 0 {
			missing = append(missing, i)
		}
	}
	return missing
}

// checkAllArrived is for a case that may not lose anything.
func (r *rig) checkAllArrived(t *testing.T) {
	t.Helper()
	if missing := r.missingSpans(); len(missing) > 0 || len(r.spans) == 0 {
		t.Errorf("%d of %d spans are missing, first %d", len(missing), len(r.spans), missing[:min(1, len(missing))])
	}
	if missing := r.missingRecords(); len(missing) > 0 {
		t.Errorf("%d of %d log records are missing, first %d", len(missing), len(r.bodies), missing[:1])
	}
}

// deliverWithin waits until everything that was emitted has arrived, and says
// how long that took.
func (r *rig) deliverWithin(t *testing.T, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := r.flush(ctx); err != nil {
		t.Errorf("after %v: %v", limit, err)
	}
	r.checkAllArrived(t)
}

// checkLines checks how many lines hold a text; "" counts all.
func (r *rig) checkLines(t *testing.T, want map[string]int) {
	t.Helper()
	for text, n := range want {
		if got := r.log.with(text); len(got) != n {
			t.Errorf("got lines %q, want %d that say %q", got, n, text)
		}
	}
}

// checkNoSecret looks for a text in all lines and in an error, with all that
// the error wraps.
func (r *rig) checkNoSecret(t *testing.T, secret string, err error) {
	t.Helper()
	if got := r.log.with(secret); len(got) > 0 {
		t.Errorf("got the secret in lines %q", got)
	}
	for _, text := range errorTexts(err) {
		if strings.Contains(text, secret) {
			t.Errorf("got the secret in the error %q", text)
		}
	}
}

func errorTexts(err error) []string {
	if err == nil {
		return nil
	}
	texts := []string{fmt.Sprintf("%v %+v", err, err)}
	switch wrapping := err.(type) { //nolint:errorlint // each layer is looked at by itself
	case interface{ Unwrap() error }:
		texts = append(texts, errorTexts(wrapping.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, inner := range wrapping.Unwrap() {
			texts = append(texts, errorTexts(inner)...)
		}
	}
	return texts
}
