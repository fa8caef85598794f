package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMixIsWhole(t *testing.T) {
	t.Parallel()
	total := 0
	for _, one := range mix {
		total += one.percent
	}
	if total != 100 {
		t.Errorf("percentages: got a sum of %d, want 100", total)
	}
}

func TestEachRequestOfTheMixHasARoute(t *testing.T) {
	t.Parallel()
	server := serveShop(t)
	expected := map[string]int{
		"GET /":                         http.StatusOK,
		"GET /products/7":               http.StatusOK,
		"GET /products/no-such-product": http.StatusNotFound,
		"GET /slow":                     http.StatusOK,
		"GET /stream":                   http.StatusOK,
		"GET /healthz":                  http.StatusOK,
		`POST /orders{"product":"7","quantity":2}`: http.StatusCreated,
		`POST /orders{"product":"7"}`:              http.StatusBadRequest,
	}
	chosen := map[string]bool{}
	for percent := range 100 {
		method, path, body := choose(percent, 7)
		request := method + " " + path + body
		if chosen[request] {
			continue
		}
		chosen[request] = true
		if got, _ := send(t, server, method, path, body); got != expected[request] {
			t.Errorf("%s: got %d, want %d", request, got, expected[request])
		}
	}
	if len(chosen) != len(mix) {
		t.Errorf("got %d different requests, want %d", len(chosen), len(mix))
	}
}

func TestLoadWaitsForItsAnswers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() }))
	t.Cleanup(server.Close)
	if got := sendLoad(ctx, server.URL, 1000); got < 1 {
		t.Errorf("answered requests: got %d, want at least the one that was under way", got)
	}
}

func TestLoadCountsAnswersOnly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	if got := sendLoad(ctx, server.URL, 1000); got != 0 {
		t.Errorf("answered requests: got %d, want 0", got)
	}
}
