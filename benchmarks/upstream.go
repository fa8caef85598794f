package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// What the upstream of the proxies and of the LLM transport serves.
const (
	itemPath  = "/items/42"
	chatPath  = "/v1/chat/completions"
	largePath = "/large" // and any path below it

	// headerPieces and headerPause say how a stream comes.
	headerPieces = "Benchmark-Pieces"
	headerPause  = "Benchmark-Pause"
)

// What is said in a chat, and around it.
const (
	chatBegin = `{"model":"deepseek-flash","messages":[{"role":"user","content":"`
	chatEnd   = `"}],"temperature":0.2}`
	streamEnd = `"}],"stream":true,"stream_options":{"include_usage":true}}`
)

// chatBody is a question of about 1 KB, with one of the ends.
func chatBody(end string) string {
	return chatBegin + strings.Repeat("What does an otter eat? ", 40) + end
}

// serveUpstream is a service with one route, an LLM API, and a place that takes
// and returns bodies of any length.
func serveUpstream() error {
	api := fakellm.New(chatAnswer)
	api.Keep(0)
	mux := http.NewServeMux()
	mux.Handle("/items/", newMux())
	mux.HandleFunc("POST "+largePath+"/", large)
	mux.Handle("/", api)
	return serve(context.Background(), mux)
}

// chatAnswer has as many pieces as the request wants, each of them stamped.
func chatAnswer(r fakellm.Request) fakellm.Answer {
	pieces, _ := strconv.Atoi(r.Header.Get(headerPieces)) // 0 without the header
	pause, _ := time.ParseDuration(r.Header.Get(headerPause))
	return fakellm.Answer{
		Text: strings.Repeat("some words of an answer ", max(pieces/4, 20)), Chunks: pieces, Stamp: true, Between: pause,
		Usage: fakellm.Usage{UncachedInput: 200, CachedInput: 64, AnswerTokens: 100},
	}
}

// large reads a body and then answers with one of the same length.
func large(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != r.ContentLength {
		http.Error(w, fmt.Sprintf("got %d of %d bytes: %v", n, r.ContentLength, err), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = io.Copy(w, questionOf(n)) // the client notices what is missing
}

// questionOf is a question, or what looks like one, of so many bytes.
func questionOf(bytes int64) io.Reader {
	filler := bytes - int64(len(chatBegin)+len(chatEnd))
	return io.MultiReader(strings.NewReader(chatBegin), io.LimitReader(letters{}, filler), strings.NewReader(chatEnd))
}

// letters has no end.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
