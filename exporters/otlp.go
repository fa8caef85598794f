package exporters

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
)

// OTLP configures the push to an OpenTelemetry Collector. The zero value
// pushes all three signals to localhost:4317 over gRPC, compressed with gzip.
// Text that is not UTF-8 is repaired, because it would make a whole request
// undeliverable.
//
// Spans and log records are encoded as they end and wait in a queue for each,
// which is bounded in items and in memory and never blocks: the oldest make room
// for the newest. Requests have at most 3.5 MiB. A request is tried again, 1 s to 5 s
// apart or as the peer asks, until the retry window is over; what is refused
// for good is dropped at once. Every item is accounted for, see
// [OTLPPipeline.Observe].
//
// The exporter of the OpenTelemetry project that encodes metrics looks at the
// OTEL_EXPORTER_OTLP_* variables too, without effect, and reports what it
// cannot parse to OpenTelemetry's global logger: an endpoint without a scheme,
// such as 127.0.0.1:4317, makes a line on standard error. Package otelmon keeps
// that logger quiet unless its globals are disabled; those who use this package
// alone can do so with otel.SetLogger before Start.
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
	// those of OTEL_EXPORTER_OTLP_[SIGNAL_]HEADERS and never shown. A redirect
	// is not followed, since it would take them to another host.
	Headers map[string]string

	// TLS replaces the configuration made from
	// OTEL_EXPORTER_OTLP_[SIGNAL_]{CERTIFICATE,CLIENT_CERTIFICATE,CLIENT_KEY}.
	// It is copied.
	TLS *tls.Config

	// Timeout bounds one attempt, so that a Collector that hangs is tried
	// again; an attempt after one that took too long may take twice as long.
	// Default OTEL_EXPORTER_OTLP_[SIGNAL_]TIMEOUT, then 5 s.
	Timeout time.Duration

	// RetryWindow is how long a batch of spans or log records is tried before
	// it is given up. Default OTEL_BSP_EXPORT_TIMEOUT and
	// OTEL_BLRP_EXPORT_TIMEOUT, then 10 min. Metrics are tried for
	// OTEL_METRIC_EXPORT_TIMEOUT: as they are cumulative, the next export
	// carries what one missed. With delta temporality it is lost.
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

	// QueueBytes is the live memory, in bytes, that spans and log records may
	// take together while they wait to be delivered or are in flight; each
	// signal has half of it, or all where the other is disabled. The oldest make
	// room for the newest. Go's garbage collector lets a process take up to
	// twice as much, see GOGC and GOMEMLIMIT. At least 128 KiB. Default
	// OTELMON_OTLP_QUEUE_BYTES, then 64 MiB.
	QueueBytes int

	// MaxValueBytes cuts longer attribute values of spans and log records, which
	// is counted; the body of a log record is never cut. Negative means that none
	// is cut. Default four times
	// OTEL_[SPAN_|LOGRECORD_]ATTRIBUTE_VALUE_LENGTH_LIMIT, which counts
	// characters, then [DefaultMaxValueBytes].
	MaxValueBytes int

	// Dial opens connections for all signals, such as to a Unix socket; address
	// is host:port, and TLS is put on top where the endpoint asks for it. It is
	// called from several goroutines and returns when ctx ends. No proxy is
	// used then. Default: TCP, through the proxy of HTTP_PROXY, HTTPS_PROXY and
	// NO_PROXY, of which gRPC reads only the second.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Logger gets the few lines about delivery: first failure, first loss and
	// one a minute while it goes on, recovery. A line that it does not take
	// within a second is left out. Default [slog.Default].
	Logger *slog.Logger
}

// DefaultMaxValueBytes is as many bytes of an attribute value of a span or log
// record as are sent.
const DefaultMaxValueBytes = 4096

// OTLPPipeline is a running push. Its parts are registered with the SDK's
// providers, whose Shutdown ends them: that bounds every export by its context,
// running ones included, and closes the connections. What comes later is
// counted as lost. A Collector that has never answered is given one second of
// it, so that a program without one ends promptly. A part is nil when its signal
// is disabled or could not be started.
//
// What is not delivered is no error of the providers, which would print each:
// Losses tells it, and Shutdown. Methods are safe for concurrent use.
//
// Call the providers' Shutdown first and the pipeline's after them: it ends what
// they did not reach. A Shutdown whose context has no deadline takes at most
// 10 s.
//
// Delivery is at least once: what the peer took without an answer in time is
// sent again.
type OTLPPipeline struct {
	Spans   sdktrace.SpanProcessor
	Metrics sdkmetric.Reader
	Logs    sdklog.Processor

	parts   []*part
	log     *diag.Log
	summary sync.Once
}

// Start makes the pipeline. It never waits for the network: the Collector may
// come up later. The pipeline is never nil; with an error it holds the signals
// that could be started.
func (o OTLP) Start(ctx context.Context) (*OTLPPipeline, error) {
	ctx = context.WithoutCancel(ctx) // nothing below waits, and a signal must not stay out for it
	vars := env.FromContext(ctx)
	p := &OTLPPipeline{log: diag.New(o.Logger, nil)}
	start := starter{
		config:    o,
		vars:      vars,
		log:       p.log,
		transport: make(map[connection]*transport),
	}
	if !o.DisableTraces {
		start.open(signalTraces, func(s settings, g *gate) error { return start.spans(s, g, p) })
	}
	if !o.DisableMetrics {
		start.open(signalMetrics, func(s settings, g *gate) error { return start.metrics(ctx, s, g, p) })
	}
	if !o.DisableLogs {
		start.open(signalLogs, func(s settings, g *gate) error { return start.logs(s, g, p) })
	}
	for _, signal := range start.failed {
		vars.Note("OTEL_"+strings.ToUpper(signal)+"_EXPORTER", "nothing is pushed over OTLP, because of another setting")
	}
	if len(start.failed) > 0 {
		vars.Add(fmt.Errorf("not pushed for these reasons: %s", strings.Join(start.failed, ", ")))
	}
	return p, vars.Err()
}

func (p *OTLPPipeline) add(added *part) *part {
	added.ended = make(chan struct{})
	p.parts = append(p.parts, added)
	return added
}

// Endpoint returns the addresses that are pushed to, joined with commas; "" for
// none.
func (p *OTLPPipeline) Endpoint() string {
	var addresses []string
	for _, part := range p.parts {
		if address := part.gate.transport.health.address; !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return strings.Join(addresses, ",")
}

// Shutdown returns what was not delivered since the shutdown of each part
// began. It ends the parts that the providers' Shutdown did not reach before
// its context was over, and waits for those that still end. It returns shortly
// after ctx ends, with an error when the callback of a metric hangs. Metrics
// that were never collected, because ctx was over, are in the error of their
// MeterProvider alone. Later calls return what holds by then.
func (p *OTLPPipeline) Shutdown(ctx context.Context) error {
	errs := make([]error, len(p.parts))
	var tasks sync.WaitGroup
	for i, part := range p.parts {
		tasks.Go(func() {
			_ = part.shutdown(ctx) // the losses say more
			errs[i] = part.running()
		})
	}
	tasks.Wait()
	var before, now Losses
	for _, part := range p.parts {
		b, n := part.gate.losses()
		before.signals, now.signals = append(before.signals, b), append(now.signals, n)
	}
	p.summary.Do(p.summarise)
	return errors.Join(errors.Join(errs...), now.Since(before))
}

// summarise has a line for what was lost in all, unless that is nothing or was
// lost in the shutdown alone, whose error says it.
func (p *OTLPPipeline) summarise() {
	for _, part := range p.parts {
		before, _ := part.gate.losses()
		if before.lost == 0 {
			continue
		}
		c := part.ledger.snapshot()
		p.log.Warn("summary "+part.gate.signal, "telemetry was lost while the service ran", "endpoint", before.address,
			"signal", before.signal, "accepted", c.accepted, "lost", byReason(c.lostByReason()))
	}
}

// Losses returns what was not delivered so far. Compare two moments with
// [Losses.Since]: around the providers' ForceFlush it says what that could not
// deliver.
func (p *OTLPPipeline) Losses() Losses {
	var all Losses
	for _, part := range p.parts {
		_, now := part.gate.losses()
		all.signals = append(all.signals, now)
	}
	return all
}

// starter holds what the signals share while they are opened.
type starter struct {
	config    OTLP
	vars      *env.Reader
	log       *diag.Log
	transport map[connection]*transport
	failed    []string // signals
}

// open reads a signal's settings, connects it and hands over to start. It
// reports what went wrong.
func (s *starter) open(signal string, start func(settings, *gate) error) {
	set, ok := s.config.settings(s.vars, signal)
	if !ok {
		s.failed = append(s.failed, signal)
		return
	}
	t, err := s.connect(set)
	if err != nil {
		s.failed = append(s.failed, signal)
		s.vars.Add(fmt.Errorf("connecting %s to %s: %w", signal, set.endpoint, err))
		return
	}
	if err := start(set, newGate(signal, t)); err != nil {
		if t.release() {
			delete(s.transport, set.connection())
		}
		s.failed = append(s.failed, signal)
		s.vars.Add(fmt.Errorf("starting the %s exporter to %s: %w", signal, set.endpoint, err))
	}
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
