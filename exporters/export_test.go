package exporters

import "time"

// Endpoint is what parseEndpoint makes of an address, for its test.
type Endpoint struct {
	Protocol, Address, Path string
	Plaintext               bool
}

// ParseEndpoint is parseEndpoint.
func ParseEndpoint(value, protocol string, insecure *bool) (Endpoint, error) {
	e, err := parseEndpoint(value, protocol, insecure)
	return Endpoint{e.protocol, e.address, e.path, e.plaintext}, err
}

// WriteTimeout is that of the whole server.
func (s *PrometheusServer) WriteTimeout() time.Duration { return s.server.WriteTimeout }
