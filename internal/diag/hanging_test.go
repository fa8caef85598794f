package diag_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/diag"
)

// slow is a handler that takes as long for a line as it is told.
type slow struct {
	slog.Handler
	wait    func()
	written *[]string
}

func (slow) Enabled(context.Context, slog.Level) bool { return true }

func (s slow) Handle(_ context.Context, record slog.Record) error {
	s.wait()
	*s.written = append(*s.written, record.Message)
	return nil
}

// Lines are left out as long as the handler hangs, and nobody waits for it twice.
func TestAHandlerThatHangsIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var written []string
		log := diag.New(slog.New(slow{slog.DiscardHandler, func() { <-free }, &written}), nil)
		check := func(class string, took time.Duration) {
			t.Helper()
			began := time.Now()
			log.Warn(class, class)
			if got := time.Since(began); got != took {
				t.Errorf("%s: waited %v, want %v", class, got, took)
			}
		}
		check("first", time.Second)
		for _, class := range []string{"second", "third"} {
			check(class, 0)
		}
		close(free)
		synctest.Wait()
		check("fourth", 0)
		if diff := cmp.Diff([]string{"otelmon: first", "otelmon: fourth"}, written); diff != "" {
			t.Errorf("lines differ (-want +got):\n%s", diff)
		}
	})
}

// A handler that is slow gets every line, in order.
func TestAHandlerThatIsSlowGetsAllLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written []string
		log := diag.New(slog.New(slow{slog.DiscardHandler, func() { <-time.After(900 * time.Millisecond) }, &written}), nil)
		for _, class := range []string{"one", "two", "three"} {
			log.Warn(class, class)
		}
		if diff := cmp.Diff([]string{"otelmon: one", "otelmon: two", "otelmon: three"}, written); diff != "" {
			t.Errorf("lines differ (-want +got):\n%s", diff)
		}
	})
}

// A line that was not due is not lost, but due later.
func TestTryWritesOnceItIsDue(t *testing.T) {
	t.Parallel()
	o := newOutput()
	try := func(want bool) {
		t.Helper()
		if got := o.Try(slog.LevelInfo, "class", "fine"); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if o.Due("class") {
			t.Error("got another line due at once")
		}
	}
	if !o.Due("class") {
		t.Error("got no line due of a class that is new")
	}
	try(true)
	o.check(t, `level=INFO msg="otelmon: fine"`)
	o.now = o.now.Add(diag.Every - time.Second)
	try(false)
	o.check(t)
	o.now = o.now.Add(time.Second)
	try(true)
	o.check(t, `level=INFO msg="otelmon: fine"`) // without a number of those that were not due
}
