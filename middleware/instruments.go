package middleware

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// newMeter returns the meter of this package from the provider, or from the
// global one when that is nil.
func newMeter(provider metric.MeterProvider) metric.Meter {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	return telemetry.Meter(provider, "middleware")
}

// instruments are those of one side, server or client.
type instruments struct {
	duration, streamDuration, firstByte metric.Float64Histogram
	requestSize, responseSize           metric.Int64Histogram
}

func newServerInstruments(meter metric.Meter) instruments {
	return instruments{
		duration:       seconds(meter, telemetry.ServerDuration, "Duration of HTTP server requests."),
		streamDuration: streamSeconds(meter, telemetry.ServerStreamDuration, "Duration of HTTP server requests whose response is a stream."),
		firstByte:      seconds(meter, telemetry.ServerStreamFirstByte, "Time until the response of an HTTP server stream begins."),
		requestSize:    bytes(meter, telemetry.ServerRequestBodySize, "Size of HTTP server request bodies, as far as they were read."),
		responseSize:   bytes(meter, telemetry.ServerResponseBodySize, "Size of HTTP server response bodies."),
	}
}

func newClientInstruments(meter metric.Meter) instruments {
	return instruments{
		duration:       seconds(meter, telemetry.ClientDuration, "Duration of HTTP client requests."),
		streamDuration: streamSeconds(meter, telemetry.ClientStreamDuration, "Duration of HTTP client requests whose response is a stream."),
		firstByte:      seconds(meter, telemetry.ClientStreamFirstByte, "Time until the headers of an HTTP client stream are there."),
		requestSize:    bytes(meter, telemetry.ClientRequestBodySize, "Size of HTTP client request bodies."),
		responseSize:   bytes(meter, telemetry.ClientResponseBodySize, "Size of HTTP client response bodies, as far as they were read."),
	}
}

// activeRequests counts the requests that are being handled, by method and by
// whether they came over TLS. It is observed at each collection, which costs a
// request a hundredth of two records.
type activeRequests [otherMethod + 1][2]struct {
	now  atomic.Int64
	ever atomic.Bool // so that methods nobody uses make no series
}

// begin counts a request. Its end is to be subtracted from what begin returns.
func (a *activeRequests) begin(m method, https bool) *atomic.Int64 {
	count := &a[m][0]
	if https {
		count = &a[m][1]
	}
	if !count.ever.Load() {
		count.ever.Store(true)
	}
	count.now.Add(1)
	return &count.now
}

// newActiveRequests returns what the meter observes for as long as its
// provider lives.
func newActiveRequests(meter metric.Meter) *activeRequests {
	a := &activeRequests{}
	counter, err := meter.Int64ObservableUpDownCounter(telemetry.ServerActiveRequests, metric.WithUnit("{request}"),
		metric.WithDescription("Number of HTTP requests that are being handled."))
	report(err)
	_, err = meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		for m := range a {
			for tls := range a[m] {
				if count := &a[m][tls]; count.ever.Load() {
					observer.ObserveInt64(counter, count.now.Load(), metric.WithAttributes(
						telemetry.HTTPMethod.String(method(m).String()), telemetry.URLScheme.String(scheme(tls == 1))))
				}
			}
		}
		return nil
	}, counter)
	report(err)
	return a
}

func seconds(meter metric.Meter, name, description string) metric.Float64Histogram {
	h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	report(err)
	return h
}

// streamSeconds has boundaries up to a day.
func streamSeconds(meter metric.Meter, name, description string) metric.Float64Histogram {
	h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400))
	report(err)
	return h
}

func bytes(meter metric.Meter, name, description string) metric.Int64Histogram {
	h, err := meter.Int64Histogram(name, metric.WithUnit("By"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0, 64, 256, 1<<10, 1<<12, 1<<14, 1<<16, 1<<18, 1<<20, 1<<22, 1<<24, 1<<26, 1<<28))
	report(err)
	return h
}

// report passes an error on that no caller can be told; what it is about works
// nevertheless, or records nothing.
func report(err error) {
	if err != nil {
		otel.Handle(err)
	}
}
