package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serveShop runs a shop and its stock service until the test ends.
func serveShop(t *testing.T) *httptest.Server {
	t.Helper()
	stock := httptest.NewServer(stockHandler())
	t.Cleanup(stock.Close)
	return serveShopOn(t, stock.URL)
}

func serveShopOn(t *testing.T, stockURL string) *httptest.Server {
	t.Helper()
	shop, err := newShop(stockURL)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(instrument(shop.handler()))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // panics, as asked for
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func send(t *testing.T, server *httptest.Server, method, path, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	server := serveShop(t)
	tests := map[string]struct {
		method, path, body string
		wantStatus         int
		want               string
	}{
		"a product comes with its stock":       {"GET", "/products/7", "", 200, `{"product":7,"stock":7}` + "\n"},
		"the last product exists":              {"GET", "/products/1000", "", 200, `{"product":1000,"stock":0}` + "\n"},
		"a product beyond the last is unknown": {"GET", "/products/1001", "", 404, "no such product\n"},
		"product 0 is unknown":                 {"GET", "/products/0", "", 404, "no such product\n"},
		"a product that is no number":          {"GET", "/products/seven", "", 404, "no such product\n"},
		"an unknown path":                      {"GET", "/nowhere", "", 404, "404 page not found\n"},
		"orders are not read":                  {"GET", "/orders", "", 405, "Method Not Allowed\n"},
		"an order that is not JSON":            {"POST", "/orders", "}", 400, "reading the order: invalid character '}' looking for beginning of value\n"},
		"an order with something behind it":    {"POST", "/orders", `{"product":"7","quantity":2} x`, 400, "reading the order: invalid character 'x' after top-level value\n"},
		"an order of nothing":                  {"POST", "/orders", "", 400, "reading the order: unexpected end of JSON input\n"},
		"an order of an unknown product":       {"POST", "/orders", `{"product":"x","quantity":2}`, 400, "product \"x\" is not from \"1\" to \"1000\"\n"},
		"an order of no items":                 {"POST", "/orders", `{"product":"7"}`, 400, "quantity 0 is not from 1 to 100\n"},
		"an order of too many items":           {"POST", "/orders", `{"product":"7","quantity":101}`, 400, "quantity 101 is not from 1 to 100\n"},
		"an order that is too large":           {"POST", "/orders", strings.Repeat(" ", maxOrderBytes+1), 413, "reading the order: http: request body too large\n"},
		"a delay is taken exactly":             {"GET", "/slow?delay=1500us", "", 200, "answered after 1.5ms\n"},
		"a delay without unit":                 {"GET", "/slow?delay=300", "", 400, "delay \"300\" is not a duration from 0s to 10s, such as 300ms\n"},
		"a delay that is negative":             {"GET", "/slow?delay=-1s", "", 400, "delay \"-1s\" is not a duration from 0s to 10s, such as 300ms\n"},
		"a delay that is too long":             {"GET", "/slow?delay=10001ms", "", 400, "delay \"10001ms\" is not a duration from 0s to 10s, such as 300ms\n"},
		"a stream ends after the fifth event":  {"GET", "/stream", "", 200, "data: event 1\n\ndata: event 2\n\ndata: event 3\n\ndata: event 4\n\ndata: event 5\n\n"},
		"health":                               {"GET", "/healthz", "", 200, "ok\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer := send(t, server, test.method, test.path, test.body)
			if status != test.wantStatus {
				t.Errorf("status: got %d, want %d", status, test.wantStatus)
			}
			if diff := cmp.Diff(test.want, answer); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryTwentiethOrderFails(t *testing.T) {
	t.Parallel()
	server := serveShop(t)
	for number := 1; number <= 2*failEvery; number++ {
		want := http.StatusCreated
		if number == failEvery || number == 2*failEvery {
			want = http.StatusInternalServerError
		}
		if got, answer := send(t, server, "POST", "/orders", `{"product":"7","quantity":2}`); got != want {
			t.Errorf("order %d: got %d, want %d: %s", number, got, want, answer)
		}
	}
}

func TestIndexNamesEveryPage(t *testing.T) {
	t.Parallel()
	_, answer := send(t, serveShop(t), "GET", "/", "")
	for _, page := range []string{"/products/{id}", "/orders", "/slow", "/panic", "/stream", "/healthz"} {
		if !strings.Contains(answer, page) {
			t.Errorf("the index does not name %s:\n%s", page, answer)
		}
	}
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	t.Parallel()
	server := serveShop(t)
	response, err := server.Client().Get(server.URL + "/panic")
	if err == nil {
		response.Body.Close()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("GET /panic: got error %v, want a connection that was closed", err)
	}
	if status, _ := send(t, server, "GET", "/healthz", ""); status != http.StatusOK {
		t.Errorf("GET /healthz afterwards: got %d, want 200", status)
	}
}

func TestProductWithoutStockService(t *testing.T) {
	t.Parallel()
	tests := map[string]http.HandlerFunc{
		"that fails":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"that answers nonsense":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "many") },
		"that closes connections": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, stock := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := httptest.NewServer(stock)
			t.Cleanup(broken.Close)
			if status, _ := send(t, serveShopOn(t, broken.URL), "GET", "/products/7", ""); status != http.StatusBadGateway {
				t.Errorf("status: got %d, want 502", status)
			}
		})
	}
}

// A handler that did not look at its context would answer, after all the delay,
// or would blame the stock service.
func TestHandlersEndWithTheirRequest(t *testing.T) {
	t.Parallel()
	shop, err := newShop("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/slow?delay=10s", "/products/7"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		shop.handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", path, http.NoBody))
		if w.Code != http.StatusOK || w.Body.Len() > 0 {
			t.Errorf("%s: got status %d and %q, want nothing to be written", path, w.Code, w.Body)
		}
	}
}

func TestStreamEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	stream(w, httptest.NewRequestWithContext(ctx, "GET", "/stream", http.NoBody))
	if diff := cmp.Diff("data: event 1\n\n", w.Body.String()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
