package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/middleware"
)

// Proxy passes requests on to upstreams and measures them.
type Proxy struct {
	upstreams atomic.Pointer[[]*upstream] // longest prefix first
	measured  http.Handler                // in front of forward
	tracers   trace.TracerProvider
	meters    metric.MeterProvider
	own       *connections
	memory    *llm.Memory
	pseudonym string // in the header Via
	failures  metric.Int64Counter
	log       *diag.Log
}

// New returns the proxy of a configuration. Its errors tell the field and what
// is accepted. The files that the configuration names are read now.
//
// Requests and responses go through as they are, byte for byte and as they
// come: path and query, headers, bodies of any length, trailers, informational
// responses, WebSocket and other upgraded connections. What differs:
//
//   - what belongs to one connection: hop-by-hop headers, the Host, the version
//     of HTTP, the order of headers and the case of their names. An upgrade to
//     HTTP/2 is not passed on, and one to anything but WebSocket only by HTTP/1;
//   - the headers that tell a trace, see Config.PropagateTo;
//   - the header Via with a random name of this proxy, to upstreams that are not
//     on the Internet by their host: see Upstream.URL;
//   - what llm.Config says of calls of LLM APIs;
//   - what net/http does: a missing Date is added, a response 304 has neither
//     Content-Type nor Content-Length, and a path that begins with two slashes is
//     escaped where it is no URL.
//
// Instead of a response the client gets 502 when the upstream cannot be
// reached, 504 when it does not answer in time, 508 when it leads back to this
// proxy and 404 when there is none for the path, each with an error in JSON. A response
// that breaks off on the side of the upstream breaks off for the client. A
// client that leaves, or closes its direction of the connection, cancels the
// request to the upstream.
//
// Both sides are measured: requests as by [middleware.Handler], what is sent to
// upstreams as by llm.Transport; and what the proxy answered for an upstream is
// counted in otelmon.proxy.upstream.failures, by upstream and error.type.
//
// It follows HTTPS_PROXY and the like, as [http.ProxyFromEnvironment] does.
// Make a Proxy once and let [Proxy.Reload] change it: its metrics are observed
// for as long as the MeterProvider lives.
func New(cfg Config) (*Proxy, error) {
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = otel.GetMeterProvider()
	}
	p := &Proxy{
		tracers: cfg.TracerProvider, meters: cfg.MeterProvider,
		own: newConnections(), memory: &llm.Memory{}, pseudonym: "otelmon-" + rand.Text(), log: diag.New(cfg.Logger, nil),
	}
	var err error
	p.failures, err = telemetry.Meter(p.meters, "proxy").Int64Counter(telemetry.ProxyUpstreamFailures,
		metric.WithUnit("{failure}"), metric.WithDescription("Requests that the proxy answered because the upstream did not."))
	if err != nil {
		return nil, fmt.Errorf("making the counter of failures: %w", err)
	}
	if err := p.Reload(cfg); err != nil {
		return nil, err
	}
	p.measured = middleware.Handler(http.HandlerFunc(p.forward), middleware.Config{
		TracerProvider: p.tracers, MeterProvider: p.meters, Route: p.route,
	})
	return p, nil
}

// Reload has new requests go by another configuration, whose files are read
// now; requests that are under way go on by the former one. What
// was learnt from calls of LLM APIs is kept; the providers and the Logger remain
// those of New. With an error, which is one of New, nothing changes. Safe for
// concurrent use.
func (p *Proxy) Reload(cfg Config) error {
	upstreams, err := p.newUpstreams(cfg)
	if err != nil {
		return err
	}
	if former := p.upstreams.Swap(&upstreams); former != nil {
		closeIdle(*former)
	}
	return nil
}

func (p *Proxy) newUpstreams(cfg Config) ([]*upstream, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	prices, err := cfg.prices()
	if err != nil {
		return nil, err
	}
	var upstreams []*upstream
	for i, u := range cfg.Upstreams {
		made, err := p.newUpstream(cfg, u.defaults(), prices)
		if err != nil {
			return nil, fmt.Errorf("upstreams[%d].%w", i, err)
		}
		upstreams = append(upstreams, made)
	}
	slices.SortFunc(upstreams, func(a, b *upstream) int { return len(b.prefix) - len(a.prefix) })
	return upstreams, nil
}

// Close closes the connections to upstreams that are idle. Requests that are
// under way go on, and close theirs. It never fails.
func (p *Proxy) Close() { closeIdle(*p.upstreams.Load()) }

func closeIdle(upstreams []*upstream) {
	for _, u := range upstreams {
		u.base.CloseIdleConnections()
	}
}

// ServeHTTP passes the request on. Safe for concurrent use.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.measured.ServeHTTP(w, r) }

// route returns the http.route of the request, or "".
func (p *Proxy) route(r *http.Request) string {
	u, path := p.upstreamOf(r)
	if u == nil {
		return ""
	}
	return u.routes.of(path)
}

// upstreamOf returns the upstream of the request, and the path without its
// prefix, as it was sent. It returns nil where there is none.
func (p *Proxy) upstreamOf(r *http.Request) (*upstream, string) {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	if r.URL.Opaque != "" {
		return nil, ""
	}
	for _, u := range *p.upstreams.Load() {
		if rest, ok := strings.CutPrefix(path, u.prefix); ok && (rest == "" || rest[0] == '/') {
			return u, rest
		}
	}
	return nil, ""
}

// forward passes the request on to its upstream.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		tunnelRefused().write(w)
		return
	}
	u, _ := p.upstreamOf(r)
	switch {
	case u == nil:
		noUpstream().write(w)
		return
	case p.own.made(r) || p.sent(r):
		p.log.Warn("loop"+u.name, "a request came back to this proxy", "upstream", u.name)
		p.failed(r.Context(), u, telemetry.ErrorLoop)
		loop(u.name).write(w)
		return
	}
	x := &exchange{ResponseWriter: w}
	defer x.end(r)
	u.proxy.ServeHTTP(x, x.takeBody(r, u.timeout))
}

// sent reports whether the request went through this proxy before, as Via
// tells.
func (p *Proxy) sent(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Via"], func(via string) bool { return strings.Contains(via, p.pseudonym) })
}

// failed counts a request that the proxy answers because the upstream did not.
func (p *Proxy) failed(ctx context.Context, u *upstream, errorType string) {
	p.failures.Add(ctx, 1, metric.WithAttributes(telemetry.ProxyUpstream.String(u.name), telemetry.ErrorType.String(errorType)))
}
