package otelmon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/middleware"
)

// serve puts a handler behind the middleware on a real server that tells its
// clients the trace.
func (s *service) serve(t *testing.T, handler http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(middleware.Handler(handler, middleware.Config{
		TracerProvider: s.TracerProvider(), MeterProvider: s.MeterProvider(), Propagator: s.Propagator(), TraceResponse: true,
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// worker answers GET /work after a moment.
func worker() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /work", func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(10 * time.Millisecond)
		_, _ = io.WriteString(w, "done")
	})
	return mux
}

// load are requests to a service, sent by a few clients one after the other
// until it ends. Safe for concurrent use.
type load struct {
	url     string
	client  *http.Client
	clients sync.WaitGroup
	cancel  context.CancelFunc

	mu       sync.Mutex
	finished []trace.SpanID
	failed   []error       // of clients, each of which then gave up
	changed  chan struct{} // closed at each request
}

// clients of a load.
const clients = 4

func startLoad(t *testing.T, url string) *load {
	t.Helper()
	l := &load{url: url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	for range clients {
		l.clients.Go(func() {
			for ctx.Err() == nil && l.send(context.WithoutCancel(ctx)) {
			}
		})
	}
	t.Cleanup(func() { l.end() })
	return l
}

// send reports whether a request got its whole response.
func (l *load) send(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	id, err := ask(ctx, l.client, l.url)
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	if err != nil {
		l.failed = append(l.failed, err)
		return false
	}
	l.finished = append(l.finished, id)
	return true
}

// errIncomplete is a response that began and did not end well.
var errIncomplete = errors.New("incomplete response")

// ask returns the id of the server's span.
func ask(ctx context.Context, client *http.Client, url string) (id trace.SpanID, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return id, err
	}
	response, err := client.Do(request)
	if err != nil {
		return id, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New("an error page")
	}
	if err != nil {
		return id, fmt.Errorf("%w: status %d, %q: %w", errIncomplete, response.StatusCode, body, err)
	}
	parts := strings.Split(response.Header.Get("Server-Timing"), "-") // traceparent;desc="00-trace-span-flags"
	if len(parts) != 4 {
		return id, fmt.Errorf("got Server-Timing %q", response.Header.Get("Server-Timing"))
	}
	return trace.SpanIDFromHex(parts[2])
}

// wait returns when so many requests have finished.
func (l *load) wait(t *testing.T, finished int) {
	t.Helper()
	ctx := patience(t)
	for {
		l.mu.Lock()
		n, failed, changed := len(l.finished), l.failed, l.changed
		l.mu.Unlock()
		switch {
		case n >= finished:
			return
		case len(failed) > 0:
			t.Fatalf("requests failed: %v", failed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d requests have finished, want %d", n, finished)
		}
	}
}

// count returns how many requests have finished so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.finished)
}

// end waits for the clients and returns the server's spans of the requests that
// finished, and what went wrong with others.
func (l *load) end() (finished []trace.SpanID, failed []error) {
	l.cancel()
	l.clients.Wait()
	l.client.CloseIdleConnections()
	return l.finished, l.failed
}

// wantSpans checks that each span arrived, and logs how many came more often.
func wantSpans(t *testing.T, got faultcollector.Received, want []trace.SpanID) {
	t.Helper()
	times, lost, again := got.SpanIDs(), 0, 0
	for _, id := range want {
		switch n := times[id]; {
		case n == 0:
			lost++
		case n > 1:
			again++
		}
	}
	if lost > 0 || len(want) == 0 {
		t.Errorf("%d of the spans of %d finished requests did not arrive", lost, len(want))
	}
	t.Logf("%d finished requests, %d spans arrived, %d of them more than once", len(want), len(times), again)
}
