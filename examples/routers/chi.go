package main

import (
	"cmp"
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/otelmon/toolkit/middleware"
)

func chiRouter(cfg middleware.Config) http.Handler {
	router := chi.NewRouter()
	router.Route("/chi/users", func(users chi.Router) { // a router inside the router
		users.Get("/{id}", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, chi.URLParam(r, "id"))
		})
		users.Delete("/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})

	cfg.Route = func(r *http.Request) string {
		path := cmp.Or(r.URL.RawPath, r.URL.Path, "/") // which chi routes by
		match := chi.NewRouteContext()
		if !router.Match(match, r.Method, path) {
			return ""
		}
		return match.RoutePattern()
	}
	return middleware.Handler(router, cfg)
}
