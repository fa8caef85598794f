package otelmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/tracer"
)

// overdue is how long after its deadline Shutdown waits for parts that were
// told to stop.
const overdue = 250 * time.Millisecond

// errNotSetUp is for an SDK that somebody made without Setup.
var errNotSetUp = errors.New("the SDK was not made by otelmon.Setup")

// SDK is running telemetry, made by [Setup] and never by its users. Its methods
// are safe for concurrent use, also after Shutdown, when they do nothing.
type SDK struct {
	providers       providers
	propagator      propagation.TextMapPropagator
	serviceName     string
	cardinality     int
	logLevel        slog.Leveler
	log             *diag.Log
	shutdownTimeout time.Duration
	settings        []Setting
	resource        *resource.Resource // nil when telemetry is disabled

	// Nil when telemetry is disabled.
	otlp       *exporters.OTLPPipeline
	prometheus *exporters.PrometheusServer
	tracer     *tracer.Provider
	meter      *sdkmetric.MeterProvider
	logger     *sdklog.LoggerProvider

	shutdown    sync.Once
	stopped     chan struct{} // closed when shutdownErr is set
	shutdownErr error
}

// TracerProvider returns the provider of tracers. It is the global one unless
// Config.DisableGlobals is set.
func (s *SDK) TracerProvider() trace.TracerProvider { return s.providers.tracer }

// MeterProvider returns the provider of meters, which gives histograms
// boundaries that fit their unit. It is the global one unless
// Config.DisableGlobals is set.
func (s *SDK) MeterProvider() metric.MeterProvider { return s.providers.meter }

// LoggerProvider returns the provider of OpenTelemetry loggers; a service that
// logs with log/slog uses [SDK.SlogHandler] instead. It is the global one
// unless Config.DisableGlobals is set.
func (s *SDK) LoggerProvider() log.LoggerProvider { return s.providers.logger }

// Propagator returns the propagator of OTEL_PROPAGATORS. It is the global one
// unless Config.DisableGlobals is set.
func (s *SDK) Propagator() propagation.TextMapPropagator { return s.propagator }

// MetricsHandler answers Prometheus' scrapes, for those who mount it on a
// server of their own. It answers 404 when there is no Prometheus exporter.
func (s *SDK) MetricsHandler() http.Handler {
	if s.prometheus == nil {
		return http.NotFoundHandler()
	}
	return s.prometheus.Handler()
}

// MetricsURL returns the address of the metrics page, with the port that was
// taken when 0 was asked for; "" when none is served.
func (s *SDK) MetricsURL() string {
	if s.prometheus == nil || s.over() {
		return ""
	}
	return s.prometheus.URL()
}

// OTLPEndpoint returns the addresses, host:port joined with commas, that
// telemetry is pushed to; "" when nothing is pushed.
func (s *SDK) OTLPEndpoint() string {
	if s.otlp == nil {
		return ""
	}
	return s.otlp.Endpoint()
}

// ForceFlush sends what is waiting, all signals side by side, until ctx ends.
// The error says what could not be delivered.
func (s *SDK) ForceFlush(ctx context.Context) error {
	if s.meter == nil || s.over() {
		return nil
	}
	before := s.otlp.Losses()
	err := together(ctx, map[string]func(context.Context) error{
		"traces":  s.tracer.ForceFlush,
		"metrics": s.meter.ForceFlush,
		"logs":    s.logger.ForceFlush,
	})
	return errors.Join(err, s.otlp.Losses().Since(before))
}

// Shutdown flushes and ends telemetry, all signals side by side and each with
// the whole time until ctx ends, or Config.ShutdownTimeout when it has no
// deadline; running exports are cut off then. The error says what could not be
// delivered. Later calls wait for the first, as long as their own ctx lasts,
// and return the same.
//
// A ctx that has ended already leaves no time to flush: give it the service's
// context through [context.WithoutCancel].
func (s *SDK) Shutdown(ctx context.Context) error {
	if s.stopped == nil {
		return errNotSetUp
	}
	if ctx == nil {
		ctx = context.Background()
	}
	first := false
	s.shutdown.Do(func() { first = true })
	if first {
		defer close(s.stopped)
		s.shutdownErr = s.stop(ctx)
		return s.shutdownErr
	}
	select {
	case <-s.stopped:
		return s.shutdownErr
	case <-ctx.Done():
		return fmt.Errorf("waiting for a shutdown that runs: %w", ctx.Err())
	}
}

// over reports whether Shutdown has ended.
func (s *SDK) over() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

func (s *SDK) stop(ctx context.Context) error {
	defer s.retire()
	if s.meter == nil {
		return nil
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.shutdownTimeout)
		defer cancel()
	}
	tasks := map[string]func(context.Context) error{
		"traces":  s.tracer.Shutdown,
		"metrics": s.meter.Shutdown,
		"logs":    s.logger.Shutdown,
	}
	if s.prometheus != nil {
		tasks["metrics server"] = s.prometheus.Shutdown
	}
	err := together(ctx, tasks)
	return errors.Join(err, s.otlp.Shutdown(ctx))
}

// retire leads the providers to nothing and lets the next Setup go ahead, which
// cannot have begun before.
func (s *SDK) retire() {
	s.providers.tracer.Set(nil)
	s.providers.logger.Set(nil)
	s.providers.meter.Set(nil, meter.Rules{})
	if s.providers != global.providers {
		return
	}
	global.Lock()
	defer global.Unlock()
	if global.running == s {
		global.running = nil
	}
}

// together runs the tasks side by side. A task that ignores the end of ctx,
// because it waits for code of the user's, is left behind.
func together(ctx context.Context, tasks map[string]func(context.Context) error) error {
	if ctx == nil {
		ctx = context.Background()
	}
	results := make(chan error, len(tasks))
	for name, task := range tasks {
		go func() { results <- attempt(ctx, name, task) }()
	}
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(overdue, func() { close(late) }) })()
	var errs []error
	for range tasks {
		select {
		case err := <-results:
			errs = append(errs, err)
		case <-late:
			return errors.Join(append(errs, fmt.Errorf("still running at the deadline: %w", ctx.Err()))...)
		}
	}
	return errors.Join(errs...)
}

// attempt turns a panic, of a processor of the user's, into an error: there is
// nobody above to recover it.
func attempt(ctx context.Context, name string, task func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s: panic: %v", name, v)
		}
	}()
	if err := task(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func serviceName(res *resource.Resource) string {
	name, _ := res.Set().Value(telemetry.ServiceName)
	return name.AsString()
}
