// Hello is the smallest service with otelmon, the one in the README.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

func main() {
	sdk, err := otelmon.Setup(context.Background(), otelmon.Config{ServiceName: "shop"})
	if err != nil {
		slog.Error("telemetry is not complete", "error", err) // the service goes on
	}
	slog.SetDefault(slog.New(sdk.SlogHandler(slog.NewJSONHandler(os.Stdout, nil))))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		slog.InfoContext(r.Context(), "greeting")
		fmt.Fprintln(w, "hello")
	})
	serve(middleware.Handler(mux, middleware.Config{})) // until Ctrl-C

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = sdk.Shutdown(ctx)
}
