package metrics_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// The JSON that the page reads, of everything that it shows.
func TestViewIsThisJSON(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.now = time.Date(2000, 1, 2, 3, 4, 5, 0, time.UTC)
	s.traced = map[metrics.Route]metrics.Traced{}
	for i := range 4 {
		s.get("/products/{id}", 10*(i+1), 0.02)
		s.get("/<script>alert(1)</script>", 1, 0.3)
		s.fail("/products/{id}", 1, 500, "500")
		s.fail("/products/{id}", 1, 0, telemetry.ClientDisconnected)
		s.request(s.stream, 1, 20, "POST", "/chat", 200, "")
		s.attempt("deepseek-chat", telemetry.OutcomeOK, telemetry.AttemptFirst, 2)
		s.add(telemetry.LLMCost, 0.5, telemetry.GenAIRequestModel.String("deepseek-chat"),
			telemetry.GenAIProvider.String("deepseek"), telemetry.LLMCurrency.String("USD"))
		s.add(telemetry.SpanStarted, 5, telemetry.SamplingResult.String("RECORD_AND_SAMPLE"))
		s.add(telemetry.ProcessCPUTime, 0.25, telemetry.CPUMode.String("user"))
		s.set(telemetry.Goroutines, float64(10+i))
		s.set(telemetry.ServerActiveRequests, 2)
		s.traced[metrics.Route{Method: "GET", Route: "/products/{id}"}] = metrics.Traced{Sampled: int64(5 * i), Rescued: 1, InFlight: 1}
		s.collect(10 * time.Second)
	}
	v := s.store.View(s.now.Add(500*time.Millisecond), metrics.Query{
		Since: s.view(0).Seq - 2, Window: 5 * time.Minute, Route: "GET /products/{id}",
	})
	if !json.Valid(encode(t, v)) {
		t.Error("the JSON is not valid")
	}
	golden.Check(t, "testdata/view.json.golden", encode(t, v))
}

func encode(t testing.TB, v metrics.View) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What the SDK never says, and a metricdata.Producer of somebody's may.
func TestOddData(t *testing.T) {
	t.Parallel()
	point := func(set attribute.Set, count uint64, bounds []float64, counts ...uint64) metricdata.HistogramDataPoint[float64] {
		return metricdata.HistogramDataPoint[float64]{Attributes: set, Count: count, Bounds: bounds, BucketCounts: counts}
	}
	a := attribute.NewSet(telemetry.HTTPMethod.String("GET"), telemetry.HTTPRoute.String("/a"))
	tests := map[string]struct {
		data metricdata.Aggregation
		want uint64 // requests
	}{
		"nothing":             {nil, 0},
		"a gauge":             {metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Value: 7}}}, 0},
		"a summary":           {metricdata.Summary{DataPoints: []metricdata.SummaryDataPoint{{Count: 7}}}, 0},
		"no points":           {metricdata.Histogram[float64]{}, 0},
		"integers":            {metricdata.Histogram[int64]{DataPoints: []metricdata.HistogramDataPoint[int64]{{Attributes: a, Count: 7}}}, 7},
		"no attributes":       {histogramOf(point(attribute.Set{}, 7, []float64{1}, 7, 0)), 7},
		"no bounds":           {histogramOf(point(a, 7, nil, 7)), 7},
		"no counts":           {histogramOf(point(a, 7, []float64{1, 2})), 7},
		"fewer counts":        {histogramOf(point(a, 7, []float64{1, 2}, 7)), 7},
		"more counts":         {histogramOf(point(a, 7, []float64{1}, 1, 2, 3, 4, 5)), 7},
		"bounds that descend": {histogramOf(point(a, 7, []float64{2, 1}, 1, 2, 4)), 7},
		"bounds that are no numbers": {
			histogramOf(point(a, 7, []float64{nan()}, 1, 6), point(a, 7, []float64{inf(), inf()}, 1, 2, 4)), 14,
		},
		"different bounds":  {histogramOf(point(a, 7, []float64{1}, 3, 4), point(a, 7, []float64{0.5, 2}, 1, 2, 4)), 14},
		"many bounds":       {histogramOf(point(a, 7, make([]float64, 1000), make([]uint64, 1001)...)), 7},
		"the largest count": {histogramOf(point(a, 1<<64-1, []float64{1}, 1<<64-1, 1<<64-1)), 1<<64 - 1},
		"exponential with odd scales": {metricdata.ExponentialHistogram[int64]{DataPoints: []metricdata.ExponentialHistogramDataPoint[int64]{
			{Attributes: a, Count: 1, Scale: -1 << 31, PositiveBucket: metricdata.ExponentialBucket{Offset: 1<<31 - 1, Counts: []uint64{1}}},
			{Attributes: a, Count: 2, Scale: 1<<31 - 1, NegativeBucket: metricdata.ExponentialBucket{Counts: []uint64{1, 1}}},
		}}, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, now := metrics.New(), time.Now()
			for range 2 {
				store.Add(now, collectionOf(metricdata.Metrics{Name: telemetry.ServerDuration, Data: tt.data}), nil)
			}
			v := store.View(now, metrics.Query{Route: "GET /a"})
			if v.Total.Requests != tt.want {
				t.Errorf("got %d requests, want %d", v.Total.Requests, tt.want)
			}
			if !json.Valid(encode(t, v)) {
				t.Error("the JSON is not valid")
			}
		})
	}
}

func TestALongRouteIsCut(t *testing.T) {
	t.Parallel()
	s := newService(t)
	long := "/" + string(bytes.Repeat([]byte("ä"), 1<<19))
	s.get(long, 3, 0.01)
	s.fail(long, 1, 500, long)
	s.traced = map[metrics.Route]metrics.Traced{{Method: "GET", Route: long}: {Sampled: 2}}
	s.collect(time.Second)
	v := s.view(0)
	if row := v.Routes[0]; len(v.Routes) != 1 || row.Requests != 4 || row.Sampled != 0.5 || len(row.Route) > 260 {
		t.Errorf("got %d rows, the first with %d requests and a route of %d bytes", len(v.Routes), row.Requests, len(row.Route))
	}
	if got := encode(t, v); len(got) > 64<<10 {
		t.Errorf("got %d bytes of JSON", len(got))
	}
}

// A View with all that a user's view and the SDK allow.
func TestDroppedMetricsLeaveNulls(t *testing.T) {
	t.Parallel()
	s := newService(t, sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "*"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}})))
	s.get("/a", 1, 0.01)
	s.set(telemetry.Goroutines, 1)
	s.collect(time.Second)
	s.collect(time.Second)
	v := s.view(0)
	if lastOf(t, v.Points.Rate) != 0 || len(v.Routes) != 0 || len(v.Points.Age) != 2 {
		t.Errorf("got %+v, want points without requests", v)
	}
}
