package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Headers of a caller that has a trace already.
const (
	sampledParent   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampledParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

const answer = `{"id":"42","name":"otter"}`

// newMux is the service: one route, a header and a small body. What is posted is
// read.
func newMux() *http.ServeMux {
	mux := http.NewServeMux()
	body := []byte(answer)
	mux.HandleFunc("/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		var posted [64]byte
		if r.Method == http.MethodPost {
			_, _ = io.ReadFull(r.Body, posted[:len(answer)]) // a string does not fail
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // neither writer fails
	})
	return mux
}

// serverWorker hands requests to the handler as a server does, without the
// connection.
func (c useCase) serverWorker(ctx context.Context, handler http.Handler) (worker, error) {
	template, err := c.serverRequest(ctx)
	if err != nil {
		return nil, err
	}
	w, body := c.newWriter(), strings.NewReader(answer)
	if c.post {
		template.Method, template.Body, template.ContentLength = http.MethodPost, io.NopCloser(body), int64(len(answer))
	}
	return func(requests int) {
		request := new(http.Request)
		for range requests {
			*request = *template // whatever a handler set in the last one is gone
			body.Reset(answer)
			w.reset()
			handler.ServeHTTP(w, request)
		}
	}, nil
}

// serverRequest is what net/http makes of a request by curl.
func (c useCase) serverRequest(ctx context.Context) (*http.Request, error) {
	ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{ReadHeaderTimeout: time.Minute})
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/items/42", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	r.Host, r.RequestURI, r.RemoteAddr = "shop.example:8080", "/items/42", "127.0.0.1:43210"
	r.Header.Set("User-Agent", "curl/8.5.0")
	r.Header.Set("Accept", "*/*")
	if c.traceparent != "" {
		r.Header.Set("Traceparent", c.traceparent)
	}
	return r, nil
}

// network answers every request at once.
type network struct{ header http.Header }

func newNetwork() network {
	return network{http.Header{"Content-Type": {"application/json"}}}
}

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: n.header, Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)), Request: r,
	}, nil
}

// clientWorker sends requests on behalf of a server request that is not
// sampled, and reads the answers to their end.
func clientWorker(ctx context.Context, transport http.RoundTripper) (worker, error) {
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2},
	}))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stock.example:8080/items/42", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	buffer := make([]byte, 512)
	return func(requests int) {
		for range requests {
			response, err := transport.RoundTrip(request)
			if err != nil {
				continue // the network never fails
			}
			for err == nil {
				_, err = response.Body.Read(buffer)
			}
			_ = response.Body.Close() // the same
		}
	}, nil
}
