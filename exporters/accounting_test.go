package exporters_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// account is what a pipeline says about one signal.
type account struct {
	accepted, acknowledged, queued, inflight int64

	failed, dropped map[string]int64 // by reason
	handed          int64            // to the exporter; of traces and logs

	bytes, mostBytes int64
}

func (a account) lost() int64 { return sum(a.failed) + sum(a.dropped) }

func sum(numbers map[string]int64) (total int64) {
	for _, n := range numbers {
		total += n
	}
	return total
}

// observe registers the pipeline's numbers with a provider of their own.
func observe(t *testing.T, p *exporters.OTLPPipeline) *sdkmetric.ManualReader {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	if err := p.Observe(provider); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return reader
}

// accounts reads all numbers, by signal.
func accounts(t *testing.T, reader *sdkmetric.ManualReader) map[string]account {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]account{"traces": {}, "metrics": {}, "logs": {}}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			numbers, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				continue // the time of the last success
			}
			for _, point := range numbers.DataPoints {
				signal, _ := point.Attributes.Value(telemetry.Signal)
				reason, _ := point.Attributes.Value(telemetry.ErrorType)
				enter(found, m.Name, signal.AsString(), reason.AsString(), point.Value)
			}
		}
	}
	return found
}

func enter(found map[string]account, name, signal, reason string, n int64) {
	number := func(signal string, into func(*account) *int64) {
		a := found[signal]
		*into(&a) += n
		found[signal] = a
	}
	outcome := func(signal string, well func(*account) *int64, badly func(*account) *map[string]int64) {
		if reason == "" {
			number(signal, well)
			return
		}
		a := found[signal]
		if n == 0 { // the usual reasons are there from the start
			return
		}
		if *badly(&a) == nil {
			*badly(&a) = make(map[string]int64)
		}
		(*badly(&a))[reason] += n
		found[signal] = a
	}
	acknowledged := func(a *account) *int64 { return &a.acknowledged }
	failed := func(a *account) *map[string]int64 { return &a.failed }
	handed := func(a *account) *int64 { return &a.handed }
	dropped := func(a *account) *map[string]int64 { return &a.dropped }
	switch name {
	case telemetry.ExportAccepted:
		number(signal, func(a *account) *int64 { return &a.accepted })
	case telemetry.ExportQueueBytes:
		number(signal, func(a *account) *int64 { return &a.bytes })
	case telemetry.ExportQueueCapacity:
		number(signal, func(a *account) *int64 { return &a.mostBytes })
	case telemetry.SpanQueued:
		number("traces", func(a *account) *int64 { return &a.queued })
	case telemetry.LogQueued:
		number("logs", func(a *account) *int64 { return &a.queued })
	case telemetry.SpanInflight:
		number("traces", func(a *account) *int64 { return &a.inflight })
	case telemetry.LogInflight:
		number("logs", func(a *account) *int64 { return &a.inflight })
	case telemetry.MetricInflight:
		number("metrics", func(a *account) *int64 { return &a.inflight })
	case telemetry.SpanExported:
		outcome("traces", acknowledged, failed)
	case telemetry.LogExported:
		outcome("logs", acknowledged, failed)
	case telemetry.MetricExported:
		outcome("metrics", acknowledged, failed)
	case telemetry.SpanProcessed:
		outcome("traces", handed, dropped)
	case telemetry.LogProcessed:
		outcome("logs", handed, dropped)
	}
}

// identity returns what does not add up: at any moment each item is in one
// place.
func identity(found map[string]account) error {
	for _, signal := range slices.Sorted(maps.Keys(found)) {
		a := found[signal]
		if whole := a.acknowledged + a.lost() + a.queued + a.inflight; a.accepted != whole {
			return fmt.Errorf("%s: accepted %d, but all outcomes are %d: %+v", signal, a.accepted, whole, a)
		}
		if handed := a.acknowledged + sum(a.failed) + a.inflight; signal != "metrics" && a.handed != handed {
			return fmt.Errorf("%s: %d went to the exporter, but its outcomes are %d: %+v", signal, a.handed, handed, a)
		}
		if a.bytes > a.mostBytes || a.bytes < 0 {
			return fmt.Errorf("%s: %d bytes in a queue of %d", signal, a.bytes, a.mostBytes)
		}
	}
	return nil
}

func (r *rig) accounts(t *testing.T) map[string]account {
	t.Helper()
	return accounts(t, r.numbers)
}

// checkAccounts compares, once nothing is under way any more, the numbers with
// what was emitted and with what the Collector has.
func (r *rig) checkAccounts(t *testing.T) {
	t.Helper()
	found := r.accounts(t)
	if err := errors.Join(identity(found), statusIdentity(r.Status())); err != nil {
		t.Error(err)
	}
	for _, signal := range []string{"traces", "logs"} {
		a := found[signal]
		emitted, missing := len(r.spans), len(r.missingSpans())
		if signal == "logs" {
			emitted, missing = len(r.bodies), len(r.missingRecords())
		}
		right := a.lost() == int64(missing) || r.mayHaveMore && a.lost() > int64(missing)
		if !right || a.accepted != int64(emitted) || a.queued+a.inflight+a.bytes != 0 {
			t.Errorf("%s: %d were emitted and %d are missing, want the same from the numbers: %+v", signal, emitted, missing, a)
		}
	}
}

// checkLost checks how many spans and log records each were lost for which
// reason.
func (r *rig) checkLost(t *testing.T, failed, dropped map[string]int64) {
	t.Helper()
	found := r.accounts(t)
	for _, signal := range []string{"traces", "logs"} {
		if diff := cmp.Diff(failed, found[signal].failed); diff != "" {
			t.Errorf("failed %s differ (-want +got):\n%s", signal, diff)
		}
		if diff := cmp.Diff(dropped, found[signal].dropped); diff != "" {
			t.Errorf("dropped %s differ (-want +got):\n%s", signal, diff)
		}
	}
}
