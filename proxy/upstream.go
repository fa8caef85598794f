package proxy

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/llm/price"
	"github.com/otelmon/toolkit/middleware"
)

// upstream is one API behind the proxy.
type upstream struct {
	prefix, name string
	target       url.URL // its path has no slash at the end
	via          string  // "": the header Via is left alone
	timeout      time.Duration
	routes       routes
	base         *http.Transport
	proxy        *httputil.ReverseProxy
}

func (p *Proxy) newUpstream(cfg Config, given Upstream, prices *price.Book) (*upstream, error) {
	target, err := parseURL(given.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	u := &upstream{prefix: given.Prefix, name: cmp.Or(given.Name, target.Host), target: *target, timeout: given.Timeout}
	if !isPublic(target.Hostname()) {
		u.via = "1.1 " + p.pseudonym // RFC 9110, 7.6.3
	}
	u.base, err = newTransport(given, target.Scheme, p.own)
	if err != nil {
		return nil, err
	}
	u.routes, err = newRoutes(given.Prefix, given.Routes)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	if target.Scheme == "h2c" {
		u.target.Scheme = "http"
	}
	u.target.Path, u.target.RawPath = strings.TrimSuffix(target.Path, "/"), strings.TrimSuffix(target.EscapedPath(), "/")
	u.proxy = &httputil.ReverseProxy{
		Rewrite:        u.rewrite,
		Transport:      llm.Transport(u.base, p.clientConfig(u, cfg, given.Provider, prices)),
		FlushInterval:  flushInterval,
		BufferPool:     &buffers{},
		ErrorLog:       diag.Lines(p.brokenOff),
		ModifyResponse: prepare,
		ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { p.answer(w, r, u, err) },
	}
	return u, nil
}

// flushInterval is how long a part of a response whose length is known may
// wait for more to be sent with. All other responses, such as streams, are sent at once.
const flushInterval = 2 * time.Millisecond

// prices returns the book of PricesFile over the built-in one, or nil for that
// one alone.
func (c Config) prices() (*price.Book, error) {
	if c.PricesFile == "" {
		return nil, nil //nolint:nilnil // the default of llm.Config
	}
	book, err := price.ReadFile(c.PricesFile)
	if err != nil {
		return nil, fmt.Errorf("prices_file: %w", err)
	}
	return book.Over(price.Default()), nil
}

func (p *Proxy) clientConfig(u *upstream, cfg Config, provider string, prices *price.Book) llm.Config {
	propagateTo := append([]string{}, cfg.PropagateTo...) // nil would mean all
	client := llm.Config{
		TracerProvider: p.tracers, MeterProvider: p.meters,
		HTTP:   middleware.Config{PropagateTo: propagateTo},
		Prices: prices, Models: cfg.Models, IncludeUsage: cfg.IncludeUsage,
		Caller: cfg.Caller.function(), Callers: cfg.Caller.Allowed, Memory: p.memory,
	}
	if provider != "" {
		client.Providers = map[string]string{u.target.Host: provider}
	}
	return client
}

// rewrite undoes what [httputil.ReverseProxy] changes beyond the hop.
func (u *upstream) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL, r.Out.Host = u.url(r.In.URL), ""
	r.Out.Trailer = r.In.Trailer // filled in when the body was read
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok && !isListed(name, r.In.Header["Connection"]) {
			r.Out.Header[name] = values
		}
	}
	if strings.EqualFold(r.Out.Header.Get("Upgrade"), "h2c") { // between client and proxy, if at all
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
	}
	if u.via != "" {
		r.Out.Header["Via"] = append(r.Out.Header["Via"], u.via)
	}
}

// url returns where a request goes: path and query are passed on as they were
// sent.
func (u *upstream) url(in *url.URL) *url.URL {
	out := &url.URL{
		Scheme: u.target.Scheme, Host: u.target.Host, Path: u.target.Path + in.Path[len(u.prefix):],
		RawQuery: in.RawQuery, ForceQuery: in.ForceQuery,
	}
	if in.RawPath == "" && u.target.RawPath == u.target.Path {
		return out
	}
	sent := in.RawPath
	if sent == "" {
		sent = in.EscapedPath()
	}
	out.RawPath = u.target.RawPath + sent[len(u.prefix):]
	// Package url escapes what a path must not have, such as a brace, unless it
	// is opaque; what begins with two slashes would be taken for a host then.
	if out.EscapedPath() != out.RawPath && !strings.HasPrefix(out.RawPath, "//") {
		out.Opaque = out.RawPath
	}
	return out
}

// isListed reports whether the header belongs to the connection.
func isListed(name string, connection []string) bool {
	for _, value := range connection {
		for listed := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(listed), name) {
				return true
			}
		}
	}
	return false
}

// prepare makes the response one that net/http can send.
func prepare(r *http.Response) error {
	if r.StatusCode < 100 {
		return fmt.Errorf("status code %d", r.StatusCode)
	}
	if len(r.Trailer) > 0 && r.Request.ProtoMajor == 1 { // in HTTP/2 there may be both
		r.Header.Del("Content-Length")
	}
	return nil
}

// answer tells the client why there is no response.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, u *upstream, err error) {
	x, ok := w.(*exchange)
	switch cause := context.Cause(r.Context()); {
	case cause == errStalled: //nolint:errorlint // never wrapped
	case cause != nil: // the client left
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to send nothing
	case ok && x.body.failed.Load():
		unreadable().write(w)
		return
	}
	failure := failure.Of(r.Context(), err)
	p.log.Warn(u.name+failure.ErrorType(), "a request to an upstream failed", "upstream", u.name, "error", failure.Error())
	p.failed(r.Context(), u, failure.ErrorType())
	failed(failure.ErrorType(), u.name).write(w)
}

// brokenOff takes what httputil logs: a response that broke off.
func (p *Proxy) brokenOff(line string) {
	p.log.Warn("copy", "a response could not be passed on to its end", "error", line)
}

// buffers are those that responses are copied with. A stream holds one all the
// time.
type buffers struct{ pool sync.Pool }

const bufferSize = 16 << 10

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return make([]byte, bufferSize)
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(buffer []byte) {
	if len(buffer) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buffer))
	}
}
