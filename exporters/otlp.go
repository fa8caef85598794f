package exporters

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
)

// OTLP configures the push to an OpenTelemetry Collector. The zero value
// pushes all three signals to localhost:4317 over gRPC, compressed with gzip.
type OTLP struct {
	// Endpoint is host:port or an http or https URL, for all signals. Over
	// HTTP, /v1/traces, /v1/metrics and /v1/logs are appended. Without a
	// scheme a loopback address is spoken to in plaintext, any other over TLS.
	// Default OTEL_EXPORTER_OTLP_[SIGNAL_]ENDPOINT, then localhost:4317.
	Endpoint string

	// Protocol is "grpc" or "http/protobuf". Default
	// OTEL_EXPORTER_OTLP_[SIGNAL_]PROTOCOL, then http/protobuf for port 4318
	// or a URL with a path, else grpc.
	Protocol string

	// Headers go with each request, such as credentials; they are added to
	// those of OTEL_EXPORTER_OTLP_[SIGNAL_]HEADERS and never shown.
	Headers map[string]string

	// TLS replaces the configuration made from
	// OTEL_EXPORTER_OTLP_[SIGNAL_]{CERTIFICATE,CLIENT_CERTIFICATE,CLIENT_KEY}.
	TLS *tls.Config

	// Timeout bounds one attempt, so that a Collector that hangs is tried
	// again. Default OTEL_EXPORTER_OTLP_[SIGNAL_]TIMEOUT, then 5 s.
	Timeout time.Duration

	// RetryWindow is how long a batch of spans or log records is tried before
	// it is given up. Default OTEL_BSP_EXPORT_TIMEOUT and
	// OTEL_BLRP_EXPORT_TIMEOUT, then 10 min. Metrics are cumulative: the next
	// export, OTEL_METRIC_EXPORT_INTERVAL later, carries what one missed.
	RetryWindow time.Duration

	// MetricInterval is the time between two metric exports. Default
	// OTEL_METRIC_EXPORT_INTERVAL, then 60 s.
	MetricInterval time.Duration

	// ExponentialHistograms sends base-2 exponential histograms, which
	// Prometheus stores as native ones, in place of explicit buckets. Default
	// OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION, then explicit.
	ExponentialHistograms bool

	// DisableTraces, DisableMetrics and DisableLogs leave a signal out.
	DisableTraces, DisableMetrics, DisableLogs bool

	// Logger gets the few lines about delivery: first failure, recovery, loss.
	// Default [slog.Default].
	Logger *slog.Logger
}

// OTLPPipeline is a running push. Its parts belong to the SDK's providers,
// which shut them down; a part is nil when its signal is disabled or could not
// be started.
type OTLPPipeline struct {
	Spans   sdktrace.SpanProcessor
	Metrics sdkmetric.Reader
	Logs    sdklog.Processor

	gates []*gate
}

// Start makes the pipeline. It never waits for the network: the Collector may
// come up later. The pipeline is never nil; with an error it holds the signals
// that could be started. The caller registers its parts with providers, whose
// Shutdown stops the goroutines and closes the connections.
func (o OTLP) Start(ctx context.Context) (*OTLPPipeline, error) {
	vars := &env.Reader{}
	p := &OTLPPipeline{}
	start := starter{
		config:    o,
		vars:      vars,
		log:       diag.New(o.Logger, nil),
		transport: make(map[connection]*transport),
	}
	if !o.DisableTraces {
		p.add(start.open(signalTraces, func(s settings, g *gate) error {
			return start.spans(ctx, s, g, p)
		}))
	}
	if !o.DisableMetrics {
		p.add(start.open(signalMetrics, func(s settings, g *gate) error {
			return start.metrics(ctx, s, g, p)
		}))
	}
	if !o.DisableLogs {
		p.add(start.open(signalLogs, func(s settings, g *gate) error {
			return start.logs(ctx, s, g, p)
		}))
	}
	return p, vars.Err()
}

func (p *OTLPPipeline) add(g *gate) {
	if g != nil {
		p.gates = append(p.gates, g)
	}
}

// Endpoint returns the addresses that are pushed to, joined with commas; "" for
// none.
func (p *OTLPPipeline) Endpoint() string {
	var addresses []string
	for _, g := range p.gates {
		if address := g.transport.link.address; !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return strings.Join(addresses, ",")
}

// Drain bounds every export from now on, running ones included, by ctx. Call
// it before the providers' Shutdown: the SDK's own goes on exporting in the
// background after its deadline. A Collector that has refused every attempt so
// far is given one second, so that a program without one ends promptly.
func (p *OTLPPipeline) Drain(ctx context.Context) {
	for _, g := range p.gates {
		g.drain(ctx)
	}
}

// Close ends at once what the providers' Shutdown left running: the SDK's own
// gives up half-way when its context ends. Call it after that.
func (p *OTLPPipeline) Close() {
	for _, g := range p.gates {
		g.close()
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if p.Spans != nil {
		_ = p.Spans.Shutdown(over) // says that its context is over
	}
	if p.Logs != nil {
		_ = p.Logs.Shutdown(over)
	}
	for _, g := range p.gates {
		g.end()
	}
}

// TakeError returns how much was not delivered since the last call and the
// latest reason, joined over the signals, and forgets it. Metrics count only
// when their last export failed, because they are cumulative. The SDK's
// providers do not see these errors: they would print them.
func (p *OTLPPipeline) TakeError() error {
	return takeErrors(p.gates)
}

// starter holds what the signals share while they are opened.
type starter struct {
	config    OTLP
	vars      *env.Reader
	log       *diag.Log
	transport map[connection]*transport
}

// open reads a signal's settings, connects it and hands over to start. It
// returns nil after reporting what went wrong.
func (s *starter) open(signal string, start func(settings, *gate) error) *gate {
	set, ok := s.config.settings(s.vars, signal)
	if !ok {
		return nil
	}
	t, err := s.connect(set)
	if err != nil {
		s.vars.Add(fmt.Errorf("connecting %s to %s: %w", signal, set.endpoint, err))
		return nil
	}
	g := newGate(signal, t, s.log)
	if err := start(set, g); err != nil {
		t.release()
		s.vars.Add(fmt.Errorf("starting the %s exporter to %s: %w", signal, set.endpoint, err))
		return nil
	}
	return g
}

// connect returns the transport for the settings; signals with the same
// endpoint and credentials share one.
func (s *starter) connect(set settings) (*transport, error) {
	key := set.connection()
	if t := s.transport[key]; t != nil {
		t.users.Add(1)
		return t, nil
	}
	t, err := newTransport(set, s.log)
	if err == nil {
		s.transport[key] = t
	}
	return t, err
}
