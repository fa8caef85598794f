package process_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/internal/process"
	"github.com/otelmon/toolkit/internal/telemetry"
)

func collect(t *testing.T) []metricdata.Metrics {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	if err := process.Observe(t.Context(), provider); err != nil {
		t.Fatal(err)
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.ScopeMetrics) != 1 {
		t.Fatalf("got %d scopes, want 1", len(got.ScopeMetrics))
	}
	return got.ScopeMetrics[0].Metrics
}

// values returns the points of a metric by the value of cpu.mode.
func values(m metricdata.Metrics) map[string]float64 {
	points := make(map[string]float64)
	switch data := m.Data.(type) {
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			mode, _ := p.Attributes.Value(telemetry.CPUMode)
			points[mode.AsString()] = p.Value
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			points[""] = float64(p.Value)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			points[""] = p.Value
		}
	}
	return points
}

func TestValuesArePlausible(t *testing.T) {
	t.Parallel()
	now := float64(time.Now().Unix())
	ranges := map[string]struct {
		modes       []string
		least, most float64
	}{
		telemetry.ProcessCPUTime:       {[]string{"user", "system"}, 0, 1e6},
		telemetry.ProcessMemoryUsage:   {[]string{""}, 1 << 20, 1 << 40},
		telemetry.ProcessMemoryVirtual: {[]string{""}, 1 << 20, 1 << 50},
		telemetry.ProcessOpenFiles:     {[]string{""}, 1, 1e6},
		telemetry.ProcessThreads:       {[]string{""}, 1, 1e5},
		telemetry.ProcessUptime:        {[]string{""}, 0, 1e6},
		telemetry.ProcessStartTime:     {[]string{""}, now - 1e6, now + 1},
	}
	metrics := collect(t)
	for name, want := range ranges {
		t.Run(name+" is plausible", func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(metrics, func(m metricdata.Metrics) bool { return m.Name == name })
			if i < 0 {
				t.Fatal("it is missing")
			}
			points := values(metrics[i])
			for _, mode := range want.modes {
				got, ok := points[mode]
				if !ok || math.IsNaN(got) || got < want.least || got > want.most {
					t.Errorf("got %v (there: %v) for mode %q, want %v to %v", got, ok, mode, want.least, want.most)
				}
			}
			if len(points) != len(want.modes) {
				t.Errorf("got %v, want the modes %q", points, want.modes)
			}
		})
	}
}

func TestNamesAndUnits(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, m := range collect(t) {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", m.Data), "metricdata.")
		lines = append(lines, fmt.Sprintf("%s %s %s: %s\n", m.Name, m.Unit, kind, m.Description))
	}
	slices.Sort(lines)
	golden.Check(t, "testdata/metrics.golden", []byte(strings.Join(lines, "")))
}

func TestStartTime(t *testing.T) {
	t.Parallel()
	start := process.StartTime(t.Context())
	if start.After(time.Now()) || start.Before(time.Now().Add(-24*time.Hour)) {
		t.Errorf("got %v, want a time in the last day", start)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if start := process.StartTime(ctx); start.IsZero() || start.After(time.Now()) {
		t.Errorf("got %v with a context that ended, want a time up to now", start)
	}
}

// failing makes no instrument of one name, and no callback.
type failing struct {
	noop.MeterProvider
	name string
}

func (f failing) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{name: f.name} }

type failingMeter struct {
	noop.Meter
	name string
}

var errFailed = errors.New("failed")

func (f failingMeter) fail(name string) error {
	if f.name == name {
		return errFailed
	}
	return nil
}

func (f failingMeter) Int64ObservableUpDownCounter(name string, _ ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return noop.Int64ObservableUpDownCounter{}, f.fail(name)
}

func (f failingMeter) Float64ObservableCounter(name string, _ ...metric.Float64ObservableCounterOption) (metric.Float64ObservableCounter, error) {
	return noop.Float64ObservableCounter{}, f.fail(name)
}

func (f failingMeter) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return noop.Float64ObservableGauge{}, f.fail(name)
}

func (f failingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return noop.Registration{}, f.fail("registering")
}

func TestErrorsNameTheInstrument(t *testing.T) {
	t.Parallel()
	for _, name := range []string{telemetry.ProcessThreads, telemetry.ProcessCPUTime, telemetry.ProcessUptime, telemetry.ProcessStartTime, "registering"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := process.Observe(t.Context(), failing{name: name})
			if !errors.Is(err, errFailed) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want an error that wraps the cause and says %q", err, name)
			}
		})
	}
}

// The readers of one provider do not wait for each other.
func TestReadersCollectSideBySide(t *testing.T) {
	t.Parallel()
	readers := []*sdkmetric.ManualReader{sdkmetric.NewManualReader(), sdkmetric.NewManualReader()}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(readers[0]), sdkmetric.WithReader(readers[1]))
	if err := process.Observe(t.Context(), provider); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for _, reader := range readers {
		wait.Go(func() {
			for range 50 {
				var collected metricdata.ResourceMetrics
				if err := reader.Collect(t.Context(), &collected); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}
