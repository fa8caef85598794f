package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/proxy"
)

// cutOffTime is how long requests may take to end once they are cut off.
const cutOffTime = 5 * time.Second

// service is a running proxy with its listener.
type service struct {
	from    sources
	drain   time.Duration
	proxy   *proxy.Proxy
	handler *handler
	tls     certificates
	server  *http.Server
	cutOff  context.CancelFunc
	ready   *atomic.Bool
	reloads metric.Int64Counter
	log     *slog.Logger
}

func newService(from sources, o options, log *slog.Logger, ready *atomic.Bool) (*service, error) {
	s := &service{from: from, drain: o.drain, ready: ready, log: log}
	if err := s.tls.load(o.tls); err != nil {
		return nil, err
	}
	o.proxy.Logger = log
	var err error
	if s.proxy, err = proxy.New(o.proxy); err != nil {
		return nil, from.inUsersTerms(err, o.proxy)
	}
	s.handler = &handler{next: s.proxy}
	s.reloads, err = telemetry.Meter(otel.GetMeterProvider(), "cmd/otelmon").Int64Counter(telemetry.ProxyReloads,
		metric.WithUnit("{reload}"), metric.WithDescription("Times that the proxy was told to read its files again."))
	if err != nil {
		return nil, fmt.Errorf("making the counter of reloads: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cutOff = cancel
	s.server = newServer(ctx, s.handler, log)
	if o.tls.certFile != "" {
		s.server.TLSConfig = s.tls.config()
	}
	return s, nil
}

// newServer has no limits for bodies, which may be streams of any length.
func newServer(ctx context.Context, handler http.Handler, logger *slog.Logger) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          diag.Lines(serverLine(diag.New(logger, nil))),
	}
}

// serverLine limits what net/http says, most of which clients can cause.
func serverLine(log *diag.Log) func(line string) {
	return func(line string) {
		if strings.HasPrefix(line, "http: panic") {
			log.Error("panic", "a request panicked", "error", line)
		} else {
			log.Warn("server", "HTTP server", "error", line)
		}
	}
}

// apply has new requests go by o; those under way are not touched.
func (s *service) apply(o options) error {
	latest, err := o.tls.load()
	if err != nil {
		return err
	}
	if err := s.proxy.Reload(o.proxy); err != nil {
		return s.from.inUsersTerms(err, o.proxy)
	}
	s.tls.latest.Store(latest)
	return nil
}

// serve returns when ctx has ended, or with an error when no more requests can
// be taken. Either way finish has to follow.
func (s *service) serve(ctx context.Context, listener net.Listener, hangups <-chan os.Signal) error {
	served := make(chan error, 1)
	go func() {
		if s.server.TLSConfig != nil {
			served <- s.server.ServeTLS(listener, "", "")
		} else {
			served <- s.server.Serve(listener)
		}
	}()
	for {
		select {
		case <-hangups:
			s.reload()
		case err := <-served:
			return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
		case <-ctx.Done():
			return nil
		}
	}
}

// reload reads all files again. What is wrong in them changes nothing.
func (s *service) reload() {
	next, err := s.from.read()
	if err == nil {
		err = s.apply(next)
	}
	if err != nil {
		s.reloads.Add(context.Background(), 1, metric.WithAttributes(telemetry.ErrorType.String("configuration")))
		s.log.Error("not reloaded, the former configuration stays", "error", err)
		return
	}
	s.reloads.Add(context.Background(), 1)
	s.log.Info("reloaded", "upstreams", strings.Join(upstreamNames(next), ", "))
}

// finish takes no more requests and waits for those under way, upgraded
// connections included.
func (s *service) finish() error {
	defer s.proxy.Close()
	defer s.cutOff()
	s.ready.Store(false)
	s.log.Info("stopping", "requests", s.handler.active.Load(), "drain", s.drain)
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	err := s.server.Shutdown(ctx)
	s.handler.stop()
	if s.handler.wait(ctx) && err == nil {
		return nil
	}
	cut := s.handler.active.Load()
	s.cutOff()
	err = s.server.Close()
	ctx, cancel = context.WithTimeout(context.Background(), cutOffTime)
	defer cancel()
	s.handler.wait(ctx)
	if cut > 0 {
		err = fmt.Errorf("requests cut off after %v, see --drain: %d", s.drain, cut)
	}
	return err
}

// upstreamNames are prefixes and names; URLs may hold credentials.
func upstreamNames(o options) (names []string) {
	for _, u := range o.proxy.Upstreams {
		name := u.Name
		if target, err := url.Parse(u.URL); err == nil {
			name = cmp.Or(name, target.Host)
		}
		names = append(names, cmp.Or(u.Prefix, "/")+" "+name)
	}
	return names
}
