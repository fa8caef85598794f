package metrics_test

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/quantile"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// The page and Prometheus say the same: in a window that is longer than the
// service's life, percentiles are exactly those that histogram_quantile finds in
// one scrape.
func TestPercentilesAreThoseOfTheScrape(t *testing.T) {
	t.Parallel()
	for name, boundaries := range map[string]map[string][]float64{
		"default boundaries": nil, "the most that are kept": {telemetry.ServerDuration: ascending(64)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testPercentiles(t, boundaries)
		})
	}
}

// ascending returns so many boundaries from 50 ms on.
func ascending(n int) (boundaries []float64) {
	for i := range n {
		boundaries = append(boundaries, 0.05*float64(i+1))
	}
	return boundaries
}

func testPercentiles(t *testing.T, boundaries map[string][]float64) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	sdk, err := otelmon.Setup(t.Context(), otelmon.Config{
		Boundaries:  boundaries,
		ServiceName: "shop", DisableGlobals: true, DisableOTLP: true,
		Prometheus: exporters.Prometheus{DisableListener: true},
		Readers:    []sdkmetric.Reader{reader},
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sdk.Shutdown(t.Context()) }()

	s := &service{t: t, store: metrics.New(), now: time.Now(), reader: reader, meter: sdk.MeterProvider().Meter("test")}
	s.duration = s.histogram(telemetry.ServerDuration)
	for range 200 {
		for range 20 {
			s.get("/products/{id}", 1, rand.ExpFloat64()*0.2)
			s.get("/orders", 1, rand.ExpFloat64()*3)
			s.fail("/orders", 1, 500, "500")
		}
		s.collect(4 * time.Second)
	}
	v := s.view(15 * time.Minute)
	scraped := scrape(t, sdk.MetricsHandler())
	for key, row := range map[string]metrics.Row{
		"": v.Total, "/orders": rowOf(t, v, "GET /orders"), "/products/{id}": rowOf(t, v, "GET /products/{id}"),
	} {
		bounds, counts := bucketsOf(scraped, key)
		for q, got := range map[float64]metrics.Number{0.50: row.P50, 0.95: row.P95, 0.99: row.P99} {
			if want := quantile.Of(q, bounds, counts); float64(got) != want {
				t.Errorf("%q: got %v as the quantile %v, want %v", key, got, q, want)
			}
		}
	}
	if v.Total.Approximate {
		t.Error("the page says that percentiles are approximate")
	}
	if v.Total.Requests != 12_000 || v.Total.Errors != 4_000 {
		t.Errorf("got %d requests and %d errors, want 12000 and 4000", v.Total.Requests, v.Total.Errors)
	}
	if len(v.Runtime) < 10 {
		t.Errorf("got %v, want the metrics of Go and of the process", v.Runtime)
	}
}

// scrape returns the histograms of the requests.
func scrape(t *testing.T, handler http.Handler) []*dto.Metric {
	t.Helper()
	page := httptest.NewRecorder()
	handler.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families["http_server_request_duration_seconds"].GetMetric()
}

// bucketsOf adds up the buckets of the series of a route, or of all.
func bucketsOf(series []*dto.Metric, route string) (bounds []float64, counts []uint64) {
	for _, m := range series {
		ofRoute := slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
			return l.GetName() == "http_route" && l.GetValue() == route
		})
		if route != "" && !ofRoute {
			continue
		}
		buckets := m.GetHistogram().GetBucket()
		if counts == nil {
			counts = make([]uint64, len(buckets))
			for _, b := range buckets[:len(buckets)-1] { // without +Inf
				bounds = append(bounds, b.GetUpperBound())
			}
		}
		before := uint64(0)
		for i, b := range buckets {
			counts[i] += b.GetCumulativeCount() - before
			before = b.GetCumulativeCount()
		}
	}
	return bounds, counts
}

// A user's view may ask for exponential histograms, whose buckets are put into
// those that the metric has otherwise.
func TestExponentialHistogramsAreUnderstood(t *testing.T) {
	t.Parallel()
	s := newService(t, sdkmetric.WithView(sdkmetric.NewView(
		sdkmetric.Instrument{Name: telemetry.ServerDuration},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})))
	for i := range 1000 {
		s.get("/a", 1, float64(i)/1000)
	}
	s.collect(10 * time.Second)
	var rm metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	if _, ok := rm.ScopeMetrics[0].Metrics[0].Data.(metricdata.ExponentialHistogram[float64]); !ok {
		t.Fatalf("got %T, want an exponential histogram to test with", rm.ScopeMetrics[0].Metrics[0].Data)
	}
	row := rowOf(t, s.view(time.Minute), "GET /a")
	if row.Requests != 1000 || row.P50 < 0.45 || row.P50 > 0.55 || row.P99 < 0.9 || row.P99 > 1.05 {
		t.Errorf("got %d requests with P50 %v and P99 %v, want 1000, about 0.5 and 0.99", row.Requests, row.P50, row.P99)
	}
	if !s.view(time.Minute).Total.Approximate {
		t.Error("the page does not say that this is approximate")
	}
}

func TestOtherBoundariesAreApproximate(t *testing.T) {
	t.Parallel()
	point := func(boundaries int) metricdata.HistogramDataPoint[float64] {
		counts := make([]uint64, boundaries+1)
		counts[1] = 7
		return metricdata.HistogramDataPoint[float64]{Count: 7, Bounds: ascending(boundaries), BucketCounts: counts}
	}
	for name, tt := range map[string]struct {
		points []metricdata.HistogramDataPoint[float64]
		want   bool
	}{
		"the same in all":                 {[]metricdata.HistogramDataPoint[float64]{point(64), point(64)}, false},
		"one series with others":          {[]metricdata.HistogramDataPoint[float64]{point(10), point(11)}, true},
		"more than are kept":              {[]metricdata.HistogramDataPoint[float64]{point(65)}, true},
		"a series with others, and empty": {[]metricdata.HistogramDataPoint[float64]{point(10), {Bounds: ascending(2), BucketCounts: make([]uint64, 3)}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, now := metrics.New(), time.Now()
			store.Add(now, collectionOf(metricdata.Metrics{Name: telemetry.ServerDuration, Data: histogramOf(tt.points...)}), nil)
			if got := store.View(now, metrics.Query{}).Total.Approximate; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
