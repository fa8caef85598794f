package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	played, err := playRole()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !played:
		os.Exit(m.Run())
	}
}

// Not parallel: it measures.
func TestEachExportedItemArrives(t *testing.T) {
	const rounds, items = 1, 1000
	results, err := compareExports(t.Context(), rounds, items)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, name := range exportOrder {
			// Two turns are there to warm up and to count memory.
			if p := r.pipelines[name]; p.made != (rounds+2)*items || len(p.handover) != rounds+2 {
				t.Errorf("%s, %s: %d in %d turns", r.name, name, p.made, len(p.handover))
			}
		}
	}
	_, table, _ := strings.Cut(exportSection(results, rounds, items), "--: |\n")
	if got, want := strings.Count(table, "\n"), len(exportCases())*len(exportOrder); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
}

func TestCollectorMissesWhatIsLost(t *testing.T) {
	to, err := startCollector(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := newSpans(discard{})
	p.collector = to
	p.work(burst)
	if err := to.stop(); err != nil {
		t.Error(err)
	}
	if p.err == nil || !strings.Contains(p.err.Error(), "0 of 64 arrived") {
		t.Errorf("got %v, want that none arrived", p.err)
	}
}
