package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/otelmon/toolkit/sampling"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

var update = flag.Bool("update", false, "write docs/known-failures.md instead of comparing with it")

// failure is something that plain otelhttp gets wrong.
type failure struct {
	// observe lets it happen and returns what the telemetry says.
	observe func(*testing.T, *service) string
	// otelhttp and otelmon are what it says.
	otelhttp, otelmon string
	// means is what the reader is to know about it.
	means string

	with signals
}

func unsampled() sdktrace.Sampler { return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0)) }

var failures = map[string]failure{
	"a handler panics": {
		observe: panics, means: "The worst requests are missing from the error rate.",
		otelhttp: "not counted; span without error",
		otelmon:  "counted as 500, `error.type` string; span marked as failed",
	},
	"a panic is looked up in its trace": {
		observe: panicStack, means: "The message alone does not lead to the line.",
		otelhttp: "1 exception, 0 stack",
		otelmon:  "1 exception, 1 stack",
	},
	"a handler breaks off by http.ErrAbortHandler": {
		observe: aborts, means: "Go's reverse proxy does so when its upstream breaks off: the client has half an answer.",
		otelhttp: "not counted; span without error",
		otelmon:  "counted as 200, `error.type` response_aborted; span marked as failed",
	},
	"a handler answers 500": {
		observe: answers500, means: "The conventions want `error.type`; without it the error rate needs a list of status codes.",
		otelhttp: "counted as 500; span marked as failed",
		otelmon:  "counted as 500, `error.type` 500; span marked as failed",
	},
	"requests are in progress": {
		observe: inProgress, means: "A service that hangs has no finished requests to show it.",
		otelhttp: "not measured",
		otelmon:  "1 in `http.server.active_requests`",
	},
	"clients send 50 different Host headers": {
		observe: manyHosts, means: "Anybody can fill your Prometheus: the host is a label.",
		otelhttp: "50 series",
		otelmon:  "1 series",
	},
	"a middleware copies the request on its way to the router": {
		observe: copiesRequest, means: "Almost every middleware that puts a value into the context does so. Needs `Config.Mux`.",
		otelhttp: "no `http.route` on the metric; span called GET",
		otelmon:  "`http.route` /items/{id} on the metric; span called GET /items/{id}",
	},
	"spans are searched by route": {
		observe: spanRoute, means: "Only the name of the span has the route.",
		otelhttp: "no `http.route`",
		otelmon:  "`http.route` /items/{id}",
	},
	"a response is an event stream": {
		observe: eventStream, means: "It lasts as long as the client stays; among answers it ruins every percentile.",
		otelhttp: "counted as 200; span without error",
		otelmon:  "counted among the streams as 200; span without error",
	},
	"a connection becomes a WebSocket": {
		observe: webSocket, means: "It stays open for hours, and the status is made up: the client got 101.",
		otelhttp: "counted as 200; span without error",
		otelmon:  "counted among the streams as 101; span without error",
	},
	"a client leaves before it was answered": {
		observe: clientLeaves, means: "A timeout of the caller's looks like a success.",
		otelhttp: "counted as 200; span without error",
		otelmon:  "counted, `error.type` client_disconnected; span without error",
	},
	"the instrumentation is there twice": {
		observe: nested, means: "Once by the framework and once by the service, say: all rates double. A Handler in a Handler, or an otelhttp in one, counts once; an otelhttp around a Handler still counts too.",
		otelhttp: "counted as 200; counted as 200; span without error, span without error",
		otelmon:  "counted as 200; span without error",
	},
	"health is checked": {
		observe: healthCheck, means: "Traces fill with probes. A filter of otelhttp removes the metric as well.",
		otelhttp: "counted as 200; span without error",
		otelmon:  "counted as 200; no span",
	},
	"a body has 100 kB": {
		observe: largeBody, means: "The boundaries were made for milliseconds: no percentile is above 10 kB.",
		otelhttp: "above the last boundary, 10000 B",
		otelmon:  "between 65536 and 262144 B",
	},
	"requests take longer than 10 s": {
		observe: slowest, means: "P99 stays at 10 s, whatever the truth.",
		otelhttp: "all above 10 s is one bucket",
		otelmon:  "all above 60 s is one bucket",
	},
	"a request fails whose trace was not sampled": {
		observe: answers500, with: signals{sampler: unsampled()}, means: "The traces that are needed are those of failures.",
		otelhttp: "counted as 500; no span",
		otelmon:  "counted as 500, `error.type` 500; span marked as failed",
	},
	"a request is slow whose trace was not sampled": {
		observe: answers200, means: "And those of slow requests. Slow is 1 s, or `Config.Rescue.SlowerThan`, in the test 1 ns.",
		with:     signals{sampler: unsampled(), rescue: sampling.Rescue{SlowerThan: time.Nanosecond}},
		otelhttp: "counted as 200; no span",
		otelmon:  "counted as 200; span without error",
	},
	"callers ask to be sampled": {
		observe: forced, with: signals{sampler: unsampled()},
		means:    "One header of anybody's beats the ratio. otelmon lets 100 a second pass, and none with `Config.Public`.",
		otelhttp: "all of 1000 at once are sampled",
		otelmon:  "some of 1000 at once are sampled",
	},
	"a caller wants to report its trace": {
		observe: traceOfAnswer, with: signals{traceResponse: true}, means: "With it, support finds the trace of a complaint. Needs `Config.TraceResponse`.",
		otelhttp: "no header tells it",
		otelmon:  "the trace is in the header Server-Timing",
	},
	"a client waits for a body": {
		observe: slowBody, means: "The wait for slow upstreams is invisible in metrics, although the span has it.",
		otelhttp: "the duration ends before the body arrives",
		otelmon:  "the duration ends with the body",
	},
	"a client sends a key in the query": {
		observe: secretInQuery, means: "Credentials reach the trace storage.",
		otelhttp: "the key is in `url.full`",
		otelmon:  "1 span, without the key",
	},
	"a server answers a client with 500": {
		observe: serverFails, means: "Failures of upstreams need a list of status codes, too.",
		otelhttp: "counted as 500; span marked as failed",
		otelmon:  "counted as 500, `error.type` 500; span marked as failed",
	},
	"a client cannot connect": {
		observe: refused, means: "One type of Go for refused, reset and unresolved alike; they need different people.",
		otelhttp: "counted, `error.type` net.OpError; span marked as failed",
		otelmon:  "counted, `error.type` connection_refused; span marked as failed",
	},
	"a slow request is to lead to its trace": {
		observe: exemplars, means: "Exemplars leave `/metrics` as OpenMetrics only, which promhttp.Handler does not speak.",
		otelhttp: "no link on the page",
		otelmon:  "the page links to the trace",
	},
	"a client gets a large answer": {
		observe: answerSize, means: "Only what is sent is measured.",
		otelhttp: "not measured",
		otelmon:  "counted as 200 in `http.client.response.body.size`",
	},
}

// TestKnownFailures runs each scenario twice. When plain otelhttp mends
// something, the test fails and the line can go.
func TestKnownFailures(t *testing.T) {
	t.Parallel()
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("otelhttp", func(t *testing.T) {
				t.Parallel()
				if diff := cmp.Diff(f.otelhttp, f.observe(t, newService(t, plainOtelhttp, f.with))); diff != "" {
					t.Errorf("(- known, + now):\n%s", diff)
				}
			})
			t.Run("otelmon", func(t *testing.T) {
				t.Parallel()
				if diff := cmp.Diff(f.otelmon, f.observe(t, newService(t, otelmonSetup, f.with))); diff != "" {
					t.Errorf("(- right, + now):\n%s", diff)
				}
			})
		})
	}
}

const failuresIntro = `# What plain otelhttp gets wrong

Each line is a scenario that a test runs twice, with real servers on loopback: against otelhttp v%s with the OpenTelemetry SDK, as their
documentation shows, and against otelmon with the defaults unless the line says otherwise. The cells are what the telemetry
said. The test fails when otelmon is wrong, and also when otelhttp is right, so that this page stays true. It is written by
%[2]sgo test -run TestKnownFailuresPage . -update%[2]s in the folder benchmarks, and one scenario is run by
%[2]sgo test -run 'TestKnownFailures/a_handler_panics' -v .%[2]s there.

*Counted* means counted in %[2]shttp.server.request.duration%[2]s, or in %[2]shttp.client.request.duration%[2]s, the histograms that rates, error rates
and percentiles are computed from. *Among the streams* is %[2]sotelmon.http.server.stream.duration%[2]s. A span that is *marked as failed* has the status
Error, which is what trace storages search by.

| What happens | otelhttp | otelmon | Why it matters | %[2]sTestKnownFailures/%[2]s |
| --- | --- | --- | --- | --- |
`

func TestKnownFailuresPage(t *testing.T) {
	t.Parallel()
	const path = "../docs/known-failures.md"
	var page bytes.Buffer
	fmt.Fprintf(&page, failuresIntro, otelhttp.Version, "`")
	for _, name := range slices.Sorted(maps.Keys(failures)) {
		f := failures[name]
		fmt.Fprintf(&page, "| %s%s | %s | %s | %s | `%s` |\n", strings.ToUpper(name[:1]), name[1:],
			f.otelhttp, f.otelmon, f.means, strings.ReplaceAll(name, " ", "_"))
	}
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page.String()); diff != "" {
		t.Errorf("run the test with -update (- file, + now):\n%s", diff)
	}
}
