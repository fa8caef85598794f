package exporters

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/otelmon/toolkit/internal/env"
)

const (
	signalTraces  = "traces"
	signalMetrics = "metrics"
	signalLogs    = "logs"
)

// fieldEndpoint is how errors call the field.
const fieldEndpoint = "OTLP.Endpoint"

// settings are what one signal's requests need, from fields and variables.
type settings struct {
	endpoint endpoint
	headers  map[string]string
	timeout  time.Duration
	window   time.Duration
	gzip     bool
	tls      *tls.Config
	tlsFiles string // names of the files behind tls, to tell connections apart
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// connection is equal for settings that can share one.
type connection struct {
	protocol, address string
	plaintext, gzip   bool
	tlsFiles          string
}

func (s settings) connection() connection {
	return connection{s.endpoint.protocol, s.endpoint.address, s.endpoint.plaintext, s.gzip, s.tlsFiles}
}

// settings reports what is not accepted to r. It returns false when the signal
// cannot be sent at all; for the rest the default is used.
func (o OTLP) settings(r *env.Reader, signal string) (settings, bool) {
	v := signalVariables{r, strings.ToUpper(signal)}
	s := settings{
		timeout: o.Timeout,
		dial:    o.Dial,
		window:  o.retryWindow(r, signal),
		gzip:    r.OneOf(v.name("COMPRESSION"), "gzip", "gzip", "none") == "gzip",
	}
	if s.timeout > 0 {
		v.field("TIMEOUT", "OTLP.Timeout", s.timeout.String())
	} else {
		s.timeout = r.Milliseconds(v.name("TIMEOUT"), 5*time.Second, time.Millisecond)
	}
	var okEndpoint, okHeaders, okTLS bool
	s.endpoint, okEndpoint = o.endpoint(v, signal)
	s.headers, okHeaders = o.headers(v, s.endpoint.protocol)
	s.tls, s.tlsFiles, okTLS = o.tls(v)
	if okEndpoint && okTLS && s.endpoint.plaintext && s.tls != nil {
		r.Add(fmt.Errorf("%s endpoint %s is plaintext, yet %s is set for it; accepted: an https URL", signal, s.endpoint, o.tlsSource(v)))
		okTLS = false
	}
	return s, okEndpoint && okHeaders && okTLS
}

// queueBytes is the memory of both queues together.
func (o OTLP) queueBytes(r *env.Reader) int {
	const name, standard, least, most = "OTELMON_OTLP_QUEUE_BYTES", 64 << 20, 128 << 10, math.MaxInt32
	if o.QueueBytes != 0 && (o.QueueBytes < least || o.QueueBytes > most) {
		r.Refuse(name, fmt.Errorf("OTLP.QueueBytes=%d: the default is used; accepted: %d to %d, or 0 for the default", o.QueueBytes, least, most))
	} else if o.QueueBytes != 0 {
		r.Field(name, "OTLP.QueueBytes", strconv.Itoa(o.QueueBytes))
		return o.QueueBytes
	}
	return r.Int(name, standard, least, most)
}

func (o OTLP) retryWindow(r *env.Reader, signal string) time.Duration {
	name := "OTEL_BSP_EXPORT_TIMEOUT"
	switch signal {
	case signalMetrics:
		return r.Milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", 30*time.Second, time.Millisecond)
	case signalLogs:
		name = "OTEL_BLRP_EXPORT_TIMEOUT"
	}
	if o.RetryWindow > 0 {
		r.Field(name, "OTLP.RetryWindow", o.RetryWindow.String())
		return o.RetryWindow
	}
	return r.Milliseconds(name, 10*time.Minute, time.Millisecond)
}

// signalVariables finds the variable that holds for a signal: its own when
// that is set, else the general one.
type signalVariables struct {
	*env.Reader
	signal string
}

func (v signalVariables) name(suffix string) string {
	general, own := v.general(suffix), v.own(suffix)
	if !v.IsSet(own) {
		return general
	}
	if v.IsSet(general) {
		v.Note(general, own+" wins")
	}
	return own
}

func (signalVariables) general(suffix string) string { return "OTEL_EXPORTER_OTLP_" + suffix }

func (v signalVariables) own(suffix string) string {
	return "OTEL_EXPORTER_OTLP_" + v.signal + "_" + suffix
}

// field records that a field wins over both variables.
func (v signalVariables) field(suffix, field, value string) {
	v.Field(v.general(suffix), field, value)
	if own := v.own(suffix); v.IsSet(own) {
		v.Field(own, field, value)
	}
}

// byDefault records what holds since no variable says it: of the signal alone
// where it is not connected as the others are.
func (v signalVariables) byDefault(suffix, value string) {
	name := v.general(suffix)
	for _, decides := range []string{"ENDPOINT", "PROTOCOL", "INSECURE"} {
		if v.IsSet(v.own(decides)) {
			name = v.own(suffix)
		}
	}
	v.Holds(name, value, env.FromDefault)
}

func (o OTLP) endpoint(v signalVariables, signal string) (endpoint, bool) {
	protocol := o.protocol(v)
	var insecure *bool
	if value := v.OneOf(v.name("INSECURE"), "", "true", "false"); value != "" {
		plaintext := value == "true"
		insecure = &plaintext
	}
	if !v.printable(v.general("ENDPOINT")) || !v.printable(v.own("ENDPOINT")) {
		return endpoint{}, false
	}
	name, value := o.address(v, protocol)
	e, err := parseEndpoint(value, protocol, insecure)
	switch {
	case err != nil && name == fieldEndpoint:
		v.Refuse(v.general("ENDPOINT"), fmt.Errorf("%s%s: %w; accepted: host:port, or a URL with scheme http or https", name, env.Shown(name, value), err))
	case err != nil:
		v.Report(name, err.Error())
	case name != v.own("ENDPOINT"):
		e.path = v.basePath(name, e.path) + "/v1/" + signal
	case e.path == "":
		e.path = "/"
	}
	if err != nil {
		return e, false
	}
	v.derived(e, protocol == "", insecure)
	return e, true
}

// derived records what the endpoint decides.
func (v signalVariables) derived(e endpoint, protocol bool, insecure *bool) {
	if protocol {
		v.byDefault("PROTOCOL", e.protocol)
	}
	switch {
	case insecure == nil:
		v.byDefault("INSECURE", strconv.FormatBool(e.plaintext))
	case *insecure != e.plaintext:
		v.Holds(v.name("INSECURE"), strconv.FormatBool(e.plaintext), env.FromEnvironment)
		v.Note(v.name("INSECURE"), fmt.Sprintf("%v was set, but the scheme of the endpoint wins for %s", *insecure, strings.ToLower(v.signal)))
	}
}

// basePath takes a signal's own path off an endpoint for all signals, where it
// would be there twice.
func (v signalVariables) basePath(name, path string) string {
	path = strings.TrimSuffix(path, "/")
	for _, signal := range []string{signalTraces, signalMetrics, signalLogs} {
		if base, found := strings.CutSuffix(path, "/v1/"+signal); found {
			err := fmt.Errorf("%s ends in /v1/%s, which is left out, since each signal's own path is appended; accepted: the URL without it", name, signal)
			v.Refuse(v.general("ENDPOINT"), err)
			return base
		}
	}
	return path
}

// address returns where to push to and what says so, "" for the default.
func (o OTLP) address(v signalVariables, protocol string) (name, value string) {
	if o.Endpoint != "" {
		v.field("ENDPOINT", fieldEndpoint, o.Endpoint)
		return fieldEndpoint, o.Endpoint
	}
	if name = v.name("ENDPOINT"); v.IsSet(name) {
		return name, v.String(name)
	}
	value = "localhost:" + portGRPC
	if protocol == protocolHTTP {
		value = "localhost:" + portHTTP
	}
	v.byDefault("ENDPOINT", value)
	return "", value
}

// printable refuses a secret in an endpoint that another one overrides: the
// stock exporter parses it all the same, and prints what it cannot parse.
func (v signalVariables) printable(name string) bool {
	if !v.IsSet(name) {
		return true
	}
	value := v.String(name)
	if !env.Secret(name, value) {
		return true
	}
	_, err := parseEndpoint(value, "", nil)
	if err != nil {
		v.Report(name, err.Error())
	}
	return err == nil
}

func (o OTLP) protocol(v signalVariables) string {
	switch o.Protocol {
	case protocolGRPC, protocolHTTP:
		v.field("PROTOCOL", "OTLP.Protocol", o.Protocol)
		return o.Protocol
	case "":
	default:
		v.Refuse(v.general("PROTOCOL"), fmt.Errorf("OTLP.Protocol=%q: unknown protocol; accepted: grpc or http/protobuf", o.Protocol))
	}
	return v.OneOf(v.name("PROTOCOL"), "", protocolGRPC, protocolHTTP)
}

// headers refuses a malformed general variable also where the signal has its
// own: the stock exporter reads both, and prints what it cannot parse.
func (o OTLP) headers(v signalVariables, protocol string) (map[string]string, bool) {
	headers, ok := v.headers(v.general("HEADERS"), protocol)
	if own := v.name("HEADERS"); own == v.own("HEADERS") {
		var okOwn bool
		headers, okOwn = v.headers(own, protocol)
		ok = ok && okOwn
	}
	for key, value := range o.Headers {
		if !validHeader(key, value, protocol) {
			v.Add(fmt.Errorf("OTLP.Headers: %q is not a valid header (value not shown); accepted: a token, over gRPC of letters, digits, '-', '_' and '.' alone, and printable ASCII text", key))
			ok = false
		}
		if _, set := headers[strings.ToLower(key)]; set {
			v.Note(v.name("HEADERS"), "OTLP.Headers wins for a header that is in both")
		}
		headers[strings.ToLower(key)] = value
	}
	return headers, ok
}

func (v signalVariables) headers(name, protocol string) (headers map[string]string, ok bool) {
	headers = make(map[string]string)
	pairs, ok := v.Pairs(name)
	for i, pair := range pairs {
		if !validHeader(pair.Key, pair.Value, protocol) {
			v.Report(name, fmt.Sprintf("header %d is not valid %s", i+1, over(protocol)))
			ok = false
		}
		headers[strings.ToLower(pair.Key)] = pair.Value
	}
	return headers, ok
}

// validHeader follows RFC 9110: a token, and visible ASCII, spaces or tabs; and
// gRPC, which fails each call with a header that it does not take.
func validHeader(key, value, protocol string) bool {
	token := func(r rune) bool {
		return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	visible := func(r rune) bool { return r == '\t' || r >= ' ' && r < 0x7f }
	if protocol == protocolGRPC {
		token = func(r rune) bool {
			return r < 0x7f && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.", r))
		}
		visible = func(r rune) bool { return r >= ' ' && r < 0x7f }
	}
	return key != "" && strings.IndexFunc(key, not(token)) < 0 && strings.IndexFunc(value, not(visible)) < 0
}

func over(protocol string) string {
	if protocol == protocolGRPC {
		return "over gRPC, which takes letters, digits, '-', '_' and '.' in its key"
	}
	return "over HTTP"
}

func not(f func(rune) bool) func(rune) bool { return func(r rune) bool { return !f(r) } }

// tlsSuffixes end the names of the variables for files.
var tlsSuffixes = [...]string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"}

// tls returns nil when nothing was configured: the system's roots hold then.
// The files tell connections apart.
func (o OTLP) tls(v signalVariables) (config *tls.Config, files string, ok bool) {
	if o.TLS != nil {
		for _, suffix := range tlsSuffixes {
			for _, name := range []string{v.general(suffix), v.own(suffix)} {
				v.Overridden(name, "OTLP.TLS")
			}
		}
		return o.TLS, "OTLP.TLS", true
	}
	ca, cert, key := v.name("CERTIFICATE"), v.name("CLIENT_CERTIFICATE"), v.name("CLIENT_KEY")
	files = strings.Join([]string{v.String(ca), v.String(cert), v.String(key)}, "\n")
	if files == "\n\n" {
		return nil, "", true
	}
	config = &tls.Config{MinVersion: tls.VersionTLS12}
	if path := v.String(ca); path != "" {
		var err error
		if config.RootCAs, err = readRoots(path); err != nil {
			v.Report(ca, err.Error())
			return nil, "", false
		}
	}
	config.Certificates, ok = v.certificates(cert, key)
	return config, files, ok
}

// certificates loads the client's, for which both variables are needed or none.
func (v signalVariables) certificates(cert, key string) ([]tls.Certificate, bool) {
	switch {
	case v.String(cert) == "" && v.String(key) == "":
		return nil, true
	case v.String(key) == "":
		v.Report(cert, "there is no "+key)
		return nil, false
	case v.String(cert) == "":
		v.Report(key, "there is no "+cert)
		return nil, false
	}
	pair, err := tls.LoadX509KeyPair(v.String(cert), v.String(key))
	switch {
	case err != nil && env.Secret(key, v.String(key)):
		v.Report(key, "it is to name a file")
		return nil, false
	case err != nil:
		v.Report(cert, fmt.Sprintf("loading it with the key in %s: %v", key, err))
		return nil, false
	}
	return []tls.Certificate{pair}, true
}

// tlsSource names what asks for TLS.
func (o OTLP) tlsSource(v signalVariables) string {
	if o.TLS != nil {
		return "OTLP.TLS"
	}
	var names []string
	for _, suffix := range tlsSuffixes {
		if name := v.name(suffix); v.String(name) != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, " and ")
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
