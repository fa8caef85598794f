package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/otelmon/toolkit/internal/yamlfile"
)

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// problems returns all that is wrong with the configuration, but for the files
// that it names.
func (c Config) problems() yamlfile.Problems {
	var found yamlfile.Problems
	if len(c.Upstreams) == 0 {
		found.Add("upstreams", "there is none; accepted: a list of at least one, each with a url")
	}
	prefixes := map[string]int{}
	for i, u := range c.Upstreams {
		field := fmt.Sprintf("upstreams[%d]", i)
		u.check(field, &found)
		prefix := cmp.Or(u.Prefix, "/")
		if first, taken := prefixes[prefix]; taken {
			found.Add(field+".prefix", "%q is also that of upstreams[%d]; accepted: a different one for each", prefix, first)
		} else {
			prefixes[prefix] = i
		}
	}
	for i, host := range c.PropagateTo {
		if !isHost(host) {
			found.Add(fmt.Sprintf("propagate_to[%d]", i), "%q; accepted: a host such as api.example.com, or .example.com with its subdomains", host)
		}
	}
	c.Caller.check(&found)
	return found
}

// isHost reports whether a host can be that of a URL, so that it matches any.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	name := strings.TrimPrefix(host, ".")
	u, err := url.Parse("https://" + name)
	return err == nil && u.Host == name && u.Hostname() != "" && !strings.ContainsAny(name, "*, ")
}

// check returns the problems as an error.
func (c Config) check() error {
	var all []error
	for _, p := range c.problems() {
		all = append(all, errors.New(p.String()))
	}
	return errors.Join(all...)
}

func (u Upstream) check(field string, found *yamlfile.Problems) {
	target, err := parseURL(u.URL)
	if err != nil {
		found.Add(field+".url", "%v", err)
	}
	if u.Prefix != "" && u.Prefix != "/" && !isPrefix(u.Prefix) {
		found.Add(field+".prefix", `%q; accepted: a path such as "/deepseek", of letters, digits and "-._~", without "/" at its end`, u.Prefix)
	}
	for i, route := range u.Routes {
		if _, err := parseTemplate(route); err != nil {
			found.Add(fmt.Sprintf("%s.routes[%d]", field, i), "%v", err)
		}
	}
	if u.Provider != strings.ToLower(u.Provider) || strings.ContainsFunc(u.Provider, unicode.IsSpace) {
		found.Add(field+".provider", "%q; accepted: a value of gen_ai.provider.name such as deepseek, in lower case, without spaces", u.Provider)
	}
	if u.Timeout < 0 {
		found.Add(field+".timeout", "%v; accepted: a duration such as 30s, or 0 for %v", u.Timeout, defaultTimeout)
	}
	switch {
	case u.TLS == ClientTLS{}:
	case err == nil && target.Scheme != "https":
		found.Add(field+".tls", "the url has scheme %s; accepted: https with it", target.Scheme)
	case (u.TLS.CertFile == "") != (u.TLS.KeyFile == ""):
		found.Add(field+".tls", "one of cert_file and key_file is missing; accepted: both or none")
	}
}

// isPrefix tells whether a path is the same however it is escaped, so that what
// follows it can be cut off the bytes that the client sent.
func isPrefix(path string) bool {
	if path[0] != '/' {
		return false
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		plain := strings.Trim(segment, alphanumeric+"-._~") == ""
		if !plain || segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func (c Caller) check(found *yamlfile.Problems) {
	const most = 100 // of llm.Config
	switch {
	case c.Header != "" && c.KeyFingerprint:
		found.Add("caller", "there are header and key_fingerprint; accepted: one of them")
	case c.Header == "" && len(c.Allowed) > 0:
		found.Add("caller.allowed", "there is no header; accepted: with a header")
	case c.Header != "" && len(c.Allowed) == 0:
		found.Add("caller.allowed", "there is none; accepted: the values that the header %s may have, up to %d", c.Header, most)
	case len(c.Allowed) > most:
		found.Add("caller.allowed", "there are %d; accepted: up to %d", len(c.Allowed), most)
	}
	if strings.Trim(c.Header, alphanumeric+"!#$%&'*+-.^_`|~") != "" { // RFC 9110, 5.6.2
		found.Add("caller.header", "%q; accepted: the name of a header", c.Header)
	}
}

// parseURL returns the URL of an upstream. Its errors do not tell what may be a
// secret in it.
func parseURL(text string) (*url.URL, error) {
	const accepted = "accepted: http, https or h2c"
	if text == "" {
		return nil, errors.New("missing; accepted: a URL such as https://api.deepseek.com")
	}
	shown := masked(text)
	scheme, _, ok := strings.Cut(text, "://")
	if !ok {
		return nil, fmt.Errorf("%q has no scheme; %s", shown, accepted)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL", shown)
	}
	switch u.Scheme {
	case "http", "https", "h2c":
	default:
		return nil, fmt.Errorf("%q has scheme %s; %s", shown, scheme, accepted)
	}
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("%q has a user name or password; accepted: credentials in the headers that the client sends", shown)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", shown)
	case !validPort(u):
		return nil, fmt.Errorf("%q has port %q; accepted: 1 to 65535", shown, u.Port())
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q has a query or fragment; accepted: scheme, host, port and path", shown)
	}
	return u, nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// masked returns a URL, valid or not, without what may be a secret.
func masked(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	} else {
		scheme += "://"
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "***" + rest[at:]
	}
	if query := strings.IndexAny(rest, "?#"); query >= 0 {
		rest = rest[:query+1] + "***"
	}
	return scheme + rest
}
