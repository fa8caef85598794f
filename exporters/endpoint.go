package exporters

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"

	portGRPC = "4317"
	portHTTP = "4318"
)

// endpoint is where the requests of one signal go.
type endpoint struct {
	protocol  string
	address   string // host:port
	path      string // over HTTP
	plaintext bool
}

func (e endpoint) String() string {
	if e.protocol == protocolGRPC {
		return e.address
	}
	return e.url()
}

func (e endpoint) url() string {
	u := url.URL{Scheme: "https", Host: e.address, Path: e.path}
	if e.plaintext {
		u.Scheme = "http"
	}
	return u.String()
}

// parseEndpoint reads host:port or a URL. An empty protocol is chosen by the
// port and path: 4318 or a path mean HTTP. Without a scheme, plaintext holds
// for a loopback address, or is what insecure says when that is not nil.
func parseEndpoint(value, protocol string, insecure *bool) (endpoint, error) {
	hasScheme := strings.Contains(value, "://")
	if !hasScheme {
		value = "//" + value
	}
	u, err := url.Parse(value)
	if err != nil {
		return endpoint{}, errors.New("not an address")
	}
	if err := checkURL(u); err != nil {
		return endpoint{}, err
	}
	e := endpoint{protocol: protocol, path: u.Path}
	if e.protocol == "" {
		e.protocol = protocolGRPC
		if u.Port() == portHTTP || strings.Trim(e.path, "/") != "" {
			e.protocol = protocolHTTP
		}
	}
	switch {
	case hasScheme:
		e.plaintext = u.Scheme == "http"
	case insecure != nil:
		e.plaintext = *insecure
	default:
		e.plaintext = isLoopback(u.Hostname())
	}
	e.address = net.JoinHostPort(u.Hostname(), portOf(u, e.protocol))
	return e, nil
}

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https":
		return errors.New("unknown scheme") // it may be the user in a URL without one
	case u.Hostname() == "":
		return errors.New("no host")
	case strings.Contains(u.Host, ","):
		return errors.New("more than one address")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return errors.New("an IPv6 address needs brackets")
	case !validHost(u.Hostname()):
		return errors.New("not an address")
	case !validPort(u.Port()):
		return errors.New("the port is not a number from 1 to 65535")
	case u.User != nil:
		return errors.New("credentials belong in headers")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("a query or fragment has no meaning here")
	}
	return nil
}

func validHost(host string) bool {
	special := func(r rune) bool {
		return r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	}
	if address, err := netip.ParseAddr(host); err == nil {
		host = address.Zone() // which may be any text
	}
	return utf8.ValidString(host) && strings.IndexFunc(host, special) < 0
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// portOf fills in the port: a URL's scheme has one of its own, a bare host
// gets the one registered for OTLP.
func portOf(u *url.URL, protocol string) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	case u.Scheme == "https":
		return "443"
	case protocol == protocolHTTP:
		return portHTTP
	}
	return portGRPC
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
