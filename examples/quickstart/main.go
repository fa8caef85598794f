// Quickstart is a small shop whose metrics, traces and logs are turned on by
// otelmon. What a service of your own needs is in telemetry.go.
package main

import (
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
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// shutdownTimeout bounds each of the two steps of the end: the last requests,
// then the last telemetry.
const shutdownTimeout = 5 * time.Second

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	if err := live(ctx, o, stdout, stderr); err != nil {
		say(stderr, "quickstart: %v\n", err)
		return 1
	}
	return 0
}

type options struct {
	addr     string
	load     int
	duration time.Duration
}

// parse has written its error, and how to do better, when it returns.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "localhost:8080", "`host:port` to listen on; port 0 takes a free one")
	flags.IntVar(&o.load, "load", 20, "`requests` a second that it sends itself, up to 1000; 0 for none")
	flags.DurationVar(&o.duration, "duration", 0, "`time` to run, such as 30s; 0 runs until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	err := o.validate(flags.Args())
	if err != nil {
		say(stderr, "quickstart: %v; see -help\n", err)
	}
	return o, err
}

func (o options) validate(rest []string) error {
	_, port, err := net.SplitHostPort(o.addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case err != nil:
		return fmt.Errorf("-addr %q is not host:port", o.addr)
	case o.load < 0 || o.load > 1000:
		return fmt.Errorf("-load %d is not from 0 to 1000", o.load)
	case o.duration < 0:
		return fmt.Errorf("-duration %s is negative", o.duration)
	}
	return nil
}

// live is the service's whole life: telemetry begins before it serves, and ends
// after its last request.
func live(ctx context.Context, o options, stdout, stderr io.Writer) error {
	listener, err := listen(ctx, o.addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address with -addr", err)
	}
	defer listener.Close()
	sdk := startTelemetry(ctx, stderr)
	base := baseURL(o.addr, listener)
	welcome(stdout, o, base, sdk)
	served, sent, err := serve(ctx, listener, base, o.load)
	stopTelemetry(ctx, sdk)
	if err != nil {
		return err
	}
	say(stdout, "\nServed %d requests, %d of them its own load.\n", served, sent)
	return nil
}

// serve runs the shop, the service that it depends on, and the load, until ctx
// ends.
func serve(ctx context.Context, listener net.Listener, base string, load int) (served, sent int64, err error) {
	stockListener, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer stockListener.Close()
	shop, err := newShop("http://" + stockListener.Addr().String())
	if err != nil {
		return 0, 0, err
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var requests atomic.Int64
	stockServer := start(stockListener, stockHandler(), fail)
	shopServer := start(listener, count(&requests, instrument(shop.handler())), fail)

	sent = sendLoad(running, base, load)
	if ctx.Err() == nil {
		err = context.Cause(running) // a server ended without being told to
	}
	finish(ctx, shopServer, stockServer)
	return requests.Load(), sent, err
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
}

// start serves until the server is shut down; any other end is a failure.
func start(listener net.Listener, handler http.Handler, fail context.CancelCauseFunc) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      maxDelay + 5*time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelError),
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fail(fmt.Errorf("serving on %s: %w", listener.Addr(), err))
		}
	}()
	return server
}

// finish lets the shop answer its last requests, and then ends both servers.
func finish(ctx context.Context, shop, stock *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := shop.Shutdown(ctx); err != nil {
		slog.Warn("requests were cut off", "error", err)
		_ = shop.Close()
	}
	_ = stock.Close()
}

func count(served *atomic.Int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		next.ServeHTTP(w, r)
	})
}

// baseURL has the host as it was given, or localhost for all addresses, and
// the port that was taken.
func baseURL(addr string, listener net.Listener) string {
	host, _, _ := net.SplitHostPort(addr)
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "http://" + net.JoinHostPort(host, port)
}
