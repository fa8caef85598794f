package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// nameStock is the batch processor of the SDK with the OTLP exporter of the
// OpenTelemetry project.
const nameStock = "stock"

// leastRatio is how many items otelmon is to export per second and core, as a
// part of what stock does.
const leastRatio = 1.0

var exportOrder = []string{nameBare, nameStock, nameOtelmon}

// exportCase is one way to a Collector.
type exportCase struct {
	name        string
	logs        bool // or spans
	http        bool // or gRPC
	compression string
}

func exportCases() []exportCase {
	return []exportCase{
		{name: "spans, gRPC, gzip", compression: "gzip"},
		{name: "spans, gRPC, not compressed", compression: "none"},
		{name: "spans, HTTP, gzip", http: true, compression: "gzip"},
		{name: "spans, HTTP, not compressed", http: true, compression: "none"},
		{name: "log records, gRPC, gzip", logs: true, compression: "gzip"},
		{name: "log records, HTTP, gzip", logs: true, http: true, compression: "gzip"},
	}
}

// exportResult is a case with what was measured of its contenders.
type exportResult struct {
	exportCase
	cells     map[string]*cell
	pipelines map[string]*pipeline
}

// compareExports measures how much processor time of this process an item costs
// on its way to the Collector. It fails when one does not arrive.
func compareExports(ctx context.Context, rounds, items int) (results []exportResult, err error) {
	to, err := startCollector(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.stop()) }()
	for _, c := range exportCases() {
		r, err := c.start(ctx, to, results)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
	}
	var cells []*cell
	for _, r := range results {
		for _, name := range exportOrder {
			if c := r.cells[name]; !slices.Contains(cells, c) {
				cells = append(cells, c)
			}
		}
	}
	err = measure(ctx, cells, rounds, items)
	for _, r := range results {
		for name, p := range r.pipelines {
			if failed := errors.Join(p.err, p.shutdown(context.WithoutCancel(ctx))); failed != nil {
				err = errors.Join(err, fmt.Errorf("%s, %s: %w", r.name, name, failed))
			}
		}
	}
	return results, err
}

// start makes the contenders of a case. Cases of one signal share the one that
// exports nothing.
func (c exportCase) start(ctx context.Context, to *collector, others []exportResult) (exportResult, error) {
	r := exportResult{c, map[string]*cell{}, map[string]*pipeline{}}
	for _, name := range exportOrder {
		same := slices.IndexFunc(others, func(o exportResult) bool { return name == nameBare && o.logs == c.logs })
		if same >= 0 {
			r.pipelines[name], r.cells[name] = others[same].pipelines[name], others[same].cells[name]
			continue
		}
		p, err := c.pipelineOf(ctx, name, to)
		if err != nil {
			return r, err
		}
		r.pipelines[name], r.cells[name] = p, &cell{workers: []worker{p.work}}
	}
	return r, nil
}

const exportIntro = `
## What it costs to export

Spans and log records are made through the API, go through a batch processor and an OTLP exporter, and arrive at a Collector in
another process, which counts them and answers at once. A number is the processor time of the exporting process for one of them,
less that of the same with a processor that forgets them. Each contender takes %[2]d turns of %[3]d: *added* is the median of the
differences, *least* the difference of the least. After every %[4]d, which fit into every queue, the benchmark waits until the
Collector has all of them; the comparison fails if one is lost.

- **stock** is the SDK's BatchSpanProcessor or its BatchProcessor of log records, with the exporters of the OpenTelemetry project.
- **otelmon** is %[1]sexporters.OTLP%[1]s. It encodes a span where that ends, so that it knows its size and keeps nothing else alive; stock
  does so where it sends.
- Batches of both have 512. A span is that of an HTTP server with 10 attributes, and one in 20 has an event; a log record has a body
  and 5 attributes.
- *Per second and core* is how many a core gets through queue and exporter if it does nothing else, and *× stock* compares that:
  more is better. In parentheses is the ratio of the least.
- *Wall* is the time on the clock for one, the making and the wait included: most of it on two cores side by side.
- *In End or Emit* is what the service waits for while it ends a span or emits a record, on the clock and with the SDK's own part:
  the median of bursts of %[5]d.

`

func exportSection(results []exportResult, rounds, items int) string {
	var b strings.Builder
	fmt.Fprintf(&b, exportIntro, "`", rounds, items, waitEvery, burst)
	b.WriteString("| Case | | added, ns | least, ns | per second and core | × stock | wall, ns | in End or Emit, ns | allocations | bytes |\n")
	b.WriteString("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, r := range results {
		for _, name := range exportOrder {
			b.WriteString(r.line(name))
		}
	}
	return b.String()
}

func (r exportResult) line(name string) string {
	base, c, handover := r.cells[nameBare], r.cells[name], medianOf(r.pipelines[name].handover)
	if name == nameBare {
		return fmt.Sprintf("| %s | %s | (%.0f) | | | | (%.0f) | (%.0f) | (%.1f) | (%.0f) |\n",
			r.name, name, medianOf(c.perRequest), c.wall(), handover, c.allocations, c.bytes)
	}
	median, least := c.exportCost(base)
	return fmt.Sprintf("| | %s | %.0f | %.0f | %.0f | %s | %.0f | %.0f | %.1f | %.0f |\n", name, median, least, 1e9/median, r.ratio(name),
		c.wall(), handover, c.allocations-base.allocations, c.bytes-base.bytes)
}

// ratio compares how many items a core exports with how many stock does.
func (r exportResult) ratio(name string) string {
	if name == nameStock {
		return "-"
	}
	stock, stockLeast := r.cells[nameStock].exportCost(r.cells[nameBare])
	median, least := r.cells[name].exportCost(r.cells[nameBare])
	return noLess(fmt.Sprintf("%.2f (%.2f)", stock/median, stockLeast/least), stock/median, leastRatio)
}

// exportCost is what an item costs over making it. That is no small part of it,
// so that the least difference would be that of the round which disturbed the
// making most.
func (c *cell) exportCost(base *cell) (median, least float64) {
	median, _ = c.added(base)
	return median, slices.Min(c.perRequest) - slices.Min(base.perRequest)
}

// wall returns the nanoseconds on the clock for one item.
func (c *cell) wall() float64 {
	all := make([]float64, len(c.perRequest))
	for i := range all {
		all[i] = c.perRequest[i] / c.cores[i]
	}
	return medianOf(all)
}
