package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

const intro = `# Measured side by side

Written by %[1]smake bench%[1]s, on: %[2]s, %[3]d cores, %[4]s, %[5]s/%[6]s. Other machines have other numbers, but similar ratios.

All contenders take turns, so that a machine that is busy for a while is so for all of them. otelmon's targets stand behind its
numbers; a number that misses its target is bold. Nothing fails because of a time: machines are noisy.

`

const requestIntro = `## What a request costs

The service is a ServeMux with one route, %[1]s/items/{id}%[1]s, that sets a Content-Type and writes %[2]d bytes. A number is the
processor time of the process for one request (user, system and garbage collection; not wall time), less that of the same
service with nothing around it. Each contender takes %[3]d turns of %[4]d requests: *added* is the median of the differences,
*least* the least of them. Ratios are those of the medians, and in parentheses those of the least.

The contenders:

- **otelhttp** v%[5]s with the OpenTelemetry SDK as their documentation shows: a Prometheus exporter and a second reader.
- **otelmon** by %[1]sotelmon.Setup%[1]s, %[1]smiddleware.Handler%[1]s and %[1]smiddleware.Transport%[1]s, also with a Prometheus exporter and a second
  reader. Unlike otelhttp it counts the requests in progress, too, and is ready to keep a request that fails. It records the size of a
  request's body if there is one; the others record 0 otherwise.
- **promhttp**, the four InstrumentHandler middlewares of client_golang with the labels code and method: metrics alone, in one
  registry, without routes.
- **go-http-metrics** by slok, with its Prometheus recorder: metrics alone. It is told the route.

The cases:

- *Not sampled* is a trace that the head sampler dropped; *caller* is a traceparent header of the request. Spans go to a
  processor that forgets them, and otelmon's bound on traces forced by callers is lifted.
- The request is a GET; with a body, a POST that the service reads.
- The writer has the methods of the one in net/http's server for HTTP/1 or HTTP/2; the *small* one only those of
  httptest.ResponseRecorder.
- The client's parent is a span that is not sampled, its network is a function, and it reads the response to its end.
- *× one goroutine* compares the whole cost of a request, service included, with that in the first case, and tells how many
  cores really worked side by side: on a busy machine that is one.

`

// pageIntro begins docs/benchmarks.md.
func pageIntro() string {
	return fmt.Sprintf(intro, "`", processor(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func requestSection(results []result, rounds, requests int) string {
	var b strings.Builder
	fmt.Fprintf(&b, requestIntro, "`", len(answer), rounds, requests, otelhttp.Version)
	b.WriteString("| Case | | added, ns | least, ns | × otelhttp | × promhttp | × one goroutine | allocations | bytes |\n")
	b.WriteString("| --- | --- | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, r := range results {
		for _, name := range r.order {
			b.WriteString(r.line(name, results[0]))
		}
	}
	return b.String()
}

func (r result) line(name string, first result) string {
	base, c := r.cells[nameBare], r.cells[name]
	goal := r.targets
	if name != nameOtelmon {
		goal = targets{}
	}
	single := "-"
	if r.goroutines > 1 {
		ratio := medianOf(c.perRequest) / medianOf(first.cells[name].perRequest)
		single = against(fmt.Sprintf("%.2f on %.1f cores", ratio, medianOf(c.cores)), ratio, goal.single)
	}
	if name == nameBare {
		return fmt.Sprintf("| %s | %s | (%.0f) | | | | %s | (%.1f) | (%.0f) |\n",
			r.name, name, medianOf(c.perRequest), single, c.allocations, c.bytes)
	}
	median, least := c.added(base)
	allocations, bytes := c.allocations-base.allocations, c.bytes-base.bytes
	return fmt.Sprintf("| | %s | %.0f | %.0f | %s | %s | %s | %s | %s |\n", name, median, least,
		r.ratio(c, nameOtelhttp, goal.otelhttp), r.ratio(c, namePromhttp, goal.promhttp), single,
		against(fmt.Sprintf("%.1f", allocations), allocations, goal.allocations),
		against(fmt.Sprintf("%.0f", bytes), bytes, goal.bytes))
}

// ratio compares what c adds with what the peer adds.
func (r result) ratio(c *cell, peer string, target float64) string {
	p, ok := r.cells[peer]
	if !ok || p == c {
		return "-"
	}
	median, least := c.added(r.cells[nameBare])
	peerMedian, peerLeast := p.added(r.cells[nameBare])
	return against(fmt.Sprintf("%.2f (%.2f)", median/peerMedian, least/peerLeast), median/peerMedian, target)
}

// against adds the target to a number, if there is one.
func against(text string, value, target float64) string {
	if target == 0 {
		return text
	}
	if value > target {
		text = "**" + text + "**"
	}
	return fmt.Sprintf("%s, target %v", text, target)
}

// processor returns the name of the processor, where Linux tells it.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}
