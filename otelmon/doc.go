// Package otelmon turns OpenTelemetry on in a service with one call at its
// start. [Setup] makes the meter, tracer and logger providers, sets them as
// the globals of the OpenTelemetry API, serves metrics to Prometheus on
// localhost:9464 and pushes traces, metrics and logs to an OpenTelemetry
// Collector on localhost:4317:
//
//	sdk, err := otelmon.Setup(ctx, otelmon.Config{ServiceName: "shop"})
//	if err != nil {
//		slog.Error("telemetry is not complete", "error", err)
//	}
//	defer sdk.Shutdown(context.WithoutCancel(ctx)) // within Config.ShutdownTimeout
//
// A service goes on when telemetry cannot: Setup returns a running [SDK] even
// with an error, a Collector that is down is logged once and tried again, and
// nothing here panics, exits or waits for the network.
//
// What a field of [Config] leaves open is taken from the standard OTEL_*
// variable, then from the default. docs/configuration.md lists them all.
package otelmon
