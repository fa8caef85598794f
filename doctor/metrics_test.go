package doctor_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

// complaints are the findings that are not ok, as "check level: message".
func complaints(found []doctor.Finding) []string {
	var texts []string
	for _, f := range found {
		if f.Level != doctor.OK {
			texts = append(texts, fmt.Sprintf("%s %s: %s", f.Check, f.Level, f.Message))
		}
	}
	return texts
}

// expected is a finding; text is part of its message.
type expected struct {
	check string
	level doctor.Level
	text  string
}

func expect(t *testing.T, found []doctor.Finding, w expected) {
	t.Helper()
	i := slices.IndexFunc(found, func(f doctor.Finding) bool {
		return f.Check == w.check && f.Level == w.level && strings.Contains(f.Message, w.text)
	})
	switch {
	case i < 0:
		t.Errorf("no %s of %s with %q, but:\n%s", w.level, w.check, w.text, strings.Join(complaints(found), "\n"))
	case w.level != doctor.OK && found[i].Advice == "":
		t.Errorf("no advice: %+v", found[i])
	default:
		documented(t, found[i])
	}
}

// serviceOf is a real one with otelmon, and its configuration of middleware.
func serviceOf(t *testing.T, cfg otelmon.Config) (*otelmon.SDK, middleware.Config) {
	t.Helper()
	cfg.ServiceName = "shop"
	cfg.DisableGlobals = true
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Prometheus = exporters.Prometheus{Address: "localhost:0"}
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = sdk.Shutdown(ctx)
	})
	return sdk, middleware.Config{TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(), Propagator: sdk.Propagator()}
}

// ask sends requests to a handler, as many as there are paths.
func ask(t *testing.T, h http.Handler, paths ...string) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	for _, path := range paths {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if host := r.URL.Query().Get("host"); host != "" {
			r.Host = host
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

func shop() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an order") })
	return mux
}

func TestHealthyService(t *testing.T) {
	t.Parallel()
	sdk, config := serviceOf(t, otelmon.Config{OTLP: exporters.OTLP{Endpoint: "http://" + faultcollector.Start(t).GRPC}})
	ask(t, middleware.Handler(shop(), config), slices.Repeat([]string{"/orders/1234", "/nothing"}, 30)...)
	found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: strings.TrimSuffix(sdk.MetricsURL(), "/metrics")})
	if bad := complaints(found); len(bad) > 0 {
		t.Errorf("a healthy service has\n%s", strings.Join(bad, "\n"))
	}
	for _, w := range []expected{
		{"exemplars", doctor.OK, "lead to traces"},
		{"identity", doctor.OK, `service_name="shop"`},
		{"routes", doctor.OK, "1 routes"},
		{"requests", doctor.OK, "60 HTTP requests"},
		{"openmetrics", doctor.OK, ""},
		{"age", doctor.OK, "runs for"},
	} {
		expect(t, found, w)
	}
}

func TestServiceThatNobodyAsked(t *testing.T) {
	t.Parallel()
	sdk, _ := serviceOf(t, otelmon.Config{DisableOTLP: true})
	found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: sdk.MetricsURL()})
	if bad := complaints(found); len(bad) > 0 {
		t.Errorf("a new service has\n%s", strings.Join(bad, "\n"))
	}
	expect(t, found, expected{"requests", doctor.OK, "no HTTP request"})
	expect(t, found, expected{"exemplars", doctor.OK, "no histogram has counts"})
}

func TestServiceInTrouble(t *testing.T) {
	t.Parallel()
	sdk, config := serviceOf(t, otelmon.Config{DisableOTLP: true, CardinalityLimit: 20, Sampler: sdktrace.NeverSample()})
	handler := middleware.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), config)
	ask(t, handler, "/a", "/b")
	meter := sdk.MeterProvider().Meter("test")
	visits, _ := meter.Int64Counter("visits")
	wait, _ := meter.Float64Histogram("wait", metric.WithUnit("s"))
	wait.Record(t.Context(), math.NaN())
	for i := range 30 {
		visits.Add(t.Context(), 1, metric.WithAttributes(attribute.String("user.email", fmt.Sprintf("ann%d@example.com", i))))
		wait.Record(t.Context(), 100_000)
	}
	_, _ = meter.Int64ObservableGauge("broken", metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error { panic("no") }))
	page := doctor.Config{MetricsURL: sdk.MetricsURL()}
	_ = doctor.Metrics(t.Context(), page) // after which the page tells of the callback
	found := doctor.Metrics(t.Context(), page)
	for _, w := range []expected{
		{"overflow", doctor.Warning, "visits (limit 20)"},
		{"labels", doctor.Failure, "label user_email of visits has 19 values that look like e-mail addresses"},
		{"refused-values", doctor.Warning, "1 values were refused as no measurements (wait 1)"},
		{"callbacks", doctor.Warning, "callbacks failed"},
		{"exemplars", doctor.Warning, "none of 2 spans was sampled"},
		{"routes", doctor.Warning, "none of 2 requests has a route"},
		{"observations", doctor.Warning, "wait_seconds has 30 of 30 above 60, the last"},
	} {
		expect(t, found, w)
	}
	for _, f := range found {
		if strings.Contains(f.Message+f.Advice, "@example") {
			t.Errorf("shows an address: %+v", f)
		}
	}
}

func TestUndelivered(t *testing.T) {
	t.Parallel()
	collector := faultcollector.Start(t)
	collector.Refuse()
	sdk, config := serviceOf(t, otelmon.Config{OTLP: exporters.OTLP{Endpoint: "http://" + collector.GRPC}})
	ask(t, middleware.Handler(shop(), config), "/orders/1")
	later := clockOf(t, sdk.MetricsURL(), 20*time.Second)
	expect(t, doctor.Metrics(t.Context(), doctor.Config{MetricsURL: later}), expected{"delivery-traces", doctor.Failure, "of 1 spans none was delivered"})
}

// clockOf serves a page with another time in the header Date.
func clockOf(t *testing.T, url string, ahead time.Duration) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		again, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, url, http.NoBody)
		again.Header = r.Header.Clone()
		response, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.Header().Set("Content-Encoding", response.Header.Get("Content-Encoding"))
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// What one gets from the SDK, otelhttp and promhttp alone.
func TestServiceWithTheSDKAlone(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	reader, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutCounterSuffixes()) //nolint:staticcheck // which is what makes the trouble
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { _ = meters.Shutdown(context.WithoutCancel(t.Context())) })
	meter := meters.Meter("test")
	duration, _ := meter.Float64Histogram("job.duration", metric.WithUnit("s"))
	runs, _ := meter.Int64Counter("job.runs")
	for range 30 {
		duration.Record(t.Context(), 0.02)
		runs.Add(t.Context(), 1)
	}
	var paths []string
	for i := range 12 {
		paths = append(paths, fmt.Sprintf("/?host=h%d.example.com", i))
	}
	ask(t, otelhttp.NewHandler(http.NotFoundHandler(), "all", otelhttp.WithMeterProvider(meters)), paths...)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: server.URL})
	for _, w := range []expected{
		{"boundaries", doctor.Warning, "job_duration_seconds has those of the SDK for milliseconds (0 to 10000)"},
		{"identity", doctor.Warning, "no series has the label service_name"},
		{"openmetrics", doctor.Warning, "classic format"},
		{"labels", doctor.Warning, "label server_address of http_server_"},
		{"counter-names", doctor.Warning, "job_runs"},
		{"routes", doctor.Warning, "none of 12 requests has a route"},
	} {
		expect(t, found, w)
	}
}
