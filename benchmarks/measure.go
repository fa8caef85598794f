package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// worker does one request after the other; it belongs to one goroutine.
type worker func(requests int)

// cell is one number of the table to be: a contender in a case.
type cell struct {
	workers []worker
	// perRequest are the nanoseconds of processor time, by round.
	perRequest []float64
	// cores are how many were at work at a time, by round.
	cores []float64
	// allocations and bytes are those of one request.
	allocations, bytes float64
}

// run does the requests on all workers at once, and returns how many it did.
func (c *cell) run(requests int) float64 {
	each := requests / len(c.workers)
	var group sync.WaitGroup
	for _, work := range c.workers {
		group.Go(func() { work(each) })
	}
	group.Wait()
	return float64(each * len(c.workers))
}

// measure takes rounds numbers of each cell. The cells take turns, so that a
// machine that is busy for a while is so for all of them.
func measure(ctx context.Context, cells []*cell, rounds, requests int) error {
	for _, c := range cells {
		c.run(requests) // to warm up
		c.countMemory(requests)
	}
	for range rounds {
		for _, c := range cells {
			if err := ctx.Err(); err != nil {
				return err
			}
			runtime.GC()
			if err := c.countTime(requests); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cell) countTime(requests int) error {
	start := time.Now()
	before, err := processorTime()
	if err != nil {
		return err
	}
	done := c.run(requests)
	after, err := processorTime()
	if err != nil {
		return err
	}
	used := float64(after - before)
	c.perRequest = append(c.perRequest, used/done)
	c.cores = append(c.cores, used/float64(time.Since(start)))
	return nil
}

func (c *cell) countMemory(requests int) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	done := c.run(requests)
	runtime.ReadMemStats(&after)
	c.allocations = float64(after.Mallocs-before.Mallocs) / done
	c.bytes = float64(after.TotalAlloc-before.TotalAlloc) / done
}

// processorTime is what this process has used, garbage collection included,
// but nothing that other processes did meanwhile.
func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// added returns what c costs over base: the median of the rounds, and the
// least.
func (c *cell) added(base *cell) (median, least float64) {
	differences := make([]float64, len(c.perRequest))
	for i := range differences {
		differences[i] = c.perRequest[i] - base.perRequest[i]
	}
	return medianOf(differences), slices.Min(differences)
}

func medianOf(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
