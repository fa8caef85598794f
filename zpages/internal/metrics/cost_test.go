package metrics_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// traffic has series of the four histograms of the middleware, for each route and
// each of three statuses. Each call of next goes on by one request of each.
type traffic struct {
	rm     *metricdata.ResourceMetrics
	points []*metricdata.HistogramDataPoint[float64]
	inEach uint64 // requests more in each bucket
}

func newTraffic(routes int) *traffic {
	tr := &traffic{}
	var all []metricdata.Metrics
	for _, name := range []string{
		telemetry.ServerDuration, telemetry.ServerStreamDuration, telemetry.ServerRequestBodySize, telemetry.ServerResponseBodySize,
	} {
		unit := "s"
		if name == telemetry.ServerRequestBodySize || name == telemetry.ServerResponseBodySize {
			unit = "By"
		}
		bounds := meter.Boundaries(name, unit, nil, meter.Rules{})
		var points []metricdata.HistogramDataPoint[float64]
		for i := range routes {
			for _, status := range []int{200, 404, 500} {
				points = append(points, metricdata.HistogramDataPoint[float64]{
					Attributes: seriesOf(i, status), Bounds: bounds, BucketCounts: make([]uint64, len(bounds)+1),
				})
			}
		}
		for i := range points {
			tr.points = append(tr.points, &points[i])
		}
		all = append(all, metricdata.Metrics{Name: name, Unit: unit, Data: histogramOf(points...)})
	}
	tr.rm = collectionOf(all...)
	return tr
}

func seriesOf(route, status int) attribute.Set {
	all := []attribute.KeyValue{
		telemetry.HTTPMethod.String("GET"), telemetry.HTTPRoute.String(fmt.Sprintf("/route/%04d/{id}", route)),
		telemetry.HTTPStatusCode.Int(status), telemetry.URLScheme.String("http"), telemetry.ProtocolVersion.String("1.1"),
	}
	if status >= 500 {
		all = append(all, telemetry.ErrorType.String(fmt.Sprint(status)))
	}
	return attribute.NewSet(all...)
}

func (tr *traffic) next() *metricdata.ResourceMetrics {
	for i, p := range tr.points {
		p.Count++
		p.BucketCounts[i%len(p.BucketCounts)]++
		for j := range p.BucketCounts {
			p.BucketCounts[j] += tr.inEach
		}
	}
	return tr.rm
}

// filled returns a Store with 15 minutes of the traffic.
func filled(tr *traffic) (*metrics.Store, time.Time) {
	store, now := metrics.New(), time.Now()
	for range 91 {
		now = now.Add(10 * time.Second)
		store.Add(now, tr.next(), nil)
	}
	return store, now
}

func TestAddAndViewAtTheSameTime(t *testing.T) {
	t.Parallel()
	store, start := metrics.New(), time.Now()
	tr := newTraffic(20)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for i := range 100 {
				v := store.View(start.Add(time.Duration(i)*time.Second), metrics.Query{Route: "GET /route/0001/{id}", Since: int64(i)})
				if _, err := json.Marshal(v); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 100 {
		store.Add(start.Add(time.Duration(i)*time.Second), tr.next(), map[metrics.Route]metrics.Traced{{Method: "GET", Route: "/x"}: {InFlight: i}})
	}
	running.Wait()
	if got := store.View(start, metrics.Query{Window: time.Hour}).Total.Requests; got != 100*20*3*2 {
		t.Errorf("got %d requests, want 12000", got)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, routes := range []int{20, 256, 2000} {
		b.Run(fmt.Sprint(routes, " routes"), func(b *testing.B) {
			tr := newTraffic(routes)
			store, now := filled(tr)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(2 * time.Second)
				store.Add(now, tr.next(), nil)
			}
		})
	}
}

func BenchmarkView(b *testing.B) {
	for _, routes := range []int{20, 256, 2000} {
		store, now := filled(newTraffic(routes))
		last := store.View(now, metrics.Query{}).Seq
		for name, q := range map[string]metrics.Query{
			"at first": {Window: 15 * time.Minute},
			"again":    {Window: 15 * time.Minute, Since: last - 1, Route: "GET /route/0001/{id}"},
		} {
			b.Run(fmt.Sprint(routes, " routes/", name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					store.View(now, q)
				}
			})
			b.Run(fmt.Sprint(routes, " routes/", name, ", as JSON"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					data, err := json.Marshal(store.View(now, q))
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(int64(len(data)))
				}
			})
		}
	}
}
