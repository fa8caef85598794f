package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/otelmon/toolkit/middleware"
)

const (
	products      = 1000 // ids are 1 to 1000
	maxQuantity   = 100
	maxOrderBytes = 4 << 10
	maxDelay      = 10 * time.Second
	failEvery     = 20 // so that there are errors to look at
)

type shop struct {
	stockURL string
	client   *http.Client

	taken      atomic.Int64
	orders     metric.Int64Counter
	quantities metric.Int64Histogram
}

// newShop makes a shop that asks the service at stockURL what is in stock.
func newShop(stockURL string) (*shop, error) {
	meter := otel.Meter("github.com/otelmon/toolkit/examples/quickstart")
	orders, err1 := meter.Int64Counter("shop.orders",
		metric.WithUnit("{order}"), metric.WithDescription("Orders taken, by outcome."))
	quantities, err2 := meter.Int64Histogram("shop.order.quantity",
		metric.WithUnit("{item}"), metric.WithDescription("Items in an accepted order."),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100))
	return &shop{
		stockURL:   stockURL,
		client:     &http.Client{Transport: middleware.Transport(nil, middleware.Config{}), Timeout: 2 * time.Second},
		orders:     orders,
		quantities: quantities,
	}, errors.Join(err1, err2)
}

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /products/{id}", s.product)
	mux.HandleFunc("POST /orders", s.order)
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("as asked for by GET /panic") })
	mux.HandleFunc("GET /stream", stream)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

func index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `GET  /products/{id}     a product, 1 to 1000; asks the stock service
POST /orders            {"product":"7","quantity":2}; every 20th fails
GET  /slow?delay=300ms  answers after the delay, up to 10s
GET  /panic             panics
GET  /stream            five server-sent events in a second
GET  /healthz           ok
`)
}

func (s *shop) product(w http.ResponseWriter, r *http.Request) {
	id, ok := productID(r.PathValue("id"))
	if !ok {
		http.Error(w, "no such product", http.StatusNotFound)
		return
	}
	stock, err := s.stock(r.Context(), id)
	switch {
	case r.Context().Err() != nil:
		return // the client is gone, as the metrics say
	case err != nil:
		slog.ErrorContext(r.Context(), "the stock is not known", "product", id, "error", err)
		http.Error(w, "the stock is not known", http.StatusBadGateway)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"product": id, "stock": stock})
}

func productID(text string) (id int, ok bool) {
	id, err := strconv.Atoi(text)
	return id, err == nil && id >= 1 && id <= products
}

func (s *shop) stock(ctx context.Context, id int) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.stockURL+"/stock/"+strconv.Itoa(id), http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("asking for the stock: %w", err)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("asking for the stock: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("asking for the stock: %s", response.Status)
	}
	var stock int
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<10)).Decode(&stock); err != nil {
		return 0, fmt.Errorf("reading the stock: %w", err)
	}
	return stock, nil
}

// stockHandler is the service that the shop depends on. It runs in the same
// process to keep the example small, which is why it has no metrics: they
// would be mixed with those of the shop.
func stockHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stock/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := productID(r.PathValue("id"))
		if !ok {
			http.Error(w, "no such product", http.StatusNotFound)
			return
		}
		if !wait(r.Context(), time.Millisecond+rand.N(9*time.Millisecond)) {
			return
		}
		writeJSON(w, http.StatusOK, id%50)
	})
	return middleware.Handler(mux, middleware.Config{MeterProvider: noop.NewMeterProvider()})
}

type order struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	ctx := r.Context()
	number := s.taken.Add(1)
	if number%failEvery == 0 {
		s.orders.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", "failed")))
		slog.ErrorContext(ctx, "order failed", "order", number, "error", "payment declined")
		http.Error(w, "the order failed, try again", http.StatusInternalServerError)
		return
	}
	s.orders.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", "accepted")))
	s.quantities.Record(ctx, int64(o.Quantity))
	slog.InfoContext(ctx, "order accepted", "order", number, "product", o.Product, "quantity", o.Quantity)
	writeJSON(w, http.StatusCreated, map[string]any{"order": number})
}

func readOrder(w http.ResponseWriter, r *http.Request) (order, error) {
	var o order
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOrderBytes))
	if err != nil {
		return o, fmt.Errorf("reading the order: %w", err)
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return o, fmt.Errorf("reading the order: %w", err)
	}
	if _, ok := productID(o.Product); !ok {
		return o, fmt.Errorf("product %q is not from \"1\" to \"%d\"", o.Product, products)
	}
	if o.Quantity < 1 || o.Quantity > maxQuantity {
		return o, fmt.Errorf("quantity %d is not from 1 to %d", o.Quantity, maxQuantity)
	}
	return o, nil
}

func slow(w http.ResponseWriter, r *http.Request) {
	delay := 200*time.Millisecond + rand.N(1300*time.Millisecond)
	if text := r.URL.Query().Get("delay"); text != "" {
		var err error
		delay, err = time.ParseDuration(text)
		if err != nil || delay < 0 || delay > maxDelay {
			http.Error(w, fmt.Sprintf("delay %q is not a duration from 0s to %s, such as 300ms", text, maxDelay), http.StatusBadRequest)
			return
		}
	}
	if !wait(r.Context(), delay) {
		return
	}
	fmt.Fprintf(w, "answered after %s\n", delay)
}

// stream sends five server-sent events.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for event := range 5 {
		if event > 0 && !wait(r.Context(), 200*time.Millisecond) {
			return
		}
		fmt.Fprintf(w, "data: event %d\n\n", event+1)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return // the client is gone
		}
	}
}

// wait reports whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // fails only when the client is gone
}
