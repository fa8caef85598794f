package otelmon

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/internal/env"
)

const (
	levelName       = "Config.LogLevel"
	objectivesName  = "Config.LatencyObjectives"
	cardinalityName = "Config.CardinalityLimit"
)

// settings returns what was read and recorded.
func settings(vars *env.Reader, unused func(name string) string) []Setting {
	var all []Setting
	for _, s := range vars.Settings(os.Environ(), unused) {
		all = append(all, Setting{s.Name, s.Value, Origin(s.Origin), s.Field, s.Problem})
	}
	return all
}

// unused says why a variable that is set was not read: what it is for is off.
func unused(name string) string {
	for _, part := range []struct{ prefix, reason string }{
		{"OTEL_EXPORTER_OTLP_TRACES_", "spans are not pushed over OTLP"},
		{"OTEL_BSP_", "spans are not pushed over OTLP"},
		{"OTEL_EXPORTER_OTLP_METRICS_", "metrics are not pushed over OTLP"},
		{"OTEL_METRIC_EXPORT_", "metrics are not pushed over OTLP"},
		{"OTEL_EXPORTER_OTLP_LOGS_", "log records are not pushed over OTLP"},
		{"OTEL_BLRP_", "log records are not pushed over OTLP"},
		{"OTEL_EXPORTER_OTLP_", "no signal that it is for is pushed over OTLP"},
		{"OTELMON_OTLP_", "neither spans nor log records are pushed over OTLP"},
		{"OTEL_EXPORTER_PROMETHEUS_", "metrics are not served here"},
		{"OTELMON_PROMETHEUS_", "metrics are not served here"},
	} {
		if strings.HasPrefix(name, part.prefix) {
			return "no effect, because " + part.reason
		}
	}
	return "no effect, because another setting wins"
}

// record notes the fields that have no variable: those that are set, and the
// defaults of those that are often set.
func (c Config) record(vars *env.Reader) {
	vars.Holds(objectivesName, "250ms, 1s", env.FromDefault)
	vars.Holds(cardinalityName, strconv.Itoa(defaultCardinality), env.FromDefault)
	vars.Holds(levelName, "INFO", env.FromDefault)
	vars.Holds("Prometheus.NativeHistograms", "false", env.FromDefault)
	for _, f := range slices.Concat(c.ownFields(), c.exporterFields()) {
		if f.value != "" {
			vars.Field(f.name, f.name, f.value)
		}
	}
}

// fieldValue is a field as people read it, with "" for one left open.
type fieldValue struct{ name, value string }

func (c Config) ownFields() []fieldValue {
	return []fieldValue{
		{"Config.Attributes", listed(c.Attributes, func(kv attribute.KeyValue) string { return string(kv.Key) + "=" + kv.Value.String() })},
		{"Config.Detectors", count(len(c.Detectors))},
		{objectivesName, listed(c.LatencyObjectives, time.Duration.String)},
		{"Config.Boundaries", boundaries(c.Boundaries)},
		{"Config.DisabledMetrics", strings.Join(c.DisabledMetrics, ", ")},
		{"Config.AttributeFilter", inCode(c.AttributeFilter != nil)},
		{cardinalityName, positive(c.CardinalityLimit, strconv.Itoa)},
		{"Config.Views", count(len(c.Views))},
		{"Config.Readers", count(len(c.Readers))},
		{"Config.DisableRuntimeMetrics", onlyTrue(c.DisableRuntimeMetrics)},
		{"Config.DisableProcessMetrics", onlyTrue(c.DisableProcessMetrics)},
		{"Config.SpanProcessors", count(len(c.SpanProcessors))},
		{"Config.LogProcessors", count(len(c.LogProcessors))},
		{levelName, inCode(c.LogLevel != nil)},
		{"Config.ShutdownTimeout", positive(c.ShutdownTimeout, time.Duration.String)},
		{"Config.DisableGlobals", onlyTrue(c.DisableGlobals)},
	}
}

func (c Config) exporterFields() []fieldValue {
	headers := ""
	if n := len(c.OTLP.Headers); n > 0 {
		headers = fmt.Sprintf("%d (values not shown)", n)
	}
	maxValue := ""
	switch n := c.OTLP.MaxValueBytes; {
	case n > 0:
		maxValue = strconv.Itoa(n)
	case n < 0:
		maxValue = "no limit"
	}
	return []fieldValue{
		{"Prometheus.Listen", inCode(c.Prometheus.Listen != nil)},
		{"Prometheus.DisableListener", onlyTrue(c.Prometheus.DisableListener)},
		{"Prometheus.NativeHistograms", onlyTrue(c.Prometheus.NativeHistograms)},
		{"Prometheus.Handlers", strings.Join(slices.Sorted(maps.Keys(c.Prometheus.Handlers)), ", ")},
		{"OTLP.Headers", headers},
		{"OTLP.TLS", inCode(c.OTLP.TLS != nil)},
		{"OTLP.MaxValueBytes", maxValue},
		{"OTLP.Dial", inCode(c.OTLP.Dial != nil)},
	}
}

func listed[T any](list []T, text func(T) string) string {
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = text(item)
	}
	return strings.Join(texts, ", ")
}

func boundaries(byPattern map[string][]float64) string {
	return listed(slices.Sorted(maps.Keys(byPattern)), func(pattern string) string {
		return fmt.Sprint(pattern, " ", byPattern[pattern])
	})
}

func positive[T ~int | ~int64](n T, text func(T) string) string {
	if n <= 0 {
		return ""
	}
	return text(n)
}

func count(n int) string { return positive(n, strconv.Itoa) }

func inCode(set bool) string {
	if set {
		return "set"
	}
	return ""
}

func onlyTrue(set bool) string {
	if set {
		return "true"
	}
	return ""
}

// noteRules notes what the validation of rules for instruments found.
func (c Config) noteRules(vars *env.Reader, err error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, problem := range joined.Unwrap() {
		text, name := problem.Error(), "OTELMON_METRICS_DISABLED"
		inField := func(pattern string) bool { return strings.Contains(text, strconv.Quote(pattern)) }
		switch {
		case strings.HasPrefix(text, "LatencyObjectives"):
			name = objectivesName
		case strings.HasPrefix(text, "Boundaries"):
			name = "Config.Boundaries"
		case slices.ContainsFunc(c.DisabledMetrics, inField):
			name = "Config.DisabledMetrics"
		}
		vars.Note(name, text)
	}
}

// winner is where the value of a resource attribute comes from.
type winner struct{ source, value string }

// recordIdentity records what identifies the service, and notes which attributes
// of a source another one replaces.
func recordIdentity(vars *env.Reader, sources []source) {
	winners := make(map[attribute.Key]winner)
	for _, s := range sources {
		for _, kv := range s.attributes {
			before, now := winners[kv.Key], winner{s.name, kv.Value.String()}
			if before.source != "" && before.value != now.value {
				vars.Note(before.source, fmt.Sprintf("%s wins for %s", cmp.Or(s.name, "the default"), kv.Key))
			}
			winners[kv.Key] = now
		}
	}
	for _, f := range (Config{}).identity() {
		w, name := winners[f.key], f.field
		if name == "Config.ServiceName" {
			name = "OTEL_SERVICE_NAME"
		}
		switch {
		case strings.HasPrefix(w.source, "Config."):
			vars.Field(name, w.source, w.value)
		case w.source != "":
			vars.Holds(name, w.value, env.FromEnvironment)
		case w.value != "":
			vars.Holds(name, w.value, env.FromDefault)
		}
	}
}
