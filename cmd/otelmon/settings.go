package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/otelmon/toolkit/proxy"
)

// setting is one thing to set, by flag, by variable and most also in the file.
// The help, docs/proxy.md and the parser are made from the same ones.
type setting struct {
	flag      string
	argument  string // "" for a switch
	list      bool   // may be repeated
	key       string // in the file, "" if it is not there
	byDefault string
	meaning   string
	accepted  string
	set       func(o *options, values []string) error
}

const variablePrefix = "OTELMON_PROXY_"

// variable is the name of the environment variable.
func (s setting) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_"))
}

func settingOf(flag string) setting {
	for _, s := range settings() {
		if s.flag == flag {
			return s
		}
	}
	return setting{}
}

// settings are in the order in which they take effect: upstreams come before
// what is said about all of them.
func settings() []setting {
	return slices.Concat(upstreamSettings(), measuringSettings(), callerSettings(), listenerSettings(), listenerTLSSettings())
}

// fileSetting comes before all others.
func fileSetting() setting {
	return setting{
		flag: "config", argument: "FILE",
		meaning: "upstreams and how to measure them, in YAML; flags and variables win over it",
	}
}

func upstreamSettings() []setting {
	return append([]setting{
		{
			flag: "upstream", argument: "[PREFIX=]URL", list: true, key: "upstreams[].url",
			meaning:  "API to pass requests to, under a path prefix such as /deepseek if there are several",
			accepted: "a URL such as https://api.deepseek.com; /prefix=URL for several",
			set:      setUpstreams,
		},
		{
			flag: "provider", argument: "NAME", key: "upstreams[].provider", byDefault: "by the host",
			meaning:  "provider of the LLM API, in terms of gen_ai.provider.name",
			accepted: "a name such as deepseek, for one upstream; for several, upstreams[].provider in the file",
			set:      setProvider,
		},
		{
			flag: "route", argument: "TEMPLATE", list: true, key: "upstreams[].routes",
			meaning:  "folds paths of other APIs, such as /v1/files/{id}",
			accepted: "a path with {names} in place of identifiers, such as /v1/files/{id}",
			set: forAll(func(u *proxy.Upstream, values []string) error {
				u.Routes = values
				return nil
			}),
		},
		{
			flag: "upstream-timeout", argument: "TIME", key: "upstreams[].timeout", byDefault: "10m",
			meaning:  "how long an answer may take to begin",
			accepted: "a duration above 0, such as 90s or 10m",
			set: forAll(func(u *proxy.Upstream, values []string) (err error) {
				if u.Timeout, err = duration(last(values)); err == nil && u.Timeout <= 0 {
					return errors.New("not above 0")
				}
				return err
			}),
		},
	}, upstreamTLSSettings()...)
}

func upstreamTLSSettings() []setting {
	return []setting{
		{
			flag: "upstream-ca", argument: "FILE", key: "upstreams[].tls.ca_file", byDefault: "the system's",
			meaning:  "authorities of the upstreams' certificates",
			accepted: "a PEM file",
			set:      upstreamText(func(u *proxy.Upstream) *string { return &u.TLS.CAFile }),
		},
		{
			flag: "upstream-cert", argument: "FILE", key: "upstreams[].tls.cert_file",
			meaning:  "client certificate to show to upstreams",
			accepted: "a PEM file",
			set:      upstreamText(func(u *proxy.Upstream) *string { return &u.TLS.CertFile }),
		},
		{
			flag: "upstream-key", argument: "FILE", key: "upstreams[].tls.key_file",
			meaning:  "key of that certificate",
			accepted: "a PEM file",
			set:      upstreamText(func(u *proxy.Upstream) *string { return &u.TLS.KeyFile }),
		},
	}
}

func measuringSettings() []setting {
	return []setting{
		{
			flag: "include-usage", key: "include_usage", byDefault: "false",
			meaning:  "ask for the usage of streams whose client did not, and hide that event from it; an API that does not know the option may answer 400",
			accepted: "true or false",
			set:      truth(func(o *options) *bool { return &o.proxy.IncludeUsage }),
		},
		{
			flag: "model", argument: "NAME", list: true, key: "models", byDefault: "after a success",
			meaning:  "model to tell apart in metrics from the start",
			accepted: "a model's name",
			set:      texts(func(o *options) *[]string { return &o.proxy.Models }),
		},
		{
			flag: "prices", argument: "FILE", key: "prices_file", byDefault: "the built-in ones",
			meaning:  "price book that comes before the built-in one",
			accepted: "a readable price book in YAML",
			set:      text(func(o *options) *string { return &o.proxy.PricesFile }),
		},
		{
			flag: "propagate-to", argument: "HOST", list: true, key: "propagate_to", byDefault: "none",
			meaning:  "host of an upstream that may see trace context and baggage",
			accepted: "a host such as api.example.com, or .example.com with its subdomains",
			set:      texts(func(o *options) *[]string { return &o.proxy.PropagateTo }),
		},
	}
}

func callerSettings() []setting {
	return []setting{
		{
			flag: "caller-header", argument: "NAME", key: "caller.header",
			meaning:  "request header that names the caller of an LLM API",
			accepted: "a header's name, together with --caller-allow",
			set:      text(func(o *options) *string { return &o.proxy.Caller.Header }),
		},
		{
			flag: "caller-allow", argument: "VALUE", list: true, key: "caller.allowed",
			meaning:  "value of that header to tell apart; others count as other",
			accepted: "a value of the header of --caller-header",
			set:      texts(func(o *options) *[]string { return &o.proxy.Caller.Allowed }),
		},
		{
			flag: "caller-key-fingerprint", key: "caller.key_fingerprint", byDefault: "false",
			meaning:  "tell callers apart by 8 digits of a hash of their API key instead",
			accepted: "true or false",
			set:      truth(func(o *options) *bool { return &o.proxy.Caller.KeyFingerprint }),
		},
	}
}

func listenerSettings() []setting {
	return []setting{
		{
			flag: "listen", argument: "ADDRESS", byDefault: "127.0.0.1:8088",
			meaning:  "host:port to take requests on",
			accepted: "host:port, port 0 for any free one",
			set:      setAddress(func(o *options) *string { return &o.listen }),
		},
		{
			flag: "metrics-listen", argument: "ADDRESS", byDefault: "localhost:9464",
			meaning:  "host:port of /metrics, /livez and /readyz; wins over OTEL_EXPORTER_PROMETHEUS_HOST and _PORT",
			accepted: "host:port, port 0 for any free one",
			set:      setAddress(func(o *options) *string { return &o.metricsListen }),
		},
		{
			flag: "drain", argument: "TIME", byDefault: "30s",
			meaning:  "how long requests may go on after SIGTERM",
			accepted: "a duration such as 30s, 0s to cut requests off",
			set: func(o *options, values []string) (err error) {
				if o.drain, err = duration(last(values)); err == nil && o.drain < 0 {
					return errors.New("negative")
				}
				return err
			},
		},
	}
}

func listenerTLSSettings() []setting {
	return []setting{
		{
			flag: "tls-cert", argument: "FILE", byDefault: "no TLS",
			meaning:  "certificate of the proxy, with its chain",
			accepted: "a PEM file, together with --tls-key",
			set:      text(func(o *options) *string { return &o.tls.certFile }),
		},
		{
			flag: "tls-key", argument: "FILE",
			meaning:  "key of that certificate",
			accepted: "a PEM file, together with --tls-cert",
			set:      text(func(o *options) *string { return &o.tls.keyFile }),
		},
		{
			flag: "tls-client-ca", argument: "FILE",
			meaning:  "authorities whose certificates clients have to show",
			accepted: "a PEM file, together with --tls-cert",
			set:      text(func(o *options) *string { return &o.tls.clientCAFile }),
		},
	}
}

// last is the value that counts when a flag that takes one was repeated.
func last(values []string) string { return values[len(values)-1] }

func text(field func(*options) *string) func(*options, []string) error {
	return func(o *options, values []string) error {
		*field(o) = last(values)
		return nil
	}
}

func texts(field func(*options) *[]string) func(*options, []string) error {
	return func(o *options, values []string) error {
		*field(o) = values
		return nil
	}
}

func truth(field func(*options) *bool) func(*options, []string) error {
	return func(o *options, values []string) error {
		value, err := strconv.ParseBool(last(values))
		if err != nil {
			return errors.New("neither true nor false")
		}
		*field(o) = value
		return nil
	}
}

func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, errors.New("not a duration")
	}
	return d, nil
}

// forAll sets something of every upstream, wherever it comes from.
func forAll(set func(*proxy.Upstream, []string) error) func(*options, []string) error {
	return func(o *options, values []string) error {
		for i := range o.proxy.Upstreams {
			if err := set(&o.proxy.Upstreams[i], values); err != nil {
				return err
			}
		}
		return nil
	}
}

func upstreamText(field func(*proxy.Upstream) *string) func(*options, []string) error {
	return forAll(func(u *proxy.Upstream, values []string) error {
		*field(u) = last(values)
		return nil
	})
}

func setProvider(o *options, values []string) error {
	if len(o.proxy.Upstreams) > 1 {
		return errors.New("there are several upstreams")
	}
	return upstreamText(func(u *proxy.Upstream) *string { return &u.Provider })(o, values)
}
