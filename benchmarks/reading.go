package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
)

const (
	// readers is how many streams are read at a time.
	readers = 16
	// streamPieces makes 100 events, with those that begin and end the answer.
	streamPieces = 96
	streamEvents = 100
	piecePause   = 2 * time.Millisecond
)

// Names of those who read streams.
const (
	nameNoTransport      = "nothing"
	nameNoTransportAgain = "nothing, another connection pool"
	nameLLMTransport     = "llm.Transport"
)

// reading is a client of an LLM API.
type reading struct {
	name     string
	cell     *cell
	failures [readers]error // by worker, since they work side by side
}

// compareReading measures what it costs to read streams.
func compareReading(ctx context.Context, rounds, streams int) (all []*reading, err error) {
	upstream, err := startProcess(ctx, roleUpstream)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, upstream.stop()) }()
	sdk, err := otelmon.Setup(ctx, otelmon.Config{
		ServiceName: "benchmarks", Sampler: sampling.Ratio(0.01),
		Prometheus:  exporters.Prometheus{DisableListener: true},
		DisableOTLP: true, DisableGlobals: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, fmt.Errorf("setting otelmon up: %w", err)
	}
	defer func() { err = errors.Join(err, sdk.Shutdown(context.WithoutCancel(ctx))) }()
	cfg := llm.Config{
		TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(),
		Providers: map[string]string{upstream.addresses[0]: "deepseek"},
	}
	var cells []*cell
	for _, name := range []string{nameNoTransport, nameNoTransportAgain, nameLLMTransport} {
		var transport http.RoundTripper = &http.Transport{MaxIdleConnsPerHost: readers}
		if name == nameLLMTransport {
			transport = llm.Transport(transport, cfg)
		}
		r := &reading{name: name, cell: &cell{}}
		r.start(ctx, &http.Client{Transport: transport}, "http://"+upstream.addresses[0]+chatPath)
		all, cells = append(all, r), append(cells, r.cell)
	}
	err = measure(ctx, cells, rounds, streams)
	for _, r := range all {
		err = errors.Join(err, errors.Join(r.failures[:]...))
	}
	return all, err
}

// start makes the workers.
func (r *reading) start(ctx context.Context, client *http.Client, url string) {
	for i := range readers {
		buffer := make([]byte, 4<<10)
		r.cell.workers = append(r.cell.workers, func(streams int) {
			for range streams {
				if err := readAll(ctx, client, url, buffer); err != nil {
					r.failures[i] = err
				}
			}
		})
	}
}

// readAll reads a stream as it comes.
func readAll(ctx context.Context, client *http.Client, url string, buffer []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(chatBody(streamEnd)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer sk-benchmarks")
	request.Header.Set(headerPieces, strconv.Itoa(streamPieces))
	request.Header.Set(headerPause, piecePause.String())
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	for err == nil {
		_, err = response.Body.Read(buffer)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("reading a stream: %w", err)
}

const readingIntro = `
## What reading a stream costs

A client of an LLM API reads streams of %[1]d events, one every %[2]s, %[3]d of them at a time, from an upstream in another process. A
number is the processor time of the client's process for one event, and what it allocates, all of the stream included: sending the
request, reading the answer, telemetry. **llm.Transport** records metrics of each call and a span of 1 %% of them. Each contender takes
%[4]d turns of %[5]d streams. *×* compares with the first line in the same round: the median of the rounds, and in parentheses the least and the
most; *sum* compares the sums of all rounds. How the first two differ is noise.

| Around the client | CPU, µs | × | sum, × | allocations added | bytes added |
| --- | --: | --: | --: | --: | --: |
`

func readingSection(all []*reading, rounds, streams int) string {
	var b strings.Builder
	fmt.Fprintf(&b, readingIntro, streamEvents, piecePause, readers, rounds, streams)
	for _, r := range all {
		b.WriteString(r.line(all[0]))
	}
	return b.String()
}

func (r *reading) line(first *reading) string {
	const most, mostAllocations = 1.03, 1
	c, base := r.cell, first.cell
	cpu := medianOf(c.perRequest) / streamEvents / 1e3
	if r == first {
		return fmt.Sprintf("| %s | %.2f | - | - | (%.2f) | (%.0f) |\n", r.name, cpu, c.allocations/streamEvents, c.bytes/streamEvents)
	}
	target, targetAllocations := 0.0, 0.0
	if r.name == nameLLMTransport {
		target, targetAllocations = most, mostAllocations
	}
	sums := sumOf(c.perRequest) / sumOf(base.perRequest)
	allocations := (c.allocations - base.allocations) / streamEvents
	return fmt.Sprintf("| %s | %.2f | %s | %.3f | %s | %.0f |\n", r.name, cpu, spread(c.perRequest, base.perRequest, target), sums,
		against(fmt.Sprintf("%.2f", allocations), allocations, targetAllocations), (c.bytes-base.bytes)/streamEvents)
}

func sumOf(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}
