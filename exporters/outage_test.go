package exporters_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// refusing starts a pipeline whose traces and metrics are answered with 400
// until the Collector is healthy.
func refusing(t *testing.T) (s *sender, healthy *atomic.Bool, log *lines) {
	t.Helper()
	healthy, log = &atomic.Bool{}, newLines()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !healthy.Load() && !strings.HasSuffix(r.URL.Path, "/logs") {
			http.Error(w, "no", http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	return start(t, exporters.OTLP{Endpoint: server.URL, Protocol: protocolHTTP, Logger: slog.New(log)}), healthy, log
}

func TestLosses(t *testing.T) {
	t.Parallel()
	s, healthy, _ := refusing(t)
	for range 3 {
		s.emit(t)
	}
	ctx := patience(t)
	before := s.Losses()
	for range 2 {
		if err := s.tracer.ForceFlush(ctx); err != nil {
			t.Errorf("got error %v from ForceFlush, want Losses to tell it", err)
		}
		s.emit(t)
	}
	_ = s.meter.ForceFlush(ctx)
	after := s.Losses()
	err := after.Since(before)
	for _, want := range []string{"not delivered to 127.0.0.1:", "traces (4)", "metrics (2)", "400 Bad Request"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want it to say %q", err, want)
		}
	}
	if again := s.Losses().Since(before); again == nil || again.Error() != err.Error() {
		t.Errorf("got error %v from another who asks, want %v", again, err)
	}
	if err := s.Losses().Since(after); err != nil {
		t.Errorf("got error %v, want none since then", err)
	}

	// Metrics are cumulative: what one export lost comes with the next.
	_ = s.meter.ForceFlush(ctx)
	healthy.Store(true)
	if err := s.flush(ctx); err != nil {
		t.Errorf("got error %v after a complete export of metrics", err)
	}
}

// A Collector that refuses one signal is not a link that comes and goes.
func TestRefusalIsNotAnOutage(t *testing.T) {
	t.Parallel()
	s, _, log := refusing(t)
	for range 3 {
		s.emit(t)
		if err := s.flush(patience(t)); err == nil || strings.Contains(err.Error(), "logs") {
			t.Errorf("got error %v, want one for traces and metrics", err)
		}
	}
	for text, want := range map[string]int{"deliver telemetry": 0, "delivered again": 0, "signal=traces lost=1": 1, "the next export carries them again": 1, "points=2": 1} {
		if got := log.with(text); len(got) != want {
			t.Errorf("got lines %q, want %d that say %q", got, want, text)
		}
	}
}

// What a server answers becomes part of an error and of a log line.
func TestLongAnswerIsCutShort(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no "+strings.Repeat("\xff\xe2\x82\xac", 1<<18), http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	log := newLines()
	s := start(t, exporters.OTLP{Endpoint: server.URL, Protocol: protocolHTTP, DisableMetrics: true, DisableLogs: true, Logger: slog.New(log)})
	s.emit(t)
	err := s.flush(patience(t))
	if err == nil || !strings.Contains(err.Error(), "400 Bad Request") || len(err.Error()) > 2000 || !utf8.ValidString(err.Error()) {
		t.Errorf("got error %q, want the beginning of the answer", err)
	}
	for _, line := range log.with("") {
		if len(line) > 2000 {
			t.Errorf("got a line of %d bytes", len(line))
		}
	}
}

// outages run over both protocols, as they are retried by different code.
func outages(t *testing.T, run func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, log *lines)) {
	t.Helper()
	tests := map[string]struct {
		address  func(*faultcollector.Collector) string
		protocol string
	}{
		"over gRPC": {func(c *faultcollector.Collector) string { return c.GRPC }, protocolGRPC},
		"over HTTP": {func(c *faultcollector.Collector) string { return c.HTTP }, protocolHTTP},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newLines()
			run(t, test.address, exporters.OTLP{Protocol: test.protocol, MetricInterval: 200 * time.Millisecond, Logger: slog.New(log)}, log)
		})
	}
}

func checkOneOutage(t *testing.T, log *lines) {
	t.Helper()
	log.wait(t, "recovered")
	for text, want := range map[string]int{"WARN otelmon: cannot deliver telemetry": 1, "INFO otelmon: recovered, telemetry is delivered again": 1, "": 2} {
		if got := log.with(text); len(got) != want {
			t.Errorf("got lines %q, want %d that say %q", got, want, text)
		}
	}
}

func TestHangingCollectorGetsEverythingOnceHealed(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, log *lines) {
		collector := faultcollector.Start(t)
		collector.Hang()
		config.Endpoint, config.Timeout = address(collector), 200*time.Millisecond
		s := start(t, config)
		s.emit(t)
		log.wait(t, "cannot deliver")
		collector.Heal()
		checkContent(t, collector.Wait(patience(t), t, all))
		checkOneOutage(t, log)
	})
}

// Each signal is alone, so that its own first attempt is the one that fails.
func TestCollectorMayStartLater(t *testing.T) {
	t.Parallel()
	const traces, metrics, logs = "traces", "metrics", "logs"
	for _, signal := range []string{traces, metrics, logs} {
		t.Run(signal, func(t *testing.T) {
			t.Parallel()
			outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, log *lines) {
				collector := faultcollector.Start(t)
				config.Endpoint, config.MetricInterval = absent(t), time.Hour
				config.DisableTraces, config.DisableMetrics, config.DisableLogs = signal != traces, signal != metrics, signal != logs
				s := start(t, config)
				s.emit(t)
				ctx := patience(t)
				flushed := make(chan error, 1)
				go func() { flushed <- s.flush(ctx) }()
				log.wait(t, "cannot deliver")
				startRelay(t, config.Endpoint, address(collector), nil)
				if err := <-flushed; err != nil {
					t.Error(err)
				}
				if got := collector.Received(); len(got.Paths) != 1 {
					t.Errorf("got requests %q, want one", got.Paths)
				}
				checkOneOutage(t, log)
			})
		})
	}
}

// The connection stays open until the last signal is done with it.
func TestShutdownDelivers(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, log *lines) {
		collector := faultcollector.Start(t)
		front := startRelay(t, "127.0.0.1:0", address(collector), nil)
		config.Endpoint, config.MetricInterval = front.address, time.Hour
		s := start(t, config)
		s.emit(t)
		ctx := patience(t)
		if err := errors.Join(s.tracer.Shutdown(ctx), s.meter.Shutdown(ctx), s.logger.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
		checkContent(t, collector.Received())
		if got := log.with(""); len(got) > 0 {
			t.Errorf("got lines %q, want none", got)
		}
		for range front.accepted.Load() {
			select {
			case <-front.ended:
			case <-ctx.Done():
				t.Fatal("a connection is still open")
			}
		}
	})
}

// Starting touches no network, so that a context that is over keeps no signal
// out.
func TestStartWithAContextThatIsOver(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", protocolHTTP} {
		t.Run("over "+protocol, func(t *testing.T) {
			t.Parallel()
			collector := faultcollector.Start(t)
			endpoint := map[string]string{"grpc": collector.GRPC, protocolHTTP: collector.HTTP}[protocol]
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			p, err := exporters.OTLP{Endpoint: endpoint, Protocol: protocol, Logger: slog.New(slog.DiscardHandler)}.Start(ctx)
			if err != nil || p.Spans == nil || p.Metrics == nil || p.Logs == nil {
				t.Fatalf("got %+v and error %v, want all signals", p, err)
			}
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p.Spans))
			_, span := provider.Tracer("test").Start(t.Context(), "span")
			span.End()
			if err := provider.Shutdown(patience(t)); err != nil {
				t.Error(err)
			}
			if err := p.Shutdown(patience(t)); err != nil {
				t.Error(err)
			}
			if len(collector.Received().Traces) != 1 {
				t.Error("the span did not arrive")
			}
		})
	}
}

func TestLossesOfSwappedMomentsAreNone(t *testing.T) {
	t.Parallel()
	s, _, _ := refusing(t)
	before := s.Losses()
	s.emit(t)
	_ = s.flush(patience(t)) // refused
	if err := before.Since(s.Losses()); err != nil {
		t.Errorf("got %v", err)
	}
}

func checkUndelivered(t *testing.T, err error) {
	t.Helper()
	for _, want := range []string{"traces (1)", "metrics (2)", "logs (1)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want it to say %q", err, want)
		}
	}
}
