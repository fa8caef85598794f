// Package meter provides the MeterProvider that stands between instrumentation and the OpenTelemetry SDK.
//
// [Provider] is a delegate whose target can be replaced: instruments, callbacks and registrations obtained once follow
// every [Provider.Set], so that a process can shut its telemetry down and set it up again, whatever hangs meanwhile. On
// the way it gives each histogram boundaries that fit its unit, whoever creates it, and of those that the instrument
// advises keeps only what lies above. It lets scopes that ask for the same instrument share one, because an exporter that
// leaves scope labels out would otherwise emit the same series twice and fail the scrape. It keeps errors, panics and
// hangs of callbacks from the SDK, and values that are not finite from sums, and counts them. And it leaves out what
// otelhttp records for a request that the toolkit's middleware measures, and what the SDK tells about itself, which the
// toolkit does.
//
// [Views] are the SDK views that belong with it. They filter, drop and rename, but never choose an aggregation, so that
// each reader keeps its own choice of explicit or exponential buckets.
//
// docs/quantiles.md shows, as measured by this package's tests, how far the resulting percentiles can be believed.
package meter
