package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

type (
	rawFlusherWithError interface{ FlushError() error }
	rawDeadliner        interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	}
	rawDuplexer      interface{ EnableFullDuplex() error }
	rawCloseNotifier interface{ CloseNotify() <-chan bool }
)

// rawInterfaces returns the optional interfaces of a writer.
func rawInterfaces(w http.ResponseWriter) []string {
	var has []string
	note := func(name string, is bool) {
		if is {
			has = append(has, name)
		}
	}
	_, is := w.(http.Flusher)
	note("Flusher", is)
	_, is = w.(rawFlusherWithError)
	note("FlushError", is)
	_, is = w.(rawCloseNotifier)
	note("CloseNotifier", is)
	_, is = w.(http.Hijacker)
	note("Hijacker", is)
	_, is = w.(io.ReaderFrom)
	note("ReaderFrom", is)
	_, is = w.(rawDeadliner)
	note("deadlines", is)
	_, is = w.(rawDuplexer)
	note("EnableFullDuplex", is)
	_, is = w.(http.Pusher)
	note("Pusher", is)
	_, is = w.(io.StringWriter)
	note("StringWriter", is)
	return has
}

type rawOriginalKey struct{}

// rawWithOriginal tells the handler inside which writer it got originally.
func rawWithOriginal(r *http.Request, w http.ResponseWriter) context.Context {
	return context.WithValue(r.Context(), rawOriginalKey{}, w)
}

type rawPusher struct{}

func (rawPusher) Push(string, *http.PushOptions) error { return http.ErrNotSupported }

// rawCombinations are writers without any of the interfaces, with all, with each alone, and with
// all but one.
func rawCombinations() map[string]http.ResponseWriter {
	type writer = http.ResponseWriter
	w, p := &rawHTTP1{header: http.Header{}}, rawPusher{}
	return map[string]writer{
		"none": struct{ writer }{w},
		"all": struct {
			*rawHTTP1
			rawPusher
		}{w, p},
		"Flusher alone": struct {
			writer
			http.Flusher
		}{w, w},
		"FlushError alone": struct {
			writer
			rawFlusherWithError
		}{w, w},
		"CloseNotifier alone": struct {
			writer
			rawCloseNotifier
		}{w, w},
		"Hijacker alone": struct {
			writer
			http.Hijacker
		}{w, w},
		"ReaderFrom alone": struct {
			writer
			io.ReaderFrom
		}{w, w},
		"deadlines alone": struct {
			writer
			rawDeadliner
		}{w, w},
		"EnableFullDuplex alone": struct {
			writer
			rawDuplexer
		}{w, w},
		"Pusher alone": struct {
			writer
			http.Pusher
		}{w, p},
		"StringWriter alone": struct {
			writer
			io.StringWriter
		}{w, w},
		"all but Flusher": struct {
			writer
			rawFlusherWithError
			rawCloseNotifier
			http.Hijacker
			io.ReaderFrom
			rawDeadliner
			rawDuplexer
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but FlushError": struct {
			writer
			http.Flusher
			rawCloseNotifier
			http.Hijacker
			io.ReaderFrom
			rawDeadliner
			rawDuplexer
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but CloseNotifier": struct {
			writer
			http.Flusher
			rawFlusherWithError
			http.Hijacker
			io.ReaderFrom
			rawDeadliner
			rawDuplexer
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but Hijacker": struct {
			writer
			http.Flusher
			rawFlusherWithError
			rawCloseNotifier
			io.ReaderFrom
			rawDeadliner
			rawDuplexer
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but ReaderFrom": struct {
			writer
			http.Flusher
			rawFlusherWithError
			rawCloseNotifier
			http.Hijacker
			rawDeadliner
			rawDuplexer
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but deadlines": struct {
			writer
			http.Flusher
			rawFlusherWithError
			rawCloseNotifier
			http.Hijacker
			io.ReaderFrom
			rawDuplexer
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but full duplex": struct {
			writer
			http.Flusher
			rawFlusherWithError
			rawCloseNotifier
			http.Hijacker
			io.ReaderFrom
			rawDeadliner
			http.Pusher
			io.StringWriter
		}{w, w, w, w, w, w, w, p, w},
		"all but Pusher": w,
		"all but StringWriter": struct {
			writer
			http.Flusher
			rawFlusherWithError
			rawCloseNotifier
			http.Hijacker
			io.ReaderFrom
			rawDeadliner
			rawDuplexer
			http.Pusher
		}{w, w, w, w, w, w, w, w, p},
		"of httptest": httptest.NewRecorder(),
	}
}

func TestTheWriterHasExactlyTheInterfacesOfTheOriginal(t *testing.T) {
	t.Parallel()
	for name, w := range rawCombinations() {
		for sampled, root := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
			t.Run(name+", "+sampled, func(t *testing.T) {
				t.Parallel()
				var got http.ResponseWriter
				h := middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w }), newRawSDK(root).Config)
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", http.NoBody))
				if diff := cmp.Diff(rawInterfaces(w), rawInterfaces(got)); diff != "" {
					t.Errorf("interfaces (-original +handed on):\n%s", diff)
				}
				for got != w {
					inner, ok := got.(interface{ Unwrap() http.ResponseWriter })
					if !ok {
						t.Fatal("Unwrap does not lead to the original")
					}
					got = inner.Unwrap()
				}
			})
		}
	}
}

func TestTheWriterOfAServerHasExactlyItsInterfaces(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		configure func(*httptest.Server)
		wrap      func(http.Handler) http.Handler
		want      int // number of interfaces, so that an empty list is no success
	}{
		"HTTP/1": {want: 8},
		"HTTP/2": {configure: func(s *httptest.Server) { s.EnableHTTP2 = true }, want: 7},
		"HTTP/1 behind http.TimeoutHandler": {
			wrap: func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") }, want: 1,
		},
		"HTTP/2 behind http.TimeoutHandler": {
			configure: func(s *httptest.Server) { s.EnableHTTP2 = true },
			wrap:      func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") }, want: 1,
		},
	}
	for name, test := range tests {
		for sampled, root := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
			t.Run(name+", "+sampled, func(t *testing.T) {
				t.Parallel()
				h := middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					original, _ := r.Context().Value(rawOriginalKey{}).(http.ResponseWriter)
					if diff := cmp.Diff(rawInterfaces(original), rawInterfaces(w)); diff != "" {
						t.Errorf("interfaces (-original +handed on):\n%s", diff)
					}
					if n := len(rawInterfaces(original)); n != test.want {
						t.Errorf("the server's own has %d interfaces, want %d", n, test.want)
					}
				}), newRawSDK(root).Config)
				var outer http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h.ServeHTTP(w, r.WithContext(rawWithOriginal(r, w)))
				})
				if test.wrap != nil {
					outer = test.wrap(outer)
				}
				if response, _ := rawGetTLS(t, outer, test.configure); response.StatusCode != http.StatusOK {
					t.Errorf("got status %d", response.StatusCode)
				}
			})
		}
	}
}

// rawGetTLS serves h over TLS and returns the response to one request, which has been read.
func rawGetTLS(t *testing.T, h http.Handler, configure func(*httptest.Server)) (response *http.Response, body string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	if configure != nil {
		configure(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err = server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}

func TestHTTP2IsTheSameThroughAHandlerAndIsCounted(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, wrap func(http.Handler) http.Handler) (seen []string) {
		t.Helper()
		note := func(format string, values ...any) { seen = append(seen, fmt.Sprintf(format, values...)) }
		mux := http.NewServeMux()
		mux.HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) {
			pusher, _ := w.(http.Pusher)
			note("pushed: %v", errors.Is(pusher.Push("/style.css", nil), http.ErrNotSupported)) // the client refuses
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			controller := http.NewResponseController(w)
			note("deadlines: %v %v", controller.SetReadDeadline(time.Time{}), controller.SetWriteDeadline(time.Time{}))
			note("full duplex: %v", controller.EnableFullDuplex())
			rawSend(w, "hello", note)
			note("flushed: %v", controller.Flush())
			n, err := io.Copy(w, strings.NewReader(" world"))
			note("copied %d: %v", n, err)
			_, _, err = controller.Hijack()
			note("hijacked: %v, %s", err, r.Proto)
			w.Header().Set("X-Sum", "11")
		})
		response, body := rawGetTLS(t, wrap(mux), func(s *httptest.Server) { s.EnableHTTP2 = true })
		response.Header.Del("Date")
		return append(seen, response.Status, body, fmt.Sprint(response.Header, response.Trailer))
	}
	want := run(t, func(next http.Handler) http.Handler { return next })
	for name, root := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRawSDK(root)
			got := run(t, func(next http.Handler) http.Handler { return middleware.Handler(next, s.Config) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seen (-without middleware +with):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"1 GET /x 202, 11 bytes"}, s.records(t)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// rawCopies is a writer that copies by itself.
type rawCopies struct{ *httptest.ResponseRecorder }

func (w rawCopies) ReadFrom(src io.Reader) (int64, error) { return io.Copy(w.ResponseRecorder, src) }

// rawSlowly has its text after a second, and its end after another.
type rawSlowly struct{ text string }

func (r *rawSlowly) Read(p []byte) (int, error) {
	<-time.After(time.Second)
	n := copy(p, r.text)
	r.text = r.text[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestAStreamThatIsCopiedBeginsWithItsFirstByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.Copy(w, &rawSlowly{"data: 1\n\n"})
		}), middleware.Config{
			MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), TracerProvider: noop.NewTracerProvider(),
		}).ServeHTTP(rawCopies{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		var data metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		seconds := map[string]float64{}
		for _, m := range data.ScopeMetrics[0].Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
				seconds[m.Name] = h.DataPoints[0].Sum
			}
		}
		want := map[string]float64{telemetry.ServerStreamDuration: 2, telemetry.ServerStreamFirstByte: 1}
		if diff := cmp.Diff(want, seconds); diff != "" {
			t.Errorf("seconds (-want +got):\n%s", diff)
		}
	})
}
