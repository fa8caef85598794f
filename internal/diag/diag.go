// Package diag writes the log lines that telemetry has to say about itself:
// the first of its class at once, later ones at most once a minute, so that a
// dead Collector can never flood a service's log.
package diag

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/go-logr/logr"
)

// Every is the shortest time between two lines of one class.
const Every = time.Minute

// prefix tells these lines from the service's own.
const prefix = "otelmon: "

// patience is how long a line may take to be written.
const patience = time.Second

// maxClasses bounds the memory of a Log; further classes share one.
const maxClasses = 100

// Log writes limited lines. Safe for concurrent use.
type Log struct {
	logger *slog.Logger
	now    func() time.Time

	hanging atomic.Int32 // lines that the handler does not return from

	mu      sync.Mutex
	classes map[string]*class
}

type class struct {
	last       time.Time
	suppressed int
}

// New returns a Log that writes to logger; nil means [slog.Default] at the
// time of each line. Nil now means [time.Now].
func New(logger *slog.Logger, now func() time.Time) *Log {
	if now == nil {
		now = time.Now
	}
	return &Log{logger: logger, now: now, classes: make(map[string]*class)}
}

type ownKey struct{}

// Own reports whether a log line with this context comes from a Log. Such
// lines must not be exported: an export that fails would feed itself.
func Own(ctx context.Context) bool { return ctx.Value(ownKey{}) != nil }

// Info writes a line of the given class.
func (l *Log) Info(class, message string, args ...any) {
	l.write(slog.LevelInfo, class, message, args)
}

// Warn writes a line of the given class.
func (l *Log) Warn(class, message string, args ...any) {
	l.write(slog.LevelWarn, class, message, args)
}

// Error writes a line of the given class.
func (l *Log) Error(class, message string, args ...any) {
	l.write(slog.LevelError, class, message, args)
}

// Try writes a line of the given class and reports whether one was due. Other
// than a line of the other methods, one that was not due is not counted: it is
// tried again.
func (l *Log) Try(level slog.Level, class, message string, args ...any) bool {
	suppressed, due := l.due(class, false)
	if due {
		l.hand(level, message, args, suppressed)
	}
	return due
}

func (l *Log) write(level slog.Level, class, message string, args []any) {
	if suppressed, due := l.due(class, true); due {
		l.hand(level, message, args, suppressed)
	}
}

// hand gives a line to the handler and waits for it, but not for long: who
// writes the line has telemetry to deliver. While a line hangs in the handler,
// others are left out.
func (l *Log) hand(level slog.Level, message string, args []any, suppressed int) {
	if l.hanging.Load() > 0 {
		return
	}
	for i, arg := range args {
		args[i] = short(arg)
	}
	if suppressed > 0 {
		args = append(args, slog.Int("suppressed", suppressed))
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer func() { _ = recover() }() // a handler that panics would end the process
		ctx := context.WithValue(context.Background(), ownKey{}, true)
		l.target().Log(ctx, level, prefix+message, args...)
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-written:
	case <-late.C:
		l.hanging.Add(1)
		go func() {
			<-written
			l.hanging.Add(-1)
		}()
	}
}

// short cuts long texts: an error may quote a page of a peer's, or a thousand
// series.
func short(arg any) any {
	const limit = 1000
	text, ok := arg.(string)
	if err, isError := arg.(error); isError {
		text, ok = err.Error(), true
	}
	if !ok || len(text) <= limit {
		return arg
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}

// Due reports whether a line of the class would be written now, for those whose
// lines cost something to make.
func (l *Log) Due(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.classes[l.bounded(name)]
	return !known || l.now().Sub(c.last) >= Every
}

// bounded returns the class that stands for all others once there are too many.
// The mutex is held.
func (l *Log) bounded(name string) string {
	if _, known := l.classes[name]; !known && len(l.classes) >= maxClasses {
		return "other"
	}
	return name
}

// due says whether a line may be written now, and how many were not since the
// last one. One that may not is counted or not.
func (l *Log) due(name string, count bool) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = l.bounded(name)
	c, known := l.classes[name]
	if !known {
		c = &class{}
		l.classes[name] = c
	}
	now := l.now()
	switch {
	case !known || now.Sub(c.last) >= Every:
		suppressed, c.suppressed, c.last = c.suppressed, 0, now
		return suppressed, true
	case count:
		c.suppressed++
	}
	return 0, false
}

// Slog returns a logger whose lines are marked like the others, without a
// limit, for code that limits itself.
func (l *Log) Slog() *slog.Logger {
	return slog.New(ownHandler{l, func(h slog.Handler) slog.Handler { return h }})
}

// ownHandler asks for the handler at each line, so that it follows
// [slog.SetDefault]; with adds what WithAttrs and WithGroup were given.
type ownHandler struct {
	log  *Log
	with func(slog.Handler) slog.Handler
}

func (h ownHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.log.target().Enabled(ctx, level)
}

func (h ownHandler) Handle(ctx context.Context, record slog.Record) error {
	record.Message = prefix + record.Message
	return h.with(h.log.target().Handler()).Handle(context.WithValue(ctx, ownKey{}, true), record)
}

func (h ownHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return ownHandler{h.log, func(n slog.Handler) slog.Handler { return h.with(n).WithAttrs(attrs) }}
}

func (h ownHandler) WithGroup(name string) slog.Handler {
	return ownHandler{h.log, func(n slog.Handler) slog.Handler { return h.with(n).WithGroup(name) }}
}

// target is where lines go.
func (l *Log) target() *slog.Logger {
	if l.logger != nil {
		return l.logger
	}
	return slog.Default()
}

// Handle implements the error handler of the OpenTelemetry API. A cancelled
// context is what shutdown does to running exports and is no news.
func (l *Log) Handle(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		l.Warn(classOf(err.Error()), "OpenTelemetry SDK", "error", err)
	}
}

// classOf makes errors that differ in numbers, addresses or ends alike.
func classOf(message string) string {
	message = strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, message)
	const enough = 60
	if len(message) > enough {
		message = message[:enough]
	}
	return message
}

// Logr returns the logger for the SDK's internal messages. Of these only
// errors and warnings are kept, and no values: they can hold credentials, such
// as a malformed headers variable.
func (l *Log) Logr() logr.Logger { return logr.New(sink{l}) }

type sink struct{ log *Log }

func (sink) Init(logr.RuntimeInfo) {}

// Enabled takes the SDK's levels: warnings are at verbosity 1, information
// and debugging above.
func (sink) Enabled(level int) bool { return level <= 1 }

func (s sink) Info(_ int, message string, _ ...any) {
	s.log.Warn(classOf(message), "OpenTelemetry SDK", "warning", message)
}

// Error leaves the error itself out, which may quote a value.
func (s sink) Error(_ error, message string, _ ...any) {
	s.log.Warn(classOf(message), "OpenTelemetry SDK", "error", message)
}

func (s sink) WithValues(...any) logr.LogSink { return s }
func (s sink) WithName(string) logr.LogSink   { return s }
