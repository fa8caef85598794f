package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/proxy"
)

// runProxy is the subcommand proxy.
func runProxy(ctx context.Context, p process, args []string) int {
	given, help, err := parse(args)
	switch {
	case help:
		p.print(proxyHelp())
		return succeeded
	case given["version"] != nil:
		p.print(version())
		return succeeded
	}
	for _, name := range p.environment.unknown() {
		p.complain("otelmon proxy: " + name + ": no such variable; see otelmon proxy --help")
	}
	from := sources{given, p.environment}
	var o options
	if err == nil {
		o, err = from.read()
	}
	if err == nil {
		err = from.try(o)
	}
	if err != nil {
		p.complain(strings.ReplaceAll("otelmon proxy: "+err.Error(), "\n", "\notelmon proxy: ") + "; see otelmon proxy --help")
		return misused
	}
	if err := serveProxy(ctx, p, from, o); err != nil {
		p.complain(fmt.Sprintf("otelmon proxy: %v", err))
		return failed
	}
	return succeeded
}

// parse returns the values of each flag that is given. They are checked later,
// together with those of variables.
func parse(args []string) (given map[string][]string, help bool, err error) {
	given = make(map[string][]string)
	flags := flag.NewFlagSet("otelmon proxy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, s := range append(settings(), fileSetting()) {
		add := func(value string) error {
			given[s.flag] = append(given[s.flag], value)
			return nil
		}
		if s.argument == "" {
			flags.BoolFunc(s.flag, "", add)
		} else {
			flags.Func(s.flag, "", add)
		}
	}
	flags.BoolFunc("version", "", func(string) error { given["version"] = []string{}; return nil })
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return given, true, nil
	case err != nil:
		return given, false, errors.New(twoDashes.Replace(err.Error()))
	case flags.NArg() > 0:
		return given, false, fmt.Errorf("unexpected argument %q; accepted: flags alone", flags.Arg(0))
	}
	return given, false, nil
}

// twoDashes mends the messages of package flag.
var twoDashes = strings.NewReplacer("defined: -", "defined: --", "argument: -", "argument: --")

// try finds what is wrong with options before anything is started.
func (s sources) try(o options) error {
	if err := o.check(); err != nil {
		return err
	}
	cfg := o.proxy
	cfg.MeterProvider = noop.NewMeterProvider()
	tried, err := proxy.New(cfg)
	if err != nil {
		return s.inUsersTerms(err, cfg)
	}
	tried.Close()
	_, err = o.tls.load()
	return err
}

// serveProxy is the proxy's whole life: telemetry begins before it serves, and
// ends after its last request.
func serveProxy(ctx context.Context, p process, from sources, o options) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	defer listener.Close()
	var ready atomic.Bool
	sdk, log := startTelemetry(ctx, p, o, &ready)
	s, err := newService(from, o, log, &ready)
	if err == nil {
		ready.Store(true) // connections wait in the listener from now on
		announce(log, o, listener, sdk)
		err = s.serve(ctx, listener, hangups)
		stop() // a second signal ends the process at once
		err = errors.Join(err, s.finish())
	}
	if err := sdk.Shutdown(context.WithoutCancel(ctx)); err != nil {
		log.Warn("telemetry was not delivered completely", "error", err)
	}
	return err
}

// startTelemetry never fails: traffic matters more.
func startTelemetry(ctx context.Context, p process, o options, ready *atomic.Bool) (*otelmon.SDK, *slog.Logger) {
	lines := slog.NewTextHandler(p.stderr, nil)
	cfg := otelmon.Config{
		Logger: slog.New(lines),
		Prometheus: exporters.Prometheus{
			Address:  o.metricsListen,
			Handlers: map[string]http.Handler{"GET /livez": health(nil), "GET /readyz": health(ready)},
		},
	}
	if !p.environment.namesService() {
		cfg.ServiceName = cmp.Or(p.environment.get("OTEL_SERVICE_NAME"), "otelmon-proxy")
	}
	sdk, err := otelmon.Setup(ctx, cfg)
	log := slog.New(sdk.SlogHandler(lines))
	if err != nil {
		log.Error("telemetry is not complete", "error", err)
	}
	return sdk, log
}

// health answers probes, by 503 while not ready. Nil is always ready.
func health(ready *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ready != nil && !ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// announce says where everything is, and what is risky about it.
func announce(log *slog.Logger, o options, listener net.Listener, sdk *otelmon.SDK) {
	log.Info("serving", "listen", listener.Addr().String(), "tls", o.tls.certFile != "",
		"metrics", cmp.Or(sdk.MetricsURL(), "none"), "upstreams", strings.Join(upstreamNames(o), ", "))
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok || address.IP.IsLoopback() || o.tls.clientCAFile != "" {
		return
	}
	risk := "whoever reaches this address can use the upstreams through it"
	if o.tls.certFile == "" {
		risk += ", and API keys cross the network in plain text"
	}
	log.Warn("the proxy listens beyond this machine without client certificates", "risk", risk,
		"advice", "listen on loopback, or set --tls-cert, --tls-key and --tls-client-ca")
}
