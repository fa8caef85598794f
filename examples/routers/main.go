// Routers shows how middleware.Handler names routes with four routers. Each
// file builds one and returns it instrumented:
//
//	chi.go      chi          Config.Route asks the router before it handles the request
//	gorilla.go  gorilla/mux  Config.Route likewise
//	gin.go      gin          a gin middleware calls SetRoute
//	mux.go      net/http     Config.Mux, since other middleware stands in front of the ServeMux
//
// With net/http's ServeMux alone nothing is needed: middleware.Handler(mux,
// middleware.Config{}).
//
// Run it, send requests, and see the label http_route:
//
//	go run .
//	curl localhost:8080/chi/users/7
//	curl -X DELETE localhost:8080/gin/users/7
//	curl -s localhost:9464/metrics | grep http_server_request_duration_seconds_count
package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`host:port` to listen on")
	flag.Parse()
	gin.SetMode(gin.ReleaseMode) // it prints its routes otherwise
	sdk, err := otelmon.Setup(context.Background(), otelmon.Config{ServiceName: "routers"})
	if err != nil {
		slog.Error("telemetry is not complete", "error", err) // the service goes on
	}
	err = serve(*addr, all(middleware.Config{}))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = sdk.Shutdown(ctx) // it has logged what was lost
	if err != nil {
		slog.Error("serving", "error", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be cancelled
	}
}

// all returns the routers side by side, each for the paths under its name. What
// none of them knows counts as _OTHER.
func all(cfg middleware.Config) http.Handler {
	routers := map[string]http.Handler{"chi": chiRouter(cfg), "gorilla": gorillaRouter(cfg), "gin": ginRouter(cfg)}
	others := serveMux(cfg)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if router, ok := routers[name]; ok {
			router.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// serve ends with Ctrl-C, after the requests that it has.
func serve(addr string, handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}
