package otelmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/propagation"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
)

// Run sets telemetry up, calls main and flushes before it returns: also when
// main panics, and when the process is told to stop by an interrupt or SIGTERM,
// which end main's context. A second signal ends the process at once. A short
// job's telemetry is thus delivered however briefly it lived, as long as the
// Collector answers within Config.ShutdownTimeout; one that has refused every
// attempt is given a second.
//
// In main, [FromContext] returns the SDK. Run returns main's error and nothing
// else: trouble with telemetry is logged and does not fail a job. Where an SDK
// runs already, Run uses that, flushes it and leaves it running.
func Run(ctx context.Context, cfg Config, main func(context.Context) error) error {
	if ctx == nil {
		ctx = context.Background()
	}
	cfg.underRun = true
	sdk, err := Setup(ctx, cfg)
	cfg = cfg.defaults()
	owner := !errors.Is(err, ErrAlreadySetUp)
	if err != nil && owner {
		sdk.log.Error("setup", "telemetry is not complete", "error", err)
	}
	running, cancel := context.WithCancel(context.WithValue(ctx, sdkKey{}, sdk))
	defer cancel()
	defer onSignal(func(delivered context.Context) {
		cancel()
		// Early, should main not return in time. What it loses is logged by the
		// exporters, or returned by the Shutdown that runs beside it.
		_ = sdk.ForceFlush(delivered)
	})()
	defer sdk.finish(ctx, cfg, owner)
	return main(running)
}

// onSignal calls stop at the first signal that asks the process to end; the
// next one then ends it. The context that stop gets lasts until release, which
// waits for stop.
func onSignal(stop func(context.Context)) (release func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-signals:
			signal.Stop(signals)
			stop(ctx)
		case <-ctx.Done():
		}
	})
	return func() {
		signal.Stop(signals)
		cancel()
		watch.Wait()
	}
}

// finish delivers what is left; it runs while a panic of main passes by.
func (s *SDK) finish(ctx context.Context, cfg Config, owner bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	tasks := map[string]func(context.Context) error{"flush": s.ForceFlush}
	if owner {
		tasks = map[string]func(context.Context) error{
			"pushing to the Pushgateway": s.preparePush(ctx, cfg),
			"shutdown":                   s.Shutdown,
		}
	}
	if err := together(ctx, tasks); err != nil {
		s.log.Error("finish", "telemetry was not delivered completely", "error", err)
	}
}

type sdkKey struct{}

// FromContext returns the SDK that [Run] gave to main with its context, for
// example for its [SDK.SlogHandler]. It is never nil: outside of Run it returns
// an SDK that does nothing.
func FromContext(ctx context.Context) *SDK {
	if ctx != nil {
		if sdk, ok := ctx.Value(sdkKey{}).(*SDK); ok {
			return sdk
		}
	}
	return &SDK{
		providers:  newProviders(),
		propagator: propagation.NewCompositeTextMapPropagator(),
		logLevel:   slog.LevelInfo,
		log:        diag.New(nil, nil),
		stopped:    make(chan struct{}),
	}
}

// pushgateway returns where Run pushes to, nil for nowhere. The address is
// checked in any case.
func (c Config) pushgateway(vars *env.Reader) *url.URL {
	const variable, field = "OTELMON_PUSHGATEWAY_URL", "Config.PushgatewayURL"
	name, address := field, c.PushgatewayURL
	if address != "" {
		vars.Field(variable, field, address)
	} else {
		name, address = variable, vars.String(variable)
	}
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		vars.Refuse(variable, fmt.Errorf("%s (value not shown): nothing is pushed; accepted: a URL with scheme http or https, without a query", name))
		return nil
	}
	if !c.underRun {
		vars.Note(variable, "used by otelmon.Run alone, not by otelmon.Setup")
		return nil
	}
	return u
}

// preparePush gathers the metrics while their reader runs and returns what
// pushes them. A callback that hangs takes half of the time that there is.
func (s *SDK) preparePush(ctx context.Context, cfg Config) func(context.Context) error {
	u := cfg.pushgateway(&env.Reader{})
	if u == nil || s.prometheus == nil {
		return func(context.Context) error { return nil }
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.ShutdownTimeout/2)
	defer cancel()
	var metrics []*dto.MetricFamily
	err := together(ctx, map[string]func(context.Context) error{"collecting metrics": func(context.Context) (err error) {
		metrics, err = s.prometheus.Gatherer().Gather()
		return err
	}})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return func(context.Context) error { return err }
	case err != nil:
		s.log.Warn("gather", "some metrics were left out of the push", "error", err)
	}
	gathered := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return metrics, nil })
	user := u.User
	u.User = nil
	pusher := push.New(u.String(), s.serviceName).Gatherer(gathered)
	if user != nil {
		password, _ := user.Password()
		pusher.BasicAuth(user.Username(), password)
	}
	return pusher.PushContext
}
