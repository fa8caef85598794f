// Package peer names the servers that requests are sent to, as attributes do.
package peer

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxHostname is that of DNS.
const maxHostname = 253

// Of returns server.address and server.port for the URL; the port is 0 when it
// is not known. It reports false for what is no name to put into an attribute.
func Of(u *url.URL) (address string, port int, ok bool) {
	if !Plausible(u.Hostname()) {
		return "", 0, false
	}
	return Host(u.Hostname()), portOf(u), true
}

// Plausible reports whether a scheme or a host may become an attribute.
func Plausible(name string) bool {
	return name != "" && len(name) <= maxHostname && utf8.ValidString(name) && !strings.Contains(name, "@")
}

// Host returns the one way of writing a host's name.
func Host(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// portOf returns that of the URL or the scheme's, or 0.
func portOf(u *url.URL) int {
	given := u.Port()
	switch {
	case given != "":
	case u.Scheme == "http":
		return 80
	case u.Scheme == "https":
		return 443
	default:
		return 0
	}
	n, err := strconv.ParseUint(given, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}
