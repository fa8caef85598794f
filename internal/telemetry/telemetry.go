// Package telemetry holds every metric, attribute and scope name that the
// toolkit emits. It is the only package that imports the semantic
// conventions, so that a new version of them is one edit here.
package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Version of the toolkit, in telemetry.distro.version and in scope versions.
const Version = "0.1.0-dev"

// Scope is the instrumentation scope of the toolkit's own telemetry.
const Scope = "github.com/otelmon/toolkit"

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

// Keys that a log line gets from the span it was written in, as the
// OpenTelemetry specification names them for non-OTLP log formats.
const (
	LogTraceID = "trace_id"
	LogSpanID  = "span_id"
)
