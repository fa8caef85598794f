package exporters

import (
	"context"
	"fmt"
	"strconv"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/otlp"
)

func (s *starter) spans(set settings, g *gate, p *OTLPPipeline) error {
	b := startBatcher(s.limits("OTEL_BSP"), newSender(signalTraces, set, g.transport), g)
	encode := newEncoding(s.valueBytes("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"))
	p.Spans = &spanProcessor{b, encode, p.add(b.part())}
	return nil
}

func (s *starter) logs(set settings, g *gate, p *OTLPPipeline) error {
	b := startBatcher(s.limits("OTEL_BLRP"), newSender(signalLogs, set, g.transport), g)
	encode := newEncoding(s.valueBytes("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"))
	p.Logs = &logProcessor{b, encode, p.add(b.part())}
	return nil
}

// limits reads the OTEL_BSP_* or OTEL_BLRP_* variables.
func (s *starter) limits(prefix string) queueLimits {
	const most = 1_000_000
	l := queueLimits{
		bytes: s.config.queueBytes(s.vars),
		delay: s.vars.Milliseconds(prefix+"_SCHEDULE_DELAY", time.Second, time.Millisecond),
		items: s.vars.Int(prefix+"_MAX_QUEUE_SIZE", 65_536, 1, most),
		batch: s.vars.Int(prefix+"_MAX_EXPORT_BATCH_SIZE", 512, 1, most),
	}
	if !s.config.DisableTraces && !s.config.DisableLogs {
		l.bytes /= 2
	}
	if name := prefix + "_MAX_EXPORT_BATCH_SIZE"; l.batch > l.items {
		if s.vars.IsSet(name) {
			s.vars.Report(name, fmt.Sprintf("more than the queue of %d holds, which is used", l.items))
		}
		l.batch = l.items
		s.vars.Holds(name, strconv.Itoa(l.batch), env.FromDefault)
	}
	return l
}

// valueBytes returns the cap on attribute values. A variable has it in
// characters, of up to four bytes, to which the SDK has cut them before.
func (s *starter) valueBytes(name string) int {
	switch most := s.config.MaxValueBytes; {
	case most > 0:
		return most
	case most < 0:
		return 0
	}
	const none, most = -1, 1_000_000_000
	characters := s.vars.Int(name, s.vars.Int("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", none, 0, most), 0, most)
	if characters == none {
		return DefaultMaxValueBytes
	}
	return max(4*characters, 1)
}

// spanProcessor encodes spans as they end, which tells their true size and
// keeps nothing of the service's alive.
type spanProcessor struct {
	*batcher
	encoding *encoding
	part     *part
}

func (*spanProcessor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (p *spanProcessor) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	origin := p.encoding.origin(span.Resource(), span.InstrumentationScope())
	message, cut := p.encoding.message(func(b []byte) ([]byte, int) { return p.encoding.AppendSpan(b, span) })
	p.push(otlp.Item{Origin: origin, Message: message}, cut)
}

func (p *spanProcessor) ForceFlush(ctx context.Context) error { return p.flush(ctx) }
func (p *spanProcessor) Shutdown(ctx context.Context) error   { return p.part.shutdown(ctx) }

// logProcessor encodes log records as they come.
type logProcessor struct {
	*batcher
	encoding *encoding
	part     *part
}

func (*logProcessor) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (p *logProcessor) OnEmit(_ context.Context, record *sdklog.Record) error {
	origin := p.encoding.origin(record.Resource(), record.InstrumentationScope())
	message, cut := p.encoding.message(func(b []byte) ([]byte, int) { return p.encoding.AppendLogRecord(b, record) })
	p.push(otlp.Item{Origin: origin, Message: message}, cut)
	return nil
}

func (p *logProcessor) ForceFlush(ctx context.Context) error { return p.flush(ctx) }
func (p *logProcessor) Shutdown(ctx context.Context) error   { return p.part.shutdown(ctx) }

// metricReader collects periodically. Its Shutdown, other than the SDK's, is
// bounded by its context.
type metricReader struct {
	*sdkmetric.PeriodicReader
	part *part
}

func (r *metricReader) Shutdown(ctx context.Context) error { return r.part.shutdown(ctx) }
