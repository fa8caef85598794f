package otelmon

import (
	"slices"

	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/env"
)

// Status is what an SDK is and does at one moment, for people to look at.
type Status struct {
	// Resource describes the service; nil, which it may be used as, when
	// telemetry is off.
	Resource *resource.Resource
	// Settings are the effective configuration, sorted by name: all that is set
	// in code or in the environment, and the defaults that one would ask for.
	Settings []Setting
	// CardinalityLimit is how many attribute sets an instrument may have; 0 when
	// telemetry is off.
	CardinalityLimit int
	// Pushes are the exports over OTLP, one for each signal that is pushed.
	Pushes []exporters.PushStatus
	// Scrape is the metrics page; zero when none is served.
	Scrape exporters.ScrapeStatus
}

// Setting is one value of the configuration in force. Its texts are bounded and
// printable, and no secret is among them: headers, URLs with credentials and the
// values of variables that nobody knows are "(value not shown)".
type Setting struct {
	// Name is the environment variable, or the field, such as
	// Config.CardinalityLimit or OTLP.Dial, where there is no variable. A
	// variable of one signal is here when it is set, or when what holds for the
	// signal differs.
	Name string
	// Value is what holds, "" for nothing. A variable that has no effect has the
	// value that was set, and a Problem.
	Value string
	// Origin says where the value comes from. That of a variable that was refused
	// is FromDefault.
	Origin Origin
	// Field is the field of [Config], or the fields, that decided in place of the
	// variable; "" for none. Those of Config.OTLP and Config.Prometheus begin with
	// OTLP and Prometheus, as in errors.
	Field string
	// Problem says why what was set is not obeyed, or not as it stands; "" when
	// it is.
	Problem string
}

// Origin says where a [Setting] comes from.
type Origin string

// Origins of a [Setting].
const (
	FromCode        Origin = env.FromCode
	FromEnvironment Origin = env.FromEnvironment
	FromDefault     Origin = env.FromDefault
)

// Status returns what the SDK is and does now. After Shutdown it is as it was at
// the end. The settings are those that Setup found, other than the level of
// [Config.LogLevel], which may change.
func (s *SDK) Status() Status {
	status := Status{Resource: s.resource, Settings: slices.Clone(s.settings), CardinalityLimit: s.cardinality}
	for i := range status.Settings {
		if status.Settings[i].Name == levelName {
			status.Settings[i].Value = s.logLevel.Level().String()
		}
	}
	if s.otlp != nil {
		status.Pushes = s.otlp.Status()
	}
	if s.prometheus != nil {
		status.Scrape = s.prometheus.Status()
	}
	return status
}
