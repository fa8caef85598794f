package otelmon

import (
	"fmt"
	"math"
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

const samplerArgument = "OTEL_TRACES_SAMPLER_ARG"

// sampler returns the field's, else the variables'.
func (c Config) sampler(vars *env.Reader) sdktrace.Sampler {
	if _, ok := c.Sampler.(headsample.RootSampler); ok {
		return sampling.ParentBased(c.Sampler)
	}
	if c.Sampler != nil {
		return c.Sampler
	}
	const name = "OTEL_TRACES_SAMPLER"
	switch strings.ToLower(vars.String(name)) {
	case "always_on":
		return sdktrace.AlwaysSample()
	case "always_off":
		return sdktrace.NeverSample()
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(samplerRatio(vars))
	case "", "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample())
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(samplerRatio(vars)))
	case "otelmon_ratio":
		return sampling.ParentBased(sampling.Ratio(samplerRatio(vars)))
	case "otelmon_ratelimit":
		return samplerRate(vars, 100, sampling.RateLimit)
	case "otelmon_adaptive":
		return samplerRate(vars, 10, sampling.Adaptive)
	}
	vars.Report(name, fmt.Sprintf("unknown sampler, %v %% of new traces are kept", 100*safeRatio))
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(safeRatio))
}

func samplerRatio(vars *env.Reader) float64 {
	value := vars.String(samplerArgument)
	if value == "" {
		return 1
	}
	ratio, err := strconv.ParseFloat(value, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) { // NaN is neither
		vars.Report(samplerArgument, fmt.Sprintf("not a ratio, %v is used", safeRatio))
		return safeRatio
	}
	return ratio
}

// samplerRate returns the sampler for the argument's number of traces a
// second. A number as great as infinity would keep every trace.
func samplerRate(vars *env.Reader, byDefault float64, sampler func(perSecond float64) sdktrace.Sampler) sdktrace.Sampler {
	value := vars.String(samplerArgument)
	if value == "" {
		return sampling.ParentBased(sampler(byDefault))
	}
	perSecond, err := strconv.ParseFloat(value, 64)
	if err != nil || !(perSecond > 0) || math.IsInf(perSecond, 1) { // NaN is none of them
		vars.Report(samplerArgument, fmt.Sprintf("not a number of traces a second above 0, %v %% of new traces are kept", 100*safeRatio))
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
	return vars.Int(prefix+"_COUNT_LIMIT", count, 0, mostCount),
		vars.Int(prefix+"_VALUE_LENGTH_LIMIT", length, 0, mostLength)
}
