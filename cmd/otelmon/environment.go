package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/otelmon/toolkit/internal/env"
)

// environment are variables, as [os.Environ] has them.
type environment []string

// get returns the value of a variable, or "".
func (e environment) get(name string) string {
	value, _ := e.lookup(name)
	return value
}

func (e environment) lookup(name string) (string, bool) {
	for _, variable := range e {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// namesService reports whether OTEL_RESOURCE_ATTRIBUTES has a name for the
// service.
func (e environment) namesService() bool {
	reader := env.Reader{Lookup: e.lookup}
	attributes, _ := reader.Pairs("OTEL_RESOURCE_ATTRIBUTES") // what is wrong in it is told by otelmon.Setup
	return slices.ContainsFunc(attributes, func(a env.Pair) bool { return a.Key == "service.name" })
}

// injected are variables that Kubernetes makes for a Service, such as one that
// is called otelmon-proxy.
var injected = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT|SERVICE_PORT_.*|PORT|PORT_.*)$`)

// unknown returns the names of variables that look like those of settings and
// are none.
func (e environment) unknown() (names []string) {
	known := func(name string) bool {
		return slices.ContainsFunc(append(settings(), fileSetting()), func(s setting) bool { return s.variable() == name })
	}
	for _, variable := range e {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, variablePrefix) && !known(name) && !injected.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}
