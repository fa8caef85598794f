package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/middleware"
)

// rawNote tells what a handler saw, for it to be the same with and without the middleware.
type rawNote func(format string, values ...any)

// rawCase is a handler for HTTP/1, and what is to be recorded of a request to it.
type rawCase struct {
	request string // default: GET /x
	handler func(w http.ResponseWriter, r *http.Request, note rawNote)
	want    string
}

// rawPushing makes httpsnoop wrap a writer that the middleware would know.
type rawPushing struct {
	rawHTTP1Writer
	http.Pusher
}

type rawHTTP1Writer interface {
	http.ResponseWriter
	http.Flusher
	http.Hijacker
	http.CloseNotifier //nolint:staticcheck // deprecated, yet part of what services use
	io.ReaderFrom
	io.StringWriter
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
}

// rawWays are the ways that a request takes through a Handler.
var rawWays = map[string]func(next http.Handler, sdk func(sdktrace.Sampler) middleware.Config) http.Handler{
	"not sampled": func(next http.Handler, sdk func(sdktrace.Sampler) middleware.Config) http.Handler {
		return middleware.Handler(next, sdk(sdktrace.NeverSample()))
	},
	"not sampled, by a writer that is not known": func(next http.Handler, sdk func(sdktrace.Sampler) middleware.Config) http.Handler {
		h := middleware.Handler(next, sdk(sdktrace.NeverSample()))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if known, ok := w.(rawHTTP1Writer); ok {
				w = rawPushing{rawHTTP1Writer: known}
			}
			h.ServeHTTP(w, r)
		})
	},
	"sampled": func(next http.Handler, sdk func(sdktrace.Sampler) middleware.Config) http.Handler {
		return middleware.Handler(next, sdk(sdktrace.AlwaysSample()))
	},
}

// rawCompare runs the case without the middleware and in every way through it: the client must
// get the same bytes and the handler see the same.
func rawCompare(t *testing.T, c rawCase) {
	t.Helper()
	if c.request == "" {
		c.request = rawGet("/x")
	}
	wantBytes, wantNotes := rawRun(t, c, func(next http.Handler) http.Handler { return next })
	for name, way := range rawWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *rawSDK
			gotBytes, gotNotes := rawRun(t, c, func(next http.Handler) http.Handler {
				return way(next, func(root sdktrace.Sampler) middleware.Config {
					s = newRawSDK(root)
					return s.Config
				})
			})
			if diff := cmp.Diff(wantBytes, gotBytes); diff != "" {
				t.Errorf("the client got something else (-without middleware +with):\n%s", diff)
			}
			if diff := cmp.Diff(wantNotes, gotNotes); diff != "" {
				t.Errorf("the handler saw something else (-without middleware +with):\n%s", diff)
			}
			if diff := cmp.Diff([]string{c.want}, s.records(t)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if n := s.active(t); n != 0 {
				t.Errorf("%d requests are active after the end", n)
			}
		})
	}
}

func rawRun(t *testing.T, c rawCase, wrap func(http.Handler) http.Handler) (response string, notes []string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) {
		c.handler(w, r, func(format string, values ...any) { notes = append(notes, fmt.Sprintf(format, values...)) })
	})
	address, wait := rawServerForOne(t, wrap(mux))
	response = rawExchange(t, address, c.request)
	wait()
	return response, notes
}

func rawFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func rawSend(w io.Writer, text string, note rawNote) {
	n, err := io.WriteString(w, text)
	note("wrote %d: %v", n, err)
}

func TestAResponseIsTheSameThroughAHandlerAndIsCounted(t *testing.T) {
	t.Parallel()
	file := rawFile(t, strings.Repeat("0123456789", 10_000))
	serveFile := func(w http.ResponseWriter, r *http.Request, _ rawNote) { http.ServeFile(w, r, file) }
	tests := map[string]rawCase{
		"a handler that writes nothing": {
			handler: func(http.ResponseWriter, *http.Request, rawNote) {},
			want:    "1 GET /x 200, 0 bytes",
		},
		"bytes": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				n, err := w.Write([]byte("hello"))
				note("%d %v", n, err)
			},
			want: "1 GET /x 200, 5 bytes",
		},
		"no bytes, written": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawSend(w, "", note)
				w.WriteHeader(http.StatusTeapot)
			},
			want: "1 GET /x 200, 0 bytes",
		},
		"a string": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) { rawSend(w, "hello", note) },
			want:    "1 GET /x 200, 5 bytes",
		},
		"a status code alone": {
			handler: func(w http.ResponseWriter, _ *http.Request, _ rawNote) { w.WriteHeader(http.StatusNoContent) },
			want:    "1 GET /x 204, 0 bytes",
		},
		"a status code that nobody knows": {
			handler: func(w http.ResponseWriter, _ *http.Request, _ rawNote) { w.WriteHeader(799) },
			want:    "1 GET /x 799 799, 0 bytes",
		},
		"two status codes": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.WriteHeader(http.StatusCreated)
				w.WriteHeader(http.StatusInternalServerError)
				rawSend(w, "made", note)
			},
			want: "1 GET /x 201, 4 bytes",
		},
		"a status code that net/http refuses": {
			handler: func(w http.ResponseWriter, _ *http.Request, _ rawNote) { w.WriteHeader(1000) },
			want:    "1 GET /x 500 string, 0 bytes",
		},
		"a status code that net/http refuses, made good by the service": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				defer func() {
					note("%v", recover())
					http.Error(w, "sorry", http.StatusServiceUnavailable)
				}()
				w.WriteHeader(99)
			},
			want: "1 GET /x 503 503, 6 bytes",
		},
		"a body where there can be none": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.WriteHeader(http.StatusNotModified)
				rawSend(w, "hello", note)
			},
			want: "1 GET /x 304, 0 bytes",
		},
		"the answer to HEAD": {
			request: rawRequest("HEAD", "/x", ""),
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) { rawSend(w, "hello", note) },
			want:    "1 HEAD /x 200, 0 bytes",
		},
		"more than was declared": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.Header().Set("Content-Length", "3")
				rawSend(w, "hel", note)
				rawSend(w, "lo", note)
			},
			want: "1 GET /x 200, 3 bytes",
		},
		"a declared length that is none": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.Header().Set("Content-Length", "-5")
				rawSend(w, "hello", note)
			},
			want: "1 GET /x 200, 5 bytes",
		},
		"the flush of nothing": {
			handler: func(w http.ResponseWriter, _ *http.Request, _ rawNote) {
				w.(http.Flusher).Flush()
				w.WriteHeader(http.StatusTeapot)
			},
			want: "1 GET /x 200, 0 bytes",
		},
		"two parts, each flushed": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.WriteHeader(http.StatusAccepted)
				for _, part := range []string{"one", "three"} {
					rawSend(w, part, note)
					note("flushed: %v", http.NewResponseController(w).Flush())
				}
			},
			want: "1 GET /x 202, 8 bytes",
		},
		"server-sent events": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.Header().Set("Content-Type", "text/event-stream")
				rawSend(w, "data: 1\n\n", note)
				note("flushed: %v", http.NewResponseController(w).Flush())
				rawSend(w, "data: 2\n\n", note)
			},
			want: "1 stream GET /x 200, 18 bytes",
		},
		"declared trailers": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.Header().Set("Trailer", "X-Sum")
				rawSend(w, "hello", note)
				w.Header().Set("X-Sum", "5")
			},
			want: "1 GET /x 200, 5 bytes",
		},
		"trailers that nobody declared": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				rawSend(w, "hello", note)
				http.NewResponseController(w).Flush() //nolint:errcheck // the body tells
				w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
			},
			want: "1 GET /x 200, 5 bytes",
		},
		"early hints": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusNotFound)
				rawSend(w, "none", note)
			},
			want: "1 GET /x 404, 4 bytes",
		},
		"a body that the client asked leave for": {
			request: rawRequest("POST", "/x", "hello", "Expect: 100-continue", "Content-Length: 5"),
			handler: func(w http.ResponseWriter, r *http.Request, note rawNote) {
				body, err := io.ReadAll(r.Body)
				note("%q %v", body, err)
				rawSend(w, "thanks", note)
			},
			want: "1 POST /x 200, 6 bytes",
		},
		"a body that the client asked leave for in vain": {
			request: rawRequest("POST", "/x", "", "Expect: 100-continue", "Content-Length: 5"),
			handler: func(w http.ResponseWriter, _ *http.Request, _ rawNote) {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			},
			want: "1 POST /x 413, 0 bytes",
		},
		"a body above http.MaxBytesReader": {
			request: rawRequest("POST", "/x", "hello", "Content-Length: 5"),
			handler: func(w http.ResponseWriter, r *http.Request, note rawNote) {
				// MaxBytesReader closes the connection by a method that no writer of others can have.
				w.Header().Set("Connection", "close")
				body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3))
				note("%q %v", body, err)
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			},
			want: "1 POST /x 413, 0 bytes",
		},
		"a copy from a file": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				f, err := os.Open(file)
				if err != nil {
					note("%v", err)
					return
				}
				defer func() { _ = f.Close() }()
				n, err := io.Copy(w, f)
				note("copied %d: %v", n, err)
			},
			want: "1 GET /x 200, 100000 bytes",
		},
		"a copy from what cannot be read": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				n, err := io.Copy(w, iotest.ErrReader(errors.New("disk on fire")))
				note("copied %d: %v", n, err)
				http.Error(w, "sorry", http.StatusBadGateway)
			},
			want: "1 GET /x 502 502, 6 bytes",
		},
		"a copy that breaks off": {
			handler: func(w http.ResponseWriter, _ *http.Request, note rawNote) {
				n, err := io.Copy(w, io.MultiReader(bytes.NewReader([]byte("hello")), iotest.ErrReader(errors.New("disk on fire"))))
				note("copied %d: %v", n, err)
				w.WriteHeader(http.StatusBadGateway)
			},
			want: "1 GET /x 200, 5 bytes",
		},
		"http.ServeFile": {handler: serveFile, want: "1 GET /x 200, 100000 bytes"},
		"http.ServeFile of a range": {
			request: rawGet("/x", "Range: bytes=10-19"), handler: serveFile, want: "1 GET /x 206, 10 bytes",
		},
		"http.ServeFile of a range that is not there": {
			request: rawGet("/x", "Range: bytes=200000-"), handler: serveFile, want: "1 GET /x 416, 33 bytes",
		},
		"http.ServeFile to HEAD": {
			request: rawRequest("HEAD", "/x", ""), handler: serveFile, want: "1 HEAD /x 200, 0 bytes",
		},
		"http.ServeContent of two ranges": {
			request: rawGet("/x", "Range: bytes=0-0,5-6"),
			handler: func(w http.ResponseWriter, r *http.Request, _ rawNote) {
				recorded := &rawBoundary{ResponseWriter: w}
				http.ServeContent(recorded, r, "file.txt", time.Time{}, strings.NewReader("0123456789"))
			},
			want: "1 GET /x 206, 3 bytes",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rawCompare(t, test)
		})
	}
}

// rawBoundary leaves out the random boundary between two ranges, and what stands around it.
type rawBoundary struct{ http.ResponseWriter }

func (w *rawBoundary) WriteHeader(code int) {
	w.Header().Del("Content-Type")
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(code)
}

func (w *rawBoundary) Write(p []byte) (int, error) {
	if len(p) > 2 {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
