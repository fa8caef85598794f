package otelmon

import (
	"math"
	"time"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/tracer"
)

// limits returns what bounds sampling besides the sampler: fields that are set
// and can be obeyed, else the variables.
func (c Config) limits(vars *env.Reader) tracer.Limits {
	limits := tracer.Limits{
		ForcedPerSecond:  float64(vars.Int("OTELMON_FORCED_PER_SECOND", 100, 0, 1_000_000)),
		RescuesPerSecond: float64(vars.Int("OTELMON_RESCUES_PER_SECOND", 10, 0, 1_000_000)),
		SlowerThan:       vars.Milliseconds("OTELMON_RESCUE_SLOWER_THAN", time.Second, time.Millisecond),
	}
	switch {
	case c.ForcedPerSecond > 0:
		limits.ForcedPerSecond = c.ForcedPerSecond
	case c.ForcedPerSecond < 0:
		limits.ForcedPerSecond = math.Inf(1)
	}
	if c.Rescue.SlowerThan > 0 {
		limits.SlowerThan = c.Rescue.SlowerThan
	}
	if c.Rescue.PerSecond > 0 {
		limits.RescuesPerSecond = c.Rescue.PerSecond
	}
	if c.Rescue.Disable {
		limits.RescuesPerSecond = 0
	}
	return limits
}
