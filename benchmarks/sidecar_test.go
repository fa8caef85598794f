package main

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// Not parallel: it measures.
func TestSidecarsHaveALineEach(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what other processes use")
	}
	sizes := sidecarSizes{rounds: 1, turn: 50 * time.Millisecond, again: 1, streams: 8, length: time.Second, bodyBytes: 4 << 20}
	s, err := compareSidecars(t.Context(), sizes)
	if err != nil {
		t.Fatal(err)
	}
	proxies := 0
	for _, r := range s.requests {
		for _, l := range r.proxies {
			proxies++
			if l.requests == 0 || len(l.perSecond) != 1 || len(l.p99) != 1 || len(l.cpu) != 1 || l.cpu[0] <= 0 {
				t.Errorf("%s, %s: %+v of %d requests", r.name, l.name, l.cpu, l.requests)
			}
		}
	}
	if s.delivered != 1 {
		t.Errorf("%v of the spans arrived", s.delivered)
	}
	for _, through := range s.streams {
		if len(through.peak) != 1 || len(through.p99) != 1 || through.p50[0] <= 0 || through.p99[0] < through.p50[0] {
			t.Errorf("%s: %+v", through.name, through)
		}
	}
	_, tables, _ := strings.Cut(sidecarSection(s), "--: |\n")
	requests, streams, _ := strings.Cut(tables, "--: |\n")
	if got := strings.Count(requests, "\n| | ") + len(s.requests); got != proxies || len(s.bodies) != len(s.streams) ||
		strings.Count(streams, "\n") != len(s.streams) {
		t.Errorf("not a line for each of %d proxies and %d with streams:\n%s", proxies, len(s.streams), tables)
	}
}

// Not parallel: it measures.
func TestReadersHaveALineEach(t *testing.T) {
	const rounds, streams = 1, readers
	all, err := compareReading(t.Context(), rounds, streams)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if len(r.cell.workers) != readers || len(r.cell.perRequest) != rounds || r.cell.perRequest[0] <= 0 {
			t.Errorf("%s: %v for a stream", r.name, r.cell.perRequest)
		}
	}
	_, table, _ := strings.Cut(readingSection(all, rounds, streams), "--: |\n")
	if got := strings.Count(table, "\n"); got != len(all) {
		t.Errorf("%d lines for %d clients", got, len(all))
	}
}
