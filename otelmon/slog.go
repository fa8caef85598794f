package otelmon

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// SlogHandler returns a handler that writes the service's log through next
// with the trace_id and span_id of the span in the context, and sends the same
// records over OTLP:
//
//	slog.SetDefault(slog.New(sdk.SlogHandler(slog.NewJSONHandler(os.Stdout, nil))))
//
// Only calls that pass a context, such as [slog.InfoContext], know their span.
// Records below Config.LogLevel are not sent; what next writes is next's
// affair. A nil next means that records are only sent. The two keys stand at
// the top level, also within groups.
//
// Give next a handler of its own, as above. The handler of [slog.Default]
// leads back to the default logger: made the default again, it waits for
// itself for ever.
func (s *SDK) SlogHandler(next slog.Handler) slog.Handler {
	if next == nil {
		next = slog.DiscardHandler
	}
	return &slogHandler{
		next:  correlated{plain: next, current: next},
		otlp:  otelslog.NewHandler(telemetry.Scope, otelslog.WithLoggerProvider(s.providers.logger)),
		level: s.logLevel,
	}
}

type slogHandler struct {
	next  correlated
	otlp  slog.Handler
	level slog.Leveler
}

func (h *slogHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.current.Enabled(ctx, level) || h.sends(ctx, level)
}

func (h *slogHandler) sends(ctx context.Context, level slog.Level) bool {
	return level >= h.level.Level() && !diag.Own(ctx) && h.otlp.Enabled(ctx, level)
}

func (h *slogHandler) Handle(ctx context.Context, record slog.Record) error {
	var errs [2]error
	if h.sends(ctx, record.Level) {
		errs[0] = h.otlp.Handle(ctx, record.Clone())
	}
	if h.next.current.Enabled(ctx, record.Level) {
		errs[1] = h.next.handle(ctx, record)
	}
	return errors.Join(errs[:]...)
}

func (h *slogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &slogHandler{h.next.with(func(n slog.Handler) slog.Handler { return n.WithAttrs(attrs) }, false), h.otlp.WithAttrs(attrs), h.level}
}

func (h *slogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &slogHandler{h.next.with(func(n slog.Handler) slog.Handler { return n.WithGroup(name) }, true), h.otlp.WithGroup(name), h.level}
}

// correlated adds the span's identifiers to records. Once a group is open,
// attributes of a record land inside it, so that the steps since then are
// taken again on a handler that has the identifiers outside.
type correlated struct {
	plain   slog.Handler // before the first group
	current slog.Handler
	steps   []func(slog.Handler) slog.Handler // from plain to current
}

func (c correlated) with(step func(slog.Handler) slog.Handler, opensGroup bool) correlated {
	if len(c.steps) == 0 && !opensGroup {
		next := step(c.current)
		return correlated{plain: next, current: next}
	}
	steps := append(slices.Clone(c.steps), step)
	return correlated{plain: c.plain, current: step(c.current), steps: steps}
}

func (c correlated) handle(ctx context.Context, record slog.Record) error {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return c.current.Handle(ctx, record)
	}
	ids := []slog.Attr{
		slog.String(telemetry.LogTraceID, span.TraceID().String()),
		slog.String(telemetry.LogSpanID, span.SpanID().String()),
	}
	if len(c.steps) == 0 {
		record = record.Clone()
		record.AddAttrs(ids...)
		return c.current.Handle(ctx, record)
	}
	next := c.plain.WithAttrs(ids)
	for _, step := range c.steps {
		next = step(next)
	}
	return next.Handle(ctx, record)
}
