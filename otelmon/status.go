package otelmon

import (
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/exporters"
)

// Status is what an SDK is and does at one moment, for people to look at.
type Status struct {
	// Resource describes the service.
	Resource *resource.Resource
	// Settings are the effective configuration, sorted by name.
	Settings []Setting
	// Pushes are the exports over OTLP, one for each signal that is pushed.
	Pushes []exporters.PushStatus
	// Scrape is the metrics page; zero when none is served.
	Scrape exporters.ScrapeStatus
}

// Setting is one value of the configuration in force.
type Setting struct {
	// Name is the environment variable, or the field of [Config] where there is
	// no variable.
	Name string
	// Value is what holds, with secrets left out.
	Value string
	// Origin says where the value comes from.
	Origin Origin
	// Field is the field of [Config] that won over the variable; "" for none.
	Field string
	// Problem says why what was set is not obeyed, or not as it stands; "" when
	// it is.
	Problem string
}

// Origin says where a [Setting] comes from.
type Origin string

// Origins of a [Setting].
const (
	FromCode        Origin = "code"
	FromEnvironment Origin = "environment"
	FromDefault     Origin = "default"
)

// Status returns what the SDK is and does now. After Shutdown it is as it was at
// the end.
func (s *SDK) Status() Status {
	var status Status
	if s.otlp != nil {
		status.Pushes = s.otlp.Status()
	}
	if s.prometheus != nil {
		status.Scrape = s.prometheus.Status()
	}
	return status
}
