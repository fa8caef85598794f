package middleware

import (
	"strings"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// method is a known method, or otherMethod.
type method uint8

const otherMethod method = 10

// methodOf returns the method of a request. They are case-sensitive; none means
// GET, as in net/http's client.
func methodOf(name string) method {
	switch name {
	case "GET", "":
		return 0
	case "POST":
		return 1
	case "PUT":
		return 2
	case "DELETE":
		return 3
	case "HEAD":
		return 4
	case "OPTIONS":
		return 5
	case "PATCH":
		return 6
	case "CONNECT":
		return 7
	case "TRACE":
		return 8
	case "QUERY":
		return 9
	}
	return otherMethod
}

// String returns the value of http.request.method.
func (m method) String() string {
	return [...]string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY", telemetry.Other}[m]
}

// spanName returns what a span without route is called.
func (m method) spanName() string {
	if m == otherMethod {
		return "HTTP"
	}
	return m.String()
}

// scheme returns the value of url.scheme.
func scheme(https bool) string {
	if https {
		return "https"
	}
	return "http"
}

// protocolVersion returns the value of network.protocol.version, or "" for
// what is no version of HTTP: a client can write any digits.
func protocolVersion(major, minor int) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1"
	case major == 2:
		return "2"
	case major == 3:
		return "3"
	case major == 1 && minor == 0:
		return "1.0"
	}
	return ""
}

func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
