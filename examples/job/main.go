// Job is a short program that loses none of its telemetry: otelmon.Run
// delivers it before the process ends, however briefly that lived.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/otelmon"
)

const scope = "github.com/otelmon/toolkit/examples/job"

func main() {
	fail := flag.Bool("fail", false, "return an error after the work")
	crash := flag.Bool("panic", false, "panic after the work")
	flag.Parse()
	if err := run(context.Background(), *fail, *crash); err != nil {
		slog.Error("the job failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, fail, crash bool) error {
	cfg := otelmon.Config{
		// A field wins over its variable; this way the variable wins.
		ServiceName:       cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), "job"),
		DisablePrometheus: true, // it would be gone before it is scraped
	}
	return otelmon.Run(ctx, cfg, func(ctx context.Context) error {
		ctx, span := otel.Tracer(scope).Start(ctx, "job")
		defer span.End()
		err := work(ctx)
		switch {
		case crash:
			panic("as asked for by -panic") // the span records it
		case fail:
			err = errors.New("as asked for by -fail")
		}
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		return err
	})
}

// work takes about 200 ms, less when ctx ends.
func work(ctx context.Context) error {
	done, err := otel.Meter(scope).Int64Counter("job.items", metric.WithUnit("{item}"))
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	const items = 42
	for range items {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			done.Add(ctx, 1)
		}
	}
	// To the terminal, and over OTLP, both with the identifiers of the span.
	logger := slog.New(otelmon.FromContext(ctx).SlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	logger.InfoContext(ctx, "the job is done", "items", items)
	return nil
}
