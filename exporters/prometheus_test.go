package exporters_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
)

const (
	acceptOpenMetrics = "application/openmetrics-text; version=1.0.0"
	acceptProtobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// serve starts a server on a free port, unless config says where, that has
// nothing to complain about, and a provider of metrics for it.
func serve(t *testing.T, config exporters.Prometheus, options ...sdkmetric.Option) (*exporters.PrometheusServer, *sdkmetric.MeterProvider) {
	t.Helper()
	server, provider, err := serveWithError(t, config, options...)
	if err != nil {
		t.Fatal(err)
	}
	return server, provider
}

func serveWithError(t *testing.T, config exporters.Prometheus, options ...sdkmetric.Option) (*exporters.PrometheusServer, *sdkmetric.MeterProvider, error) {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Address == "" && os.Getenv("OTEL_EXPORTER_PROMETHEUS_HOST") == "" {
		config.Address = "127.0.0.1:0"
	}
	server, err := config.Start(t.Context())
	if server == nil || server.Reader == nil || server.Handler() == nil {
		t.Fatalf("got %+v and error %v, want a server with a Reader and a Handler", server, err)
	}
	shop := sdkmetric.WithResource(resource.NewSchemaless(attribute.String("service.name", "shop")))
	provider := sdkmetric.NewMeterProvider(append([]sdkmetric.Option{shop, sdkmetric.WithReader(server.Reader)}, options...)...)
	t.Cleanup(func() {
		_ = server.Shutdown(context.Background()) // the tests look at the errors they want
		_ = provider.Shutdown(context.Background())
	})
	return server, provider, err
}

// page is an answer.
type page struct {
	status int
	header http.Header
	body   string
}

// get asks for a page, with the user's password if that is not empty.
func get(t *testing.T, url, accept, password string, config *tls.Config) (page, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(patience(t), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	if password != "" {
		request.SetBasicAuth("user", password)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
	response, err := client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return page{response.StatusCode, response.Header, string(body)}, err
}

func scrape(t *testing.T, server *exporters.PrometheusServer, accept string) page {
	t.Helper()
	got, err := get(t, server.URL(), accept, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusOK {
		t.Fatalf("got status %d: %s", got.status, got.body)
	}
	return got
}

// families parses a page of protobuf.
func families(t *testing.T, from page) map[string]*dto.MetricFamily {
	t.Helper()
	byName := make(map[string]*dto.MetricFamily)
	decoder := expfmt.NewDecoder(strings.NewReader(from.body), expfmt.ResponseFormat(from.header))
	for {
		family := &dto.MetricFamily{}
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) {
			return byName
		}
		if err != nil {
			t.Fatal(err)
		}
		byName[family.GetName()] = family
	}
}

// record measures a counter and a histogram within a sampled span.
func record(t *testing.T, provider metric.MeterProvider) (traceID string) {
	t.Helper()
	ctx, span := sdktrace.NewTracerProvider().Tracer("shop").Start(t.Context(), "checkout")
	defer span.End()
	counter, err := provider.Meter("shop").Int64Counter("orders", metric.WithDescription("Orders."))
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 1)
	histogram, err := provider.Meter("shop").Float64Histogram("checkout.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	histogram.Record(ctx, 0.5)
	return span.SpanContext().TraceID().String()
}

func checkBody(t *testing.T, body string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(body, text) {
			t.Errorf("%q is missing in:\n%s", text, body)
		}
	}
}

func TestOpenMetricsHasExemplars(t *testing.T) {
	t.Parallel()
	server, provider := serve(t, exporters.Prometheus{})
	traceID := record(t, provider)
	got := scrape(t, server, acceptOpenMetrics)
	if format := got.header.Get("Content-Type"); !strings.HasPrefix(format, "application/openmetrics-text") {
		t.Errorf("got format %q", format)
	}
	checkBody(t, got.body, `orders_total{service_name="shop"} 1.0 # {`, `trace_id="`+traceID+`"`, "# EOF")
	if exemplars := strings.Count(got.body, traceID); exemplars != 2 {
		t.Errorf("got %d exemplars, want one of the counter and one of the histogram", exemplars)
	}
}

func TestProtobuf(t *testing.T) {
	t.Parallel()
	for name, native := range map[string]bool{"classic histograms by default": false, "native histograms when asked for": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, provider := serve(t, exporters.Prometheus{NativeHistograms: native})
			record(t, provider)
			got := families(t, scrape(t, server, acceptProtobuf))
			counter := got["orders_total"].GetMetric()[0].GetCounter()
			if counter.GetValue() != 1 || counter.GetExemplar() == nil {
				t.Errorf("got counter %v, want 1 with an exemplar", counter)
			}
			histogram := got["checkout_duration_seconds"].GetMetric()[0].GetHistogram()
			if histogram.GetSampleCount() != 1 {
				t.Errorf("got histogram %v, want 1 sample", histogram)
			}
			if created := histogram.GetCreatedTimestamp() != nil; created != native {
				t.Errorf("got histogram %v, want its creation: %v", histogram, native) // classic ones come without
			}
			if isNative := histogram.Schema != nil && len(histogram.GetPositiveSpan()) > 0; isNative != native {
				t.Errorf("got histogram %v, want native %v", histogram, native)
			}
			if classic := len(histogram.GetBucket()) > 0; classic == native {
				t.Errorf("got histogram %v, want classic %v", histogram, !native)
			}
		})
	}
}

func TestBadSeriesLeavesTheRest(t *testing.T) {
	t.Parallel()
	count := func(t *testing.T, meter metric.Meter, name string, options ...metric.AddOption) {
		counter, err := meter.Int64Counter(name)
		if err != nil {
			t.Fatal(err)
		}
		counter.Add(t.Context(), 1, options...)
	}
	tests := map[string]func(*testing.T, metric.MeterProvider){
		"an attribute that is not UTF-8": func(t *testing.T, provider metric.MeterProvider) {
			count(t, provider.Meter("bad"), "bad", metric.WithAttributes(attribute.String("user", "\xff")))
		},
		"one name for an integer and a float": func(t *testing.T, provider metric.MeterProvider) {
			count(t, provider.Meter("one"), "clash")
			float, err := provider.Meter("two").Float64Counter("clash")
			if err != nil {
				t.Fatal(err)
			}
			float.Add(t.Context(), 1)
		},
		"one name for a counter and a gauge": func(t *testing.T, provider metric.MeterProvider) {
			count(t, provider.Meter("one"), "clash")
			gauge, err := provider.Meter("two").Int64Gauge("clash_total")
			if err != nil {
				t.Fatal(err)
			}
			gauge.Record(t.Context(), 1)
		},
		"the name of a part of a histogram": func(t *testing.T, provider metric.MeterProvider) {
			gauge, err := provider.Meter("two").Int64Gauge("checkout_duration_seconds_count")
			if err != nil {
				t.Fatal(err)
			}
			gauge.Record(t.Context(), 1)
		},
		"an attribute le of a histogram": func(t *testing.T, provider metric.MeterProvider) {
			histogram, err := provider.Meter("bad").Float64Histogram("bad")
			if err != nil {
				t.Fatal(err)
			}
			histogram.Record(t.Context(), 1, metric.WithAttributes(attribute.String("le", "bon")))
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newLines()
			server, provider := serve(t, exporters.Prometheus{Logger: slog.New(log)})
			failures := failuresOf(t, server)
			record(t, provider)
			spoil(t, provider)
			for range 3 {
				checkBody(t, scrape(t, server, "").body, `orders_total{service_name="shop"} 1`, `checkout_duration_seconds_count{service_name="shop"} 1`)
			}
			checkFailures(t, failures, map[string]int64{"invalid_metric": 3})
			if got := log.with("ERROR otelmon: some metrics were left out of a scrape series=1"); len(got) != 1 || len(log.with("")) != 1 {
				t.Errorf("got lines %q, want 1", log.with(""))
			}
		})
	}
}

// A registry quotes each series that it refuses.
func TestManyBadSeriesAreOneShortLine(t *testing.T) {
	t.Parallel()
	log := newLines()
	server, provider := serve(t, exporters.Prometheus{Logger: slog.New(log)})
	failures := failuresOf(t, server)
	counter, err := provider.Meter("bad").Int64Counter("bad")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		counter.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("n", i), attribute.String("user", strings.Repeat("\xff", 1000))))
	}
	scrape(t, server, "")
	checkFailures(t, failures, map[string]int64{"invalid_metric": 500})
	if got := log.with("series=500"); len(got) != 1 || len(got[0]) > 2000 {
		t.Errorf("got lines %q, want a short one", got)
	}
}

// Prometheus rejects a whole scrape for a help that is not UTF-8.
func TestHelpIsRepaired(t *testing.T) {
	t.Parallel()
	server, provider := serve(t, exporters.Prometheus{})
	failures := failuresOf(t, server)
	counter, err := provider.Meter("shop").Int64Counter("orders", metric.WithDescription("Orders of \xff."))
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 1)
	for _, accept := range []string{"", acceptOpenMetrics, acceptProtobuf} {
		checkBody(t, scrape(t, server, accept).body, "orders", "Orders of \uFFFD.")
	}
	checkFailures(t, failures, map[string]int64{})
}

func TestIdentityLabels(t *testing.T) {
	t.Parallel()
	res := resource.NewSchemaless(
		attribute.String("service.name", "shop"),
		attribute.String("service.instance.id", "1"),
		attribute.String("deployment.environment.name", "test"),
		attribute.String("host.name", "secret"))
	server, provider := serve(t, exporters.Prometheus{}, sdkmetric.WithResource(res))
	record(t, provider)
	labels := make(map[string]string)
	for _, pair := range families(t, scrape(t, server, acceptProtobuf))["orders_total"].GetMetric()[0].GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	want := map[string]string{"service_name": "shop", "service_instance_id": "1", "deployment_environment_name": "test"}
	if fmt.Sprint(labels) != fmt.Sprint(want) {
		t.Errorf("got labels %v, want %v", labels, want)
	}
}
