package otelmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
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
// else: trouble with telemetry is logged and does not fail a job.
func Run(ctx context.Context, cfg Config, main func(context.Context) error) error {
	if ctx == nil {
		ctx = context.Background()
	}
	cfg = cfg.defaults()
	cfg.underRun = true
	sdk, err := Setup(ctx, cfg)
	if err != nil {
		sdk.log.Error("setup", "telemetry is not complete", "error", err)
	}
	ctx = context.WithValue(ctx, sdkKey{}, sdk)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // after the first, a signal ends the process

	flushed := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(flushed)
		sdk.flushEarly(ctx, cfg)
	})
	defer func() {
		if forget() {
			close(flushed)
		}
		if !errors.Is(err, ErrAlreadySetUp) {
			sdk.finish(ctx, cfg, flushed)
		}
	}()
	return main(ctx)
}

// flushEarly delivers at the signal, should main not return in time.
func (s *SDK) flushEarly(ctx context.Context, cfg Config) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	if err := s.ForceFlush(ctx); err != nil {
		s.log.Error("flush", "telemetry was not delivered at the signal", "error", err)
	}
}

// finish delivers what is left, once an early flush is over; it runs while a
// panic of main passes by.
func (s *SDK) finish(ctx context.Context, cfg Config, flushed <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	select {
	case <-flushed:
	case <-ctx.Done():
	}
	tasks := map[string]func(context.Context) error{
		"pushing to the Pushgateway": s.preparePush(cfg),
		"shutdown":                   s.Shutdown,
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
	name, address := "Config.PushgatewayURL", c.PushgatewayURL
	if address == "" {
		name, address = "OTELMON_PUSHGATEWAY_URL", vars.String("OTELMON_PUSHGATEWAY_URL")
	}
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		vars.Add(fmt.Errorf("%s (value not shown): nothing is pushed; accepted: a URL with scheme http or https, without a query", name))
		return nil
	}
	if !c.underRun {
		return nil
	}
	return u
}

// preparePush gathers the metrics while their reader runs and returns what
// pushes them.
func (s *SDK) preparePush(cfg Config) func(context.Context) error {
	u := cfg.pushgateway(&env.Reader{})
	if u == nil || s.prometheus == nil {
		return func(context.Context) error { return nil }
	}
	metrics, err := s.prometheus.Gatherer().Gather()
	if err != nil {
		s.log.Warn("gather", "some metrics were left out of the push", "error", err)
	}
	user := u.User
	u.User = nil
	gathered := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return metrics, nil })
	pusher := push.New(u.String(), s.serviceName).Gatherer(gathered)
	if user != nil {
		password, _ := user.Password()
		pusher.BasicAuth(user.Username(), password)
	}
	return pusher.PushContext
}
