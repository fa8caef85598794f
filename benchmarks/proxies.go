package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/proxy"
)

// Names of the proxies.
const (
	nameReverse      = "ReverseProxy"
	nameReverseAgain = "ReverseProxy, another process"
	nameSidecar      = "otelmon, 1 % sampled"
	nameSidecarAll   = "otelmon, all sampled"
	nameNginx        = "nginx"
)

// upstreamVariable is where proxies send requests.
const upstreamVariable = "OTELMON_BENCHMARKS_UPSTREAM"

// serveReverse is httputil.ReverseProxy, tuned and mended as far as that goes.
func serveReverse() error {
	target, err := url.Parse(os.Getenv(upstreamVariable))
	if err != nil {
		return fmt.Errorf("reading %s: %w", upstreamVariable, err)
	}
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 10_000, IdleConnTimeout: 45 * time.Second},
		FlushInterval: -1,
		BufferPool:    &buffers{},
	}
	return serve(context.Background(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// Else one answer in a hundred breaks off on a busy machine: the server
			// closes the body of the request before the transport saw its end.
			_ = http.NewResponseController(w).EnableFullDuplex() // net/http's writer can
		}
		reverse.ServeHTTP(w, r)
	}))
}

// buffers has those of the length that httputil.ReverseProxy makes itself.
type buffers struct{ pool sync.Pool }

const bufferBytes = 32 << 10

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferBytes]byte); ok {
		return buffer[:]
	}
	return make([]byte, bufferBytes)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferBytes]byte)(buffer)) }

// serveSidecar is what otelmon proxy does. The variables of OpenTelemetry say
// how much is sampled, and where the Collector is.
func serveSidecar() error {
	ctx := context.Background()
	sdk, err := otelmon.Setup(ctx, otelmon.Config{
		ServiceName: "benchmarks",
		Prometheus:  exporters.Prometheus{Address: "127.0.0.1:0"},
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return fmt.Errorf("setting otelmon up: %w", err)
	}
	p, err := proxy.New(proxy.Config{Upstreams: []proxy.Upstream{{URL: os.Getenv(upstreamVariable), Provider: "deepseek"}}})
	if err != nil {
		return fmt.Errorf("making the proxy: %w", err)
	}
	return errors.Join(serve(ctx, p), sdk.Shutdown(ctx))
}

// proxies says what all proxies of a comparison work with.
type proxies struct {
	upstream   *process
	collectors map[string]*collector // by the proxy that reports to it
	nginx      string                // the program, or empty
}

func startProxies(ctx context.Context) (*proxies, error) {
	p := &proxies{collectors: map[string]*collector{}, nginx: findNginx()}
	var err error
	if p.upstream, err = startProcess(ctx, roleUpstream); err != nil {
		return nil, err
	}
	for _, name := range []string{nameSidecar, nameSidecarAll} {
		to, err := startCollector(ctx)
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		p.collectors[name] = to
	}
	return p, nil
}

func (p *proxies) stop() error {
	err := p.upstream.stop()
	for _, to := range p.collectors {
		err = errors.Join(err, to.stop())
	}
	return err
}

// present leaves out nginx where it is not installed.
func (p *proxies) present(names ...string) []string {
	var found []string
	for _, name := range names {
		if name != nameNginx || p.nginx != "" {
			found = append(found, name)
		}
	}
	return found
}

// start starts one of them.
func (p *proxies) start(ctx context.Context, name string) (*process, error) {
	target := "http://" + p.upstream.addresses[0]
	switch name {
	case nameNginx:
		return p.startNginx(ctx)
	case nameSidecar, nameSidecarAll:
		share := "0.01"
		if name == nameSidecarAll {
			share = "1"
		}
		return startProcess(ctx, roleSidecar, upstreamVariable+"="+target, endpointVariable+"=http://"+p.collectors[name].grpc,
			"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG="+share)
	}
	return startProcess(ctx, roleReverse, upstreamVariable+"="+target)
}

// findNginx looks where Debian has it, too, which is not in everybody's path.
func findNginx() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// nginxConfiguration takes the addresses to listen at and to pass requests to.
const nginxConfiguration = `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path client; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	client_max_body_size 0;
	keepalive_timeout 1h;
	keepalive_requests 1000000000;
	upstream benchmark { server %[2]s; keepalive 1024; keepalive_requests 1000000000; }
	server {
		listen %[1]s;
		location / {
			proxy_pass http://benchmark;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
			proxy_request_buffering off;
		}
	}
}
`

// startNginx starts it as one process.
func (p *proxies) startNginx(ctx context.Context) (*process, error) {
	folder, err := os.MkdirTemp("", "nginx")
	if err != nil {
		return nil, fmt.Errorf("starting nginx: %w", err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(nginxConfiguration, address, p.upstream.addresses[0])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configuring nginx: %w", err)
	}
	c := exec.CommandContext(ctx, p.nginx, "-p", folder, "-c", file, "-e", "stderr") //nolint:gosec // it was looked up
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("starting nginx: %w", err)
	}
	started := &process{addresses: []string{address}, command: c, stdin: terminated{c.Process}, folder: folder}
	if err := listening(ctx, address); err != nil {
		return nil, errors.Join(err, started.stop())
	}
	return started, nil
}

// terminated ends a process by a signal.
type terminated struct{ *os.Process }

func (t terminated) Close() error { return t.Signal(syscall.SIGTERM) }

// freeAddress is one at which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// listening waits until somebody does.
func listening(ctx context.Context, address string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for nginx: %w", err)
		}
	}
}

// nginxVersion is for the page.
func nginxVersion(ctx context.Context, program string) string {
	if program == "" {
		return "nginx is not installed here and takes no part"
	}
	text, err := exec.CommandContext(ctx, program, "-v").CombinedOutput()
	if err != nil {
		return err.Error()
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(text)), "nginx/")
	return version
}
