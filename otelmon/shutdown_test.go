package otelmon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

func TestShutdownTwiceReturnsTheSame(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{OTLP: exporters.OTLP{Endpoint: absent}})
	s.emit(t)
	first := s.Shutdown(patience(t))
	if first == nil {
		t.Error("a shutdown that could not deliver returned no error")
	}
	if second := s.Shutdown(patience(t)); !errors.Is(second, first) {
		t.Errorf("got %v, want %v again", second, first)
	}
	if err := s.ForceFlush(t.Context()); err != nil {
		t.Errorf("flushing after shutdown: %v", err)
	}
	if url := s.MetricsURL(); url != "" {
		t.Errorf("metrics are said to be at %q after shutdown", url)
	}
}

func TestASecondShutdownKeepsItsOwnDeadline(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	s.collector.Hang()
	s.emit(t)
	long, cancelLong := context.WithCancel(t.Context())
	ended := make(chan struct{})
	started := make(chan struct{})
	go func() {
		defer close(ended)
		close(started)
		_ = s.Shutdown(long) // has no deadline and is cut off below
	}()
	<-started
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); err == nil {
		t.Error("got no error although nothing was delivered")
	}
	select {
	case <-ended:
		if long.Err() == nil {
			t.Log("the second call came first")
		}
	default:
	}
	cancelLong()
	<-ended
}

func TestShutdownWithoutADeadlineIsBounded(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ShutdownTimeout: 300 * time.Millisecond})
	s.collector.Hang()
	s.emit(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.WithoutCancel(t.Context())) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("got no error although nothing was delivered")
		}
	case <-patience(t).Done():
		t.Fatal("Shutdown goes on for ever")
	}
}

func TestAPanicInAProcessorOfTheUsersIsAnError(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{SpanProcessors: []sdktrace.SpanProcessor{panicking{}}})
	if err := s.Shutdown(patience(t)); err == nil || !strings.Contains(err.Error(), "panic: in Shutdown") {
		t.Errorf("got %v, want the panic as an error", err)
	}
}

// panicking is a span processor with a fault.
type panicking struct{ sdktrace.SpanProcessor }

func (panicking) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (panicking) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (panicking) ForceFlush(context.Context) error                { return nil }
func (panicking) Shutdown(context.Context) error                  { panic("in Shutdown") }

func TestNothingIsRecordedAfterShutdown(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	s.shutdown(t)
	_, span := s.TracerProvider().Tracer("test").Start(t.Context(), "late")
	if span.IsRecording() {
		t.Error("a span records after Shutdown")
	}
	s.emit(t)
	if spans := spansOf(s.collector.Received()); len(spans) != 0 {
		t.Errorf("got %d spans, want none", len(spans))
	}
}

func TestShutdownGivesEverySignalItsShare(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "test"})
	s.emit(t)
	if err := s.Shutdown(patience(t)); err != nil {
		t.Error(err)
	}
	got := s.collector.Received()
	if len(spansOf(got)) != 1 || len(recordsOf(got)) != 1 || metricOf(got, "operation.duration") == nil {
		t.Errorf("got %d spans, %d records and metric %v, want one of each",
			len(spansOf(got)), len(recordsOf(got)), metricOf(got, "operation.duration"))
	}
}

func TestShutdownEndsAtItsDeadlineWhenTheCollectorHangs(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	s.collector.Hang()
	s.emit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	if err == nil {
		t.Fatal("got no error although nothing was delivered")
	}
	for _, signal := range []string{"traces", "metrics", "logs"} {
		if !strings.Contains(err.Error(), signal) {
			t.Errorf("the error does not say that %s were not delivered: %v", signal, err)
		}
	}
}
