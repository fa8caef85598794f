package otelmon

import (
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/sampling"
)

// Config says what [Setup] makes. The zero value is a complete configuration:
// each field left open is taken from its environment variable, then from the
// default.
type Config struct {
	// ServiceName, ServiceNamespace, ServiceVersion, ServiceInstanceID and
	// Environment identify the service on every metric, span and log record.
	// Default OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES; then for the
	// version the main module's version or revision, for the instance a
	// random UUID, for the environment nothing. A service without a name is
	// warned about and called unknown_service:, followed by the executable.
	ServiceName, ServiceNamespace, ServiceVersion, ServiceInstanceID, Environment string

	// Attributes are further resource attributes; they win over the same keys
	// from OTEL_RESOURCE_ATTRIBUTES and from Detectors.
	Attributes []attribute.KeyValue

	// Detectors find further resource attributes, such as those of a cloud.
	// They get 2 s, or until Setup's context ends, and may fail.
	Detectors []resource.Detector

	// LatencyObjectives are the limits that requests should stay under. Each
	// is a histogram boundary, so that the share of requests within it is
	// exact, with boundaries dense around it. At most 8, each up to 24 h.
	// Default 250 ms and 1 s.
	LatencyObjectives []time.Duration

	// Boundaries replaces the histogram boundaries of instruments by name;
	// * and ? stand for characters. Without it the unit decides, whatever the
	// instrument itself asks for.
	Boundaries map[string][]float64

	// DisabledMetrics are names of instruments that are not recorded; * and ?
	// stand for characters. Added to OTELMON_METRICS_DISABLED.
	DisabledMetrics []string

	// AttributeFilter returns which attributes of an instrument are kept; nil,
	// or a nil filter, keeps all. Besides, http.server.* always loses
	// server.address and server.port: they come from the client's Host header,
	// which can make up any number of series.
	AttributeFilter func(sdkmetric.Instrument) attribute.Filter

	// CardinalityLimit bounds the attribute sets of each instrument; further
	// ones are counted together under otel.metric.overflow. Default 2000.
	CardinalityLimit int

	// Views and Readers are further ones of the SDK. An instrument that a
	// view matches keeps the toolkit's boundaries and filters unless the view
	// sets its own.
	Views   []sdkmetric.View
	Readers []sdkmetric.Reader

	// DisableRuntimeMetrics and DisableProcessMetrics leave out go.* and
	// process.* metrics.
	DisableRuntimeMetrics, DisableProcessMetrics bool

	// Sampler decides at the head of a trace. Those of package sampling are for
	// roots and are made parent-based here; any other is used as it is: wrap a
	// root sampler in [sdktrace.ParentBased]. One of your own costs requests
	// through package middleware more, because it is asked when the attributes of
	// the span are known. Default OTEL_TRACES_SAMPLER, then parent-based with
	// every root sampled.
	Sampler sdktrace.Sampler

	// Rescue says which requests through package middleware leave a span
	// although their trace is not sampled. Default OTELMON_RESCUE_SLOWER_THAN
	// and OTELMON_RESCUES_PER_SECOND, then failed ones and those of 1 s and
	// more, at most 10 a second. Slow ones take about half of them at most.
	Rescue sampling.Rescue

	// ForcedPerSecond bounds how many requests through package middleware are
	// sampled for the sole reason that their caller says so. Above it the
	// sampler decides as for a new trace, so that no caller can force more than
	// that. Below zero there is no bound; to let callers force none, use
	// middleware.Config.Public or the variable. Default
	// OTELMON_FORCED_PER_SECOND, then 100.
	ForcedPerSecond float64

	// SpanProcessors and LogProcessors run before the exporters' own, which
	// thus see what they changed. Shutdown shuts them down.
	SpanProcessors []sdktrace.SpanProcessor
	LogProcessors  []sdklog.Processor

	// LogLevel is the least level that [SDK.SlogHandler] sends over OTLP; it
	// does not touch the service's own log. Default [slog.LevelInfo].
	LogLevel slog.Leveler

	// Prometheus and OTLP configure the exporters.
	Prometheus exporters.Prometheus
	OTLP       exporters.OTLP

	// DisablePrometheus and DisableOTLP leave an exporter out, as do
	// OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER and OTEL_LOGS_EXPORTER.
	DisablePrometheus, DisableOTLP bool

	// MetricsPath says which copy of the metrics Prometheus is to keep when a
	// scrape and the Collector both bring one: "scrape" or "otlp". It becomes
	// the resource attribute otelmon.metrics.path, which the shipped
	// configurations of the Collector and of Prometheus go by. Default
	// OTELMON_METRICS_PATH; then otlp under [Run]; then scrape when /metrics
	// listens beyond loopback or nothing is pushed; else otlp.
	MetricsPath string

	// PushgatewayURL is a Prometheus Pushgateway that [Run] pushes the metrics
	// to when main has returned, for short jobs of those who use one. They
	// replace what was pushed before for the same service name, as the
	// Pushgateway wants it for jobs. Userinfo in it is sent as basic
	// authentication. Default OTELMON_PUSHGATEWAY_URL, then none.
	PushgatewayURL string

	// ShutdownTimeout bounds the flush at the end of [Run], and of a
	// [SDK.Shutdown] whose context has no deadline. Default 10 s.
	ShutdownTimeout time.Duration

	// Logger gets the few lines that telemetry has to say about itself; they
	// are never exported. Default [slog.Default].
	Logger *slog.Logger

	// OnStart are called with the SDK, one after the other, before Setup returns:
	// the SDK runs, and the globals are set. They are not called when telemetry is
	// off. An error or a panic becomes part of Setup's error.
	OnStart []func(*SDK) error

	// DisableGlobals leaves the globals of the OpenTelemetry API alone and
	// allows several SDKs in one process, as tests need. Instrumentation must
	// then be given the SDK's providers.
	DisableGlobals bool

	// underRun tells Run's SDK from one that a service set up itself.
	underRun bool
}

const defaultCardinality = 2000

// defaults fills in what Setup's parts share.
func (c Config) defaults() Config {
	if c.CardinalityLimit <= 0 {
		c.CardinalityLimit = defaultCardinality
	}
	if c.LogLevel == nil {
		c.LogLevel = slog.LevelInfo
	}
	if c.ShutdownTimeout <= 0 {
		c.ShutdownTimeout = 10 * time.Second
	}
	if c.Prometheus.Logger == nil {
		c.Prometheus.Logger = c.Logger
	}
	if c.OTLP.Logger == nil {
		c.OTLP.Logger = c.Logger
	}
	return c
}
