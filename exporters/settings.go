package exporters

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/env"
)

const (
	signalTraces  = "traces"
	signalMetrics = "metrics"
	signalLogs    = "logs"
)

// settings are what one signal's requests need, from fields and variables.
type settings struct {
	endpoint endpoint
	headers  map[string]string
	timeout  time.Duration
	window   time.Duration
	gzip     bool
	tls      *tls.Config
	tlsFiles string // names of the files behind tls, to tell connections apart
}

// connection is equal for settings that can share one.
type connection struct {
	protocol, address string
	plaintext, gzip   bool
	timeout           time.Duration
	tlsFiles          string
}

func (s settings) connection() connection {
	return connection{s.endpoint.protocol, s.endpoint.address, s.endpoint.plaintext, s.gzip, s.timeout, s.tlsFiles}
}

// settings reports what is not accepted to r. It returns false when the signal
// cannot be sent at all; for the rest the default is used.
func (o OTLP) settings(r *env.Reader, signal string) (settings, bool) {
	v := signalVariables{r, strings.ToUpper(signal)}
	s := settings{
		timeout: o.Timeout,
		window:  o.retryWindow(r, signal),
		gzip:    r.OneOf(v.name("COMPRESSION"), "gzip", "gzip", "none") == "gzip",
	}
	if s.timeout <= 0 {
		s.timeout = r.Milliseconds(v.name("TIMEOUT"), 5*time.Second, time.Millisecond)
	}
	var okEndpoint, okHeaders, okTLS bool
	s.endpoint, okEndpoint = o.endpoint(v, signal)
	s.headers, okHeaders = o.headers(v)
	s.tls, s.tlsFiles, okTLS = o.tls(v)
	if okEndpoint && okTLS && s.endpoint.plaintext && s.tls != nil {
		r.Add(fmt.Errorf("%s endpoint %s is plaintext, yet OTLP.TLS or certificate variables are set for it; accepted: an https URL", signal, s.endpoint))
		okTLS = false
	}
	return s, okEndpoint && okHeaders && okTLS
}

func (o OTLP) retryWindow(r *env.Reader, signal string) time.Duration {
	const window = 10 * time.Minute
	switch {
	case signal == signalMetrics:
		return r.Milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", 30*time.Second, time.Millisecond)
	case o.RetryWindow > 0:
		return o.RetryWindow
	case signal == signalLogs:
		return r.Milliseconds("OTEL_BLRP_EXPORT_TIMEOUT", window, time.Millisecond)
	}
	return r.Milliseconds("OTEL_BSP_EXPORT_TIMEOUT", window, time.Millisecond)
}

// signalVariables finds the variable that holds for a signal: its own when
// that is set, else the general one.
type signalVariables struct {
	*env.Reader
	signal string
}

func (v signalVariables) name(suffix string) string {
	if own := v.own(suffix); v.String(own) != "" {
		return own
	}
	return "OTEL_EXPORTER_OTLP_" + suffix
}

func (v signalVariables) own(suffix string) string {
	return "OTEL_EXPORTER_OTLP_" + v.signal + "_" + suffix
}

func (o OTLP) endpoint(v signalVariables, signal string) (endpoint, bool) {
	protocol := o.protocol(v)
	var insecure *bool
	if name := v.name("INSECURE"); v.String(name) != "" {
		value := v.Bool(name)
		insecure = &value
	}
	name := v.name("ENDPOINT")
	value := v.String(name)
	if o.Endpoint != "" {
		name, value = "OTLP.Endpoint", o.Endpoint
	}
	if value == "" {
		name, value = "", defaultAddress(protocol)
	}
	e, err := parseEndpoint(value, protocol, insecure)
	if err != nil {
		if name == "OTLP.Endpoint" {
			v.Add(fmt.Errorf("OTLP.Endpoint%s: %w; accepted: host:port, or a URL with scheme http or https", env.Shown(name, value), err))
		} else {
			v.Report(name, err.Error())
		}
		return endpoint{}, false
	}
	if name != v.own("ENDPOINT") {
		e.path = strings.TrimSuffix(e.path, "/") + "/v1/" + signal
	} else if e.path == "" {
		e.path = "/"
	}
	return e, true
}

func (o OTLP) protocol(v signalVariables) string {
	switch o.Protocol {
	case protocolGRPC, protocolHTTP:
		return o.Protocol
	case "":
	default:
		v.Add(fmt.Errorf("OTLP.Protocol=%q: unknown protocol; accepted: grpc or http/protobuf", o.Protocol))
	}
	return v.OneOf(v.name("PROTOCOL"), "", protocolGRPC, protocolHTTP)
}

func defaultAddress(protocol string) string {
	if protocol == protocolHTTP {
		return "localhost:" + portHTTP
	}
	return "localhost:" + portGRPC
}

// headers refuses a malformed general variable also where the signal has its
// own: the stock exporters read both, and print what they cannot parse.
func (o OTLP) headers(v signalVariables) (map[string]string, bool) {
	headers, ok := v.headers("OTEL_EXPORTER_OTLP_HEADERS")
	if own := v.own("HEADERS"); v.String(own) != "" {
		var okOwn bool
		headers, okOwn = v.headers(own)
		ok = ok && okOwn
	}
	for key, value := range o.Headers {
		if !validHeader(key, value) {
			v.Add(fmt.Errorf("OTLP.Headers: %q is not a valid header (value not shown); accepted: a token and printable ASCII text", key))
			ok = false
		}
		headers[strings.ToLower(key)] = value
	}
	return headers, ok
}

func (v signalVariables) headers(name string) (headers map[string]string, ok bool) {
	headers = make(map[string]string)
	pairs, ok := v.Pairs(name)
	for i, pair := range pairs {
		if !validHeader(pair.Key, pair.Value) {
			v.Report(name, fmt.Sprintf("header %d is not valid", i+1))
			ok = false
		}
		headers[strings.ToLower(pair.Key)] = pair.Value
	}
	return headers, ok
}

// validHeader follows RFC 9110: a token, and visible ASCII, spaces or tabs.
func validHeader(key, value string) bool {
	token := func(r rune) bool {
		return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	visible := func(r rune) bool { return r == '\t' || r >= ' ' && r < 0x7f }
	return key != "" && strings.IndexFunc(key, not(token)) < 0 && strings.IndexFunc(value, not(visible)) < 0
}

func not(f func(rune) bool) func(rune) bool { return func(r rune) bool { return !f(r) } }

// tls returns nil when nothing was configured: the system's roots hold then.
func (o OTLP) tls(v signalVariables) (config *tls.Config, files string, ok bool) {
	if o.TLS != nil {
		return o.TLS, "OTLP.TLS", true
	}
	ca, cert, key := v.name("CERTIFICATE"), v.name("CLIENT_CERTIFICATE"), v.name("CLIENT_KEY")
	files = strings.Join([]string{v.String(ca), v.String(cert), v.String(key)}, "\n")
	if files == "\n\n" {
		return nil, "", true
	}
	config = &tls.Config{MinVersion: tls.VersionTLS12}
	if path := v.String(ca); path != "" {
		pool, err := readRoots(path)
		if err != nil {
			v.Report(ca, err.Error())
			return nil, "", false
		}
		config.RootCAs = pool
	}
	switch {
	case v.String(cert) == "" && v.String(key) == "":
		return config, files, true
	case v.String(key) == "":
		v.Report(cert, "there is no "+key)
		return nil, "", false
	case v.String(cert) == "":
		v.Report(key, "there is no "+cert)
		return nil, "", false
	}
	for name, other := range map[string]string{cert: key, key: cert} {
		if v.String(other) == "" {
			v.Report(name, other+" is not set")
			return nil, "", false
		}
	}
	pair, err := tls.LoadX509KeyPair(v.String(cert), v.String(key))
	if err != nil {
		v.Report(cert, fmt.Sprintf("loading it with the key in %s: %v", key, err))
		return nil, "", false
	}
	config.Certificates = []tls.Certificate{pair}
	return config, files, true
}

func readRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}
