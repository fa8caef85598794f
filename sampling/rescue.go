package sampling

import "time"

// Rescue says which server requests leave a span although their trace was not
// sampled: those that fail, with a status of 500 or above or a panic, and those
// that are slow. It holds at any ratio, so that sampling saves cost without
// hiding an error; what [Drop] dropped is not rescued, and what a sampler
// records without sampling it, as AlwaysRecord, is left to the processors.
//
// A rescued span has the IDs and times that it would have had and the attribute
// otelmon.sampling.rescued. It stands for itself alone: it carries no
// threshold, and the other spans of its trace are not there. Unsampled requests
// that succeed in time pay nothing for this.
type Rescue struct {
	// SlowerThan is the duration from which on a request that succeeds is
	// rescued; of a stream, the time to its first byte. Default 1 s.
	SlowerThan time.Duration
	// PerSecond bounds the rescued spans, so that an outage, when every request
	// fails, does not multiply the load. Slow requests take about half of it at
	// most, so that failures find room. Default 10 a second.
	PerSecond float64
	// Disable rescues nothing.
	Disable bool
}
