package main

import (
	"context"
	"io"
	"net/http"

	"github.com/otelmon/toolkit/middleware"
)

func serveMux(cfg middleware.Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mux/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("id"))
	})
	mux.HandleFunc("DELETE /mux/users/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})

	cfg.Mux = mux
	return middleware.Handler(withTenant(mux), cfg)
}

type tenantKey struct{}

// withTenant copies the request, as most middleware does that adds to its
// context. The route that the ServeMux notes in the copy is lost to whoever
// stands before.
func withTenant(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), tenantKey{}, r.Header.Get("X-Tenant"))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
