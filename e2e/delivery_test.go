package e2e_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/otelmon/toolkit/e2e/harness"
)

const (
	duration = "http_server_request_duration_seconds"
	arrival  = 60 * time.Second // how long telemetry may take to arrive
)

// Both tests below start whole stacks and share two cores with them, so that
// they do not run in parallel.

// TestDelivery sends known traffic to services that offer their metrics on
// /metrics and push them too, and checks what Prometheus makes of it.
func TestDelivery(t *testing.T) {
	stack := harness.StartStack(t)
	quickstart := buildExample(t, "quickstart")
	tests := map[string]struct {
		name        string
		metricsHost string // OTEL_EXPORTER_PROMETHEUS_HOST
		wantPath    string
	}{
		"a service whose metrics page is on loopback is kept from OTLP":       {name: "local", wantPath: "otlp"},
		"a service whose metrics page can be reached is kept from the scrape": {name: "reachable", metricsHost: "0.0.0.0", wantPath: "scrape"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			s := startService(t, stack, quickstart, test.name, test.metricsHost)
			t.Run("every request is counted exactly once", func(t *testing.T) {
				testCountedOnce(t, stack, s, test.wantPath)
			})
			t.Run("P99 is that of the requests", func(t *testing.T) {
				testP99(t, stack, s)
			})
			t.Run("exemplars lead to traces", func(t *testing.T) {
				testExemplars(t, stack, s)
			})
			t.Run("every series carries the identity labels", func(t *testing.T) {
				testIdentity(t, stack, s, test.wantPath)
			})
		})
	}
	refused, err := stack.Prometheus.Scalar(`sum({__name__=~"otelcol_exporter_(send|enqueue)_failed_.+", job="collector"}) or vector(0)`)
	if err != nil || refused != 0 {
		t.Errorf("items that the Collector could not deliver: got %v, %v, want none", refused, err)
	}
}

func testCountedOnce(t *testing.T, stack *harness.Stack, s service, wantPath string) {
	want := s.send(t, 8,
		request{method: "GET", path: "/", route: "/", times: 200},
		request{method: "GET", path: "/products/7", route: "/products/{id}", times: 150},
		request{method: "POST", path: "/orders", body: `{"product":"7","quantity":1}`, route: "/orders", times: 100},
		request{method: "POST", path: "/orders", body: `}`, route: "/orders", times: 50},
		request{method: "GET", path: "/nowhere", route: "_OTHER", times: 100},
	)
	expr := fmt.Sprintf(`sum by (http_route, http_request_method, http_response_status_code) (%s_count{service_name=%q, http_route!="/healthz"})`, duration, s.name)
	check := func() error {
		samples, err := stack.Prometheus.Query(expr)
		if err != nil {
			return err
		}
		got := map[call]float64{}
		for _, s := range samples {
			c := call{route(s.Labels["http_route"]), s.Labels["http_request_method"], s.Labels["http_response_status_code"]}
			got[c] += s.Value
		}
		return differ("counts", want, got)
	}
	harness.Eventually(t, arrival, "counts in Prometheus", check)

	// Whatever is counted twice would show by the time that both paths have
	// delivered again.
	p := stack.Prometheus
	pushed := `sum(otelcol_receiver_accepted_metric_points_total{job="collector"})`
	p.WaitIncrease(t, pushed, 1)
	p.WaitIncrease(t, pushed, 1)
	p.WaitIncrease(t, fmt.Sprintf(`sum(count_over_time(up{job="otelmon", instance=%q}[1h]))`, s.metrics), 3)
	if err := check(); err != nil {
		t.Errorf("after both paths have delivered again: %v", err)
	}

	// The copy that is not kept exists, or else there was nothing to count twice.
	if err := differ("counts on /metrics", want, scrape(t, s)); err != nil {
		t.Error(err)
	}
	if wantPath == "scrape" {
		dropped, err := p.Scalar(`sum(otelcol_processor_filter_datapoints_filtered_total{job="collector", filter="filter/scraped"})`)
		if err != nil || dropped == 0 {
			t.Errorf("data points that the Collector dropped: got %v, %v, want more than none", dropped, err)
		}
	}
}

// testP99 compares the P99 that Prometheus computes from the histogram with the
// one of the very same requests' spans, which are exact.
func testP99(t *testing.T, stack *harness.Stack, s service) {
	const n = 1000
	var requests []request
	for i := range n {
		// Latencies fall off exponentially, to a P99 of about 240 ms.
		delay := time.Duration(-math.Log(1-(float64(i)+0.5)/n) * float64(52*time.Millisecond))
		requests = append(requests, request{method: "GET", path: "/slow?delay=" + delay.String(), route: "/slow", times: 1})
	}
	s.send(t, 50, requests...)

	var exact []time.Duration
	harness.Eventually(t, arrival, "spans of /slow", func() error {
		exact = nil
		for _, span := range stack.Traces.Spans(s.name) {
			if span.Kind == trace.Span_SPAN_KIND_SERVER && span.Attributes["url.path"] == "/slow" {
				exact = append(exact, span.Duration)
			}
		}
		return differ("number of spans", n, len(exact))
	})
	selector := fmt.Sprintf(`{service_name=%q, http_route="/slow"}`, s.name)
	harness.Eventually(t, arrival, "histogram of /slow", func() error {
		count, err := stack.Prometheus.Scalar("sum(" + duration + "_count" + selector + ")")
		if err != nil {
			return err
		}
		return differ("count", float64(n), count)
	})

	// One percent is above the 990th and below the 991st: whatever lies between
	// is their P99. On a busy machine the two may be far apart.
	slices.Sort(exact)
	least, most := exact[n*99/100-1].Seconds(), exact[n*99/100].Seconds()
	got, err := stack.Prometheus.Scalar("histogram_quantile(0.99, sum by (le) (" + duration + "_bucket" + selector + "))")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("P99 from the histogram %.1f ms, from the spans %.1f to %.1f ms", got*1e3, least*1e3, most*1e3)
	const allowed = 0.05
	if got < least*(1-allowed) || got > most*(1+allowed) {
		t.Errorf("P99: got %v s, want %v s to %v s or off by 5 %% at most", got, least, most)
	}
}

// testExemplars needs the requests of the tests before it.
func testExemplars(t *testing.T, stack *harness.Stack, s service) {
	harness.Eventually(t, arrival, "exemplars whose traces have arrived", func() error {
		exemplars, err := stack.Prometheus.Exemplars(fmt.Sprintf(`%s_bucket{service_name=%q}`, duration, s.name))
		if err != nil {
			return err
		}
		if len(exemplars) == 0 {
			return errors.New("no exemplars")
		}
		routes := map[string]string{} // of the requests, by their trace
		for _, span := range stack.Traces.Spans(s.name) {
			if span.Kind == trace.Span_SPAN_KIND_SERVER {
				routes[span.TraceID] = span.Attributes["http.route"]
			}
		}
		for _, e := range exemplars {
			got, ok := routes[e.TraceID]
			want := strings.TrimPrefix(e.Series["http_route"], "_OTHER") // a span of no route names none
			if !ok || got != want {
				return fmt.Errorf("trace %q of an exemplar of %v: got %v of route %q, want one of route %q", e.TraceID, e.Series, ok, got, want)
			}
		}
		return nil
	})
}

func testIdentity(t *testing.T, stack *harness.Stack, s service, wantPath string) {
	want := map[string]string{
		"service_name":                s.name,
		"service_namespace":           namespace,
		"service_version":             version,
		"deployment_environment_name": environment,
		"otelmon_metrics_path":        wantPath,
	}
	infos, err := stack.Prometheus.Query(fmt.Sprintf("target_info{service_name=%q}", s.name))
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != 1 {
		t.Fatalf("target_info: got %d series, want 1: %v", len(infos), infos)
	}
	instance := infos[0].Labels["service_instance_id"]
	if instance == "" {
		t.Error("target_info has no service_instance_id")
	}
	want["service_instance_id"] = instance

	// Everything that was pushed, and everything from the page but what Prometheus
	// and the page itself add.
	var series []harness.Sample
	for _, selector := range []string{
		fmt.Sprintf(`{job="%s/%s"}`, namespace, s.name),
		fmt.Sprintf(`{job="otelmon", instance=%q, __name__!~"up|scrape_.+|promhttp_.+"}`, s.metrics),
	} {
		found, err := stack.Prometheus.Query(selector)
		if err != nil {
			t.Fatal(err)
		}
		series = append(series, found...)
	}
	if len(series) < 10 {
		t.Errorf("found only %d series", len(series))
	}
	for _, one := range series {
		for label, value := range want {
			if got := one.Labels[label]; got != value {
				t.Errorf("label %s: got %q, want %q, on %v", label, got, value, one.Labels)
			}
		}
		for label := range one.Labels {
			if strings.HasPrefix(label, "otel_scope_") {
				t.Errorf("unwanted label %s on %v", label, one.Labels)
			}
		}
	}
}

// TestJob runs a job that is over before anything could scrape it, although it
// is told to show its metrics on an address that can be reached, as containers are.
func TestJob(t *testing.T) {
	stack := harness.StartStack(t)
	const name = "job"
	_, metricsPort, err := net.SplitHostPort(harness.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	env := append(telemetryEnv(stack, name), "OTEL_EXPORTER_PROMETHEUS_HOST=0.0.0.0", "OTEL_EXPORTER_PROMETHEUS_PORT="+metricsPort)
	p := harness.Start(t, env, buildExample(t, "job"))
	p.Wait(t, 30*time.Second)

	expr := fmt.Sprintf(`sum(job_items_total{service_name=%q})`, name)
	check := func() error {
		items, err := stack.Prometheus.Scalar(expr)
		if err != nil {
			return err
		}
		return differ("items", 42.0, items)
	}
	harness.Eventually(t, arrival, "items in Prometheus", check)
	harness.Eventually(t, arrival, "span of the job", func() error {
		var names []string
		for _, span := range stack.Traces.Spans(name) {
			names = append(names, span.Name)
		}
		return differ("spans", []string{"job"}, names)
	})
	stack.Prometheus.WaitIncrease(t, `count_over_time(up{job="prometheus"}[1h])`, 3)
	if err := check(); err != nil {
		t.Errorf("three scrapes later: %v", err)
	}
	samples, err := stack.Prometheus.Query(fmt.Sprintf(`job_items_total{service_name=%q}`, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if got := s.Labels["otelmon_metrics_path"]; got != "otlp" {
			t.Errorf("otelmon_metrics_path: got %q, want %q", got, "otlp")
		}
	}
}

// scrape reads the counts from a service's own page.
func scrape(t *testing.T, s service) map[call]float64 {
	t.Helper()
	page, err := harness.ReadPage("http://" + s.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[call]float64{}
	for _, sample := range page {
		c := call{route(sample.Labels["http_route"]), sample.Labels["http_request_method"], sample.Labels["http_response_status_code"]}
		if sample.Labels["__name__"] == duration+"_count" && c.route != "/healthz" {
			counts[c] += sample.Value
		}
	}
	return counts
}

// route drops what only says to net/http that a pattern ends there.
func route(label string) string {
	return strings.TrimSuffix(label, "{$}")
}

// differ returns an error that shows how got differs from want.
func differ(what string, want, got any) error {
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(call{})); diff != "" {
		return fmt.Errorf("%s differ (-want +got):\n%s", what, diff)
	}
	return nil
}
