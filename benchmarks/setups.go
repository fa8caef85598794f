package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	slokprometheus "github.com/slok/go-http-metrics/metrics/prometheus"
	slok "github.com/slok/go-http-metrics/middleware"
	slokstd "github.com/slok/go-http-metrics/middleware/std"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// setup is a way to instrument a service, as its users write it.
type setup struct {
	// handler instruments a server. The handler it gets is the router, unless
	// there is middleware around mux.
	handler func(next http.Handler, mux *http.ServeMux) http.Handler
	// transport instruments a client, if it can.
	transport func(http.RoundTripper) http.RoundTripper
	// metrics is the page that Prometheus scrapes; nil without traces.
	metrics  http.Handler
	shutdown func(context.Context) error
}

// signals is what a setup with traces is to do with them, and who else reads
// the metrics. Each setup has a Prometheus exporter of its own besides.
type signals struct {
	sampler   sdktrace.Sampler
	processor sdktrace.SpanProcessor
	reader    sdkmetric.Reader
	// otelmon's own options, for what otelhttp does not have.
	rescue          sampling.Rescue
	forcedPerSecond float64
	traceResponse   bool
}

func bare() setup {
	return setup{
		handler:   func(next http.Handler, _ *http.ServeMux) http.Handler { return next },
		transport: func(base http.RoundTripper) http.RoundTripper { return base },
		shutdown:  func(context.Context) error { return nil },
	}
}

// plainOtelhttp is otelhttp with the SDK, both as their documentation shows.
func plainOtelhttp(s signals) (setup, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return setup{}, fmt.Errorf("making the Prometheus exporter: %w", err)
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(s.sampler), sdktrace.WithSpanProcessor(s.processor))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader), sdkmetric.WithReader(exporter))
	options := []otelhttp.Option{
		otelhttp.WithTracerProvider(tracers),
		otelhttp.WithMeterProvider(meters),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	}
	return setup{
		handler: func(next http.Handler, _ *http.ServeMux) http.Handler {
			return otelhttp.NewHandler(next, "server", options...)
		},
		transport: func(base http.RoundTripper) http.RoundTripper {
			return otelhttp.NewTransport(base, options...)
		},
		metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), // as promhttp.Handler does
		shutdown: func(ctx context.Context) error {
			return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx))
		},
	}, nil
}

// otelmonSetup is the toolkit, through its front door.
func otelmonSetup(s signals) (setup, error) {
	sdk, err := otelmon.Setup(context.Background(), otelmon.Config{
		ServiceName:     "benchmarks",
		Sampler:         s.sampler,
		Rescue:          s.rescue,
		ForcedPerSecond: s.forcedPerSecond,
		SpanProcessors:  []sdktrace.SpanProcessor{s.processor},
		Readers:         []sdkmetric.Reader{s.reader},
		Prometheus:      exporters.Prometheus{DisableListener: true},
		DisableOTLP:     true,
		DisableGlobals:  true,
		Logger:          slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return setup{}, fmt.Errorf("setting otelmon up: %w", err)
	}
	cfg := middleware.Config{
		TracerProvider: sdk.TracerProvider(),
		MeterProvider:  sdk.MeterProvider(),
		Propagator:     sdk.Propagator(),
		TraceResponse:  s.traceResponse,
	}
	return setup{
		handler: func(next http.Handler, mux *http.ServeMux) http.Handler {
			cfg := cfg
			if next != http.Handler(mux) {
				cfg.Mux = mux
			}
			return middleware.Handler(next, cfg)
		},
		transport: func(base http.RoundTripper) http.RoundTripper { return middleware.Transport(base, cfg) },
		metrics:   sdk.MetricsHandler(),
		shutdown:  sdk.Shutdown,
	}, nil
}

// promhttpSetup measures what the others measure, without routes and traces.
func promhttpSetup() setup {
	labels := []string{"code", "method"}
	active := prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_in_flight"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds"}, labels)
	sizes := prometheus.ExponentialBuckets(100, 10, 6)
	requestSize := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_size_bytes", Buckets: sizes}, labels)
	responseSize := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_response_size_bytes", Buckets: sizes}, labels)
	prometheus.NewRegistry().MustRegister(active, duration, requestSize, responseSize)
	s := bare()
	s.handler = func(next http.Handler, _ *http.ServeMux) http.Handler {
		next = promhttp.InstrumentHandlerResponseSize(responseSize, next)
		next = promhttp.InstrumentHandlerRequestSize(requestSize, next)
		next = promhttp.InstrumentHandlerDuration(duration, next)
		return promhttp.InstrumentHandlerInFlight(active, next)
	}
	return s
}

// slokSetup is go-http-metrics, told the route, since it cannot find it.
func slokSetup() setup {
	recorder := slokprometheus.NewRecorder(slokprometheus.Config{Registry: prometheus.NewRegistry()})
	measure := slok.New(slok.Config{Recorder: recorder})
	s := bare()
	s.handler = func(next http.Handler, _ *http.ServeMux) http.Handler {
		return slokstd.Handler("/items/{id}", measure, next)
	}
	return s
}
