package e2e_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/otelmon/toolkit/e2e/harness"
)

// startFaulty starts a service in this process that makes the mistakes whose
// metrics exist only after them, and calls others that fail.
func (w *world) startFaulty(t *testing.T, stack *harness.Stack) {
	t.Helper()
	sdk, err := otelmon.Setup(t.Context(), w.faultyConfig(stack))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sdk.Shutdown(context.Background()) })
	if url := sdk.MetricsURL(); url != "" {
		stack.Scrape(t, strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics"))
	}
	meter := sdk.MeterProvider().Meter("faulty")
	makeMistakes(t, meter)
	callFailing(t, middleware.Config{MeterProvider: sdk.MeterProvider(), TracerProvider: sdk.TracerProvider()})
}

// faultyConfig repeats in fields what other programs get by their environment.
func (w *world) faultyConfig(stack *harness.Stack) otelmon.Config {
	cfg := otelmon.Config{
		ServiceName: faultyService, ServiceNamespace: namespace, ServiceVersion: version, Environment: w.environment,
		DisableGlobals: true, DisablePrometheus: !w.isScraped(), CardinalityLimit: 30,
		Prometheus: exporters.Prometheus{Address: "127.0.0.1:0"},
		OTLP: exporters.OTLP{
			Endpoint: stack.Collector.OTLPEndpoint, MetricInterval: harness.ScrapeInterval, ExponentialHistograms: w.environment == native,
		},
		Attributes: []attribute.KeyValue{
			attribute.String("cloud.region", "nowhere-1"), // the map does not know it
			// What tells rules that it is a job, which ends.
			attribute.String("otelmon.job", "true"), attribute.String("k8s.job.name", "faulty-1"), attribute.String("k8s.cronjob.name", "faulty"),
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	if w.environment == scraped {
		cfg.DisableOTLP, cfg.MetricsPath = true, "scrape"
	}
	return cfg
}

// startOther has a service with another SDK send a span, of which the Collector
// makes metrics.
func (w *world) startOther(t *testing.T, stack *harness.Stack) {
	t.Helper()
	request := keyValues(map[string]string{"http.route": "/a", "http.request.method": "GET"})
	sendSpan(t, dialCollector(t, stack.Collector), "other", request, nil,
		"deployment.environment.name", w.environment, "service.namespace", namespace, "service.instance.id", "1")
}

// makeMistakes records what no metric can hold, has a callback that fails, and
// goes beyond the limit of attribute sets.
func makeMistakes(t *testing.T, meter metric.Meter) {
	t.Helper()
	orders, err1 := meter.Float64Counter("faulty.orders")
	prices, err2 := meter.Float64Histogram("faulty.prices", metric.WithUnit("EUR"))
	_, err3 := meter.Int64ObservableGauge("faulty.stock", metric.WithInt64Callback(
		func(context.Context, metric.Int64Observer) error { return errors.New("the stock is not known") }))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	orders.Add(t.Context(), -1)
	prices.Record(t.Context(), math.NaN())
	for shop := range 60 {
		orders.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("shop", shop)))
	}
}

// callFailing has a server that fails in every way, and calls it, and one that
// does not exist.
func callFailing(t *testing.T, cfg middleware.Config) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/fails", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "failed", http.StatusInternalServerError) })
	mux.HandleFunc("/streams", stream)
	mux.HandleFunc("/breaks", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r)
		panic(http.ErrAbortHandler)
	})
	server := httptest.NewServer(middleware.Handler(mux, cfg))
	t.Cleanup(server.Close)
	client, gone := &http.Client{Transport: middleware.Transport(nil, cfg)}, "http://"+harness.FreeAddress(t)
	for range 20 {
		for _, url := range []string{server.URL + "/fails", server.URL + "/streams", server.URL + "/breaks", gone} {
			response, err := client.Post(url, "text/plain", strings.NewReader("body"))
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		}
	}
}

func stream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: one\n\n")
	_ = http.NewResponseController(w).Flush()
}

// makeCollectorFail makes the Collector send what its receivers refuse for good:
// traces to one that does not take them, and a metric of two days ago.
func makeCollectorFail(t *testing.T, stack *harness.Stack) {
	t.Helper()
	stack.Traces.Refuse(t)
	old := &metrics.NumberDataPoint{
		TimeUnixNano: uint64(time.Now().AddDate(0, 0, -2).UnixNano()), Value: &metrics.NumberDataPoint_AsInt{AsInt: 1},
	}
	gauge := &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{old}}}
	client := collectormetrics.NewMetricsServiceClient(dialCollector(t, stack.Collector))
	_, err := client.Export(t.Context(), &collectormetrics.ExportMetricsServiceRequest{
		ResourceMetrics: []*metrics.ResourceMetrics{{ScopeMetrics: []*metrics.ScopeMetrics{{
			Metrics: []*metrics.Metric{{Name: "old", Data: gauge}},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"spans", "metric_points"} {
		waitMetric(t, stack.Collector, "otelcol_exporter_send_failed_"+kind+"_total", nil, 1)
	}
}
