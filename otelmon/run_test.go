package otelmon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// runJob runs a short job under Run, which sets globals; the tests that use it
// are not parallel.
func runJob(t *testing.T, cfg otelmon.Config, ends ...func(context.Context) error) (*service, error) {
	t.Helper()
	s := &service{collector: faultcollector.Start(t), log: newLines()}
	cfg.ServiceName = "test"
	cfg.Logger = s.log.logger()
	cfg.Prometheus.Address = "127.0.0.1:0"
	if cfg.OTLP.Endpoint == "" {
		cfg.OTLP.Endpoint = s.collector.GRPC
	}
	return s, otelmon.Run(t.Context(), cfg, func(ctx context.Context) error {
		_, span := otel.Tracer("job").Start(ctx, "job")
		items, err := otel.Meter("job").Int64Counter("job.items")
		if err != nil {
			t.Error(err)
		}
		items.Add(ctx, 42)
		span.End()
		for _, end := range ends {
			if err := end(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func wantJob(t *testing.T, got faultcollector.Received) {
	t.Helper()
	if spans := spansOf(got); len(spans) != 1 || spans[0].Name != "job" {
		t.Errorf("got spans %v, want the job's", spans)
	}
	sum := metricOf(got, "job.items").GetSum()
	if sum == nil || sum.DataPoints[0].GetAsInt() != 42 {
		t.Errorf("got %v, want 42 items", sum)
	}
}

// Not parallel: sets the globals.
func TestRunDeliversBeforeItReturns(t *testing.T) {
	s, err := runJob(t, otelmon.Config{})
	if err != nil {
		t.Error(err)
	}
	got := s.collector.Received()
	wantJob(t, got)
	if path := resourceOf(t, got)["otelmon.metrics.path"]; path != "otlp" {
		t.Errorf("got path %q, want otlp: nothing scrapes a job", path)
	}
}

// Not parallel: sets the globals.
func TestRunGivesTheSDKToMain(t *testing.T) {
	s, err := runJob(t, otelmon.Config{}, func(ctx context.Context) error {
		slog.New(otelmon.FromContext(ctx).SlogHandler(nil)).InfoContext(ctx, "working")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if records := recordsOf(s.collector.Received()); len(records) != 1 || records[0].Body.GetStringValue() != "working" {
		t.Errorf("got records %v, want the one of main", records)
	}
}

func TestFromContextIsUsableOutsideOfRun(t *testing.T) {
	t.Parallel()
	var none context.Context
	for _, ctx := range []context.Context{none, t.Context()} {
		sdk := otelmon.FromContext(ctx)
		if _, span := sdk.TracerProvider().Tracer("test").Start(t.Context(), "x"); span.IsRecording() {
			t.Error("a span is recorded outside of Run")
		}
		slog.New(sdk.SlogHandler(nil)).InfoContext(t.Context(), "nowhere")
		if sdk.MetricsURL() != "" || sdk.OTLPEndpoint() != "" {
			t.Errorf("it serves %q and pushes to %q", sdk.MetricsURL(), sdk.OTLPEndpoint())
		}
		if err := sdk.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Not parallel: sets the globals.
func TestRunReturnsTheErrorOfMain(t *testing.T) {
	failed := errors.New("failed")
	s, err := runJob(t, otelmon.Config{}, func(context.Context) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want main's error", err)
	}
	wantJob(t, s.collector.Received())
}

// Not parallel: sets the globals.
func TestRunDoesNotFailAJobForItsTelemetry(t *testing.T) {
	cfg := otelmon.Config{}
	cfg.OTLP.Endpoint = absent
	s, err := runJob(t, cfg)
	if err != nil {
		t.Error(err)
	}
	s.log.wait(t, "telemetry was not delivered completely")
}

// Not parallel: sets the globals.
func TestRunDeliversWhenMainPanics(t *testing.T) {
	var s *service
	collector := faultcollector.Start(t)
	cfg := otelmon.Config{}
	cfg.OTLP.Endpoint = collector.GRPC
	recovered := func() (v any) {
		defer func() { v = recover() }()
		s, _ = runJob(t, cfg, func(context.Context) error { panic("boom") })
		return nil
	}()
	if recovered != "boom" {
		t.Errorf("recovered %v, want the panic's own value", recovered)
	}
	if s != nil {
		t.Error("Run returned")
	}
	wantJob(t, collector.Received())
}

// Not parallel: sets the globals and signals the process.
func TestRunDeliversOnASignal(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		s, err := runJob(t, otelmon.Config{}, func(ctx context.Context) error {
			if err := self.Signal(sig); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v: got %v, want the context's end", sig, err)
		}
		wantJob(t, s.collector.Received())
	}
}

// Not parallel: sets the globals.
func TestRunFlushesAtTheSignalWhenMainGoesOn(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	collector := faultcollector.Start(t)
	cfg := otelmon.Config{}
	cfg.OTLP.Endpoint = collector.GRPC
	_, err = runJob(t, cfg, func(context.Context) error {
		if err := self.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		collector.Wait(patience(t), t, func(got faultcollector.Received) bool { return len(spansOf(got)) == 1 && len(got.Metrics) > 0 })
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// pushgateway takes pushes as a Prometheus Pushgateway does.
type pushgateway struct {
	url string

	mu   sync.Mutex
	path string
	user string
	got  map[string]*dto.MetricFamily
}

func startPushgateway(t *testing.T) *pushgateway {
	t.Helper()
	g := &pushgateway{got: make(map[string]*dto.MetricFamily)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.path = r.URL.Path
		g.user, _, _ = r.BasicAuth()
		decoder := expfmt.NewDecoder(r.Body, expfmt.ResponseFormat(r.Header))
		for {
			var family dto.MetricFamily
			if err := decoder.Decode(&family); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("decoding a push: %v", err)
				}
				return
			}
			g.got[family.GetName()] = &family
		}
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *pushgateway) wantPush(t *testing.T, job, metric string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.path != "/metrics/job/"+job {
		t.Errorf("pushed to %q, want job %s", g.path, job)
	}
	if family := g.got[metric]; family == nil || family.Metric[0].Counter.GetValue() != 42 {
		t.Errorf("got %v, want %s of 42", family, metric)
	}
}

// Not parallel: sets the globals.
func TestRunPushesToAPushgatewayWithCredentials(t *testing.T) {
	gateway := startPushgateway(t)
	cfg := otelmon.Config{DisablePrometheus: true, PushgatewayURL: strings.Replace(gateway.url, "http://", "http://ann:canary@", 1)}
	s, err := runJob(t, cfg)
	if err != nil {
		t.Error(err)
	}
	gateway.wantPush(t, "test", "job_items_total")
	if gateway.user != "ann" {
		t.Errorf("pushed as %q, want ann", gateway.user)
	}
	if path := resourceOf(t, s.collector.Received())["otelmon.metrics.path"]; path != "scrape" {
		t.Errorf("got path %q, want scrape: Prometheus scrapes the gateway", path)
	}
}

// Not parallel: sets the globals.
func TestRunDeliversToTheCollectorWhileThePushgatewayHangs(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hanging.Close() })
	s, err := runJob(t, otelmon.Config{PushgatewayURL: hanging.URL, ShutdownTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Error(err)
	}
	wantJob(t, s.collector.Received())
}

// Not parallel: sets the globals.
func TestRunEndsAlthoughACallbackHangsBeforeThePush(t *testing.T) {
	gateway := startPushgateway(t)
	release := make(chan struct{})
	s, err := runJob(t, otelmon.Config{PushgatewayURL: gateway.url, ShutdownTimeout: time.Second}, func(context.Context) error {
		meter := otel.Meter("job")
		gauge, err := meter.Int64ObservableGauge("job.hanging")
		if err != nil {
			return err
		}
		callback, err := meter.RegisterCallback(func(context.Context, metric.Observer) error { <-release; return nil }, gauge)
		t.Cleanup(func() {
			close(release)
			if err := callback.Unregister(); err != nil {
				t.Error(err)
			}
		})
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if spans := spansOf(s.collector.Received()); len(spans) != 1 {
		t.Errorf("got %d spans, want the job's", len(spans))
	}
	s.log.wait(t, "Pushgateway")
}

// Not parallel: sets the globals.
func TestRunBesideASetupFlushesAndLeavesItRunning(t *testing.T) {
	running := setUpGlobal(t, otelmon.Config{})
	s, err := runJob(t, otelmon.Config{})
	if err != nil {
		t.Error(err)
	}
	wantJob(t, running.collector.Received())
	if strings.Contains(s.log.String(), "not complete") {
		t.Errorf("got\n%s", s.log)
	}
	if _, span := otel.Tracer("after").Start(t.Context(), "after"); !span.IsRecording() {
		t.Error("the SDK that ran before was shut down")
	}
}

// Not parallel: sets the globals and signals the process.
func TestRunSaysWhatTheFlushAtTheSignalLost(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	cfg := otelmon.Config{ShutdownTimeout: 2 * time.Second}
	cfg.OTLP.Endpoint = absent
	s, err := runJob(t, cfg, func(ctx context.Context) error {
		if err := self.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.log.String(), "traces (1)") && !strings.Contains(s.log.String(), `signal=traces lost="1 `) {
		t.Errorf("the lost span is in no line:\n%s", s.log)
	}
}

// Not parallel: sets the globals and signals the process.
func TestRunOutlivesASignalDuringItsLastFlush(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var s *service
	signalled := make(chan error, 1)
	pushed := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		signalled <- self.Signal(syscall.SIGTERM) // main has returned
	}))
	t.Cleanup(pushed.Close)
	if s, err = runJob(t, otelmon.Config{PushgatewayURL: pushed.URL}); err != nil {
		t.Error(err)
	}
	if err := <-signalled; err != nil {
		t.Error(err)
	}
	wantJob(t, s.collector.Received())
}

// Not parallel: sets the globals.
func TestRunSaysThatAPushFailedWithoutTheSecret(t *testing.T) {
	for name, url := range map[string]string{
		"nobody listens":       "http://ann:canary@" + absent,
		"the URL is malformed": "ann:canary@nowhere",
	} {
		s, err := runJob(t, otelmon.Config{PushgatewayURL: url})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.log.wait(t, "ushgateway")
		if strings.Contains(s.log.String(), "canary") {
			t.Errorf("%s: the password is in the log:\n%s", name, s.log)
		}
	}
}
