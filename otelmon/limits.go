package otelmon

import (
	"fmt"
	"math"
	"time"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/tracer"
)

// limits returns what bounds sampling besides the sampler: fields that are set
// and can be obeyed, else the variables.
func (c Config) limits(vars *env.Reader) tracer.Limits {
	const forced, rescues, slower = "OTELMON_FORCED_PER_SECOND", "OTELMON_RESCUES_PER_SECOND", "OTELMON_RESCUE_SLOWER_THAN"
	limits := tracer.Limits{
		ForcedPerSecond:  float64(vars.Int(forced, 100, 0, 1_000_000)),
		RescuesPerSecond: float64(vars.Int(rescues, 10, 0, 1_000_000)),
		SlowerThan:       vars.Milliseconds(slower, time.Second, time.Millisecond),
	}
	switch {
	case c.ForcedPerSecond > 0:
		limits.ForcedPerSecond = c.ForcedPerSecond
		vars.Field(forced, "Config.ForcedPerSecond", fmt.Sprint(c.ForcedPerSecond))
	case c.ForcedPerSecond < 0:
		limits.ForcedPerSecond = math.Inf(1)
		vars.Field(forced, "Config.ForcedPerSecond", "no limit")
	}
	if c.Rescue.SlowerThan > 0 {
		limits.SlowerThan = c.Rescue.SlowerThan
		vars.Field(slower, "Config.Rescue.SlowerThan", c.Rescue.SlowerThan.String())
	}
	if c.Rescue.PerSecond > 0 {
		limits.RescuesPerSecond = c.Rescue.PerSecond
		vars.Field(rescues, "Config.Rescue.PerSecond", fmt.Sprint(c.Rescue.PerSecond))
	}
	if c.Rescue.Disable {
		limits.RescuesPerSecond = 0
		vars.Field(rescues, "Config.Rescue.Disable", "0")
	}
	return limits
}
