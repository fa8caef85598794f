package exporters_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// The retry window is much longer than the context.
func TestShutdownOfTheProvidersBoundsAHangingCollector(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, _ *lines) {
		collector := faultcollector.Start(t)
		collector.Hang()
		config.Endpoint = address(collector)
		s := start(t, config)
		s.emit(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		for name, shutdown := range map[string]func(context.Context) error{"traces": s.tracer.Shutdown, "metrics": s.meter.Shutdown, "logs": s.logger.Shutdown} {
			if err := shutdown(ctx); name != "metrics" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got error %v for %s, want the deadline's", err, name)
			}
		}
	})
}

func TestShutdownTellsWhatAHangingCollectorDidNotGet(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, _ *lines) {
		collector := faultcollector.Start(t)
		collector.Hang()
		config.Endpoint = address(collector)
		s := start(t, config)
		s.emit(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		checkUndelivered(t, s.shutdown(ctx))
		checkUndelivered(t, s.Shutdown(patience(t))) // the same again
	})
}

func TestShutdownGivesUpAnAbsentCollector(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, _ func(*faultcollector.Collector) string, config exporters.OTLP, _ *lines) {
		config.Endpoint = absent(t)
		s := start(t, config)
		s.emit(t)
		ctx := patience(t)
		checkUndelivered(t, s.shutdown(ctx))
		if err := ctx.Err(); err != nil {
			t.Errorf("the end was not prompt: %v", err)
		}
	})
}

// A Collector that was there a moment ago is worth the time that is left.
func TestShutdownUsesItsTimeForACollectorThatWasReached(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, log *lines) {
		collector := faultcollector.Start(t)
		first := startRelay(t, "127.0.0.1:0", address(collector), nil)
		config.Endpoint = first.address
		s := start(t, config)
		s.emit(t)
		if err := s.flush(patience(t)); err != nil {
			t.Fatal(err)
		}
		first.stop()
		log.wait(t, "cannot deliver")
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		s.emit(t)
		checkUndelivered(t, s.shutdown(ctx))
		if ctx.Err() == nil {
			t.Error("the exports ended before their time was over")
		}
	})
}

// A provider whose context is over does not reach its processors.
func TestShutdownEndsWhatTheProvidersDidNotReach(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			collector := faultcollector.Start(t)
			behind := map[string]string{protocolGRPC: collector.GRPC, protocolHTTP: collector.HTTP}[protocol]
			front := startRelay(t, "127.0.0.1:0", behind, nil)
			s := start(t, exporters.OTLP{Endpoint: front.address, Protocol: protocol})
			s.emit(t)
			ctx := patience(t)
			if err := s.flush(ctx); err != nil { // a connection is open now
				t.Fatal(err)
			}
			collector.Hang()
			s.emit(t)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			err := s.shutdown(over)
			for _, want := range []string{"traces (1)", "logs (1)"} { // metrics were not even collected
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want it to say %q", err, want)
				}
			}
			select {
			case <-front.ended:
			case <-ctx.Done():
				t.Fatal("a connection is still open")
			}
		})
	}
}

// A processor of the service's own, before the exporter's, takes all the time.
func TestShutdownAfterASlowProcessor(t *testing.T) {
	t.Parallel()
	collector := faultcollector.Start(t)
	p, err := exporters.OTLP{Endpoint: collector.GRPC, DisableMetrics: true, DisableLogs: true, Logger: slog.New(slog.DiscardHandler)}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(waiting{}), sdktrace.WithSpanProcessor(p.Spans))
	_, span := provider.Tracer("shop").Start(t.Context(), "checkout")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := provider.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want the deadline's", err)
	}
	if err := p.Shutdown(patience(t)); err != nil {
		t.Error(err)
	}
	if got := collector.Received(); len(got.Traces) != 1 {
		t.Errorf("got %d requests of traces, want 1", len(got.Traces))
	}
}

// waiting is a processor whose Shutdown takes until its context ends.
type waiting struct{}

func (waiting) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (waiting) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (waiting) ForceFlush(context.Context) error                { return nil }

func (waiting) Shutdown(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func TestShutdownDoesNotWaitForAHangingCallback(t *testing.T) {
	t.Parallel()
	collector := faultcollector.Start(t)
	s := start(t, exporters.OTLP{Endpoint: collector.GRPC})
	release := make(chan struct{})
	_, err := s.meter.Meter("shop").Int64ObservableGauge("hanging", metric.WithInt64Callback(
		func(context.Context, metric.Int64Observer) error { <-release; return nil }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = s.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "metrics: still running") {
		t.Errorf("got error %v, want that metrics still run", err)
	}
	close(release)
	if err := s.Shutdown(patience(t)); err != nil {
		t.Errorf("got error %v once the callback has returned", err)
	}
}

func TestShutdownFromManySides(t *testing.T) {
	t.Parallel()
	s := start(t, exporters.OTLP{Endpoint: absent(t)})
	s.emit(t)
	ctx := patience(t)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() { checkUndelivered(t, s.Shutdown(ctx)) })
		callers.Go(func() { _ = s.shutdown(ctx) })
		callers.Go(func() { _ = s.flush(ctx) })
	}
	callers.Wait()
}

// A flush beside Shutdown once took the loss away from it.
func TestLossesAreToldToAllWhoAsk(t *testing.T) {
	t.Parallel()
	s := start(t, exporters.OTLP{Endpoint: absent(t)})
	before := s.Losses()
	s.emit(t)
	ctx := patience(t)
	if err := s.shutdown(ctx); err == nil {
		t.Error("got no error from Shutdown")
	}
	for range 2 {
		checkUndelivered(t, s.Losses().Since(before))
		checkUndelivered(t, s.Losses().Since(exporters.Losses{}))
		checkUndelivered(t, s.Shutdown(ctx))
	}
}

// longLived is a context that counts the functions that wait for its end.
type longLived struct {
	context.Context
	waiting *atomic.Int32
}

func (longLived) Done() <-chan struct{} { return make(chan struct{}) }

func (l longLived) AfterFunc(func()) func() bool {
	l.waiting.Add(1)
	var once sync.Once
	return func() bool {
		once.Do(func() { l.waiting.Add(-1) })
		return true
	}
}

func TestShutdownLeavesNothingOnItsContext(t *testing.T) {
	t.Parallel()
	collector := faultcollector.Start(t)
	s := start(t, exporters.OTLP{Endpoint: collector.GRPC})
	s.emit(t)
	ctx := longLived{t.Context(), &atomic.Int32{}}
	if err := s.shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := patience(t); ctx.waiting.Load() != 0; {
		select {
		case <-tick.C:
		case <-limit.Done():
			t.Fatalf("got %d functions left on the context, want none", ctx.waiting.Load())
		}
	}
}

// Delta temporality has no next export that makes up for a lost one.
func TestDeltaLossIsForGood(t *testing.T) { // not parallel: it sets a variable
	tests := map[string]struct{ preference, want string }{
		"cumulative metrics come again": {"cumulative", ""},
		"delta metrics do not":          {"delta", "metrics (4)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", test.preference)
			s, healthy, log := refusing(t)
			ctx, before := patience(t), s.Losses()
			for range 2 {
				s.emit(t)
				_ = s.meter.ForceFlush(ctx)
			}
			healthy.Store(true)
			if err := s.flush(ctx); err != nil {
				t.Fatal(err)
			}
			err := s.Losses().Since(before)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
			if got := log.with(map[string]string{"cumulative": "points=2", "delta": "signal=metrics lost=2"}[test.preference]); len(got) != 1 {
				t.Errorf("got lines %q, want the refusal once", log.with(""))
			}
		})
	}
}

// While the link is known to be down, only what is lost for good is worth a
// line of its own.
func TestLossDuringAnOutage(t *testing.T) { // not parallel: it sets a variable
	for preference, want := range map[string]int{"cumulative": 0, "delta": 1} {
		t.Run(preference, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
			t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "100")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			t.Cleanup(server.Close)
			log := newLines()
			s := start(t, exporters.OTLP{Endpoint: server.URL, Protocol: protocolHTTP, DisableTraces: true, DisableLogs: true, Logger: slog.New(log)})
			s.emit(t)
			if err := s.flush(patience(t)); err == nil {
				t.Error("got no error")
			}
			if got := log.with("loss of telemetry started"); len(got) != want {
				t.Errorf("got lines %q, want %d of a loss", log.with(""), want)
			}
		})
	}
}
