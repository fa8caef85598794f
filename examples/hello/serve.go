package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// serve greets on localhost:8080 until Ctrl-C.
func serve() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		slog.InfoContext(r.Context(), "greeting")
		_, _ = io.WriteString(w, "hello\n") // a client that is gone needs no greeting
	})
	server := &http.Server{Addr: "localhost:8080", Handler: otelhttp.NewHandler(mux, "hello"), ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		slog.Error("serving", "error", err)
	}
}
