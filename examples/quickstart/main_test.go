package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests that call run are not parallel: it sets the process's telemetry
// up, from variables, and the default logger.

// isolate sends telemetry to a Collector of the test's own.
func isolate(t *testing.T) *faultcollector.Collector {
	t.Helper()
	collector := faultcollector.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.GRPC)
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
	t.Setenv("OTEL_SERVICE_NAME", "")
	logger := slog.Default()
	t.Cleanup(func() { slog.SetDefault(logger) })
	return collector
}

var lastLine = regexp.MustCompile(`Served (\d+) requests, (\d+) of them its own load\.\n$`)

func TestRunDeliversWhatItServed(t *testing.T) {
	tests := map[string]struct {
		variable, want string
	}{
		"under the name of the example":             {variable: "", want: "quickstart"},
		"under the name that the variable asks for": {variable: "other", want: "other"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			collector := isolate(t)
			t.Setenv("OTEL_SERVICE_NAME", test.variable)
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-duration", "1s", "-load", "50"}, &stdout, &stderr)
			if code != 0 {
				t.Fatalf("exit code: got %d, want 0\n%s", code, &stderr)
			}
			counts := lastLine.FindStringSubmatch(stdout.String())
			if counts == nil {
				t.Fatalf("the last line does not tell what was served:\n%s", &stdout)
			}
			if counts[1] != counts[2] || counts[1] == "0" {
				t.Errorf("got %s requests served and %s sent, want as many, and some", counts[1], counts[2])
			}
			got := collector.Received()
			if count := fmt.Sprint(pushedRequests(got)); count != counts[1] {
				t.Errorf("requests in the pushed metrics: got %s, want %s", count, counts[1])
			}
			if diff := cmp.Diff([]string{test.want}, services(got)); diff != "" {
				t.Errorf("service names (-want +got):\n%s", diff)
			}
		})
	}
}

// pushedRequests adds up what the last export says.
func pushedRequests(got faultcollector.Received) (count uint64) {
	for _, resource := range got.Metrics[len(got.Metrics)-1].GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				if name := metric.GetName(); name == "http.server.request.duration" || name == "otelmon.http.server.stream.duration" {
					count += points(metric.GetHistogram())
				}
			}
		}
	}
	return count
}

func points(h *metrics.Histogram) (count uint64) {
	for _, point := range h.GetDataPoints() {
		count += point.GetCount()
	}
	return count
}

func services(got faultcollector.Received) (names []string) {
	for _, request := range got.Traces {
		for _, resource := range request.GetResourceSpans() {
			for _, attribute := range resource.GetResource().GetAttributes() {
				if attribute.GetKey() == "service.name" {
					names = append(names, attribute.GetValue().GetStringValue())
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestRunConnectsTheTraceOfAProduct(t *testing.T) {
	collector := isolate(t)
	service := startService(t)
	service.get(t, service.url("shop")+"/products/7")
	service.stop(t)

	parents := map[string]string{} // by name of the span
	names := map[string]string{}   // by its identifier
	for _, request := range collector.Received().Traces {
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					names[string(span.GetSpanId())] = span.GetName()
					parents[span.GetName()] = string(span.GetParentSpanId())
				}
			}
		}
	}
	for name, parent := range parents {
		parents[name] = names[parent]
	}
	want := map[string]string{
		"GET /products/{id}": "",
		"GET":                "GET /products/{id}",
		"GET /stock/{id}":    "GET",
	}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Errorf("spans and their parents (-want +got):\n%s", diff)
	}
}

func TestMetricsPageCountsWhatWasServed(t *testing.T) {
	isolate(t)
	service := startService(t)
	shop := service.url("shop")
	const times = 3
	for range times {
		service.get(t, shop+"/products/7")
		service.get(t, shop+"/products/unknown")
		service.get(t, shop+"/slow?delay=1ms")
	}
	service.get(t, shop+"/nowhere")
	service.get(t, shop+"/healthz")
	service.fail(t, shop+"/panic")
	want := map[string]float64{
		"_OTHER 404":         1,
		"/healthz 200":       1,
		"/panic 500":         1,
		"/products/{id} 200": times,
		"/products/{id} 404": times,
		"/slow 200":          times,
	}
	// A request is counted shortly after it was answered.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var diff string
	for ctx.Err() == nil {
		if diff = cmp.Diff(want, scraped(t, service.get(t, service.url("metrics")))); diff == "" {
			break
		}
	}
	if diff != "" {
		t.Errorf("requests by route and status (-want +got):\n%s", diff)
	}
	service.stop(t)
	if got := service.output.String(); !strings.HasSuffix(got, "Served 12 requests, 0 of them its own load.\n") {
		t.Errorf("the last line does not tell of 12 requests:\n%s", got)
	}
}

func scraped(t *testing.T, page string) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("parsing the metrics page: %v", err)
	}
	counts := map[string]float64{}
	for _, metric := range families["http_server_request_duration_seconds"].GetMetric() {
		labels := map[string]string{}
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		counts[labels["http_route"]+" "+labels["http_response_status_code"]] = float64(metric.GetHistogram().GetSampleCount())
	}
	return counts
}

func TestRunServesWhenMetricsCannot(t *testing.T) {
	isolate(t)
	_, port, err := net.SplitHostPort(occupied(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", port)
	service := startService(t)
	if got := service.get(t, service.url("shop")+"/healthz"); got != "ok\n" {
		t.Errorf("/healthz: got %q, want ok", got)
	}
	service.stop(t)
	if !strings.Contains(service.output.String(), "not served, see the log") {
		t.Errorf("the output does not say that metrics are not served:\n%s", &service.output)
	}
	if !strings.Contains(service.log.String(), "metrics are not served") {
		t.Errorf("the log does not say why metrics are not served:\n%s", &service.log)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel() // nothing is set up
	address := occupied(t)
	tests := map[string]struct {
		args     []string
		wantCode int
		want     string
	}{
		"an address in use":       {[]string{"-addr", address}, 1, "quickstart: listen tcp " + address + ": bind: address already in use; choose another address with -addr\n"},
		"an address without port": {[]string{"-addr", "localhost"}, 2, "quickstart: -addr \"localhost\" is not host:port; see -help\n"},
		"a port that is none":     {[]string{"-addr", "localhost:99999"}, 2, "quickstart: -addr \"localhost:99999\" is not host:port; see -help\n"},
		"a negative load":         {[]string{"-load", "-1"}, 2, "quickstart: -load -1 is not from 0 to 1000; see -help\n"},
		"too much load":           {[]string{"-load", "1001"}, 2, "quickstart: -load 1001 is not from 0 to 1000; see -help\n"},
		"a negative duration":     {[]string{"-duration", "-1s"}, 2, "quickstart: -duration -1s is negative; see -help\n"},
		"an argument":             {[]string{"now"}, 2, "quickstart: unexpected argument \"now\"; see -help\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), test.args, &stdout, &stderr); code != test.wantCode {
				t.Errorf("exit code: got %d, want %d", code, test.wantCode)
			}
			if diff := cmp.Diff(test.want, stderr.String()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if stdout.Len() > 0 {
				t.Errorf("got output %q, want none", &stdout)
			}
		})
	}
}

// occupied returns an address that is in use until the test ends.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A running service is the example, without load of its own.
type running struct {
	client      http.Client
	output, log bytes.Buffer // to be read after stop
	urls        map[string]string
	end         func()
	code        chan int
	drained     chan struct{} // closed when all output is in
}

// startService returns once the example has said where to find it.
func startService(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s := &running{urls: map[string]string{}, end: cancel, code: make(chan int, 1), drained: make(chan struct{})}
	s.client.Transport = &http.Transport{}
	out, in := io.Pipe()
	go func() {
		code := run(ctx, []string{"-addr", "127.0.0.1:0", "-load", "0"}, in, &s.log)
		_ = in.Close()
		s.code <- code
	}()
	lines := bufio.NewScanner(io.TeeReader(out, &s.output))
	for lines.Scan() && lines.Text() != "Try:" {
		if what, url, ok := strings.Cut(strings.TrimSpace(lines.Text()), " "); ok {
			s.urls[what] = strings.TrimSpace(url)
		}
	}
	go func() {
		defer close(s.drained)
		for lines.Scan() { // until run ends
			continue
		}
	}()
	return s
}

func (s *running) url(what string) string { return s.urls[what] }

func (s *running) get(t *testing.T, url string) string {
	t.Helper()
	response, err := s.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// fail asks for a page that is broken off, over a connection of its own: on one
// that was used before, the client would try again.
func (s *running) fail(t *testing.T, url string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err == nil {
		response.Body.Close()
		t.Errorf("%s: got %s, want a connection that was closed", url, response.Status)
	}
}

// stop ends the context, as Ctrl-C does.
func (s *running) stop(t *testing.T) {
	t.Helper()
	s.client.CloseIdleConnections()
	s.end()
	<-s.drained
	if code := <-s.code; code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, &s.log)
	}
}
