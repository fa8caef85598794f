package otelmon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/otelmon/toolkit/otelmon"
)

func TestSlogHandlerKeepsTheRulesOfHandlers(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	var out bytes.Buffer
	newHandler := func(*testing.T) slog.Handler {
		out.Reset()
		return s.SlogHandler(slog.NewJSONHandler(&out, nil))
	}
	slogtest.Run(t, newHandler, func(t *testing.T) map[string]any {
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
}

func TestSlogHandlerPutsTheSpanAtTheTopLevel(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	ctx, span := s.TracerProvider().Tracer("test").Start(t.Context(), "operation")
	defer span.End()
	for name, with := range map[string]func(*slog.Logger) *slog.Logger{
		"a plain logger":                  func(l *slog.Logger) *slog.Logger { return l },
		"a logger with attributes":        func(l *slog.Logger) *slog.Logger { return l.With("a", 1) },
		"a logger with a group":           func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") },
		"a logger with groups and others": func(l *slog.Logger) *slog.Logger { return l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			logger := with(slog.New(s.SlogHandler(slog.NewJSONHandler(&out, nil))))
			logger.InfoContext(ctx, "hello", "last", true)
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line["trace_id"] != span.SpanContext().TraceID().String() || line["span_id"] != span.SpanContext().SpanID().String() {
				t.Errorf("got %s, want the span's identifiers at the top", out.String())
			}
			if n := strings.Count(out.String(), "trace_id"); n != 1 {
				t.Errorf("trace_id is there %d times: %s", n, out.String())
			}
		})
	}
}

func TestSlogHandlerAddsNothingWithoutASpan(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	var out bytes.Buffer
	slog.New(s.SlogHandler(slog.NewJSONHandler(&out, nil))).InfoContext(t.Context(), "hello")
	if strings.Contains(out.String(), "trace_id") {
		t.Errorf("got %s", out.String())
	}
}

func TestSlogHandlerSendsRecordsWithTheirSpan(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{LogLevel: slog.LevelWarn})
	ctx, span := s.TracerProvider().Tracer("test").Start(t.Context(), "operation")
	defer span.End()
	var out bytes.Buffer
	logger := slog.New(s.SlogHandler(slog.NewTextHandler(&out, nil)))
	logger.InfoContext(ctx, "only in the service's own log")
	logger.WarnContext(ctx, "in both", "reason", "test")
	logger.DebugContext(ctx, "in neither")
	if err := s.ForceFlush(patience(t)); err != nil {
		t.Error(err)
	}
	records := recordsOf(s.collector.Received())
	if len(records) != 1 {
		t.Fatalf("got %d records over OTLP, want 1", len(records))
	}
	traceID := span.SpanContext().TraceID()
	if r := records[0]; r.Body.GetStringValue() != "in both" || !bytes.Equal(r.TraceId, traceID[:]) || attributesOf(r.Attributes)["reason"] != "test" {
		t.Errorf("got %v", r)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("got %d lines in the service's log, want 2:\n%s", n, out.String())
	}
}

// Lines about a Collector that is down must not be queued for that Collector.
// Not parallel: sets the default logger and the globals.
func TestSlogHandlerDoesNotSendWhatTelemetrySaysAboutItself(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	log := newLines()
	s := setUp(t, otelmon.Config{})
	slog.SetDefault(slog.New(s.SlogHandler(slog.NewTextHandler(log, nil))))

	cfg := withoutPush()
	cfg.DisableGlobals = true // without a Logger: it writes to the default
	other, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Shutdown(context.WithoutCancel(t.Context())) })
	log.wait(t, "telemetry is on")
	if err := s.ForceFlush(patience(t)); err != nil {
		t.Error(err)
	}
	if records := recordsOf(s.collector.Received()); len(records) != 0 {
		t.Errorf("got %v over OTLP", records)
	}
}

// BenchmarkSlogHandler compares a JSON handler alone with the same behind
// SlogHandler, without and within a span, with nothing sent over OTLP.
func BenchmarkSlogHandler(b *testing.B) {
	cfg := withoutPush()
	cfg.DisableGlobals = true
	cfg.Logger = slog.New(slog.DiscardHandler)
	sdk, err := otelmon.Setup(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sdk.Shutdown(context.Background()) })
	var out bytes.Buffer
	json := slog.NewJSONHandler(&out, nil)
	spanned, span := sdk.TracerProvider().Tracer("bench").Start(b.Context(), "span")
	defer span.End()
	for name, run := range map[string]struct {
		ctx     context.Context
		handler slog.Handler
	}{
		"json alone":             {b.Context(), json},
		"behind it, no span":     {b.Context(), sdk.SlogHandler(json)},
		"behind it, with a span": {spanned, sdk.SlogHandler(json)},
	} {
		b.Run(name, func(b *testing.B) {
			logger := slog.New(run.handler)
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				logger.InfoContext(run.ctx, "request done", "status", 200)
			}
		})
	}
}
