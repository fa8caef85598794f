package main

import (
	"strings"
	"testing"
	"time"
)

// Not parallel: it measures.
func TestLivePagesHaveALineEach(t *testing.T) {
	const rounds, length = 1, 200 * time.Millisecond
	all, err := compareLives(t.Context(), rounds, length)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if len(l.perTurn) != rounds || l.perTurn[0] <= 0 || l.memory <= 0 {
			t.Errorf("%s: got %v ns in %d rounds and %v MiB", l.name, l.perTurn, len(l.perTurn), l.memory)
		}
	}
	_, table, _ := strings.Cut(liveSection(all, rounds, length), "--: |\n")
	if got := strings.Count(table, "\n"); got != len(all) {
		t.Errorf("%d lines for %d services", got, len(all))
	}
}
