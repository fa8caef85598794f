package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
)

// startTelemetry is what a service needs of otelmon. A service goes on when
// telemetry is not complete, so that an error is logged and no more.
func startTelemetry(ctx context.Context, stderr io.Writer) *otelmon.SDK {
	logs := slog.NewTextHandler(stderr, nil)
	cfg := otelmon.Config{
		// A field wins over its variable; this way the variable wins.
		ServiceName: cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), "quickstart"),
		Logger:      slog.New(logs),
	}
	zpages.Install(&cfg) // the live page
	sdk, err := otelmon.Setup(ctx, cfg)
	slog.SetDefault(slog.New(sdk.SlogHandler(logs)))
	if err != nil {
		slog.Error("telemetry is not complete", "error", err)
	}
	return sdk
}

// stopTelemetry sends what is waiting, also when ctx has ended.
func stopTelemetry(ctx context.Context, sdk *otelmon.SDK) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := sdk.Shutdown(ctx); err != nil {
		slog.Warn("telemetry was not delivered completely", "error", err)
	}
}

// instrument measures and traces each request.
func instrument(next http.Handler) http.Handler {
	return middleware.Handler(next, middleware.Config{})
}
