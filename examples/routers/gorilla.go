package main

import (
	"io"
	"net/http"

	"github.com/gorilla/mux"
	"github.com/otelmon/toolkit/middleware"
)

func gorillaRouter(cfg middleware.Config) http.Handler {
	router := mux.NewRouter()
	users := router.PathPrefix("/gorilla/users").Subrouter()
	users.HandleFunc("/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, mux.Vars(r)["id"])
	}).Methods(http.MethodGet)
	users.HandleFunc("/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}).Methods(http.MethodDelete)

	cfg.Route = func(r *http.Request) string {
		var match mux.RouteMatch
		if !router.Match(r, &match) || match.MatchErr != nil { // it may match its own handler of errors
			return ""
		}
		pattern, err := match.Route.GetPathTemplate()
		if err != nil {
			return "" // a route without a path, such as one by host
		}
		return pattern
	}
	return middleware.Handler(router, cfg)
}
