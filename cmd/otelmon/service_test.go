package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/proxy"
)

func TestProxyPassesOnAndMeasures(t *testing.T) {
	p := start(t, "--upstream", newAPI(t, "one").url)
	if status, body := get(t, "http://"+p.address+"/files"); status != http.StatusOK || body != "one" {
		t.Errorf("got %d %q", status, body)
	}
	if _, page := get(t, p.metrics+"/metrics"); !strings.Contains(page, `service_name="otelmon-proxy"`) {
		t.Errorf("the page has no metrics of otelmon-proxy:\n%s", page)
	}
	if code := p.end(t); code != succeeded {
		t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
	}
}

func TestTelemetryOfTheLastRequestIsDelivered(t *testing.T) {
	collector := faultcollector.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.GRPC)
	upstream := newAPI(t, "one")
	p := start(t, "--upstream", upstream.url)
	open := openStream(t, "http://"+p.address)
	p.stop()
	p.log.wait(t, "msg=stopping requests=1")
	upstream.release()
	if _, err := open.rest(); err != nil {
		t.Error(err)
	}
	if code := p.wait(t); code != succeeded {
		t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
	}
	got := collector.Received()
	if len(got.Traces) == 0 || len(got.Metrics) == 0 || len(got.Logs) == 0 {
		t.Errorf("got %d requests with traces, %d with metrics, %d with logs, want some of each", len(got.Traces), len(got.Metrics), len(got.Logs))
	}
}

func TestAListenerThatFailsIsAFailure(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	o := options{proxy: proxy.Config{Upstreams: []proxy.Upstream{{URL: "http://a"}}}}
	s, err := newService(sources{environment: unset}, o, slog.New(slog.DiscardHandler), &atomic.Bool{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.serve(t.Context(), listener, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
	if err := s.finish(); err != nil {
		t.Error(err)
	}
}

func TestServiceNameOfVariablesWins(t *testing.T) {
	tests := map[string]map[string]string{
		"by its own variable":    {"OTEL_SERVICE_NAME": "mine"},
		"among other attributes": {"OTEL_RESOURCE_ATTRIBUTES": "team=a, service%2Ename=mine"},
		"but not as the name of another": {
			"OTEL_SERVICE_NAME": "mine", "OTEL_RESOURCE_ATTRIBUTES": "peer.service.name=other",
		},
	}
	for name, variables := range tests {
		t.Run(name, func(t *testing.T) {
			for name, value := range variables {
				t.Setenv(name, value)
			}
			sdk, _ := startTelemetry(t.Context(), process{os.Environ(), io.Discard, newLines()}, options{metricsListen: "127.0.0.1:0"}, nil)
			defer func() { _ = sdk.Shutdown(t.Context()) }()
			_, page := get(t, sdk.MetricsURL())
			if !strings.Contains(page, `service_name="mine"`) {
				t.Errorf("the service is not called mine:\n%s", page)
			}
		})
	}
}

func TestSeveralUpstreamsByPrefix(t *testing.T) {
	p := start(t, "--upstream", "/a="+newAPI(t, "one").url, "--upstream", "/b="+newAPI(t, "two").url)
	for path, want := range map[string]string{"/a/x": "one", "/b/x": "two"} {
		if _, got := get(t, "http://"+p.address+path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestDrainLetsStreamsEnd(t *testing.T) {
	upstream := newAPI(t, "one")
	p := start(t, "--upstream", upstream.url)
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusOK} {
		if got, _ := get(t, p.metrics+path); got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	open := openStream(t, "http://"+p.address)
	p.stop()
	p.log.wait(t, "msg=stopping requests=1 drain=30s")
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if got, _ := get(t, p.metrics+path); got != want {
			t.Errorf("%s while draining: got %d, want %d", path, got, want)
		}
	}
	wantRefused(t, p.address)
	upstream.release()
	if rest, err := open.rest(); rest != "ne end" || err != nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	if code := p.wait(t); code != succeeded {
		t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
	}
}

// wantRefused waits until nobody takes connections at the address.
func wantRefused(t *testing.T, address string) {
	t.Helper()
	ctx := patience(t)
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

// A connection without a request is nothing to wait for.
func TestADrainOfNothingSucceeds(t *testing.T) {
	for range 5 {
		p := start(t, "--upstream", newAPI(t, "one").url, "--drain", "0s")
		conn, err := (&net.Dialer{}).DialContext(patience(t), "tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		if code := p.end(t); code != succeeded {
			t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
		}
		_ = conn.Close()
	}
}

func TestStreamsThatOutlastTheDrainAreCutOff(t *testing.T) {
	p := start(t, "--upstream", newAPI(t, "one").url, "--drain", "1ms")
	open := openStream(t, "http://"+p.address)
	if code := p.end(t); code != failed {
		t.Errorf("exit code: got %d, want %d", code, failed)
	}
	if rest, err := open.rest(); err == nil {
		t.Errorf("the stream ended with %q and no error", rest)
	}
	wantLog(t, p.log, true, "otelmon proxy: requests cut off after 1ms, see --drain: 1\n")
}

// An upgraded connection is one that http.Server knows nothing of any more.
func TestDrainWaitsForUpgradedConnections(t *testing.T) {
	for name, test := range map[string]struct {
		drain    string
		release  bool
		wantCode int
	}{
		"one that ends":    {"30s", true, succeeded},
		"one that goes on": {"1ms", false, failed},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "--upstream", newEcho(t), "--drain", test.drain)
			conn, err := (&net.Dialer{}).DialContext(patience(t), "tcp", p.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			reader := bufio.NewReader(conn)
			say(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			response, err := http.ReadResponse(reader, nil)
			if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("got %v, %v", response, err)
			}
			p.stop()
			p.log.wait(t, "msg=stopping requests=1")
			if test.release {
				say(t, conn, "ping\n")
				if got, err := reader.ReadString('\n'); got != "ping\n" {
					t.Errorf("while draining: got %q, %v", got, err)
				}
				_ = conn.Close()
			}
			if code := p.wait(t); code != test.wantCode {
				t.Errorf("exit code: got %d, want %d\n%s", code, test.wantCode, p.log)
			}
			if _, err := reader.ReadByte(); err == nil {
				t.Error("the connection is open yet")
			}
		})
	}
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Error(err)
	}
}

// newEcho is an upstream of upgraded connections.
func newEcho(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		say(t, conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// hangUp has the process, which is this one, read its files again.
func hangUp(t *testing.T) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func TestReloadTakesNewRequestsElsewhere(t *testing.T) {
	one, two := newAPI(t, "one"), newAPI(t, "two")
	path := write(t, "upstreams: [{url: '"+one.url+"'}]")
	p := start(t, "--config", path)
	open := openStream(t, "http://"+p.address)

	overwrite(t, path, "upstreams: [{url: '"+two.url+"', name: second}]")
	hangUp(t)
	p.log.wait(t, `msg=reloaded upstreams="/ second"`)
	if _, got := get(t, "http://"+p.address); got != "two" {
		t.Errorf("after the reload: got %q, want two", got)
	}
	one.release()
	if rest, err := open.rest(); rest != "ne end" || err != nil {
		t.Errorf("the stream of before ended with %q, %v", rest, err)
	}
	wantReloads(t, p, `otelmon_proxy_reloads_total{`, 1)
	if code := p.end(t); code != succeeded {
		t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
	}
}

func TestReloadOfAWrongFileChangesNothing(t *testing.T) {
	tests := map[string]struct{ content, want string }{
		"a key that there is not":     {"upstreams:\n  - url: http://a\n    foo: 1\n", ":3: upstreams[0].foo"},
		"no YAML":                     {"upstreams: [", ":1: "},
		"a file that it names is not": {"upstreams: [{url: https://a, tls: {ca_file: /nowhere.pem}}]", "upstreams[0].tls.ca_file: open /nowhere.pem"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := write(t, "upstreams: [{url: '"+newAPI(t, "one").url+"'}]")
			p := start(t, "--config", path)
			overwrite(t, path, test.content)
			hangUp(t)
			if got := p.log.wait(t, "level=ERROR msg=\"not reloaded, the former configuration stays\" error=.*\n")[0]; !strings.Contains(got, test.want) {
				t.Errorf("got line %q, want %q", got, test.want)
			}
			if _, got := get(t, "http://"+p.address); got != "one" {
				t.Errorf("after the reload: got %q, want one", got)
			}
			wantReloads(t, p, `otelmon_proxy_reloads_total{error_type="configuration"`, 1)
		})
	}
}

func wantReloads(t *testing.T, p *running, series string, want int) {
	t.Helper()
	_, page := get(t, p.metrics+"/metrics")
	_, rest, _ := strings.Cut(page, "\n"+series)
	_, value, _ := strings.Cut(strings.SplitN(rest, "\n", 2)[0], "} ")
	if value != fmt.Sprint(want) {
		t.Errorf("%s: got %q, want %d\n%s", series, value, want, page)
	}
}

// Traffic matters more than telemetry.
func TestProxyServesWhenMetricsCannot(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, value := range quiet() {
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log, code := newLines(), make(chan int)
	args := []string{"proxy", "--upstream", newAPI(t, "one").url, "--listen", "127.0.0.1:0", "--metrics-listen", taken.Addr().String()}
	go func() { code <- run(ctx, args, os.Environ(), io.Discard, log) }()
	address := log.wait(t, `msg=serving listen=(\S+) .*metrics=none`)[1]
	if _, got := get(t, "http://"+address); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	wantLog(t, log, true, "metrics are not served", taken.Addr().String())
	cancel()
	if got := <-code; got != succeeded {
		t.Errorf("exit code: got %d, want %d", got, succeeded)
	}
}

func TestHealthWithoutAProxy(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		answer := httptest.NewRecorder()
		health(&ready).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
		if answer.Code != want {
			t.Errorf("ready %v: got %d, want %d", ready.Load(), answer.Code, want)
		}
		ready.Store(true)
	}
}
