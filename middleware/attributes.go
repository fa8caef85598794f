package middleware

import "strings"

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

// isEventStream tells whether the Content-Type is that of server-sent events.
func isEventStream(contentType string) bool {
	const eventStream = "text/event-stream"
	return len(contentType) >= len(eventStream) && strings.EqualFold(contentType[:len(eventStream)], eventStream)
}
