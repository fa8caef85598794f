package otelmon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/process"
	"github.com/otelmon/toolkit/internal/tracer"
)

// start makes an SDK and leads the providers to it.
func start(ctx context.Context, cfg Config, lead providers) (*SDK, error) {
	vars := &env.Reader{}
	given := cfg.checked(vars)
	cfg = given.defaults()
	sdk := &SDK{
		providers:       lead,
		propagator:      newPropagator(vars),
		logLevel:        cfg.LogLevel,
		log:             diag.New(cfg.Logger, nil),
		shutdownTimeout: cfg.ShutdownTimeout,
		stopped:         make(chan struct{}),
	}
	if vars.String("OTEL_CONFIG_FILE") != "" {
		vars.Report("OTEL_CONFIG_FILE", "declarative configuration is not supported, the rest of the configuration is used")
	}
	if vars.Bool("OTEL_SDK_DISABLED") {
		sdk.log.Info("start", "telemetry is off", "variable", "OTEL_SDK_DISABLED")
		sdk.settings = settings(vars, func(string) string { return "no effect, because OTEL_SDK_DISABLED is true" })
		return sdk, vars.Err()
	}
	given.record(vars)
	to := cfg.destinations(vars)
	sdk.startExporters(env.NewContext(ctx, vars), &cfg, to, vars)
	path := cfg.metricsPath(vars, sdk)
	res := cfg.newResource(ctx, vars, sdk.log, path)
	sdk.resource, sdk.serviceName = res, serviceName(res)
	sdk.tracer = cfg.newTracerProvider(res, vars, sdk, to)
	sdk.logger = cfg.newLoggerProvider(res, vars, sdk, to)
	rules := cfg.rules(vars, sdk.log)
	sdk.meter = cfg.newMeterProvider(res, vars, sdk, to, rules)
	cfg.observeProcess(ctx, sdk, rules, vars)

	lead.tracer.Set(sdk.tracer)
	lead.logger.Set(sdk.logger)
	lead.meter.Set(sdk.meter, rules)
	sdk.settings, sdk.cardinality = settings(vars, unused), cfg.CardinalityLimit
	sdk.log.Info("start", "telemetry is on", "service", sdk.serviceName, "metrics", sdk.MetricsURL(), "otlp", sdk.OTLPEndpoint())
	return sdk, vars.Err()
}

// checked reports what cannot be obeyed and leaves it out. A nil in a list would
// panic later, in a goroutine of the SDK's.
func (c Config) checked(vars *env.Reader) Config {
	c.SpanProcessors = withoutNil(vars, "SpanProcessors", c.SpanProcessors, func(p sdktrace.SpanProcessor) bool { return p == nil })
	c.LogProcessors = withoutNil(vars, "LogProcessors", c.LogProcessors, func(p sdklog.Processor) bool { return p == nil })
	c.Readers = withoutNil(vars, "Readers", c.Readers, func(r sdkmetric.Reader) bool { return r == nil })
	c.Views = withoutNil(vars, "Views", c.Views, func(v sdkmetric.View) bool { return v == nil })
	if c.CardinalityLimit < 0 {
		vars.Refuse("Config.CardinalityLimit", fmt.Errorf("Config.CardinalityLimit=%d: the default is used; accepted: a number above 0, or 0 for the default", c.CardinalityLimit))
	}
	if c.ShutdownTimeout < 0 {
		vars.Refuse("Config.ShutdownTimeout", fmt.Errorf("Config.ShutdownTimeout=%v: the default is used; accepted: a duration above 0, or 0 for the default", c.ShutdownTimeout))
	}
	if c.Rescue.SlowerThan < 0 {
		vars.Refuse("OTELMON_RESCUE_SLOWER_THAN", fmt.Errorf("Config.Rescue.SlowerThan=%v: the default is used; accepted: a duration above 0, or 0 for the default", c.Rescue.SlowerThan))
	}
	if !(c.Rescue.PerSecond >= 0) {
		vars.Refuse("OTELMON_RESCUES_PER_SECOND", fmt.Errorf("Config.Rescue.PerSecond=%v: the default is used; accepted: a number above 0, or 0 for the default", c.Rescue.PerSecond))
	}
	if math.IsNaN(c.ForcedPerSecond) {
		vars.Refuse("OTELMON_FORCED_PER_SECOND", errors.New("Config.ForcedPerSecond=NaN: the default is used; accepted: a number, or 0 for the default"))
	}
	if c.PushgatewayURL != "" && !c.underRun {
		vars.Add(errors.New("Config.PushgatewayURL is used by Run alone; accepted: no value for Setup"))
	}
	return c
}

func withoutNil[T any](vars *env.Reader, field string, list []T, isNil func(T) bool) []T {
	var kept []T
	for i, item := range list {
		if isNil(item) {
			vars.Add(fmt.Errorf("Config.%s[%d]: nil; accepted: a value", field, i))
			continue
		}
		kept = append(kept, item)
	}
	return kept
}

// destinations are the exporters' names that the variables list by signal.
type destinations struct{ traces, metrics, logs []string }

func (c Config) destinations(vars *env.Reader) destinations {
	scrape := switchedOff{"prometheus", map[string]bool{"Config.DisablePrometheus": c.DisablePrometheus}}
	push := func(field string, disabled bool) switchedOff {
		return switchedOff{"otlp", map[string]bool{"Config.DisableOTLP": c.DisableOTLP, field: disabled}}
	}
	return destinations{
		traces: left(vars, "OTEL_TRACES_EXPORTER",
			vars.ListOf("OTEL_TRACES_EXPORTER", []string{"otlp"}, "otlp", "console", "none"),
			push("OTLP.DisableTraces", c.OTLP.DisableTraces)),
		metrics: left(vars, "OTEL_METRICS_EXPORTER",
			vars.ListOf("OTEL_METRICS_EXPORTER", []string{"prometheus", "otlp"}, "prometheus", "otlp", "console", "none"),
			push("OTLP.DisableMetrics", c.OTLP.DisableMetrics), scrape),
		logs: left(vars, "OTEL_LOGS_EXPORTER",
			vars.ListOf("OTEL_LOGS_EXPORTER", []string{"otlp"}, "otlp", "console", "none"),
			push("OTLP.DisableLogs", c.OTLP.DisableLogs)),
	}
}

// switchedOff is an exporter that the fields which are true leave out.
type switchedOff struct {
	exporter string
	fields   map[string]bool
}

// left returns the exporters in the variable's list that no field leaves out.
func left(vars *env.Reader, name string, listed []string, off ...switchedOff) []string {
	var fields []string
	kept := slices.DeleteFunc(slices.Clone(listed), func(exporter string) bool {
		before := len(fields)
		for _, o := range off {
			for field, disabled := range o.fields {
				if disabled && o.exporter == exporter {
					fields = append(fields, field)
				}
			}
		}
		return len(fields) > before
	})
	if len(fields) > 0 {
		slices.Sort(fields)
		vars.Field(name, strings.Join(fields, ", "), cmp.Or(strings.Join(kept, ","), "none"))
	}
	return kept
}

func (s *SDK) startExporters(ctx context.Context, c *Config, to destinations, vars *env.Reader) {
	var err error
	serve := slices.Contains(to.metrics, "prometheus")
	if !serve && len(c.Prometheus.Handlers) > 0 {
		vars.Add(fmt.Errorf("Config.Prometheus.Handlers are not served (%s), because the Prometheus exporter is off, see OTEL_METRICS_EXPORTER and Config.DisablePrometheus; accepted: one or the other",
			strings.Join(slices.Sorted(maps.Keys(c.Prometheus.Handlers)), ", ")))
		c.Prometheus.Handlers = nil
	}
	if pushed := c.pushgateway(vars) != nil; serve || pushed {
		c.Prometheus.DisableListener = c.Prometheus.DisableListener || !serve
		if s.prometheus, err = c.Prometheus.Start(ctx); err != nil {
			vars.Add(err)
		}
	}
	c.OTLP.DisableTraces = !slices.Contains(to.traces, "otlp")
	c.OTLP.DisableMetrics = !slices.Contains(to.metrics, "otlp")
	c.OTLP.DisableLogs = !slices.Contains(to.logs, "otlp")
	if s.otlp, err = c.OTLP.Start(ctx); err != nil {
		vars.Add(err)
	}
}

// metricsPath decides which copy of the metrics Prometheus is to keep.
func (c Config) metricsPath(vars *env.Reader, s *SDK) string {
	const variable, scrape, otlp = "OTELMON_METRICS_PATH", "scrape", "otlp"
	switch c.MetricsPath {
	case scrape, otlp:
		vars.Field(variable, "Config.MetricsPath", c.MetricsPath)
		return c.MetricsPath
	case "":
	default:
		vars.Refuse(variable, fmt.Errorf("Config.MetricsPath=%q: unknown path; accepted: scrape or otlp", c.MetricsPath))
	}
	if path := vars.OneOf(variable, "", scrape, otlp); path != "" {
		return path
	}
	path := scrape
	switch pushed := s.otlp.Metrics != nil; {
	case c.pushgateway(vars) != nil, !pushed:
	case c.underRun, s.prometheus == nil, s.prometheus.Loopback():
		path = otlp
	}
	vars.Holds(variable, path, env.FromDefault)
	return path
}

func (c Config) rules(vars *env.Reader, log *diag.Log) meter.Rules {
	rules := meter.Rules{
		LatencyObjectives: c.LatencyObjectives,
		Boundaries:        c.Boundaries,
		Disabled:          slices.Clone(c.DisabledMetrics),
		AttributeFilter:   c.AttributeFilter,
		Views:             c.Views,
		Logger:            log.Slog(),
	}
	for pattern := range strings.SplitSeq(vars.String("OTELMON_METRICS_DISABLED"), ",") {
		if pattern = strings.TrimSpace(pattern); pattern != "" {
			rules.Disabled = append(rules.Disabled, pattern)
		}
	}
	if !c.DisableRuntimeMetrics {
		rules.ReservedScopes = []string{runtime.ScopeName}
	}
	if err := rules.Validate(); err != nil {
		vars.Add(err)
		c.noteRules(vars, err)
	}
	return rules
}

func (c Config) newMeterProvider(res *resource.Resource, vars *env.Reader, s *SDK, to destinations, rules meter.Rules) *sdkmetric.MeterProvider {
	options := []sdkmetric.Option{
		sdkmetric.WithResource(res),
		sdkmetric.WithView(meter.Views(rules)...),
		sdkmetric.WithCardinalityLimit(c.CardinalityLimit),
		sdkmetric.WithExemplarFilter(exemplarFilter(vars)),
	}
	readers := slices.Clone(c.Readers)
	if s.prometheus != nil && s.prometheus.Reader != nil {
		readers = append(readers, s.prometheus.Reader)
	}
	if s.otlp.Metrics != nil {
		readers = append(readers, s.otlp.Metrics)
	}
	if slices.Contains(to.metrics, "console") {
		if exporter, err := stdoutmetric.New(stdoutmetric.WithWriter(os.Stdout)); err != nil {
			vars.Add(fmt.Errorf("starting the console metric exporter: %w", err))
		} else {
			readers = append(readers, sdkmetric.NewPeriodicReader(exporter,
				sdkmetric.WithInterval(vars.Milliseconds("OTEL_METRIC_EXPORT_INTERVAL", time.Minute, 100*time.Millisecond)),
				sdkmetric.WithTimeout(vars.Milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", 30*time.Second, time.Millisecond))))
		}
	}
	for _, reader := range readers {
		options = append(options, sdkmetric.WithReader(reader))
	}
	return sdkmetric.NewMeterProvider(options...)
}

func exemplarFilter(vars *env.Reader) exemplar.Filter {
	switch vars.OneOf("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based", "trace_based", "always_on", "always_off") {
	case "always_on":
		return exemplar.AlwaysOnFilter
	case "always_off":
		return exemplar.AlwaysOffFilter
	}
	return exemplar.TraceBasedFilter
}

func (c Config) newTracerProvider(res *resource.Resource, vars *env.Reader, s *SDK, to destinations) *tracer.Provider {
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res),
		sdktrace.WithRawSpanLimits(spanLimits(vars)),
	}
	for _, processor := range c.SpanProcessors {
		options = append(options, sdktrace.WithSpanProcessor(processor))
	}
	if s.otlp.Spans != nil {
		options = append(options, sdktrace.WithSpanProcessor(s.otlp.Spans))
	}
	if slices.Contains(to.traces, "console") {
		if exporter, err := stdouttrace.New(stdouttrace.WithWriter(os.Stdout)); err != nil {
			vars.Add(fmt.Errorf("starting the console span exporter: %w", err))
		} else {
			options = append(options, sdktrace.WithSyncer(exporter))
		}
	}
	return tracer.New(c.sampler(vars), c.limits(vars), options...)
}

func (c Config) newLoggerProvider(res *resource.Resource, vars *env.Reader, s *SDK, to destinations) *sdklog.LoggerProvider {
	count, length := attributeLimits(vars, "OTEL_LOGRECORD_ATTRIBUTE")
	options := []sdklog.LoggerProviderOption{
		sdklog.WithResource(res),
		sdklog.WithAttributeCountLimit(count),
		sdklog.WithAttributeValueLengthLimit(length),
	}
	for _, processor := range c.LogProcessors {
		options = append(options, sdklog.WithProcessor(processor))
	}
	if s.otlp.Logs != nil {
		options = append(options, sdklog.WithProcessor(s.otlp.Logs))
	}
	if slices.Contains(to.logs, "console") {
		if exporter, err := stdoutlog.New(stdoutlog.WithWriter(os.Stdout)); err != nil {
			vars.Add(fmt.Errorf("starting the console log exporter: %w", err))
		} else {
			options = append(options, sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter)))
		}
	}
	return sdklog.NewLoggerProvider(options...)
}

// observeProcess starts the metrics of the telemetry itself, of the Go runtime
// and of the process on a provider of their own, so that they end with this SDK
// and are never there twice.
func (c Config) observeProcess(ctx context.Context, sdk *SDK, rules meter.Rules, vars *env.Reader) {
	rules.ReservedScopes = nil
	own := meter.NewProvider()
	own.Set(sdk.meter, rules)
	vars.Add(sdk.otlp.Observe(own))
	vars.Add(sdk.tracer.Observe(own))
	if sdk.prometheus != nil {
		vars.Add(sdk.prometheus.Observe(own))
	}
	if !c.DisableRuntimeMetrics {
		if err := runtime.Start(runtime.WithMeterProvider(own)); err != nil {
			vars.Add(fmt.Errorf("starting runtime metrics: %w", err))
		}
	}
	if !c.DisableProcessMetrics {
		if err := process.Observe(ctx, own); err != nil {
			vars.Add(fmt.Errorf("starting process metrics: %w", err))
		}
	}
}
