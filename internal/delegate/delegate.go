// Package delegate provides tracer and logger providers whose target can be
// swapped while tracers, loggers and spans are in use. The global delegates of
// the OpenTelemetry API can be given a target once only, so that a tracer
// obtained before a shutdown would stay with a dead provider for ever.
package delegate

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/log"
	logembedded "go.opentelemetry.io/otel/log/embedded"
	lognoop "go.opentelemetry.io/otel/log/noop"
	"go.opentelemetry.io/otel/trace"
	traceembedded "go.opentelemetry.io/otel/trace/embedded"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/otelmon/toolkit/internal/headsample"
)

// TracerProvider delegates to the provider last given to Set. Safe for
// concurrent use.
type TracerProvider struct {
	traceembedded.TracerProvider
	next atomic.Pointer[trace.TracerProvider]
}

// NewTracerProvider returns a provider that makes no spans until Set.
func NewTracerProvider() *TracerProvider {
	p := &TracerProvider{}
	p.Set(nil)
	return p
}

// Set makes next the target of all tracers, those obtained before included.
// Nil stops the making of spans.
func (p *TracerProvider) Set(next trace.TracerProvider) {
	if next == nil {
		next = tracenoop.NewTracerProvider()
	}
	p.next.Store(&next)
}

// Tracer returns a tracer that follows each later Set.
func (p *TracerProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return &tracer{provider: p, name: name, opts: opts}
}

// Decide is that of the target, where it can tell.
func (p *TracerProvider) Decide(ctx context.Context, kind trace.SpanKind) (headsample.Decision, bool) {
	if decider, ok := (*p.next.Load()).(headsample.Decider); ok {
		return decider.Decide(ctx, kind)
	}
	return headsample.Decision{}, false
}

// NeedsRoute is that of the target.
func (p *TracerProvider) NeedsRoute() bool {
	decider, ok := (*p.next.Load()).(headsample.Decider)
	return ok && decider.NeedsRoute()
}

// Rescue is that of the target, where it has one.
func (p *TracerProvider) Rescue(failed bool, duration time.Duration) bool {
	decider, ok := (*p.next.Load()).(headsample.Decider)
	return ok && decider.Rescue(failed, duration)
}

type tracer struct {
	traceembedded.Tracer
	provider *TracerProvider
	name     string
	opts     []trace.TracerOption
	cached   atomic.Pointer[resolved[trace.TracerProvider, trace.Tracer]]
}

// resolved is a tracer or logger together with the provider it came from.
type resolved[P, T any] struct {
	from *P
	to   T
}

func (t *tracer) current() trace.Tracer {
	next := t.provider.next.Load()
	if c := t.cached.Load(); c != nil && c.from == next {
		return c.to
	}
	c := &resolved[trace.TracerProvider, trace.Tracer]{next, (*next).Tracer(t.name, t.opts...)}
	t.cached.Store(c)
	return c.to
}

func (t *tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.current().Start(ctx, name, opts...)
}

// LoggerProvider delegates to the provider last given to Set. Safe for
// concurrent use.
type LoggerProvider struct {
	logembedded.LoggerProvider
	next atomic.Pointer[log.LoggerProvider]
}

// NewLoggerProvider returns a provider that takes no records until Set.
func NewLoggerProvider() *LoggerProvider {
	p := &LoggerProvider{}
	p.Set(nil)
	return p
}

// Set makes next the target of all loggers, those obtained before included.
// Nil drops the records.
func (p *LoggerProvider) Set(next log.LoggerProvider) {
	if next == nil {
		next = lognoop.NewLoggerProvider()
	}
	p.next.Store(&next)
}

// Logger returns a logger that follows each later Set.
func (p *LoggerProvider) Logger(name string, opts ...log.LoggerOption) log.Logger {
	return &logger{provider: p, name: name, opts: opts}
}

type logger struct {
	logembedded.Logger
	provider *LoggerProvider
	name     string
	opts     []log.LoggerOption
	cached   atomic.Pointer[resolved[log.LoggerProvider, log.Logger]]
}

func (l *logger) current() log.Logger {
	next := l.provider.next.Load()
	if c := l.cached.Load(); c != nil && c.from == next {
		return c.to
	}
	c := &resolved[log.LoggerProvider, log.Logger]{next, (*next).Logger(l.name, l.opts...)}
	l.cached.Store(c)
	return c.to
}

func (l *logger) Emit(ctx context.Context, record log.Record) {
	l.current().Emit(ctx, record)
}

func (l *logger) Enabled(ctx context.Context, param log.EnabledParameters) bool {
	return l.current().Enabled(ctx, param)
}
