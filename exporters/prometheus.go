package exporters

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.yaml.in/yaml/v2"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// Prometheus configures the metrics endpoint. The zero value serves
// http://localhost:9464/metrics from a listener and a registry of its own.
type Prometheus struct {
	// Address to listen on, host:port; port 0 takes a free one, which
	// [PrometheusServer.URL] reports. The default is loopback alone, because
	// metrics tell much about a service; in a container use ":9464". Default
	// OTEL_EXPORTER_PROMETHEUS_HOST and _PORT, then localhost:9464.
	Address string

	// Listen opens the listener, such as one that was handed over by a
	// supervisor; address is host:port. TLS of the web configuration file is put on
	// top, and Shutdown closes it. Nil is taken for an error. Default: TCP.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// DisableListener serves nothing, for those who mount
	// [PrometheusServer.Handler] on a server of their own.
	DisableListener bool

	// WebConfigFile names a file in the format of Prometheus'
	// exporter-toolkit that sets TLS and basic authentication for the
	// listener. Default OTELMON_PROMETHEUS_WEB_CONFIG_FILE, then none.
	WebConfigFile string

	// NativeHistograms collects exponential histograms and serves them as
	// native ones. Only the protobuf format carries them: Prometheus must
	// have native histograms switched on for the scrape.
	NativeHistograms bool

	// Handlers adds pages to the listener, by [http.ServeMux] pattern. Whoever
	// reaches the metrics reaches them too. No time limit cuts them off, for
	// the sake of live pages and profiles; but of 256 open connections, the
	// oldest give way to new ones, be they live pages. Without a listener they
	// are an error.
	Handlers map[string]http.Handler

	// Logger gets errors of collection and serving, at most one of a kind a
	// minute. Default [slog.Default].
	Logger *slog.Logger
}

// PrometheusServer is a running metrics endpoint.
type PrometheusServer struct {
	// Reader is to be registered with a MeterProvider, which shuts it down.
	Reader sdkmetric.Reader

	registry  *prometheus.Registry
	failures  failures
	pages     *pages
	server    *http.Server
	listener  net.Listener
	tls       bool
	webConfig string
	served    chan struct{}
	log       *diag.Log
}

// Start opens the listener and serves. The server is never nil: with an error,
// such as a port in use, its Reader and Handler work all the same. The caller
// calls Shutdown.
func (p Prometheus) Start(ctx context.Context) (*PrometheusServer, error) {
	vars := env.FromContext(ctx)
	s := &PrometheusServer{registry: prometheus.NewRegistry(), log: diag.New(p.Logger, nil)}
	s.failures.log = s.log
	s.pages = newPages(s.gather, &s.failures)
	reader, err := otelprom.New(
		otelprom.WithRegisterer(s.registry),
		otelprom.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		otelprom.WithoutScopeInfo(),
		otelprom.WithResourceAsConstantLabels(identity),
		otelprom.WithAggregationSelector(aggregation(p.NativeHistograms)))
	if err != nil {
		return s, fmt.Errorf("making the Prometheus reader: %w", err)
	}
	s.Reader = reader
	switch {
	case !p.DisableListener:
		vars.Add(p.listen(ctx, s, vars))
	case len(p.Handlers) > 0:
		vars.Add(fmt.Errorf("Prometheus.Handlers are not served (%s), because there is no listener (Prometheus.DisableListener); accepted: one or the other",
			strings.Join(slices.Sorted(maps.Keys(p.Handlers)), ", ")))
	}
	return s, vars.Err()
}

func identity(kv attribute.KeyValue) bool {
	return slices.Contains(telemetry.Identity(), kv.Key)
}

func (p Prometheus) listen(ctx context.Context, s *PrometheusServer, vars *env.Reader) error {
	address, variables := p.address(vars)
	webConfig := p.webConfig(vars)
	if err := validate(webConfig); err != nil {
		vars.Note("OTELMON_PROMETHEUS_WEB_CONFIG_FILE", "metrics are not served: "+err.Error())
		return fmt.Errorf("metrics are not served: %w", err)
	}
	s.pages.conns = newConnections(maxConnections, s.log)
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.pages)
	for pattern, handler := range p.Handlers {
		vars.Add(mount(mux, pattern, handler))
	}
	listen := p.Listen
	if listen == nil {
		listen = (&net.ListenConfig{}).Listen
	}
	listener, err := listen(ctx, "tcp", address)
	if err == nil && listener == nil {
		err = errors.New("Prometheus.Listen returned no listener and no error")
	}
	if err != nil {
		vars.Note("OTEL_EXPORTER_PROMETHEUS_PORT", "metrics are not served: "+err.Error())
		return fmt.Errorf("metrics are not served: %s: %w; accepted: a free address of this machine, port 0 for any free port", variables, err)
	}
	s.listener = listener
	s.tls, s.webConfig = usesTLS(webConfig), webConfig
	s.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnContext:       s.pages.conns.remember,
		ConnState:         s.pages.conns.changed,
		ErrorLog:          diag.Lines(s.serverLine),
	}
	s.served = make(chan struct{})
	go s.serve(webConfig)
	return nil
}

// mount makes an error of the panic with which ServeMux answers a bad pattern.
func mount(mux *http.ServeMux, pattern string, handler http.Handler) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("Prometheus.Handlers[%q]: %v; accepted: a pattern of http.ServeMux other than /metrics, with a handler", pattern, problem)
		}
	}()
	mux.Handle(pattern, handler)
	return nil
}

// address returns where to listen and how the configuration calls it.
func (p Prometheus) address(vars *env.Reader) (address, name string) {
	if p.Address != "" {
		p.addressWins(vars)
		return p.Address, fmt.Sprintf("Prometheus.Address=%q", p.Address)
	}
	host := vars.String("OTEL_EXPORTER_PROMETHEUS_HOST")
	if host != "" && !validHost(host) {
		vars.Report("OTEL_EXPORTER_PROMETHEUS_HOST", "not an address, localhost is used")
		host = ""
	}
	if host == "" {
		host = "localhost"
		vars.Holds("OTEL_EXPORTER_PROMETHEUS_HOST", host, env.FromDefault)
	}
	port := vars.Int("OTEL_EXPORTER_PROMETHEUS_PORT", 9464, 0, 65535)
	return net.JoinHostPort(host, strconv.Itoa(port)),
		fmt.Sprintf("OTEL_EXPORTER_PROMETHEUS_HOST=%q OTEL_EXPORTER_PROMETHEUS_PORT=%d", host, port)
}

// addressWins records the field under its two variables. A port that is a name,
// or an address that is none, is for the listener to judge.
func (p Prometheus) addressWins(vars *env.Reader) {
	host, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		host = p.Address
	}
	vars.Field("OTEL_EXPORTER_PROMETHEUS_HOST", "Prometheus.Address", host)
	vars.Field("OTEL_EXPORTER_PROMETHEUS_PORT", "Prometheus.Address", port)
}

func (p Prometheus) webConfig(vars *env.Reader) string {
	const name = "OTELMON_PROMETHEUS_WEB_CONFIG_FILE"
	if p.WebConfigFile != "" {
		vars.Field(name, "Prometheus.WebConfigFile", p.WebConfigFile)
		return p.WebConfigFile
	}
	return vars.String(name)
}

func (s *PrometheusServer) serve(webConfig string) {
	defer close(s.served)
	noSystemd := false
	err := web.Serve(relieved{s.listener, s.pages.conns}, s.server,
		&web.FlagConfig{WebConfigFile: &webConfig, WebSystemdSocket: &noSystemd},
		slog.New(slog.DiscardHandler))
	_ = s.listener.Close() // Serve leaves it open when the file went bad meanwhile
	if !errors.Is(err, http.ErrServerClosed) {
		if invalid := validate(webConfig); invalid != nil {
			err = invalid
		}
		s.log.Error("serve", "metrics are no longer served", "error", err)
	}
}

// validate checks a web configuration file, if there is one. What is wrong in
// it is not passed on, as it would quote the file, which has passwords.
func validate(webConfig string) error {
	err := web.Validate(webConfig)
	if err == nil {
		return nil
	}
	reason := "not valid, or it names a file that is not"
	var unreadable *fs.PathError
	if errors.As(err, &unreadable) && unreadable.Path == webConfig {
		reason = unreadable.Err.Error()
	}
	return fmt.Errorf("web configuration file %q: %s; accepted: a readable file in the exporter-toolkit format, passwords hashed with bcrypt", webConfig, reason)
}

// usesTLS reports whether a valid web configuration file sets a certificate,
// and not authentication alone.
func usesTLS(path string) bool {
	config, err := readWebConfig(path)
	return err == nil && config.TLSConfig.IsEnabled()
}

func readWebConfig(path string) (config web.Config, err error) {
	content, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(content, &config)
	}
	return config, err
}

// Handler answers scrapes, in OpenMetrics or protobuf when the scraper takes
// them, and so with exemplars. A scrape that comes while another is answered
// shares its page: values are at most one collection and 250 ms old. It is answered
// by 503 when a collection takes 10 s and by 500 when nothing could be collected;
// bad series are left out. A client that does not read its page in 15 s, or holds
// an old one that is in the way, is cut off. How many connections there may be is the
// business of the server that it is mounted on. Safe for concurrent use.
func (s *PrometheusServer) Handler() http.Handler { return s.pages }

// Gatherer gives the metrics to client_golang, for a push to a Pushgateway. Its
// error says what was left out; what it returns beside is good all the same.
func (s *PrometheusServer) Gatherer() prometheus.Gatherer {
	return prometheus.GathererFunc(s.gather)
}

// URL returns the address of the metrics page, "" when none is served or the
// listener is a Unix socket. A listener on all addresses or on 127.0.0.1 is shown
// as localhost.
func (s *PrometheusServer) URL() string {
	if s.listener == nil || s.listener.Addr().Network() == "unix" {
		return ""
	}
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	if host == "127.0.0.1" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	scheme := "http://"
	if s.tls {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + "/metrics"
}

// Loopback reports whether metrics can be scraped from this machine alone, or
// not at all.
func (s *PrometheusServer) Loopback() bool {
	if s.listener == nil {
		return true
	}
	tcp, ok := s.listener.Addr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Shutdown stops serving, after running scrapes or when ctx ends. It does not
// shut the Reader down.
func (s *PrometheusServer) Shutdown(ctx context.Context) error {
	if s.server == nil {
		return nil
	}
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stopping the metrics server: %w", err), s.server.Close())
	}
	<-s.served
	return err
}
