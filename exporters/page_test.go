package exporters_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/exporters"
)

// handler is a page without a listener, which a synctest bubble can hold.
func handler(t *testing.T, logger *slog.Logger) (*exporters.PrometheusServer, *sdkmetric.MeterProvider) {
	t.Helper()
	return serve(t, exporters.Prometheus{DisableListener: true, Logger: logger})
}

// gauge observes with each collection what value returns.
func gauge(t *testing.T, provider metric.MeterProvider, value func() int64) {
	t.Helper()
	_, err := provider.Meter("shop").Int64ObservableGauge("value", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(value())
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// failuresOf reads the counts by a provider that has no part in the page.
func failuresOf(t *testing.T, server *exporters.PrometheusServer) func() map[string]int64 {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	if err := server.Observe(provider); err != nil {
		t.Fatal(err)
	}
	return func() map[string]int64 {
		t.Helper()
		var got metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		counts := make(map[string]int64)
		sum, _ := got.ScopeMetrics[0].Metrics[0].Data.(metricdata.Sum[int64])
		for _, point := range sum.DataPoints {
			if errorType, _ := point.Attributes.Value("error.type"); point.Value > 0 {
				counts[errorType.AsString()] = point.Value
			}
		}
		return counts
	}
}

func checkFailures(t *testing.T, got func() map[string]int64, want map[string]int64) {
	t.Helper()
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Errorf("failures differ (- want, + got):\n%s", diff)
	}
}

// ask scrapes without a connection.
func ask(server *exporters.PrometheusServer, w http.ResponseWriter, accept string) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", accept)
	server.Handler().ServeHTTP(w, r)
}

func TestScrapesAtOnceShareACollection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, provider := handler(t, nil)
		var collections atomic.Int64
		release := make(chan struct{})
		gauge(t, provider, func() int64 {
			<-release
			return collections.Add(1)
		})
		answers := make([]*httptest.ResponseRecorder, 200)
		var asking sync.WaitGroup
		for i := range answers {
			answers[i] = httptest.NewRecorder()
			asking.Go(func() { ask(server, answers[i], "") })
		}
		synctest.Wait()
		close(release)
		asking.Wait()
		for _, answer := range answers {
			if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "\nvalue") {
				t.Fatalf("got status %d and %s", answer.Code, answer.Body)
			}
		}
		if got := collections.Load(); got != 1 {
			t.Errorf("got %d collections for %d scrapes, want 1", got, len(answers))
		}
	})
}

// There are six kinds of pages, and each is rendered after the other.
func TestOnePageIsRenderedAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, provider := handler(t, nil)
		var collections, running, most atomic.Int64
		gauge(t, provider, func() int64 {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-time.After(time.Second)
			return collections.Add(1)
		})
		var asking sync.WaitGroup
		for range 50 {
			for _, accept := range []string{"", acceptOpenMetrics, acceptProtobuf, "text/html", "application/openmetrics-text; version=0.0.1", acceptOpenMetrics + "; escaping=dots"} {
				for _, encoding := range []string{"gzip", "zstd"} {
					asking.Go(func() {
						answer := httptest.NewRecorder()
						r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/metrics?%p", answer), http.NoBody)
						r.Header.Set("Accept", accept)
						r.Header.Set("Accept-Encoding", encoding)
						server.Handler().ServeHTTP(answer, r)
						if answer.Code != http.StatusOK {
							t.Errorf("got status %d", answer.Code)
						}
					})
				}
			}
		}
		asking.Wait()
		if collections.Load() != 6 || most.Load() != 1 {
			t.Errorf("got %d collections, %d of them at a time, want 6 and 1", collections.Load(), most.Load())
		}
	})
}

func TestAHangingCollectionIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, provider := handler(t, slog.New(slog.DiscardHandler))
		failures := failuresOf(t, server)
		var collections atomic.Int64
		release := make(chan struct{})
		gauge(t, provider, func() int64 {
			defer collections.Add(1)
			<-release
			return 1
		})
		for range 2 { // the second time, those who gave up are no burden
			var asking sync.WaitGroup
			for _, accept := range []string{"", acceptOpenMetrics} {
				for range 20 {
					asking.Go(func() {
						answer := httptest.NewRecorder()
						began := time.Now()
						ask(server, answer, accept)
						if answer.Code != http.StatusServiceUnavailable || time.Since(began) != exporters.PageTimeout {
							t.Errorf("got status %d after %v, want 503", answer.Code, time.Since(began))
						}
					})
				}
			}
			asking.Wait()
		}
		close(release)
		synctest.Wait()
		if got := collections.Load(); got != 2 {
			t.Errorf("got %d collections, want one for each format", got)
		}
		answer := httptest.NewRecorder()
		ask(server, answer, "")
		checkBody(t, answer.Body.String(), "\nvalue")
		checkFailures(t, failures, map[string]int64{"timeout": 80})
	})
}

// reader is a client that reads nothing until it is released or cut off.
type reader struct {
	http.ResponseWriter
	release chan struct{}
	once    sync.Once
	cut     chan struct{}
}

func newReader() *reader {
	return &reader{ResponseWriter: httptest.NewRecorder(), release: make(chan struct{}), cut: make(chan struct{})}
}

func (r *reader) SetWriteDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		r.once.Do(func() { close(r.cut) })
	}
	return nil
}

func (r *reader) Write(p []byte) (int, error) {
	select {
	case <-r.release:
		return r.ResponseWriter.Write(p)
	case <-r.cut:
		return 0, os.ErrDeadlineExceeded
	}
}

func TestPagesAreServedAgainToACrowdAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, provider := handler(t, nil)
		var collections atomic.Int64
		gauge(t, provider, func() int64 { return collections.Add(1) })
		check := func(want int64) {
			t.Helper()
			answer := httptest.NewRecorder()
			ask(server, answer, "")
			checkBody(t, answer.Body.String(), fmt.Sprintf("value{service_name=\"shop\"} %d\n", want))
		}
		check(1)
		check(2)
		var reading sync.WaitGroup
		release := make(chan struct{})
		for range exporters.Crowd - 1 {
			stuck := newReader()
			stuck.release = release
			reading.Go(func() { ask(server, stuck, "") })
		}
		synctest.Wait()
		served := collections.Load()
		check(served)
		check(served)
		<-time.After(exporters.Reuse + time.Millisecond)
		check(served + 1)
		close(release)
		reading.Wait()
		check(served + 2)
	})
}

func TestSlowReadersHoldFewPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, provider := handler(t, slog.New(slog.DiscardHandler))
		recordMany(t, provider, bigPage)
		failures := failuresOf(t, server)
		var reading sync.WaitGroup
		var readers []*reader
		for range 20 {
			r := newReader()
			readers = append(readers, r)
			reading.Go(func() { ask(server, r, "") })
			<-time.After(exporters.Reuse + time.Millisecond)
			synctest.Wait()
		}
		cut := 0
		for _, r := range readers {
			select {
			case <-r.cut:
				cut++
			default:
				close(r.release)
			}
		}
		reading.Wait()
		if want := len(readers) - exporters.HeldPages; cut != want {
			t.Errorf("got %d readers of 20 cut off, want %d", cut, want)
		}
		checkFailures(t, failures, map[string]int64{"slow_reader": int64(cut)})
	})
}
