package diag

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// Lines returns what net/http and its like log to: handle is called with the
// first line of each message, without the stack of a panic, and has to limit what it
// makes of them, since clients can cause most.
func Lines(handle func(line string)) *log.Logger { //nolint:forbidigo // the type that net/http wants
	return slog.NewLogLogger(lines{slog.DiscardHandler, handle}, slog.LevelError)
}

type lines struct {
	slog.Handler

	handle func(line string)
}

// Enabled is what the discarding handler inside is not.
func (lines) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (l lines) Handle(_ context.Context, record slog.Record) error {
	line, _, _ := strings.Cut(record.Message, "\n")
	l.handle(line)
	return nil
}
