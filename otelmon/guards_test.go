package otelmon_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
)

func TestSamplingDecisionsAreExported(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{Sampler: sampling.Drop()})
	callItself(t, s.SDK) // twice
	body := s.scrape(t)
	for _, want := range []string{
		`otel_span_parent_origin="none",otel_span_sampling_result="DROP"`,   // the client's spans
		`otel_span_parent_origin="remote",otel_span_sampling_result="DROP"`, // the server's
	} {
		series := lineWith(body, want)
		if !strings.HasPrefix(series, "otel_sdk_span_started_total{") || !strings.HasSuffix(series, "} 2.0") {
			t.Errorf("got %q for %s, want a count of 2", series, want)
		}
	}
}

func TestACallbackThatHangsHurtsNoOtherMetricAndNoShutdown(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	counter, err := s.MeterProvider().Meter("shop").Int64Counter("shop.orders")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 7)
	counter.Add(t.Context(), -1)
	_, err = s.MeterProvider().Meter("shop").Int64ObservableGauge("shop.hanging",
		metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error {
			<-release
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	body := s.scrape(t) // takes a second
	for part, want := range map[string]string{
		"shop_orders_total{": "} 7.0",
		`otelmon_metric_refused_values_total{error_type="negative",otelmon_metric_name="shop.orders"`: "} 1.0",
		`otelmon_metric_callback_failures_total{error_type="timeout",otelmon_metric_scope="shop"`:     "} 1.0",
	} {
		if got := lineWith(body, part); !strings.HasSuffix(got, want) {
			t.Errorf("got %q for %s, want %s", got, part, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("Shutdown: %v; its context: %v", err, ctx.Err())
	}
}
