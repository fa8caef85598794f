package env

import (
	"maps"
	"slices"
	"strings"
)

// Variable describes one environment variable: what it accepts, its default
// and its meaning. The table in docs/configuration.md is made from these, and
// the errors of a [Reader] quote Accepted.
type Variable struct {
	Name     string
	Accepted string
	Default  string
	Meaning  string
}

// Variables returns every variable that the toolkit reads, sorted by name.
func Variables() []Variable {
	return slices.SortedFunc(maps.Values(variables), func(a, b Variable) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// shownByDefault are the variables that are worth showing although nobody set
// them.
var shownByDefault = []string{
	"OTEL_SDK_DISABLED",
	"OTEL_SERVICE_NAME",
	"OTEL_RESOURCE_ATTRIBUTES",
	"OTEL_PROPAGATORS",
	"OTEL_TRACES_EXPORTER",
	"OTEL_METRICS_EXPORTER",
	"OTEL_LOGS_EXPORTER",
	"OTEL_TRACES_SAMPLER",
	"OTEL_TRACES_SAMPLER_ARG",
	"OTEL_METRIC_EXPORT_INTERVAL",
	"OTEL_EXPORTER_OTLP_ENDPOINT",
	"OTEL_EXPORTER_OTLP_PROTOCOL",
	"OTEL_EXPORTER_OTLP_INSECURE",
	"OTEL_EXPORTER_OTLP_HEADERS",
	"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
	"OTEL_EXPORTER_PROMETHEUS_HOST",
	"OTEL_EXPORTER_PROMETHEUS_PORT",
	"OTELMON_PROMETHEUS_WEB_CONFIG_FILE",
	"OTELMON_METRICS_DISABLED",
	"OTELMON_METRICS_PATH",
	"OTELMON_OTLP_QUEUE_BYTES",
	"OTELMON_RESCUES_PER_SECOND",
	"OTELMON_RESCUE_SLOWER_THAN",
	"OTELMON_FORCED_PER_SECOND",
}

// theGeneral is the default of a signal's own variable.
const theGeneral = "the general variable"

// signals are the infixes of the per-signal OTLP variables.
var signals = []string{"TRACES", "METRICS", "LOGS"}

var variables = index(slices.Concat(general, otlp(), batching, limits, prometheus, own, kubernetes))

func index(all []Variable) map[string]Variable {
	byName := make(map[string]Variable, len(all))
	for _, v := range all {
		byName[v.Name] = v
	}
	return byName
}

var general = []Variable{
	{"OTEL_SDK_DISABLED", "true or false", "false", "Turns all telemetry off; propagation of trace context goes on."},
	{"OTEL_CONFIG_FILE", "nothing yet", "", "Declarative configuration is not supported: setting it is an error, and the rest of the configuration is used."},
	{"OTEL_SERVICE_NAME", "UTF-8 text", "the executable's name after unknown_service:", "Name of the service."},
	{"OTEL_RESOURCE_ATTRIBUTES", "key=value pairs separated by commas, percent-encoded", "", "Further resource attributes, such as deployment.environment.name."},
	{"OTEL_PROPAGATORS", "tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace or none, separated by commas", "tracecontext,baggage", "How trace context crosses processes."},
	{"OTEL_TRACES_EXPORTER", "otlp, console or none, separated by commas", "otlp", "Where spans go."},
	{"OTEL_METRICS_EXPORTER", "prometheus, otlp, console or none, separated by commas", "prometheus,otlp", "Where metrics go. The specification has otlp."},
	{"OTEL_LOGS_EXPORTER", "otlp, console or none, separated by commas", "otlp", "Where log records go."},
	{"OTEL_TRACES_SAMPLER", "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio, otelmon_ratio, otelmon_ratelimit or otelmon_adaptive", "parentbased_always_on", "Head sampler. Those of otelmon are parent-based: a ratio that can be counted from, at most so many traces a second, or about so many a second of each route. With a value or argument not accepted, 1 % of new traces are kept, never all."},
	{"OTEL_TRACES_SAMPLER_ARG", "a ratio from 0 to 1 for traceidratio, parentbased_traceidratio and otelmon_ratio; a number above 0, up to 1000000, for otelmon_ratelimit and otelmon_adaptive; no value for the others", "1; 100 for otelmon_ratelimit, 10 for otelmon_adaptive", "Ratio of new traces to keep, or traces a second, for otelmon_adaptive of each route. With a sampler that takes none it is an error, and the sampler is used."},
	{"OTEL_METRICS_EXEMPLAR_FILTER", "trace_based, always_on or always_off", "trace_based", "Which measurements may become exemplars."},
	{"OTEL_METRIC_EXPORT_INTERVAL", "milliseconds, 100 to 86400000", "60000", "Time between two metric exports over OTLP."},
	{"OTEL_METRIC_EXPORT_TIMEOUT", "milliseconds, 1 to 86400000", "30000", "Time that one metric export may take, retries included."},
	{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative, delta or lowmemory", "cumulative", "Temporality over OTLP. Delta loses counts in an outage and Prometheus cannot use it: it is warned about."},
	{"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram or base2_exponential_bucket_histogram", "explicit_bucket_histogram", "Kind of histogram sent over OTLP."},
}

func otlp() []Variable {
	all := []Variable{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "host:port, or a URL with scheme http or https", "localhost:4317", "Where the Collector listens. Without a scheme: plaintext on a loopback address, TLS elsewhere. Over HTTP /v1/traces, /v1/metrics or /v1/logs is appended."},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc or http/protobuf", "http/protobuf for port 4318 or a URL with a path, else grpc", "Transport of OTLP. The specification has http/protobuf."},
		{"OTEL_EXPORTER_OTLP_HEADERS", "key=value pairs separated by commas, percent-encoded", "", "Headers of each request, such as credentials. Never shown in any output."},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "milliseconds, 1 to 86400000", "5000", "Time that one attempt may take; retries go on for the retry window. The specification has 10000 for all of them."},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip or none", "gzip", "Compression of requests. The specification has none."},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "path of a readable PEM file", "the system's roots", "Certificate authorities that the server's certificate is checked against."},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "path of a readable PEM file, together with the client key", "", "Client certificate for mutual TLS."},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", "path of a readable PEM file, together with the client certificate", "", "Private key of the client certificate."},
		{"OTEL_EXPORTER_OTLP_INSECURE", "true or false", "true on a loopback address, else false", "Plaintext for a gRPC endpoint without a scheme."},
	}
	for _, v := range slices.Clone(all) {
		for _, signal := range signals {
			perSignal := Variable{
				Name:     strings.Replace(v.Name, "OTLP_", "OTLP_"+signal+"_", 1),
				Accepted: v.Accepted,
				Default:  theGeneral,
				Meaning:  "The same for " + strings.ToLower(signal) + " alone.",
			}
			if strings.HasSuffix(v.Name, "_ENDPOINT") {
				perSignal.Meaning = "The same for " + strings.ToLower(signal) + " alone; a URL is used as it is, with nothing appended."
			}
			all = append(all, perSignal)
		}
	}
	return all
}

var batching = []Variable{
	{"OTEL_BSP_SCHEDULE_DELAY", "milliseconds, 1 to 86400000", "1000", "Longest wait before a batch of spans is sent. The specification has 5000."},
	{"OTEL_BSP_EXPORT_TIMEOUT", "milliseconds, 1 to 86400000", "600000", "Retry window of a batch of spans. The specification has 30000."},
	{"OTEL_BSP_MAX_QUEUE_SIZE", "a number, 1 to 1000000", "65536", "Spans that may wait, within the memory of the queue. The specification has 2048."},
	{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "a number, 1 to 1000000, at most the queue size", "512", "Spans in one batch."},
	{"OTEL_BLRP_SCHEDULE_DELAY", "milliseconds, 1 to 86400000", "1000", "Longest wait before a batch of log records is sent."},
	{"OTEL_BLRP_EXPORT_TIMEOUT", "milliseconds, 1 to 86400000", "600000", "Retry window of a batch of log records. The specification has 30000."},
	{"OTEL_BLRP_MAX_QUEUE_SIZE", "a number, 1 to 1000000", "65536", "Log records that may wait, within the memory of the queue. The specification has 2048."},
	{"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "a number, 1 to 1000000, at most the queue size", "512", "Log records in one batch."},
	{"OTELMON_OTLP_QUEUE_BYTES", "bytes, 131072 to 2147483647", "67108864", "Memory that waiting spans and log records may take together."},
}

var limits = []Variable{
	{"OTEL_ATTRIBUTE_COUNT_LIMIT", "a number, 0 to 1000000", "128", "Attributes of one span or log record."},
	{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "a number, 0 to 1000000000", "no limit, but 4096 bytes are sent", "Characters of one attribute value, on spans and log records."},
	{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "a number, 0 to 1000000", "OTEL_ATTRIBUTE_COUNT_LIMIT", "Attributes of one span."},
	{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "a number, 0 to 1000000000", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "Characters of one attribute value of a span."},
	{"OTEL_SPAN_EVENT_COUNT_LIMIT", "a number, 0 to 1000000", "128", "Events of one span."},
	{"OTEL_SPAN_LINK_COUNT_LIMIT", "a number, 0 to 1000000", "128", "Links of one span."},
	{"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "a number, 0 to 1000000", "128", "Attributes of one span event."},
	{"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "a number, 0 to 1000000", "128", "Attributes of one span link."},
	{"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "a number, 0 to 1000000", "OTEL_ATTRIBUTE_COUNT_LIMIT", "Attributes of one log record."},
	{"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "a number, 0 to 1000000000", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "Characters of one attribute value of a log record."},
}

var prometheus = []Variable{
	{"OTEL_EXPORTER_PROMETHEUS_HOST", "a host name or address", "localhost", "Address that /metrics listens on; 0.0.0.0 for all."},
	{"OTEL_EXPORTER_PROMETHEUS_PORT", "a number, 0 to 65535", "9464", "Port that /metrics listens on; 0 takes a free one."},
}

var own = []Variable{
	{"OTELMON_METRICS_DISABLED", "instrument names or patterns with * and ?, separated by commas", "", "Instruments that are not recorded, such as go.*."},
	{"OTELMON_METRICS_PATH", "scrape or otlp", "scrape when /metrics listens beyond loopback, else otlp", "Which copy of the metrics Prometheus is to keep."},
	{"OTELMON_RESCUES_PER_SECOND", "a whole number, 0 to 1000000", "10", "How many unsampled requests a second may leave a span because they failed, or up to half of them because they were slow. 0 rescues none."},
	{"OTELMON_RESCUE_SLOWER_THAN", "milliseconds, 1 to 86400000", "1000", "Duration from which on an unsampled request that succeeds is slow."},
	{"OTELMON_FORCED_PER_SECOND", "a whole number, 0 to 1000000", "100", "How many requests a second are sampled for the sole reason that their caller says so; above it the sampler decides."},
	{"OTELMON_PROMETHEUS_WEB_CONFIG_FILE", "path of a readable web configuration file of Prometheus' exporter-toolkit", "", "TLS and basic authentication for /metrics."},
	{"OTELMON_PUSHGATEWAY_URL", "a URL with scheme http or https", "", "Prometheus Pushgateway that otelmon.Run pushes the metrics to at the end."},
}

var kubernetes = []Variable{
	{"K8S_CLUSTER_NAME", "text", "", "Resource attribute k8s.cluster.name."},
	{"K8S_NAMESPACE_NAME", "text", "POD_NAMESPACE", "Resource attribute k8s.namespace.name."},
	{"K8S_NODE_NAME", "text", "NODE_NAME", "Resource attribute k8s.node.name."},
	{"K8S_POD_NAME", "text", "POD_NAME", "Resource attribute k8s.pod.name."},
	{"K8S_POD_UID", "text", "POD_UID", "Resource attribute k8s.pod.uid."},
	{"K8S_CONTAINER_NAME", "text", "", "Resource attribute k8s.container.name."},
	{"K8S_DEPLOYMENT_NAME", "text", "", "Resource attribute k8s.deployment.name."},
	{"POD_NAMESPACE", "text", "", "Used when K8S_NAMESPACE_NAME is not set."},
	{"NODE_NAME", "text", "", "Used when K8S_NODE_NAME is not set."},
	{"POD_NAME", "text", "", "Used when K8S_POD_NAME is not set."},
	{"POD_UID", "text", "", "Used when K8S_POD_UID is not set."},
}
