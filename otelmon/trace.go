package otelmon

import (
	"fmt"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/sampling"
)

// safeRatio is what a sampler gets whose configuration cannot be understood:
// the SDK would keep every trace then.
const safeRatio = 0.01

// mostPerSecond is above what any service is meant to keep.
const mostPerSecond = 1_000_000

const (
	samplerName     = "OTEL_TRACES_SAMPLER"
	samplerArgument = "OTEL_TRACES_SAMPLER_ARG"
)

// sampler returns the field's, else the variables'.
func (c Config) sampler(vars *env.Reader) sdktrace.Sampler {
	if c.Sampler != nil {
		return c.ownSampler(vars)
	}
	name := "parentbased_always_on"
	if vars.IsSet(samplerName) {
		name = strings.ToLower(vars.String(samplerName))
	} else {
		vars.Holds(samplerName, name, env.FromDefault)
	}
	if sampler := samplerWithArgument(name, vars); sampler != nil {
		return sampler
	}
	if sampler := samplerWithoutArgument(name); sampler != nil {
		if vars.IsSet(samplerArgument) {
			reportArgument(vars, "not used by "+name, "no value with this sampler")
		}
		return sampler
	}
	vars.Report(samplerName, fmt.Sprintf("unknown sampler, %v %% of new traces are kept", 100*safeRatio))
	vars.Holds(samplerName, fmt.Sprintf("parentbased_traceidratio of %v", safeRatio), env.FromDefault)
	if vars.IsSet(samplerArgument) {
		vars.Note(samplerArgument, "not read, because "+samplerName+" names no sampler")
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(safeRatio))
}

// ownSampler returns the field's sampler.
func (c Config) ownSampler(vars *env.Reader) sdktrace.Sampler {
	const field = "Config.Sampler"
	sampler := c.Sampler
	if _, ok := sampler.(headsample.RootSampler); ok {
		sampler = sampling.ParentBased(sampler)
	}
	vars.Field(samplerName, field, sampler.Description())
	vars.Overridden(samplerArgument, field)
	return sampler
}

func samplerWithArgument(name string, vars *env.Reader) sdktrace.Sampler {
	switch name {
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(samplerRatio(vars))
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(samplerRatio(vars)))
	case "otelmon_ratio":
		return sampling.ParentBased(sampling.Ratio(samplerRatio(vars)))
	case "otelmon_ratelimit":
		return samplerRate(vars, 100, sampling.RateLimit)
	case "otelmon_adaptive":
		return samplerRate(vars, 10, sampling.Adaptive)
	}
	return nil
}

func samplerWithoutArgument(name string) sdktrace.Sampler {
	switch name {
	case "always_on":
		return sdktrace.AlwaysSample()
	case "always_off":
		return sdktrace.NeverSample()
	case "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample())
	}
	return nil
}

// reportArgument tells what the sampler that was chosen accepts, where the
// table of variables lists what each does.
func reportArgument(vars *env.Reader, reason, accepted string) {
	shown := env.Shown(samplerArgument, vars.String(samplerArgument))
	vars.Refuse(samplerArgument, fmt.Errorf("%s%s: %s; accepted: %s", samplerArgument, shown, reason, accepted))
}

func samplerRatio(vars *env.Reader) float64 {
	value := vars.String(samplerArgument)
	if value == "" {
		vars.Holds(samplerArgument, "1", env.FromDefault)
		return 1
	}
	ratio, err := strconv.ParseFloat(value, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) { // NaN is neither
		reportArgument(vars, fmt.Sprintf("not a ratio, %v is used", safeRatio), "a ratio from 0 to 1")
		vars.Holds(samplerArgument, fmt.Sprint(safeRatio), env.FromDefault)
		return safeRatio
	}
	return ratio
}

// samplerRate returns the sampler for the argument's number of traces a
// second. A great number would keep every trace.
func samplerRate(vars *env.Reader, byDefault float64, sampler func(perSecond float64) sdktrace.Sampler) sdktrace.Sampler {
	value := vars.String(samplerArgument)
	if value == "" {
		vars.Holds(samplerArgument, fmt.Sprint(byDefault), env.FromDefault)
		return sampling.ParentBased(sampler(byDefault))
	}
	perSecond, err := strconv.ParseFloat(value, 64)
	if err != nil || !(perSecond > 0 && perSecond <= mostPerSecond) { // NaN is neither
		reportArgument(vars, fmt.Sprintf("not a number of traces a second in range, %v %% of new traces are kept", 100*safeRatio),
			fmt.Sprintf("a number above 0, up to %d", mostPerSecond))
		vars.Holds(samplerName, fmt.Sprintf("otelmon_ratio of %v", safeRatio), env.FromDefault)
		vars.Note(samplerName, samplerArgument+" is not accepted")
		return sampling.ParentBased(sampling.Ratio(safeRatio))
	}
	return sampling.ParentBased(sampler(perSecond))
}

// Limits of counts and lengths that the variables may set.
const (
	defaultCount = 128
	mostCount    = 1_000_000
	mostLength   = 1_000_000_000
	unlimited    = -1
)

// spanLimits reads what the SDK would read, and refuses what it would take
// for "no limit" or panic on.
func spanLimits(vars *env.Reader) sdktrace.SpanLimits {
	count, length := attributeLimits(vars, "OTEL_SPAN_ATTRIBUTE")
	return sdktrace.SpanLimits{
		AttributeCountLimit:         count,
		AttributeValueLengthLimit:   length,
		AttributeValueDepthLimit:    sdktrace.DefaultAttributeValueDepthLimit,
		EventCountLimit:             vars.Int("OTEL_SPAN_EVENT_COUNT_LIMIT", defaultCount, 0, mostCount),
		LinkCountLimit:              vars.Int("OTEL_SPAN_LINK_COUNT_LIMIT", defaultCount, 0, mostCount),
		AttributePerEventCountLimit: vars.Int("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", defaultCount, 0, mostCount),
		AttributePerLinkCountLimit:  vars.Int("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", defaultCount, 0, mostCount),
	}
}

// attributeLimits returns the limits of one kind of item, which default to the
// general ones.
func attributeLimits(vars *env.Reader, prefix string) (count, length int) {
	count = vars.Int("OTEL_ATTRIBUTE_COUNT_LIMIT", defaultCount, 0, mostCount)
	length = vars.Int("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", unlimited, 0, mostLength)
	for _, suffix := range []string{"_COUNT_LIMIT", "_VALUE_LENGTH_LIMIT"} {
		if general := "OTEL_ATTRIBUTE" + suffix; vars.IsSet(general) && vars.IsSet(prefix+suffix) {
			vars.Note(general, prefix+suffix+" wins")
		}
	}
	return vars.Int(prefix+"_COUNT_LIMIT", count, 0, mostCount),
		vars.Int(prefix+"_VALUE_LENGTH_LIMIT", length, 0, mostLength)
}
