// Package telemetry holds every metric, attribute and scope name that the
// toolkit emits. It is the only package that imports the semantic
// conventions, so that a new version of them is one edit here.
package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Version of the toolkit, in telemetry.distro.version and in scope versions.
const Version = "0.1.0-dev"

// Scope is the instrumentation scope of the toolkit's own telemetry.
const Scope = "github.com/otelmon/toolkit"

// MiddlewareScope is that of the HTTP middleware.
const MiddlewareScope = Scope + "/middleware"

// SchemaURL is the version of the semantic conventions that the names follow.
const SchemaURL = semconv.SchemaURL

// Attribute keys of the resource.
const (
	ServiceName       = semconv.ServiceNameKey
	ServiceNamespace  = semconv.ServiceNamespaceKey
	ServiceVersion    = semconv.ServiceVersionKey
	ServiceInstanceID = semconv.ServiceInstanceIDKey
	Environment       = semconv.DeploymentEnvironmentNameKey
	DistroName        = semconv.TelemetryDistroNameKey
	DistroVersion     = semconv.TelemetryDistroVersionKey
	ProcessStart      = semconv.ProcessCreationTimeKey
	VCSRevision       = semconv.VCSRefHeadRevisionKey

	K8SCluster    = semconv.K8SClusterNameKey
	K8SNamespace  = semconv.K8SNamespaceNameKey
	K8SNode       = semconv.K8SNodeNameKey
	K8SPod        = semconv.K8SPodNameKey
	K8SPodUID     = semconv.K8SPodUIDKey
	K8SContainer  = semconv.K8SContainerNameKey
	K8SDeployment = semconv.K8SDeploymentNameKey

	// MetricsPath says which copy of the metrics Prometheus is to keep when
	// both the scrape and the Collector bring one: "scrape" or "otlp".
	MetricsPath = attribute.Key("otelmon.metrics.path")
)

// Identity returns the resource attributes that every Prometheus series
// carries as labels, on the scrape path and on the OTLP path alike.
func Identity() []attribute.Key {
	return []attribute.Key{ServiceName, ServiceNamespace, ServiceVersion, Environment, ServiceInstanceID, MetricsPath}
}

// Process metrics. All but ProcessStartTime follow the semantic conventions;
// that one gives Prometheus its well-known process_start_time_seconds, from
// which dashboards draw deployments.
const (
	ProcessCPUTime       = "process.cpu.time"
	ProcessMemoryUsage   = "process.memory.usage"
	ProcessMemoryVirtual = "process.memory.virtual"
	ProcessOpenFiles     = "process.unix.file_descriptor.count"
	ProcessThreads       = "process.thread.count"
	ProcessUptime        = "process.uptime"
	ProcessStartTime     = "process.start_time"

	// CPUMode tells "user" from "system" in ProcessCPUTime.
	CPUMode = semconv.CPUModeKey
)

// Goroutines is the metric of the OpenTelemetry instrumentation of the runtime.
const Goroutines = "go.goroutine.count"

// Keys that a log line gets from the span it was written in, as the
// OpenTelemetry specification names them for non-OTLP log formats.
const (
	LogTraceID = "trace_id"
	LogSpanID  = "span_id"
)

// HTTP metrics of the semantic conventions.
const (
	ServerDuration         = "http.server.request.duration"
	ServerActiveRequests   = "http.server.active_requests"
	ServerRequestBodySize  = "http.server.request.body.size"
	ServerResponseBodySize = "http.server.response.body.size"
	ClientDuration         = "http.client.request.duration"
	ClientRequestBodySize  = "http.client.request.body.size"
	ClientResponseBodySize = "http.client.response.body.size"
)

// Metrics of streams, which the conventions do not tell from other requests.
const (
	ServerStreamDuration  = "otelmon.http.server.stream.duration"
	ServerStreamFirstByte = "otelmon.http.server.stream.time_to_first_byte"
	ClientStreamDuration  = "otelmon.http.client.stream.duration"
	ClientStreamFirstByte = "otelmon.http.client.stream.time_to_first_byte"
)

// Attributes of HTTP metrics and spans.
const (
	HTTPMethod           = semconv.HTTPRequestMethodKey
	HTTPRoute            = semconv.HTTPRouteKey
	HTTPStatusCode       = semconv.HTTPResponseStatusCodeKey
	HTTPRequestBodySize  = semconv.HTTPRequestBodySizeKey
	HTTPResponseBodySize = semconv.HTTPResponseBodySizeKey
	URLScheme            = semconv.URLSchemeKey
	URLPath              = semconv.URLPathKey
	ProtocolVersion      = semconv.NetworkProtocolVersionKey
	ServerAddress        = semconv.ServerAddressKey
	ServerPort           = semconv.ServerPortKey
	ErrorType            = semconv.ErrorTypeKey
	ExceptionType        = semconv.ExceptionTypeKey
	ExceptionMessage     = semconv.ExceptionMessageKey
	ExceptionStacktrace  = semconv.ExceptionStacktraceKey

	// Exception is the name of the event that tells of a panic.
	Exception = semconv.ExceptionEventName

	// SamplingRescued marks a span that was made after all, because its
	// request failed or was slow. Its trace has no other spans of this service, and it
	// stands for itself alone: nothing is to be multiplied by it.
	SamplingRescued = attribute.Key("otelmon.sampling.rescued")
)

// Other is the value that the conventions have for what is not among the known
// ones.
const Other = "_OTHER"

// Values of ErrorType besides status codes and types of Go.
const (
	// ClientDisconnected is a request whose client left before the response
	// was complete.
	ClientDisconnected = "client_disconnected"
	// ResponseAborted is a response that the handler broke off by
	// http.ErrAbortHandler.
	ResponseAborted = "response_aborted"
)

// Values of ErrorType of client requests that got no response, or not all of
// it.
const (
	ErrorTimeout           = "timeout"
	ErrorCanceled          = "canceled"
	ErrorNameResolution    = "name_resolution"
	ErrorConnectionRefused = "connection_refused"
	ErrorConnectionReset   = "connection_reset"
	ErrorTLS               = "tls"
	ErrorUnexpectedEOF     = "unexpected_eof"
)

// ErrorLoop is an upstream of the proxy that is the proxy itself.
const ErrorLoop = "loop"

// Values of ErrorType of RefusedValues.
const (
	ErrorNaN      = "nan"
	ErrorInfinite = "infinite"
	ErrorNegative = "negative"
)

// Values of ErrorType of CallbackFailures, besides ErrorTimeout.
const (
	ErrorPanic    = "panic"
	ErrorReturned = "error"
)

// Metrics that the telemetry gives about itself, by the conventions for SDKs.
// Of spans or log records that were handed over, each is in exactly one of
// Processed with an error type, Queued, Inflight and Exported.
const (
	SpanStarted       = "otel.sdk.span.started"
	SpanProcessed     = "otel.sdk.processor.span.processed"
	SpanQueued        = "otel.sdk.processor.span.queue.size"
	SpanQueueCapacity = "otel.sdk.processor.span.queue.capacity"
	SpanInflight      = "otel.sdk.exporter.span.inflight"
	SpanExported      = "otel.sdk.exporter.span.exported"

	LogProcessed     = "otel.sdk.processor.log.processed"
	LogQueued        = "otel.sdk.processor.log.queue.size"
	LogQueueCapacity = "otel.sdk.processor.log.queue.capacity"
	LogInflight      = "otel.sdk.exporter.log.inflight"
	LogExported      = "otel.sdk.exporter.log.exported"

	MetricInflight = "otel.sdk.exporter.metric_data_point.inflight"
	MetricExported = "otel.sdk.exporter.metric_data_point.exported"
)

// Metrics that the telemetry gives about itself and that the conventions have
// no name for.
const (
	ExportAccepted      = "otelmon.export.accepted"
	ExportQueueBytes    = "otelmon.export.queue.usage"
	ExportQueueCapacity = "otelmon.export.queue.limit"
	ExportLastSuccess   = "otelmon.export.last_success.time"
	ExportCutValues     = "otelmon.export.cut_values"
	RefusedValues       = "otelmon.metric.refused_values"
	CallbackFailures    = "otelmon.metric.callback.failures"
	ScrapeFailures      = "otelmon.scrape.failures"
)

// Attributes of those metrics.
const (
	ComponentName  = semconv.OTelComponentNameKey
	ComponentType  = semconv.OTelComponentTypeKey
	SamplingResult = semconv.OTelSpanSamplingResultKey
	ParentOrigin   = semconv.OTelSpanParentOriginKey

	// Signal is traces, metrics or logs.
	Signal = attribute.Key("otelmon.signal")
	// MetricName is the instrument that a value was meant for.
	MetricName = attribute.Key("otelmon.metric.name")
	// MetricScope is the instrumentation scope of a callback.
	MetricScope = attribute.Key("otelmon.metric.scope")
	// MetricOverflow is the one attribute of the series that stands for all
	// beyond an instrument's limit.
	MetricOverflow = attribute.Key("otel.metric.overflow")
)

// Values of ErrorType for telemetry that is lost on its way to a Collector; a
// refusal has its status code instead, such as UNAUTHENTICATED or 401.
const (
	LostQueueFull   = "queue_full"       // the oldest made room for newer ones
	LostTooLarge    = "too_large"        // one item alone exceeds a request
	LostShutdown    = "shutdown"         // not delivered when the time to end was over, or came later
	LostExpired     = "expired"          // the retry window was over
	LostRejected    = "rejected"         // the peer took the rest of the request
	LostBadResponse = "invalid_response" // the peer's answer makes no sense, it may have stored the items
	LostEncoding    = "encoding"         // it cannot be expressed in OTLP
)

// Values of ErrorType for scrapes that were not what they should have been.
const (
	ScrapeInvalidMetric = "invalid_metric" // a series was left out
	ScrapeSlowReader    = "slow_reader"
)

// Meter returns the toolkit's meter for one of its parts, such as "exporters".
func Meter(provider metric.MeterProvider, part string) metric.Meter {
	return provider.Meter(Scope+"/"+part, metric.WithInstrumentationVersion(Version), metric.WithSchemaURL(SchemaURL))
}
