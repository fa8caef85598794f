package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/proxy"
)

// BenchmarkAgainstReverseProxy sends requests by turns through the proxy and
// through a bare httputil.ReverseProxy, and reports how many times more requests
// a second the proxy passes on: the median of the turns.
func BenchmarkAgainstReverseProxy(b *testing.B) {
	upstream := newServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(make([]byte, 1024))
	}))
	target, err := url.Parse(upstream.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := newServer(b, &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1000},
	})
	cfg := to(upstream.URL)
	metrics := meter.NewProvider()
	metrics.Set(sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(sdkmetric.NewManualReader()), sdkmetric.WithView(meter.Views(meter.Rules{})...)), meter.Rules{})
	cfg.MeterProvider = metrics
	cfg.TracerProvider = tracer.New(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.01)), tracer.Limits{})
	p, err := proxy.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	front := newServer(b, p)

	for _, url := range []string{bare.URL, front.URL} { // warm up
		turn(b, url)
	}
	var ratios, times, bareTimes []float64
	for b.Loop() {
		without, with := turn(b, bare.URL), turn(b, front.URL)
		ratios = append(ratios, without.Seconds()/with.Seconds())
		times, bareTimes = append(times, with.Seconds()), append(bareTimes, without.Seconds())
	}
	b.ReportMetric(median(ratios), "x-bare")
	b.ReportMetric(perTurn/median(times), "req/s")
	b.ReportMetric(perTurn/median(bareTimes), "bare-req/s")
}

const perTurn = 1600 // requests

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// turn sends requests by 16 connections and returns how long it took.
func turn(b *testing.B, url string) time.Duration {
	b.Helper()
	const connections = 16
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	failed := make(chan error, connections)
	start := time.Now()
	for range connections {
		go func() {
			for range perTurn / connections {
				request := httptest.NewRequest(http.MethodGet, url+"/v1/models", http.NoBody)
				request.RequestURI = ""
				response, err := transport.RoundTrip(request)
				if err != nil {
					failed <- err
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			failed <- nil
		}()
	}
	for range connections {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}
