package proxy

import (
	"net/netip"
	"slices"
	"strings"
)

// isPublic reports whether a host is on the Internet by its address or name.
// Others may be on this machine or beside it, from where requests can come back.
func isPublic(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		address = address.Unmap()
		return address.IsGlobalUnicast() && !address.IsPrivate()
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last != name && !slices.Contains([]string{"internal", "local", "localhost", "svc"}, last)
}
