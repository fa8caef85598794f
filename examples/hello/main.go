// Hello is the smallest service with otelmon, the one in the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	cfg := otelmon.Config{ServiceName: "shop"}
	zpages.Install(&cfg) // optional: the live page
	sdk, err := otelmon.Setup(ctx, cfg)
	if err != nil {
		slog.Error("telemetry is not complete", "error", err) // the service goes on
	}
	slog.SetDefault(slog.New(sdk.SlogHandler(slog.NewJSONHandler(os.Stdout, nil))))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		slog.InfoContext(r.Context(), "greeting")
		fmt.Fprintln(w, "hello")
	})
	server := &http.Server{Addr: "localhost:8080", Handler: middleware.Handler(mux, middleware.Config{}), ReadHeaderTimeout: time.Second}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("serving", "error", err)
			stop()
		}
	}()
	<-ctx.Done() // Ctrl-C

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = server.Shutdown(ctx)                                   // the requests first
	if err := sdk.Shutdown(context.Background()); err != nil { // then what they leave; takes 10 s at most
		slog.Error("stopping", "error", err)
	}
}
