package doctor

import "encoding/json"

// Level says how bad a finding is; a larger one is worse.
type Level int

// Levels of a [Finding]. They are also the exit codes of `otelmon doctor`.
const (
	OK      Level = iota
	Warning       // something is probably not as it is meant to be
	Failure       // telemetry is not there, is there twice or is wrong
)

// String returns "ok", "warning" or "failure".
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Warning:
		return "warning"
	case Failure:
	}
	return "failure"
}

// MarshalText is String, for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is the outcome of one check.
type Finding struct {
	// Part is what was looked at: environment, otlp, metrics, prometheus,
	// tempo or collector.
	Part string `json:"part"`
	// Check is a stable name of the check, such as duplicate-series.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Message says what was found, secrets masked.
	Message string `json:"message"`
	// Advice says what to do; "" when all is well.
	Advice string `json:"advice,omitempty"`
}

// Report is what [Run] found, in a fixed order.
type Report struct {
	Findings []Finding
}

// Level returns the worst of all findings, OK for none.
func (r Report) Level() Level { return worst(r.Findings) }

// Count returns how many findings have a level.
func (r Report) Count(level Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// MarshalJSON returns an object with findings, which is never null, and level.
func (r Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Findings []Finding `json:"findings"`
		Level    Level     `json:"level"`
	}{append([]Finding{}, r.Findings...), r.Level()})
}

func worst(findings []Finding) Level {
	level := OK
	for _, f := range findings {
		level = max(level, f.Level)
	}
	return level
}
