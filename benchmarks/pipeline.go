package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// waitEvery is after how many items the benchmark waits until all of them
	// are delivered, so that no queue overflows.
	waitEvery = 8192
	// queueItems is room for more.
	queueItems = 2 * waitEvery
	// burst is how many items are handed over in a row while the clock runs.
	burst = 64
)

// provider is what the TracerProvider and the LoggerProvider of the SDK have in
// common.
type provider interface {
	ForceFlush(context.Context) error
	Shutdown(context.Context) error
}

// pipeline makes spans or log records, which go through a processor and an
// exporter to a Collector.
type pipeline struct {
	provider provider
	// make makes up to a burst of items, from the nth, and returns how long it
	// took to hand them over: to end the spans, or to emit the records.
	make func(n, items int) time.Duration
	made int

	collector *collector // nil when nothing is exported
	// losses are told by the exporter itself, if it can.
	losses func(context.Context) error

	// handover is the nanoseconds of one item, by worker's turn.
	handover []float64
	err      error
}

// work is a worker. It returns when the Collector has everything.
func (p *pipeline) work(requests int) {
	ctx := context.Background()
	before, err := p.received(ctx)
	p.err = errors.Join(p.err, err)
	bursts := make([]float64, 0, requests/burst+1)
	for made := 0; made < requests; {
		items := min(burst, requests-made)
		took := p.make(p.made, items)
		bursts = append(bursts, float64(took)/float64(items))
		made += items
		p.made += items
		if made%waitEvery == 0 || made == requests {
			p.err = errors.Join(p.err, p.provider.ForceFlush(ctx))
		}
	}
	p.handover = append(p.handover, medianOf(bursts))
	after, err := p.received(ctx)
	p.err = errors.Join(p.err, err)
	if got := after - before; p.collector != nil && got != requests {
		p.err = errors.Join(p.err, fmt.Errorf("%d of %d arrived", got, requests))
	}
}

func (p *pipeline) received(ctx context.Context) (int, error) {
	if p.collector == nil {
		return 0, nil
	}
	return p.collector.received(ctx)
}

func (p *pipeline) shutdown(ctx context.Context) error {
	err := p.provider.Shutdown(ctx)
	if p.losses != nil {
		err = errors.Join(err, p.losses(ctx))
	}
	return err
}

// pipelineOf connects a contender. The compression has no option that all
// exporters share, but a variable.
func (c exportCase) pipelineOf(ctx context.Context, name string, to *collector) (_ *pipeline, err error) {
	const variable = "OTEL_EXPORTER_OTLP_COMPRESSION"
	if err := os.Setenv(variable, c.compression); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Unsetenv(variable)) }()
	switch name {
	case nameOtelmon:
		return c.own(ctx, to)
	case nameStock:
		return c.stock(ctx, to)
	}
	if c.logs {
		return newLogs(discardLogs{}), nil
	}
	return newSpans(discard{}), nil
}

// own is the toolkit's pipeline, as otelmon.Setup makes it.
func (c exportCase) own(ctx context.Context, to *collector) (*pipeline, error) {
	cfg := exporters.OTLP{Endpoint: to.grpc, Protocol: "grpc", DisableMetrics: true, DisableTraces: c.logs, DisableLogs: !c.logs}
	if c.http {
		cfg.Endpoint, cfg.Protocol = to.http, "http/protobuf"
	}
	started, err := cfg.Start(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting otelmon's exporter: %w", err)
	}
	var p *pipeline
	if c.logs {
		p = newLogs(started.Logs)
	} else {
		p = newSpans(started.Spans)
	}
	p.collector, p.losses = to, started.Shutdown
	return p, nil
}

// stock is that of the SDK, with a queue that is large enough.
func (c exportCase) stock(ctx context.Context, to *collector) (*pipeline, error) {
	var p *pipeline
	if c.logs {
		exporter, err := c.stockLogs(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("making the stock exporter: %w", err)
		}
		p = newLogs(sdklog.NewBatchProcessor(exporter, sdklog.WithMaxQueueSize(queueItems)))
	} else {
		exporter, err := c.stockSpans(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("making the stock exporter: %w", err)
		}
		p = newSpans(sdktrace.NewBatchSpanProcessor(exporter, sdktrace.WithMaxQueueSize(queueItems)))
	}
	p.collector = to
	return p, nil
}

func (c exportCase) stockSpans(ctx context.Context, to *collector) (*otlptrace.Exporter, error) {
	if c.http {
		return otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(to.http), otlptracehttp.WithInsecure())
	}
	return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(to.grpc), otlptracegrpc.WithInsecure())
}

func (c exportCase) stockLogs(ctx context.Context, to *collector) (sdklog.Exporter, error) {
	if c.http {
		return otlploghttp.New(ctx, otlploghttp.WithEndpoint(to.http), otlploghttp.WithInsecure())
	}
	return otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(to.grpc), otlploggrpc.WithInsecure())
}

func shop() *resource.Resource {
	return resource.NewSchemaless(
		attribute.String("service.name", "shop"), attribute.String("service.version", "1.7.0"),
		attribute.String("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
		attribute.String("deployment.environment.name", "production"),
	)
}

// variants is how many items differ in more than ID and time.
const variants = 1024

// newSpans makes spans as HTTP servers do. One in 20 has an event.
func newSpans(processor sdktrace.SpanProcessor) *pipeline {
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(shop()), sdktrace.WithSpanProcessor(processor))
	tracer := provider.Tracer("github.com/otelmon/toolkit/middleware", trace.WithInstrumentationVersion("0.1.0"))
	var attributes [variants][]attribute.KeyValue
	for i := range attributes {
		attributes[i] = serverSpan(i)
	}
	var spans [burst]trace.Span
	return &pipeline{provider: provider, make: func(n, items int) time.Duration {
		for i := range spans[:items] {
			_, spans[i] = tracer.Start(context.Background(), "GET /items/{id}", trace.WithSpanKind(trace.SpanKindServer),
				trace.WithAttributes(attributes[(n+i)%variants]...))
			if (n+i)%20 == 0 {
				spans[i].AddEvent("cache miss", trace.WithAttributes(attribute.String("cache.name", "items"), attribute.Int("cache.size", n)))
			}
		}
		start := time.Now()
		for _, span := range spans[:items] {
			span.End()
		}
		return time.Since(start)
	}}
}

func serverSpan(i int) []attribute.KeyValue {
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "curl/8.5.0", "Go-http-client/1.1"}
	return []attribute.KeyValue{
		attribute.String("http.request.method", "GET"), attribute.String("url.scheme", "https"),
		attribute.String("http.route", "/items/{id}"), attribute.String("url.path", "/items/"+strconv.Itoa(i*7919)),
		attribute.String("user_agent.original", agents[i%len(agents)]), attribute.String("client.address", "203.0.113."+strconv.Itoa(i%256)),
		attribute.Int("http.response.status_code", 200), attribute.Int("http.response.body.size", 100+i*31),
		attribute.Bool("app.cached", i%3 == 0), attribute.Float64("app.price", float64(i)/7),
	}
}

// newLogs makes log records as services do while they answer requests.
func newLogs(processor sdklog.Processor) *pipeline {
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(shop()), sdklog.WithProcessor(processor))
	logger := provider.Logger("shop")
	var contexts [variants]context.Context
	for i := range contexts {
		contexts[i] = trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{byte(i * 131), byte(i * 31), byte(i >> 8), byte(i)}, SpanID: trace.SpanID{byte(i * 17), byte(i >> 8), byte(i)},
			TraceFlags: trace.FlagsSampled,
		}))
	}
	var records [burst]log.Record
	return &pipeline{provider: provider, make: func(n, items int) time.Duration {
		for i := range records[:items] {
			records[i] = logRecord((n + i) % variants)
		}
		start := time.Now()
		for i, record := range records[:items] {
			logger.Emit(contexts[(n+i)%variants], record)
		}
		return time.Since(start)
	}}
}

func logRecord(i int) log.Record {
	var record log.Record
	record.SetTimestamp(time.Now())
	record.SetSeverity(log.SeverityInfo)
	record.SetSeverityText("INFO")
	record.SetBody(attribute.StringValue("the item was sold"))
	record.AddAttributes(
		attribute.String("item", "/items/"+strconv.Itoa(i*7919)), attribute.String("customer", "c-"+strconv.Itoa(i*104729)),
		attribute.Int("quantity", i%7), attribute.Bool("express", i%3 == 0), attribute.Float64("price", float64(i)/7),
	)
	return record
}

// discardLogs takes the records and forgets them.
type discardLogs struct{}

func (discardLogs) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (discardLogs) OnEmit(context.Context, *sdklog.Record) error           { return nil }
func (discardLogs) Shutdown(context.Context) error                         { return nil }
func (discardLogs) ForceFlush(context.Context) error                       { return nil }
