package exporters_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// patience bounds how long a test waits for what must come.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// sender is a pipeline with the SDK's providers around it.
type sender struct {
	*exporters.OTLPPipeline
	tracer *sdktrace.TracerProvider
	meter  *sdkmetric.MeterProvider
	logger *sdklog.LoggerProvider
}

// start starts a pipeline that has nothing to complain about.
func start(t *testing.T, config exporters.OTLP) *sender {
	t.Helper()
	s, err := startWithError(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startWithError(t *testing.T, config exporters.OTLP) (*sender, error) {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := config.Start(t.Context())
	if p == nil {
		t.Fatalf("got no pipeline, and error %v", err)
	}
	s := newSender(p)
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.shutdown(now) // the tests look at the errors they want
	})
	return s, err
}

func newSender(p *exporters.OTLPPipeline) *sender {
	var spans []sdktrace.TracerProviderOption
	var metrics []sdkmetric.Option
	var logs []sdklog.LoggerProviderOption
	if p.Spans != nil {
		spans = append(spans, sdktrace.WithSpanProcessor(p.Spans))
	}
	if p.Metrics != nil {
		metrics = append(metrics, sdkmetric.WithReader(p.Metrics))
	}
	if p.Logs != nil {
		logs = append(logs, sdklog.WithProcessor(p.Logs))
	}
	return &sender{p, sdktrace.NewTracerProvider(spans...), sdkmetric.NewMeterProvider(metrics...), sdklog.NewLoggerProvider(logs...)}
}

// emit makes a span, a measurement of a counter and a histogram, and a log
// record.
func (s *sender) emit(t *testing.T) {
	t.Helper()
	ctx, span := s.tracer.Tracer("shop").Start(t.Context(), "checkout")
	defer span.End()
	counter, err := s.meter.Meter("shop").Int64Counter("orders")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 1)
	histogram, err := s.meter.Meter("shop").Float64Histogram("duration")
	if err != nil {
		t.Fatal(err)
	}
	histogram.Record(ctx, 0.5)
	var record log.Record
	record.SetBody(attribute.StringValue("paid"))
	s.logger.Logger("shop").Emit(ctx, record)
}

func (s *sender) flush(ctx context.Context) error {
	before := s.Losses()
	return errors.Join(s.tracer.ForceFlush(ctx), s.meter.ForceFlush(ctx), s.logger.ForceFlush(ctx), s.Losses().Since(before))
}

// shutdown ends the providers side by side, then the pipeline.
func (s *sender) shutdown(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = s.tracer.Shutdown(ctx) }) // the pipeline says more
	tasks.Go(func() { _ = s.meter.Shutdown(ctx) })
	tasks.Go(func() { _ = s.logger.Shutdown(ctx) })
	tasks.Wait()
	return s.Shutdown(ctx)
}

// all is true when each signal has arrived.
func all(got faultcollector.Received) bool {
	return len(got.Traces) > 0 && len(got.Metrics) > 0 && len(got.Logs) > 0
}

// lines is a slog.Handler that keeps "LEVEL message key=value..." lines.
type lines struct {
	mu      sync.Mutex
	list    []string
	changed chan struct{} // closed at each line
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *lines) WithGroup(string) slog.Handler          { return l }

func (l *lines) Handle(_ context.Context, record slog.Record) error {
	line := record.Level.String() + " " + record.Message
	record.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, line)
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// with returns the lines that hold text.
func (l *lines) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.list {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	ctx := patience(t)
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if len(l.with(text)) > 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("no line says %q: %q", text, l.with(""))
		}
	}
}

// relay passes connections on to a server, from plain TCP or from TLS, and
// counts them.
type relay struct {
	address  string
	accepted atomic.Int32
	ended    chan struct{} // one for each connection that the client closed

	listener net.Listener
	target   string
	mu       sync.Mutex
	conns    []net.Conn
	running  sync.WaitGroup
}

func startRelay(t *testing.T, address, target string, config *tls.Config) *relay {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: listener.Addr().String(), ended: make(chan struct{}, 100), listener: listener, target: target}
	if config != nil {
		r.listener = tls.NewListener(listener, config)
	}
	r.running.Go(r.accept)
	t.Cleanup(r.stop)
	return r
}

func (r *relay) accept() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.accepted.Add(1)
		to, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.target)
		if err != nil {
			_ = from.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, from, to)
		r.mu.Unlock()
		r.running.Go(func() {
			pipe(to, from)
			r.ended <- struct{}{}
		})
		r.running.Go(func() { pipe(from, to) })
	}
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // ends when either side closes
	_ = to.Close()
	_ = from.Close()
}

// stop ends the relay and its connections.
func (r *relay) stop() {
	_ = r.listener.Close()
	r.mu.Lock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// absent returns an address that nobody listens on.
func absent(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
