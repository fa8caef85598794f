// Package process reports the CPU time, memory, open files, threads and start
// time of the running process as metrics.
package process

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// instruments holds what the callback observes.
type instruments struct {
	cpu                      metric.Float64ObservableCounter
	usage, virtual           metric.Int64ObservableUpDownCounter
	openFiles, threads       metric.Int64ObservableUpDownCounter
	uptimeSeconds, startTime metric.Float64ObservableGauge
}

// StartTime returns when this process began, now when the system does not say.
func StartTime(ctx context.Context) time.Time {
	self, err := process.NewProcessWithContext(ctx, pid())
	if err != nil {
		return time.Now()
	}
	ms, err := self.CreateTimeWithContext(ctx)
	start, now := time.UnixMilli(ms), time.Now()
	if err != nil || start.After(now) { // the system counts from a rounded boot time
		return now
	}
	return start
}

// pid fits 32 bits on every system; the fallback is no process's number.
func pid() int32 {
	n := os.Getpid()
	if n > math.MaxInt32 {
		return -1
	}
	return int32(n)
}

// Observe registers the metrics with the provider for as long as that lives.
// A value that the system does not give, such as open files on some, is left
// out.
func Observe(ctx context.Context, provider metric.MeterProvider) error {
	self, err := process.NewProcessWithContext(ctx, pid())
	if err != nil {
		return fmt.Errorf("looking at the own process: %w", err)
	}
	meter := telemetry.Meter(provider, "process")
	in, err := newInstruments(meter)
	if err != nil {
		return err
	}
	start := StartTime(ctx)
	var mu sync.Mutex // readers collect side by side, and self keeps what it read
	_, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		mu.Lock()
		defer mu.Unlock()
		in.observe(ctx, o, self, start)
		return nil
	}, in.cpu, in.usage, in.virtual, in.openFiles, in.threads, in.uptimeSeconds, in.startTime)
	if err != nil {
		return fmt.Errorf("registering process metrics: %w", err)
	}
	return nil
}

func newInstruments(m metric.Meter) (in instruments, err error) {
	gauge := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		i, e := m.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if e != nil && err == nil {
			err = fmt.Errorf("making %s: %w", name, e)
		}
		return i
	}
	in.usage = gauge(telemetry.ProcessMemoryUsage, "By", "Physical memory in use.")
	in.virtual = gauge(telemetry.ProcessMemoryVirtual, "By", "Committed virtual memory.")
	in.openFiles = gauge(telemetry.ProcessOpenFiles, "{file_descriptor}", "Open file descriptors.")
	in.threads = gauge(telemetry.ProcessThreads, "{thread}", "Threads of the operating system.")
	if err != nil {
		return in, err
	}
	if in.cpu, err = m.Float64ObservableCounter(telemetry.ProcessCPUTime, metric.WithUnit("s"), metric.WithDescription("CPU time spent, by mode.")); err != nil {
		return in, fmt.Errorf("making %s: %w", telemetry.ProcessCPUTime, err)
	}
	if in.uptimeSeconds, err = m.Float64ObservableGauge(telemetry.ProcessUptime, metric.WithUnit("s"), metric.WithDescription("Time since the process started.")); err != nil {
		return in, fmt.Errorf("making %s: %w", telemetry.ProcessUptime, err)
	}
	if in.startTime, err = m.Float64ObservableGauge(telemetry.ProcessStartTime, metric.WithUnit("s"), metric.WithDescription("Start of the process since the Unix epoch.")); err != nil {
		return in, fmt.Errorf("making %s: %w", telemetry.ProcessStartTime, err)
	}
	return in, nil
}

func (in instruments) observe(ctx context.Context, o metric.Observer, self *process.Process, start time.Time) {
	if times, err := self.TimesWithContext(ctx); err == nil {
		o.ObserveFloat64(in.cpu, times.User, metric.WithAttributes(telemetry.CPUMode.String("user")))
		o.ObserveFloat64(in.cpu, times.System, metric.WithAttributes(telemetry.CPUMode.String("system")))
	}
	if memory, err := self.MemoryInfoWithContext(ctx); err == nil {
		o.ObserveInt64(in.usage, clamp(memory.RSS))
		o.ObserveInt64(in.virtual, clamp(memory.VMS))
	}
	if n, err := self.NumFDsWithContext(ctx); err == nil {
		o.ObserveInt64(in.openFiles, int64(n))
	}
	if n, err := self.NumThreadsWithContext(ctx); err == nil {
		o.ObserveInt64(in.threads, int64(n))
	}
	o.ObserveFloat64(in.uptimeSeconds, time.Since(start).Seconds())
	o.ObserveFloat64(in.startTime, float64(start.UnixMilli())/1000)
}

func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
