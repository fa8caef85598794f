package faultcollector

import (
	"compress/gzip"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func (c *Collector) serverHTTP(config *tls.Config) (serve, stop func()) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", c.exportHTTP)
	//nolint:gosec // a test's own client talks to it
	server := &http.Server{Handler: mux, TLSConfig: config, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	serve = func() { _ = server.Serve(c.http) }
	if config != nil {
		serve = func() { _ = server.ServeTLS(c.http, "", "") }
	}
	return serve, func() { _ = server.Close() } // which ends serve
}

// exportHTTP takes any path whose last element is a signal.
func (c *Collector) exportHTTP(w http.ResponseWriter, r *http.Request) {
	signal := path.Base(r.URL.Path)
	message := newRequest(signal)
	if message == nil {
		http.NotFound(w, r)
		return
	}
	content, err := read(r, c.maxHTTP.Load())
	if errors.Is(err, errTooLong) {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err == nil {
		err = proto.Unmarshal(content, message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := c.receive(r.Context(), request{signal, r.URL.Path, true, lowerKeys(r.Header), message})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply.writeHTTP(w, signal)
}

func (r Reply) writeHTTP(w http.ResponseWriter, signal string) {
	answer := acknowledgement(signal, r)
	if r.refuses(true) {
		answer = status.New(r.Code, r.Message).Proto()
	}
	body, err := proto.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if r.Body != nil {
		body = r.Body
	}
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(r.RetryAfter.Seconds()))))
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(r.httpStatus())
	_, _ = w.Write(body) // the client may be gone
}

var errTooLong = errors.New("the request is too long")

func read(r *http.Request, limit int64) ([]byte, error) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	if limit == 0 {
		return io.ReadAll(body)
	}
	content, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, errTooLong
	}
	return content, err
}

func lowerKeys(header http.Header) map[string][]string {
	lower := make(map[string][]string, len(header))
	for key, values := range header {
		lower[strings.ToLower(key)] = values
	}
	return lower
}
