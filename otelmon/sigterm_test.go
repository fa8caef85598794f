package otelmon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

// serviceEnvironment marks the process that is a service; its value is what
// hangs in it.
const serviceEnvironment = "OTELMON_TEST_SERVICE"

// timeoutEnvironment is its ShutdownTimeout.
const timeoutEnvironment = "OTELMON_TEST_SHUTDOWN_TIMEOUT"

// runService is a service as its authors would write it. It prints its address
// and ends with a signal.
func runService(hangs string) error {
	timeout, err := time.ParseDuration(os.Getenv(timeoutEnvironment))
	if err != nil {
		return err
	}
	cfg := otelmon.Config{ServiceName: "test", ShutdownTimeout: timeout}
	return otelmon.Run(context.Background(), cfg, func(ctx context.Context) error {
		if hangs == "callback" {
			_, err := otel.Meter("test").Int64ObservableGauge("hanging", metric.WithInt64Callback(
				func(context.Context, metric.Int64Observer) error { select {} }))
			if err != nil {
				return err
			}
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := &http.Server{
			Handler:           middleware.Handler(worker(), middleware.Config{TraceResponse: true}),
			ReadHeaderTimeout: 10 * time.Second,
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		if _, err := fmt.Fprintf(os.Stdout, "http://%s/work\n", listener.Addr()); err != nil {
			return err
		}
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = server.Shutdown(drain)
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	})
}

// process is a service that runs by itself.
type process struct {
	command *exec.Cmd
	url     string
	log     *lines // standard error
}

// startProcess runs this test's executable as a service. It is killed when
// patience ends.
func startProcess(t *testing.T, hangs string, timeout time.Duration, collector *faultcollector.Collector) *process {
	t.Helper()
	p := &process{command: exec.CommandContext(patience(t), os.Args[0]), log: newLines()}
	p.command.Env = append(os.Environ(), serviceEnvironment+"="+hangs, timeoutEnvironment+"="+timeout.String(),
		"OTEL_BSP_SCHEDULE_DELAY=100",
		"OTEL_EXPORTER_PROMETHEUS_PORT=0", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.GRPC)
	p.command.Stderr = p.log
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the service did not start: %v\n%s", err, p.log)
	}
	p.url = strings.TrimSpace(line)
	return p
}

// terminate has the process end, and returns once it has.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	start := time.Now()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("the service ended with %v\n%s", err, p.log)
	}
	t.Logf("ended %v after SIGTERM", time.Since(start).Round(time.Millisecond))
}

// lostSpans returns how many spans the log says were not delivered.
func (p *process) lostSpans(t *testing.T) int {
	t.Helper()
	_, number, found := strings.Cut(p.log.String(), "traces (")
	if !found {
		return 0
	}
	number, _, _ = strings.Cut(number, ")")
	lost, err := strconv.Atoi(number)
	if err != nil {
		t.Error(err)
	}
	return lost
}

func TestAServiceThatIsToldToStopUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	for range 5 {
		collector := faultcollector.Start(t)
		p := startProcess(t, "nothing", 5*time.Second, collector)
		load := startLoad(t, p.url)
		load.wait(t, 100)
		p.terminate(t)
		finished, failed := load.end()
		for _, err := range failed { // after the signal
			if errors.Is(err, errIncomplete) {
				t.Errorf("a request that the service had taken failed: %v", err)
			}
		}
		got := collector.Received()
		wantSpans(t, got, finished)
		wantCounted(t, got, len(finished))
		if text := p.log.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") || strings.Contains(text, "not delivered") {
			t.Errorf("got log\n%s", text)
		}
	}
}

// wantCounted checks that the metrics that arrived count the requests.
func wantCounted(t *testing.T, got faultcollector.Received, requests int) {
	t.Helper()
	var counted uint64
	for _, point := range metricOf(got, "http.server.request.duration").GetHistogram().GetDataPoints() {
		counted += point.GetCount()
	}
	if counted < uint64(requests) {
		t.Errorf("%d requests are in the metrics that arrived, want %d at least", counted, requests)
	}
}

func TestAServiceEndsAlthoughSomethingHangs(t *testing.T) {
	t.Parallel()
	const short, long = 500 * time.Millisecond, 5 * time.Second
	tests := map[string]struct {
		hangs   string
		timeout time.Duration                   // of the shutdown
		fault   func(*faultcollector.Collector) // while it runs
		want    []string                        // in the log
	}{
		"a Collector":                {"nothing", short, (*faultcollector.Collector).Hang, []string{"traces (", "metrics ("}},
		"a callback":                 {"callback", long, func(*faultcollector.Collector) {}, []string{"instruments=[hanging]"}},
		"a Collector and a callback": {"callback", short, (*faultcollector.Collector).Hang, []string{"traces (", "metrics"}},
		"a Collector that went away": {"nothing", short, (*faultcollector.Collector).Refuse, []string{"traces (", "metrics ("}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := faultcollector.Start(t)
			p := startProcess(t, test.hangs, test.timeout, collector)
			load := startLoad(t, p.url)
			collector.Wait(patience(t), t, func(got faultcollector.Received) bool { return got.Spans > 0 })
			test.fault(collector)
			load.wait(t, load.count()+10)
			p.terminate(t)
			finished, _ := load.end()
			t.Logf("%d requests finished; the log:\n%s", len(finished), p.log)
			// Some may have arrived without the service knowing, and requests that were cut off have spans too.
			arrived, lost := len(collector.Received().SpanIDs()), p.lostSpans(t)
			if arrived+lost < len(finished) || lost > len(finished)+clients {
				t.Errorf("%d spans arrived and %d are said to be lost, want those of %d finished requests", arrived, lost, len(finished))
			}
			if lost == 0 {
				wantSpans(t, collector.Received(), finished)
				wantCounted(t, collector.Received(), len(finished))
			}
			for _, part := range test.want {
				if !strings.Contains(p.log.String(), part) {
					t.Errorf("the log does not say %q:\n%s", part, p.log)
				}
			}
		})
	}
}
