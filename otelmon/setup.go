package otelmon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/otelmon/toolkit/internal/delegate"
	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/meter"
)

// ErrAlreadySetUp is what a second [Setup] returns, together with the SDK that
// is running.
var ErrAlreadySetUp = errors.New("otelmon is already set up in this process")

// global is what a process has once, as it has the globals of the
// OpenTelemetry API: the SDK that runs, and the providers that were made
// globals and are led to the SDK of the day.
var global = struct {
	sync.Mutex
	running   *SDK
	providers providers
	log       atomic.Pointer[diag.Log]
}{
	providers: newProviders(),
}

// providers can be led to another SDK while they are in use, so that what was
// obtained from them before a shutdown works again after the next Setup.
type providers struct {
	meter  *meter.Provider
	tracer *delegate.TracerProvider
	logger *delegate.LoggerProvider
}

func newProviders() providers {
	return providers{meter.NewProvider(), delegate.NewTracerProvider(), delegate.NewLoggerProvider()}
}

// Setup turns telemetry on. It never waits for the network; ctx bounds Setup
// alone, for the sake of Config.Detectors.
//
// The SDK is never nil. An error names each field or variable that could not
// be obeyed, its value with secrets left out, and what is accepted; whatever
// could be started runs, so that a service can log the error and go on. While
// an SDK runs, Setup returns it with [ErrAlreadySetUp]. After its Shutdown,
// Setup works again, also for tracers and instruments obtained before.
//
// Unless Config.DisableGlobals is set, Setup sets the globals of the
// OpenTelemetry API: the three providers, the propagator, the error handler and
// the internal logger.
//
// Safe for concurrent use. The caller calls [SDK.Shutdown].
func Setup(ctx context.Context, cfg Config) (*SDK, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	sdk, err := setUp(ctx, cfg)
	if errors.Is(err, ErrAlreadySetUp) || sdk.meter == nil {
		return sdk, err
	}
	errs := []error{err}
	for i, call := range cfg.OnStart {
		if !sdk.over() {
			errs = append(errs, sdk.tell(i, call))
		}
	}
	return sdk, errors.Join(errs...)
}

func setUp(ctx context.Context, cfg Config) (*SDK, error) {
	if cfg.DisableGlobals {
		return start(ctx, cfg, newProviders())
	}
	global.Lock()
	defer global.Unlock()
	if global.running != nil {
		return global.running, ErrAlreadySetUp
	}
	sdk, err := startAsGlobal(ctx, cfg)
	global.running = sdk
	return sdk, err
}

// tell calls one of Config.OnStart, whose panic is an error too.
func (s *SDK) tell(i int, call func(*SDK) error) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v", problem)
		}
		if err != nil {
			err = fmt.Errorf("Config.OnStart[%d]: %w", i, err)
		}
	}()
	if call == nil {
		return errors.New("nil; accepted: a function")
	}
	return call(s)
}

// startAsGlobal is the one place where globals of the OpenTelemetry API are
// set. What the API has to say while the SDK starts is dropped, because Setup
// has validated the same variables and returns better errors.
func startAsGlobal(ctx context.Context, cfg Config) (*SDK, error) {
	global.log.Store(nil)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if log := global.log.Load(); log != nil {
			log.Handle(err)
		}
	}))
	otel.SetLogger(logr.Discard())
	sdk, err := start(ctx, cfg, global.providers)
	global.log.Store(sdk.log)
	otel.SetLogger(sdk.log.Logr())

	otel.SetTextMapPropagator(sdk.propagator)
	otel.SetMeterProvider(global.providers.meter)
	otel.SetTracerProvider(global.providers.tracer)
	otel.SetLoggerProvider(global.providers.logger)
	return sdk, err
}

func newPropagator(vars *env.Reader) propagation.TextMapPropagator {
	names := vars.ListOf("OTEL_PROPAGATORS", []string{"tracecontext", "baggage"},
		"tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace", "none")
	propagator, err := autoprop.TextMapPropagator(names...)
	if err != nil {
		vars.Report("OTEL_PROPAGATORS", err.Error())
		return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	return propagator
}
