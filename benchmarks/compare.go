package main

import (
	"context"
	"errors"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Names of the contenders.
const (
	nameBare     = "nothing"
	nameOtelhttp = "otelhttp"
	nameOtelmon  = "otelmon"
	namePromhttp = "promhttp"
	nameSlok     = "go-http-metrics"
)

// targets are what otelmon is to stay under; 0 is none.
type targets struct {
	// otelhttp and promhttp are parts of the time that these add.
	otelhttp, promhttp float64
	// allocations and bytes are those added.
	allocations, bytes float64
	// single is the part of the whole cost in the first case.
	single float64
}

// useCase is one situation in which all contenders are measured.
type useCase struct {
	name        string
	root        sdktrace.Sampler // of traces that begin here
	traceparent string
	post        bool              // a body; else it is a GET
	newWriter   func() resettable // nil for a client
	goroutines  int
	// metricsOnly lets contenders without traces take part.
	metricsOnly bool
	targets     targets
}

func useCases() []useCase {
	never, always := sdktrace.TraceIDRatioBased(0), sdktrace.AlwaysSample()
	return []useCase{
		{
			name: "server, not sampled", root: never, newWriter: newHTTP1Writer, goroutines: 1, metricsOnly: true,
			targets: targets{otelhttp: 0.35, promhttp: 1.15, allocations: 8, bytes: 900},
		},
		{
			name: "the same, with a body", root: never, post: true, newWriter: newHTTP1Writer, goroutines: 1, metricsOnly: true,
			targets: targets{otelhttp: 0.35, promhttp: 1.15, allocations: 8, bytes: 900},
		},
		{
			name: "the same, 16 goroutines", root: never, newWriter: newHTTP1Writer, goroutines: 16, metricsOnly: true,
			targets: targets{single: 1.5},
		},
		{
			name: "the same, writer of HTTP/2", root: never, newWriter: newHTTP2Writer, goroutines: 1, metricsOnly: true,
			targets: targets{otelhttp: 0.35, promhttp: 1.15, allocations: 8, bytes: 900},
		},
		{
			name: "the same, small writer", root: never, newWriter: newRecorderWriter, goroutines: 1, metricsOnly: true,
		},
		{
			name: "server, sampled", root: always, newWriter: newHTTP1Writer, goroutines: 1,
			targets: targets{otelhttp: 1.15},
		},
		{
			name: "server, caller not sampled", root: always, traceparent: unsampledParent, newWriter: newHTTP1Writer, goroutines: 1,
			targets: targets{otelhttp: 0.35},
		},
		{
			name: "server, caller sampled", root: never, traceparent: sampledParent, newWriter: newHTTP1Writer, goroutines: 1,
			targets: targets{otelhttp: 1.15},
		},
		{
			name: "client, not sampled", root: always, goroutines: 1,
			targets: targets{otelhttp: 0.5},
		},
	}
}

// result is a case with the cells of its contenders.
type result struct {
	useCase
	order []string
	cells map[string]*cell
}

// compare measures all contenders in all cases.
func compare(ctx context.Context, rounds, requests int) (_ []result, err error) {
	var results []result
	var cells []*cell
	for _, c := range useCases() {
		setups, order, makeErr := contenders(c)
		defer func() {
			for _, s := range setups {
				err = errors.Join(err, s.shutdown(context.WithoutCancel(ctx)))
			}
		}()
		if makeErr != nil {
			return nil, makeErr
		}
		r := result{useCase: c, order: order, cells: map[string]*cell{}}
		for _, name := range order {
			if r.cells[name], err = c.cell(ctx, setups[name]); err != nil {
				return nil, err
			}
			cells = append(cells, r.cells[name])
		}
		results = append(results, r)
	}
	return results, measure(ctx, cells, rounds, requests)
}

// contenders makes what takes part in a case, and says in which order. Each
// has its own SDK.
func contenders(c useCase) (map[string]setup, []string, error) {
	peer, peerErr := plainOtelhttp(c.signals())
	own, ownErr := otelmonSetup(c.signals())
	if err := errors.Join(peerErr, ownErr); err != nil {
		return nil, nil, err
	}
	setups := map[string]setup{nameBare: bare(), nameOtelhttp: peer, nameOtelmon: own}
	if !c.metricsOnly {
		return setups, []string{nameBare, nameOtelhttp, nameOtelmon}, nil
	}
	setups[namePromhttp], setups[nameSlok] = promhttpSetup(), slokSetup()
	return setups, []string{nameBare, namePromhttp, nameSlok, nameOtelhttp, nameOtelmon}, nil
}

// signals is what the setups of a case do with traces and metrics. otelmon bounds
// how many traces its callers can force: no benchmark could sample as many as it
// needs.
func (c useCase) signals() signals {
	return signals{
		sampler:         sdktrace.ParentBased(c.root),
		forcedPerSecond: -1,
		processor:       discard{},
		reader:          sdkmetric.NewManualReader(),
	}
}

// cell prepares the requests of a case to one contender.
func (c useCase) cell(ctx context.Context, s setup) (*cell, error) {
	made := &cell{}
	mux := newMux()
	handler, transport := s.handler(mux, mux), s.transport(newNetwork())
	for range c.goroutines {
		work, err := clientWorker(ctx, transport)
		if c.newWriter != nil {
			work, err = c.serverWorker(ctx, handler)
		}
		if err != nil {
			return nil, err
		}
		made.workers = append(made.workers, work)
	}
	return made, nil
}

// discard takes the spans, as an exporter's processor would, and forgets them,
// so that no exporter is measured.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }
