package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/otelmon/toolkit/internal/fakellm"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/otelmon/toolkit/e2e/harness"
)

// testStack runs the proxy beside a Collector and a Prometheus, both of which
// get its metrics.
func testStack(t *testing.T, command string) {
	stack := harness.StartStack(t)
	for title, test := range map[string]struct{ name, host, wantPath string }{
		"metrics on loopback are kept from OTLP":    {"proxy-local", "127.0.0.1", "otlp"},
		"metrics in reach are kept from the scrape": {"proxy-reachable", "0.0.0.0", "scrape"},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWay(t, answers)
			s := service{name: test.name, metrics: harness.FreeAddress(t)}
			_, port, err := net.SplitHostPort(s.metrics)
			if err != nil {
				t.Fatal(err)
			}
			p := harness.StartProxy(t, command, telemetryEnv(stack, s.name), "--upstream", w.url, "--provider", "deepseek",
				"--prices", priceFile(t, sorted(models())), "--metrics-listen", net.JoinHostPort(test.host, port))
			stack.Scrape(t, s.metrics)
			const calls = 25
			for range calls {
				streamed(t, p.URL)
			}
			records := w.upstream.Records()
			if len(records) != calls {
				t.Errorf("%d requests came, not %d", len(records), calls)
			}
			testCallsOnce(t, stack, s, records)
			testIdentity(t, stack, s, test.wantPath)
			testProxyTraces(t, stack, s.name, calls)
		})
	}
}

const stackScenario = "stream of DeepSeek"

// streamed makes a call.
func streamed(t *testing.T, url string) {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"stream":true,"stream_options":{"include_usage":true}}`, modelOf(stackScenario))
	answer := post(t, url+"/v1/chat/completions", strings.NewReader(body))
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
}

// testCallsOnce waits for the calls, their tokens and cost, and for both paths
// to deliver again, by which time anything counted twice would show.
func testCallsOnce(t *testing.T, stack *harness.Stack, s service, records []fakellm.Record) {
	t.Helper()
	truth := told{}
	for _, r := range records {
		truth.countTokens(r, "", "ok")
	}
	want := map[string]float64{"calls": float64(len(records)), "tokens": truth.of("tokens"), "cost": truth.of("cost")}
	check := func() error {
		got := map[string]float64{}
		for what, metric := range map[string]string{
			"calls": "otelmon_llm_attempts_total", "tokens": "otelmon_llm_tokens_total", "cost": "otelmon_llm_cost_total",
		} {
			value, err := stack.Prometheus.Scalar(fmt.Sprintf(`sum(%s{service_name=%q})`, metric, s.name))
			if err != nil {
				return err
			}
			got[what] = value
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			return fmt.Errorf("sums in Prometheus (-want +got):\n%s", diff)
		}
		return nil
	}
	harness.Eventually(t, arrival, "calls in Prometheus", check)
	p := stack.Prometheus
	p.WaitIncrease(t, `sum(otelcol_receiver_accepted_metric_points_total{job="collector"})`, 1)
	p.WaitIncrease(t, fmt.Sprintf(`sum(count_over_time(up{job="otelmon", instance=%q}[1h]))`, s.metrics), 2)
	if err := check(); err != nil {
		t.Errorf("after both paths have delivered again: %v", err)
	}
}

// testProxyTraces wants each call to be a span below that of its request.
func testProxyTraces(t *testing.T, stack *harness.Stack, name string, calls int) {
	t.Helper()
	harness.Eventually(t, arrival, "spans of the calls", func() error {
		servers, found := map[string]harness.Span{}, 0
		spans := stack.Traces.Spans(name)
		for _, s := range spans {
			if s.Kind == trace.Span_SPAN_KIND_SERVER && s.Name == http.MethodPost+" /v1/chat/completions" {
				servers[s.TraceID+s.SpanID] = s
			}
		}
		for _, s := range spans {
			_, below := servers[s.TraceID+s.ParentID]
			if s.Kind == trace.Span_SPAN_KIND_CLIENT && s.Name == "chat "+modelOf(stackScenario) && below {
				found++
			}
		}
		if found != calls || len(spans) != 2*calls {
			return fmt.Errorf("%d of %d calls, and %d spans: %v", found, calls, len(spans), spans)
		}
		return nil
	})
}
