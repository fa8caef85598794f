package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What another process uses, as Linux tells it.

// processorTime is what its threads have used, as far as they are not at work
// at the moment.
func (p *process) processorTime() (used time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.command.Process.Pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("no processor time of process %d, which only Linux tells: %w", p.command.Process.Pid, err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time: %w", err)
		}
		nanoseconds, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(nanoseconds, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time in %s: %w", thread, err)
		}
		used += time.Duration(n)
	}
	return used, nil
}

// peakMemory is the most resident memory that it had, in MiB.
func (p *process) peakMemory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory, which only Linux tells: %w", err)
	}
	_, value, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no memory any more", p.command.Process.Pid)
	}
	kibibytes, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, fmt.Errorf("reading the memory: %w", err)
	}
	return kibibytes / 1024, nil
}
