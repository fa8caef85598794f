package diag_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/diag"
)

// output writes to a Log whose clock stands still until it is moved.
type output struct {
	*diag.Log
	buffer bytes.Buffer
	now    time.Time
}

func newOutput() *output {
	o := &output{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	handler := slog.NewTextHandler(&o.buffer, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	o.Log = diag.New(slog.New(handler), func() time.Time { return o.now })
	return o
}

// take returns the lines since the last call.
func (o *output) take() []string {
	defer o.buffer.Reset()
	text := strings.TrimSuffix(o.buffer.String(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func (o *output) check(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, o.take()); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	o := newOutput()
	o.Info("a", "one", "key", 1)
	o.Warn("b", "two")
	o.Error("c", "three")
	o.check(t, `level=INFO msg="otelmon: one" key=1`, `level=WARN msg="otelmon: two"`, `level=ERROR msg="otelmon: three"`)
}

func TestLongTextsAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 10_000)
	for name, arg := range map[string]any{"a text": long, "an error": errors.New(long)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutput()
			o.Warn("a", "long", "what", arg)
			o.check(t, `level=WARN msg="otelmon: long" what=`+strings.Repeat("é", 500)+"...")
		})
	}
}

func TestOneLineAMinute(t *testing.T) {
	t.Parallel()
	o := newOutput()
	for range 3 {
		o.Warn("class", "down")
	}
	o.Warn("other class", "also down")
	o.check(t, `level=WARN msg="otelmon: down"`, `level=WARN msg="otelmon: also down"`)

	o.now = o.now.Add(diag.Every - time.Nanosecond)
	o.Warn("class", "down")
	o.check(t)

	o.now = o.now.Add(time.Nanosecond)
	o.Warn("class", "down")
	o.check(t, `level=WARN msg="otelmon: down" suppressed=3`)

	o.now = o.now.Add(diag.Every)
	o.Warn("class", "down")
	o.check(t, `level=WARN msg="otelmon: down"`)
}

func TestClassesAreBounded(t *testing.T) {
	t.Parallel()
	o := newOutput()
	for i := range 10_000 {
		o.Warn(fmt.Sprint("class", i), "down")
	}
	if got, want := len(o.take()), 101; got != want { // the hundred, and the one that the rest share
		t.Errorf("got %d lines, want %d", got, want)
	}
	o.now = o.now.Add(diag.Every)
	o.Warn("class20000", "down")
	o.check(t, `level=WARN msg="otelmon: down" suppressed=9899`)
}

// recorder keeps what a handler sees of the contexts.
type recorder struct {
	slog.Handler
	own []bool
}

func (r *recorder) Handle(ctx context.Context, _ slog.Record) error {
	r.own = append(r.own, diag.Own(ctx))
	return nil
}

func TestOwn(t *testing.T) {
	t.Parallel()
	r := &recorder{Handler: slog.NewTextHandler(&bytes.Buffer{}, nil)}
	logger := slog.New(r)
	diag.New(logger, nil).Warn("class", "down")
	logger.InfoContext(t.Context(), "a line of the service")
	if diff := cmp.Diff([]bool{true, false}, r.own); diff != "" {
		t.Errorf("own lines differ (-want +got):\n%s", diff)
	}
}

func TestDefaultLogger(t *testing.T) { // not parallel: it sets the default logger
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	log := diag.New(nil, nil)
	var buffer bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&buffer, nil))) // after New
	log.Warn("class", "down")
	if !strings.Contains(buffer.String(), "otelmon: down") {
		t.Errorf("got %q, want the line", &buffer)
	}
}

func TestHandleGroups(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		messages []string
		want     int
	}{
		"errors that differ in digits are one class":      {[]string{"port 4317 refused", "port 4318 refused", "port 10 refused"}, 1},
		"errors that differ after 60 bytes are one class": {[]string{strings.Repeat("é", 40) + "a", strings.Repeat("é", 40) + "b"}, 1},
		"errors that differ in words are two classes":     {[]string{"refused", "reset"}, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutput()
			o.Handle(nil)
			for _, message := range test.messages {
				o.Handle(errors.New(message))
			}
			lines := o.take()
			if len(lines) != test.want {
				t.Errorf("got %d lines, want %d: %q", len(lines), test.want, lines)
			}
			if !strings.Contains(lines[0], test.messages[0]) {
				t.Errorf("got %q, want it to say %q", lines[0], test.messages[0])
			}
		})
	}
}

func TestLogrKeepsMessagesOnly(t *testing.T) {
	t.Parallel()
	const canary = "CANARY"
	o := newOutput()
	logger := o.Logr().WithName(canary).WithValues("input", canary)
	logger.Error(errors.New(canary), "parse headers", "input", canary)
	logger.V(0).Info("level 0", "value", canary)
	logger.V(1).Info("level 1 warns", "value", canary)
	logger.V(2).Info("level two", "value", canary)
	logger.V(4).Info("level four informs", "value", canary)
	logger.V(8).Info("level eight debugs", "value", canary)
	o.check(t,
		`level=WARN msg="otelmon: OpenTelemetry SDK" error="parse headers"`,
		`level=WARN msg="otelmon: OpenTelemetry SDK" warning="level 0"`,
		`level=WARN msg="otelmon: OpenTelemetry SDK" warning="level 1 warns"`)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	o := newOutput()
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 100 {
				o.Warn("class", "down")
			}
		})
	}
	workers.Wait()
	o.check(t, `level=WARN msg="otelmon: down"`)
}

// Not parallel: sets the default logger.
func TestSlogFollowsTheDefaultLogger(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	logger := diag.New(nil, nil).Slog().With("a", 1).WithGroup("g")
	var out bytes.Buffer
	own := false
	slog.SetDefault(slog.New(marked{slog.NewTextHandler(&out, nil), &own}))
	logger.Warn("twice", "name", "x")
	if !strings.Contains(out.String(), `level=WARN msg="otelmon: twice" a=1 g.name=x`) || !own {
		t.Errorf("got %q, marked %t, want a marked line in the new default", out.String(), own)
	}
}

// marked sees whether a line is the toolkit's own.
type marked struct {
	slog.Handler
	own *bool
}

func (m marked) WithAttrs(attrs []slog.Attr) slog.Handler {
	return marked{m.Handler.WithAttrs(attrs), m.own}
}

func (m marked) WithGroup(name string) slog.Handler { return marked{m.Handler.WithGroup(name), m.own} }

func (m marked) Handle(ctx context.Context, record slog.Record) error {
	*m.own = diag.Own(ctx)
	return m.Handler.Handle(ctx, record)
}

// broken is a handler that panics.
type broken struct{ slog.Handler }

func (broken) Handle(context.Context, slog.Record) error { panic("handler") }

func TestAHandlerThatPanicsDoesNotEndTheProcess(t *testing.T) {
	t.Parallel()
	log := diag.New(slog.New(broken{slog.NewTextHandler(&bytes.Buffer{}, nil)}), nil)
	log.Error("class", "lost") // a panic would fail the test
}
