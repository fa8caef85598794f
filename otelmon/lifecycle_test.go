package otelmon_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// setUpGlobal starts the process's one SDK; tests that use it are not parallel.
func setUpGlobal(t *testing.T, cfg otelmon.Config) *service {
	t.Helper()
	s := &service{collector: faultcollector.Start(t), log: newLines()}
	cfg.Logger = s.log.logger()
	cfg.ServiceName = "test"
	cfg.Prometheus.Address = "127.0.0.1:0"
	if cfg.OTLP.Endpoint == "" {
		cfg.OTLP.Endpoint = s.collector.GRPC
	}
	s.SDK, s.setupErr = otelmon.Setup(t.Context(), cfg)
	t.Cleanup(func() { s.shutdown(t) })
	return s
}

// Not parallel: sets the globals.
func TestSetupServesGlobals(t *testing.T) {
	s := setUpGlobal(t, otelmon.Config{})
	ctx, span := otel.Tracer("global").Start(t.Context(), "global operation")
	counter, err := otel.Meter("global").Int64Counter("global.calls")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 1)
	var record log.Record
	record.SetBody(attribute.StringValue("global record"))
	otel.GetLoggerProvider().Logger("global").Emit(ctx, record)
	span.End()
	if err := s.ForceFlush(patience(t)); err != nil {
		t.Fatal(err)
	}
	got := s.collector.Received()
	if n := len(spansOf(got)); n != 1 {
		t.Errorf("got %d spans, want 1", n)
	}
	if metricOf(got, "global.calls") == nil {
		t.Error("the counter did not arrive")
	}
	if n := len(recordsOf(got)); n != 1 {
		t.Errorf("got %d log records, want 1", n)
	}
	if fields := otel.GetTextMapPropagator().Fields(); !strings.Contains(strings.Join(fields, ","), "traceparent") {
		t.Errorf("the propagator's fields are %v, want traceparent among them", fields)
	}
}

// Not parallel: sets the globals.
func TestSetupTwiceReturnsTheRunningSDK(t *testing.T) {
	first := setUpGlobal(t, otelmon.Config{})
	second, err := otelmon.Setup(t.Context(), otelmon.Config{})
	if !errors.Is(err, otelmon.ErrAlreadySetUp) {
		t.Errorf("got error %v, want ErrAlreadySetUp", err)
	}
	if second != first.SDK {
		t.Error("got another SDK than the one that runs")
	}
}

// Not parallel: sets the globals.
func TestSetupHundredTimesAtOnceStartsOne(t *testing.T) {
	var wait sync.WaitGroup
	sdks := make([]*otelmon.SDK, 100)
	errs := make([]error, len(sdks))
	for i := range sdks {
		wait.Go(func() {
			cfg := withoutPush()
			cfg.Logger = newLines().logger()
			sdks[i], errs[i] = otelmon.Setup(t.Context(), cfg)
		})
	}
	wait.Wait()
	started := 0
	for i := range sdks {
		if errs[i] == nil {
			started++
		} else if !errors.Is(errs[i], otelmon.ErrAlreadySetUp) {
			t.Errorf("got error %v", errs[i])
		}
		if sdks[i] != sdks[0] {
			t.Error("got different SDKs")
		}
	}
	if started != 1 {
		t.Errorf("%d calls started an SDK, want 1", started)
	}
	if err := sdks[0].Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// Not parallel: sets the globals.
func TestSetupAfterShutdownServesWhatWasObtainedBefore(t *testing.T) {
	first := setUpGlobal(t, otelmon.Config{})
	tracer := otel.Tracer("kept")
	counter, err := otel.Meter("kept").Int64Counter("kept.calls")
	if err != nil {
		t.Fatal(err)
	}
	observed, err := otel.Meter("kept").Int64ObservableGauge("kept.level", metric.WithInt64Callback(
		func(_ context.Context, o metric.Int64Observer) error { o.Observe(7); return nil }))
	if err != nil || observed == nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3)
	if err := first.Shutdown(patience(t)); err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 100) // between two SDKs: goes nowhere

	second := setUpGlobal(t, otelmon.Config{})
	if second.setupErr != nil {
		t.Fatal(second.setupErr)
	}
	_, span := tracer.Start(t.Context(), "after")
	span.End()
	counter.Add(t.Context(), 5)
	if err := second.ForceFlush(patience(t)); err != nil {
		t.Fatal(err)
	}
	got := second.collector.Received()
	if spans := spansOf(got); len(spans) != 1 || spans[0].Name != "after" {
		t.Errorf("got spans %v, want the one of the tracer obtained before", spans)
	}
	if sum := metricOf(got, "kept.calls").GetSum(); sum == nil || sum.DataPoints[0].GetAsInt() != 5 {
		t.Errorf("got %v, want 5 counted since the second Setup", sum)
	}
	if gauge := metricOf(got, "kept.level").GetGauge(); gauge == nil || gauge.DataPoints[0].GetAsInt() != 7 {
		t.Errorf("got %v, want the callback's 7", gauge)
	}
	if body := second.scrape(t); !strings.Contains(body, "go_goroutine_count") {
		t.Error("the second SDK has no runtime metrics")
	}
}

// Not parallel: sets the globals.
func TestRuntimeMetricsAreThereOnceAfterManySetups(t *testing.T) {
	for range 3 {
		s := setUpGlobal(t, otelmon.Config{DisableOTLP: true})
		s.shutdown(t)
	}
	s := setUpGlobal(t, otelmon.Config{DisableOTLP: true})
	// Doubled, the value would be 200.
	if body := s.scrape(t); !strings.Contains(body, "go_config_gogc_percent{") || !strings.Contains(lineWith(body, "go_config_gogc_percent{"), "} 100") {
		t.Errorf("got %q, want 100", lineWith(body, "go_config_gogc_percent{"))
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func TestNilContextsAreTaken(t *testing.T) {
	t.Parallel()
	cfg := withoutPush()
	cfg.DisableGlobals = true
	cfg.Logger = newLines().logger()
	var none context.Context
	sdk, err := otelmon.Setup(none, cfg)
	if err != nil {
		t.Error(err)
	}
	if err := sdk.ForceFlush(none); err != nil {
		t.Error(err)
	}
	if err := sdk.Shutdown(none); err != nil {
		t.Error(err)
	}
}

func TestAnSDKThatSetupDidNotMakeSaysSo(t *testing.T) {
	t.Parallel()
	var sdk otelmon.SDK
	if err := sdk.Shutdown(t.Context()); err == nil {
		t.Error("got no error")
	}
	if err := sdk.ForceFlush(t.Context()); err != nil || sdk.MetricsURL() != "" || sdk.OTLPEndpoint() != "" {
		t.Errorf("got flush %v, metrics at %q, push to %q", err, sdk.MetricsURL(), sdk.OTLPEndpoint())
	}
}

// Not parallel: sets the globals.
func TestSetupAndShutdownAtTheSameTime(t *testing.T) {
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			meter := otel.Meter("busy")
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, span := otel.Tracer("busy").Start(t.Context(), "span")
				span.End()
				if counter, err := meter.Int64Counter("busy.calls"); err == nil {
					counter.Add(t.Context(), 1)
				}
			}
		})
	}
	for range 20 {
		cfg := withoutPush()
		cfg.Logger = newLines().logger()
		var both sync.WaitGroup
		for range 3 {
			both.Go(func() {
				sdk, _ := otelmon.Setup(t.Context(), cfg)
				if err := sdk.Shutdown(patience(t)); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	close(stop)
	wait.Wait()
}

func TestSetupWithoutACollectorSaysSoOnce(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{Endpoint: absent, MetricInterval: 100 * time.Millisecond}})
	if s.setupErr != nil {
		t.Error(s.setupErr)
	}
	s.emit(t)
	s.log.wait(t, "cannot deliver telemetry")
	// Several intervals of metrics fail meanwhile.
	if err := flushUntil(t, s, time.Second); err == nil {
		t.Error("a flush to nowhere returned no error")
	}
	lines := strings.Count(s.log.String(), "\n") - strings.Count(s.log.String(), "loss of telemetry")
	if lines > 2 {
		t.Errorf("got %d log lines besides those about what the flush lost, want 2 at most:\n%s", lines, s.log)
	}
}
