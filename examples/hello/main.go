// Hello is the smallest service with otelmon, the one in the README.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/otelmon/toolkit/otelmon"
)

func main() {
	sdk, err := otelmon.Setup(context.Background(), otelmon.Config{ServiceName: "shop"})
	if err != nil {
		slog.Error("telemetry is not complete", "error", err) // the service goes on
	}
	slog.SetDefault(slog.New(sdk.SlogHandler(slog.NewJSONHandler(os.Stdout, nil))))

	serve() // with the OpenTelemetry API and any instrumentation library, such as otelhttp

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = sdk.Shutdown(ctx)
}
