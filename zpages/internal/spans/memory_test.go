//go:build !race

package spans_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

// A service of 2,000 routes, with requests of 11 spans with long texts, one in ten
// of which fails or panics, runs for 15 minutes. Then 200 requests are in flight. Not
// parallel: it looks at the memory of the process.
func TestMemoryOfAPage(t *testing.T) {
	const most = 9 << 20
	without := held(t, otelmon.Config{}, func(time.Time) {})

	var rm metricdata.ResourceMetrics
	reader := sdkmetric.NewManualReader()
	collect := func() {
		if err := reader.Collect(t.Context(), &rm); err != nil {
			t.Fatal(err)
		}
	}
	collected := held(t, otelmon.Config{Readers: []sdkmetric.Reader{reader}}, func(time.Time) { collect() })

	traces, series := spans.New(), metrics.New()
	rm, reader = metricdata.ResourceMetrics{}, sdkmetric.NewManualReader()
	cfg := otelmon.Config{Readers: []sdkmetric.Reader{reader}, SpanProcessors: []sdktrace.SpanProcessor{traces}}
	var listed spans.View
	with := held(t, cfg, func(now time.Time) {
		collect()
		series.Add(now, &rm, traces.Traced())
		listed = traces.View(now)
	})
	runtime.KeepAlive(rm)

	t.Logf("without a page %d KiB; the page's reader and its collection %d KiB, the page besides %d KiB",
		without>>10, (collected-without)>>10, (with-collected)>>10)
	if with-collected > most {
		t.Errorf("a page has %d bytes besides the metrics that it collects, at most %d are wanted", with-collected, most)
	}
	if rows := series.View(time.Now(), metrics.Query{}).Routes; len(listed.Errors) < 40 || len(listed.Panics) < 40 || len(rows) != 257 {
		t.Errorf("got %d errors, %d panics, and %d routes to measure with", len(listed.Errors), len(listed.Panics), len(rows))
	}
}

// held returns the bytes that are in use after the service has run, and what
// collects from it every 10 s.
func held(t *testing.T, cfg otelmon.Config, collect func(now time.Time)) int64 {
	t.Helper()
	before := heap()
	cfg.ServiceName, cfg.DisableGlobals, cfg.DisableOTLP = "shop", true, true
	cfg.Prometheus, cfg.Logger = exporters.Prometheus{DisableListener: true}, slog.New(slog.DiscardHandler)
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{handler: large(sdk)}
	now, n := time.Now(), 0
	for range 91 {
		for range largeRoutes / 4 {
			n++
			s.get(t, fmt.Sprintf("/items-%d/%d", n%largeRoutes, n/7%20))
		}
		now = now.Add(10 * time.Second)
		collect(now)
	}
	var open []trace.Span
	for range 200 {
		ctx, span := sdk.TracerProvider().Tracer("shop").Start(t.Context(), "in flight")
		query(ctx, sdk)
		open = append(open, span)
	}
	used := heap() - before
	runtime.KeepAlive(open)
	runtime.KeepAlive(s)
	if err := sdk.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	return used
}

const largeRoutes = 2000

// large returns a service with many routes.
func large(sdk *otelmon.SDK) http.Handler {
	mux := http.NewServeMux()
	for route := range largeRoutes {
		mux.HandleFunc(fmt.Sprintf("GET /items-%d/{id}", route), func(w http.ResponseWriter, r *http.Request) {
			query(r.Context(), sdk)
			switch r.PathValue("id") {
			case "0":
				w.WriteHeader(http.StatusInternalServerError)
			case "1":
				panic("no such item")
			}
		})
	}
	return middleware.Handler(mux, middleware.Config{
		TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(), Propagator: sdk.Propagator(),
	})
}

// query makes ten spans with texts of 0.8 to 3 KB.
func query(ctx context.Context, sdk *otelmon.SDK) {
	for i := range 10 {
		_, span := sdk.TracerProvider().Tracer("shop").Start(ctx, "query", trace.WithAttributes(
			attribute.String("db.query.text", strings.Repeat("x", 800+240*i)), attribute.Int("rows", i)))
		span.End()
	}
}
