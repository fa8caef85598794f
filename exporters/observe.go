package exporters

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Observe has meters tell what becomes of the telemetry: what was accepted,
// queued, in flight, delivered and lost for which reason, under the names of
// the semantic conventions for SDKs where there are any. At each collection the
// numbers of a signal are read at one moment, so that
//
//	accepted = acknowledged + failed + dropped + queued + in flight
//
// holds exactly. Call it once, with a provider that has a reader besides the
// pipeline's own, which tells nothing while the Collector is down; it observes
// for as long as the provider lives. Two pipelines need two providers, since
// their series would be the same.
func (p *OTLPPipeline) Observe(meters metric.MeterProvider) error {
	meter := telemetry.Meter(meters, "exporters")
	var errs []error
	for _, part := range p.parts {
		if err := part.observe(meter); err != nil {
			errs = append(errs, fmt.Errorf("observing the export of %s: %w", part.gate.signal, err))
		}
	}
	return errors.Join(errs...)
}

// names of a signal's metrics and components.
type names struct {
	unit                                            string
	processed, queued, capacity, inflight, exported string
	processor, exporter                             string
}

func namesOf(signal, protocol string) names {
	transport := map[string]string{protocolGRPC: "otlp_grpc_", protocolHTTP: "otlp_http_"}[protocol]
	switch signal {
	case signalTraces:
		return names{
			"{span}", telemetry.SpanProcessed, telemetry.SpanQueued, telemetry.SpanQueueCapacity, telemetry.SpanInflight, telemetry.SpanExported,
			"batching_span_processor", transport + "span_exporter",
		}
	case signalLogs:
		return names{
			"{log_record}", telemetry.LogProcessed, telemetry.LogQueued, telemetry.LogQueueCapacity, telemetry.LogInflight, telemetry.LogExported,
			"batching_log_processor", transport + "log_exporter",
		}
	}
	return names{unit: "{data_point}", inflight: telemetry.MetricInflight, exported: telemetry.MetricExported, exporter: transport + "metric_exporter"}
}

// observer gathers instruments and what to observe with them.
type observer struct {
	meter       metric.Meter
	instruments []metric.Observable
	observe     []func(metric.Observer, counts)
	errs        []error
}

func (p *part) observe(meter metric.Meter) error {
	n := namesOf(p.gate.signal, p.sender.settings.endpoint.protocol)
	o := &observer{meter: meter}
	component := func(kind string, more ...attribute.KeyValue) []attribute.KeyValue {
		return append(more, telemetry.ComponentType.String(kind), telemetry.ComponentName.String(kind+"/0"))
	}
	exporter := component(n.exporter, server(p.gate.transport.health.address)...)
	o.gauge(n.inflight, n.unit, "Handed to the exporter and not answered yet.", exporter, func(c counts) int64 { return c.inflight })
	o.outcomes(n.exported, n.unit, "Exports that ended; without error.type the Collector has them.", exporter,
		[]string{telemetry.LostRejected, telemetry.LostExpired, telemetry.LostTooLarge, telemetry.LostBadResponse, telemetry.LostShutdown},
		func(c counts) (int64, map[string]int64) { return c.acknowledged, c.failed })
	signal := []attribute.KeyValue{telemetry.Signal.String(p.gate.signal)}
	o.counter(telemetry.ExportAccepted, "{item}", "Spans, log records and data points handed over to be exported.", signal, func(c counts) int64 { return c.accepted })
	o.lastSuccess(signal)
	if p.queue != nil {
		processor := component(n.processor)
		o.gauge(n.queued, n.unit, "Waiting in the queue.", processor, func(c counts) int64 { return c.queued })
		o.gauge(n.capacity, n.unit, "Most that may wait in the queue.", processor, func(counts) int64 { return int64(p.queue.items) })
		o.outcomes(n.processed, n.unit, "Left the queue; without error.type to the exporter.", processor,
			[]string{telemetry.LostQueueFull, telemetry.LostTooLarge, telemetry.LostShutdown},
			func(c counts) (int64, map[string]int64) { return c.handed(), c.dropped })
		o.gauge(telemetry.ExportQueueBytes, "By", "Memory of what waits or is in flight.", signal, func(c counts) int64 { return c.queueBytes })
		o.gauge(telemetry.ExportQueueCapacity, "By", "Most memory of what waits or is in flight.", signal, func(counts) int64 { return int64(p.queue.bytes) })
		o.counter(telemetry.ExportCutValues, "{value}", "Attribute values of which only the beginning is sent.", signal, func(c counts) int64 { return c.cutValues })
	}
	if err := errors.Join(o.errs...); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		now := p.ledger.snapshot()
		for _, observe := range o.observe {
			observe(to, now)
		}
		return nil
	}, o.instruments...)
	return err
}

// server returns the attributes of an address, host:port.
func server(address string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(address)
	number, errPort := strconv.Atoi(port)
	if err != nil || errPort != nil {
		return []attribute.KeyValue{telemetry.ServerAddress.String(address)}
	}
	return []attribute.KeyValue{telemetry.ServerAddress.String(host), telemetry.ServerPort.Int(number)}
}

func (o *observer) add(instrument metric.Int64Observable, err error, observe func(metric.Observer, counts)) {
	o.errs = append(o.errs, err)
	o.instruments = append(o.instruments, instrument)
	o.observe = append(o.observe, observe)
}

func (o *observer) counter(name, unit, description string, attributes []attribute.KeyValue, value func(counts) int64) {
	i, err := o.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	with := metric.WithAttributes(attributes...)
	o.add(i, err, func(to metric.Observer, c counts) { to.ObserveInt64(i, value(c), with) })
}

// gauge is an up-down counter, so that instances add up.
func (o *observer) gauge(name, unit, description string, attributes []attribute.KeyValue, value func(counts) int64) {
	i, err := o.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	with := metric.WithAttributes(attributes...)
	o.add(i, err, func(to metric.Observer, c counts) { to.ObserveInt64(i, value(c), with) })
}

// outcomes counts what went well without error.type, and the rest with it. The
// usual reasons are there from the start, at 0, so that a rate sees their first
// increase.
func (o *observer) outcomes(name, unit, description string, attributes []attribute.KeyValue, usual []string, values func(counts) (int64, map[string]int64)) {
	i, err := o.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	with := metric.WithAttributes(attributes...)
	o.add(i, err, func(to metric.Observer, c counts) {
		well, badly := values(c)
		to.ObserveInt64(i, well, with)
		for _, reason := range usual {
			add(&badly, reason, 0)
		}
		for reason, n := range badly {
			to.ObserveInt64(i, n, with, metric.WithAttributes(telemetry.ErrorType.String(reason)))
		}
	})
}

// lastSuccess begins with the start of the pipeline, so that the time since then
// also grows where nothing was ever taken.
func (o *observer) lastSuccess(attributes []attribute.KeyValue) {
	i, err := o.meter.Int64ObservableGauge(telemetry.ExportLastSuccess, metric.WithUnit("s"),
		metric.WithDescription("When the Collector last took something, or else when the pipeline was started, in seconds since 1970."))
	with := metric.WithAttributes(attributes...)
	o.add(i, err, func(to metric.Observer, c counts) {
		to.ObserveInt64(i, c.lastSuccess.Unix(), with)
	})
}
