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

	"github.com/prometheus/client_golang/prometheus/push"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
)

// Run sets telemetry up, calls main and flushes before it returns: also when
// main panics, and when the process is told to stop by an interrupt or SIGTERM,
// which end main's context. A second signal ends the process at once. Short
// jobs lose nothing that way, however briefly they lived.
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
	alreadyRunning := errors.Is(err, ErrAlreadySetUp)
	defer func() {
		if !alreadyRunning {
			sdk.finish(ctx, cfg)
		}
	}()

	ctx, stop := signal.NotifyContext(context.WithValue(ctx, sdkKey{}, sdk), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		stop() // from here on a signal ends the process
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
		defer cancel()
		_ = sdk.ForceFlush(flush) // early, should main not return in time
	})()
	return main(ctx)
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
	return &SDK{providers: newProviders(), logLevel: slog.LevelInfo, log: diag.New(nil, nil)}
}

// finish delivers what is left; it runs while a panic of main passes by.
func (s *SDK) finish(ctx context.Context, cfg Config) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	if err := s.push(ctx, cfg); err != nil {
		s.log.Error("push", "metrics were not pushed to the Pushgateway", "error", err)
	}
	if err := s.Shutdown(ctx); err != nil {
		s.log.Error("shutdown", "telemetry was not delivered completely", "error", err)
	}
}

// pushgateway returns where Run pushes to, "" elsewhere.
func (c Config) pushgateway(vars *env.Reader) string {
	switch {
	case !c.underRun:
		return ""
	case c.PushgatewayURL != "":
		return c.PushgatewayURL
	}
	return vars.String("OTELMON_PUSHGATEWAY_URL")
}

func (s *SDK) push(ctx context.Context, cfg Config) error {
	address := cfg.pushgateway(&env.Reader{})
	if address == "" || s.prometheus == nil {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("Config.PushgatewayURL or OTELMON_PUSHGATEWAY_URL (value not shown): not a URL; accepted: a URL with scheme http or https")
	}
	user := u.User
	u.User = nil
	pusher := push.New(u.String(), s.serviceName).Gatherer(s.prometheus.Gatherer())
	if user != nil {
		password, _ := user.Password()
		pusher.BasicAuth(user.Username(), password)
	}
	if err := pusher.PushContext(ctx); err != nil {
		return fmt.Errorf("pushing to %s: %w", u.Redacted(), err)
	}
	return nil
}
