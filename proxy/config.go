package proxy

import (
	"cmp"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/yamlfile"
)

// Config says what [New] makes; [ReadFile] reads one from YAML, in the terms
// below. Only Upstreams has no default. It is not to be changed once it was
// passed on.
type Config struct {
	// Upstreams are the APIs behind the proxy. The longest prefix wins.
	Upstreams []Upstream `yaml:"upstreams"`

	// Caller tells callers apart in the metrics of LLM calls. Default: it does
	// not.
	Caller Caller `yaml:"caller"`

	// IncludeUsage is that of llm.Config: what it changes in requests and in
	// streams is described there. An upstream that does not know the option may
	// answer 400 or 422. Default: requests and answers go through as they are.
	IncludeUsage bool `yaml:"include_usage"`

	// Models and PropagateTo are those of llm.Config, but for the default of
	// the last: the headers that tell a trace, and baggage, go to no upstream,
	// also those of the client. For all requests, LLM calls or not.
	Models      []string `yaml:"models"`
	PropagateTo []string `yaml:"propagate_to"`

	// PricesFile is a price book that comes before the built-in one.
	PricesFile string `yaml:"prices_file"`

	// TracerProvider and MeterProvider default to the global ones, Logger to
	// [slog.Default].
	TracerProvider trace.TracerProvider `yaml:"-"`
	MeterProvider  metric.MeterProvider `yaml:"-"`
	Logger         *slog.Logger         `yaml:"-"`

	document *yamlfile.Document // what it was read from, if it was
}

// Upstream is one API behind the proxy.
type Upstream struct {
	// Prefix is the path under which the proxy serves the upstream, and which
	// is removed from requests. It consists of unreserved characters, and whole
	// segments count: "/a" is not a prefix of "/ab". Default "/".
	Prefix string `yaml:"prefix"`

	// URL is where the requests go, with scheme http, https or h2c (HTTP/2
	// without TLS). Its path is put before that of requests, and is no fence:
	// "/api/../admin" is passed on as it is. A host that is not on the Internet,
	// by its address or because its name has no dot or ends in .local,
	// .localhost, .internal or .svc, gets the header Via, by which the proxy
	// knows requests that come back to it. Required.
	URL string `yaml:"url"`

	// Name is the upstream's in metrics and in answers about its failures.
	// Default: the host of the URL.
	Name string `yaml:"name"`

	// Provider is the value of gen_ai.provider.name. Default: that of a
	// well-known host.
	Provider string `yaml:"provider"`

	// Routes are templates such as "/v1/files/{id}", without the prefix, which
	// become the http.route of requests that match; the first one that matches
	// counts. {id} is one segment of the path, {path...} at the end all that
	// follow. Those of LLM APIs need none. What matches nothing is passed on too.
	Routes []string `yaml:"routes"`

	// Timeout is how long the upstream may take from the end of the request
	// until the header of its response is there, and to take each further part of
	// the request before. Default 10 min, which DeepSeek may take.
	Timeout time.Duration `yaml:"timeout"`

	// TLS is for https. Default: the system's authorities.
	TLS ClientTLS `yaml:"tls"`
}

// ClientTLS are files in PEM format.
type ClientTLS struct {
	CAFile     string `yaml:"ca_file"`   // authorities of the upstream's certificate
	CertFile   string `yaml:"cert_file"` // client certificate, with KeyFile
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"` // default: the host of the URL
}

// Caller says what tells callers apart: one of the two.
type Caller struct {
	// Header is a request header whose value names the caller, if it is among
	// Allowed; else the caller is "other".
	Header  string   `yaml:"header"`
	Allowed []string `yaml:"allowed"`
	// KeyFingerprint takes 8 hexadecimal digits of a hash of the API key, or
	// "none". A hash of a key that has little entropy can be guessed; those of
	// providers have enough.
	KeyFingerprint bool `yaml:"key_fingerprint"`
}

const defaultTimeout = 10 * time.Minute

// defaults fills in what is not given, and has no prefix instead of "/".
func (u Upstream) defaults() Upstream {
	u.Timeout = cmp.Or(u.Timeout, defaultTimeout)
	if u.Prefix == "/" {
		u.Prefix = ""
	}
	return u
}
