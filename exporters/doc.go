// Package exporters sends telemetry out of a service: [Prometheus] serves
// metrics to be scraped, [OTLP] pushes traces, metrics and logs to an
// OpenTelemetry Collector. Package otelmon puts both together; each is also
// usable alone with providers of the OpenTelemetry SDK:
//
//	push, err := exporters.OTLP{Endpoint: "collector:4317"}.Start(ctx)
//	tracer := trace.NewTracerProvider(trace.WithSpanProcessor(push.Spans))
//	...
//	err = errors.Join(tracer.Shutdown(ctx), push.Shutdown(ctx))
//
// What a field leaves open is taken from the standard OTEL_* variable, then
// from the default. A value that is not accepted is an error that names the
// field or variable; everything else is started all the same.
package exporters
