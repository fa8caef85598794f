// Llm calls APIs of LLMs through llm.Transport and prints what its metrics say.
// By default the APIs are a fake in this process; with a key in
// DEEPSEEK_API_KEY or OPENAI_API_KEY they are the real ones, for two tiny calls
// each. What a program of your own needs is in client.go.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("llm", flag.ContinueOnError)
	flags.SetOutput(stderr)
	serve := flags.Bool("serve", false, "serve the live page and /metrics until Ctrl-C, also after the table")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		say(stderr, "llm: unexpected argument %q; see -help\n", flags.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	if err := live(ctx, *serve, stdout, stderr); err != nil {
		say(stderr, "llm: %v\n", err)
		return 1
	}
	return 0
}

// live is all between the start of telemetry and its end.
func live(ctx context.Context, serve bool, stdout, stderr io.Writer) error {
	reader := sdkmetric.NewManualReader()
	sdk := startTelemetry(ctx, reader, stderr)
	defer stopTelemetry(ctx, sdk)

	sessions := realSessions(os.Getenv)
	if len(sessions) > 0 {
		say(stdout, "%s", announcement(sessions, time.Now()))
	} else {
		fake, err := startFake(ctx)
		if err != nil {
			return err
		}
		defer fake.stop()
		sessions = fake.sessions()
		say(stdout, "Calling a fake of DeepSeek's and OpenAI's APIs for about 5 s; Ctrl-C ends it.\n")
	}
	failed := hold(ctx, newClient(sessions), sessions)
	if err := report(ctx, reader, stdout); err != nil {
		return err
	}
	if url := sdk.MetricsURL(); serve && url != "" {
		say(stdout, "\nLive page: %s\nUntil Ctrl-C: curl -s %s | grep -E '^(gen_ai|otelmon_llm)'\n", zpages.URL(sdk), url)
		<-ctx.Done()
	}
	return failed
}

// hold holds all sessions at the same time. A question whose answer was not
// complete is not an error, an API that cannot be used is.
func hold(ctx context.Context, client *http.Client, sessions []session) error {
	defer client.CloseIdleConnections()
	failures := make([]error, len(sessions))
	var running sync.WaitGroup
	for i, s := range sessions {
		running.Go(func() {
			for _, q := range s.questions {
				if _, err := ask(ctx, client, s.api, q); errors.Is(err, errRefused) {
					failures[i] = fmt.Errorf("%s: %w", s.api.model, err)
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(failures...)
}

// startTelemetry starts what a service has too, and reader besides. Without a
// Collector that is named nothing is pushed.
func startTelemetry(ctx context.Context, reader *sdkmetric.ManualReader, stderr io.Writer) *otelmon.SDK {
	logs := slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})
	cfg := otelmon.Config{
		ServiceName: cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), "llm"),
		Readers:     []sdkmetric.Reader{reader},
		Logger:      slog.New(logs),
		DisableOTLP: !namesCollector(os.Getenv),
	}
	zpages.Install(&cfg) // the live page
	sdk, err := otelmon.Setup(ctx, cfg)
	if err != nil {
		say(stderr, "telemetry is not complete: %v\n", err)
	}
	return sdk
}

func namesCollector(getenv func(string) string) bool {
	for _, signal := range []string{"", "_TRACES", "_METRICS", "_LOGS"} {
		if getenv("OTEL_EXPORTER_OTLP"+signal+"_ENDPOINT") != "" {
			return true
		}
	}
	return false
}

// stopTelemetry sends what is waiting, also when ctx has ended.
func stopTelemetry(ctx context.Context, sdk *otelmon.SDK) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = sdk.Shutdown(ctx) // what was not delivered is in the log
}

// say ignores errors: a terminal that is gone has nobody to be told.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
