package bounded_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/otelmon/toolkit/internal/bounded"
)

func TestMapStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	const limit = 3
	var m bounded.Map[string, int]
	for i := range 10 {
		value, ok := m.Add(strconv.Itoa(i), limit, func() int { return i })
		if want := i < limit; ok != want || ok && value != i {
			t.Errorf("adding %d: got %d, %t, want it added: %t", i, value, ok, want)
		}
	}
	for i := range 10 {
		if value, ok := m.Get(strconv.Itoa(i)); ok != (i < limit) || ok && value != i {
			t.Errorf("getting %d: got %d, %t", i, value, ok)
		}
	}
	if value, ok := m.Add("1", limit, func() int { return -1 }); !ok || value != 1 {
		t.Errorf("adding what is there to a full map: got %d, %t, want 1, true", value, ok)
	}
}

func TestMadeValuesAreRememberedWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	var m bounded.Map[string, int]
	made := 0
	create := func() int { made++; return made }
	for _, step := range []struct {
		key  string
		want int
	}{{"a", 1}, {"a", 1}, {"beyond the limit", 2}, {"beyond the limit", 3}, {"a", 1}} {
		if got := m.GetOrMake(step.key, 1, create); got != step.want {
			t.Errorf("%s: got %d, want %d", step.key, got, step.want)
		}
	}
}

func TestAllGetTheSameValue(t *testing.T) {
	t.Parallel()
	const limit = 50
	var m bounded.Map[int, *int]
	got := make([][limit]*int, 8)
	var adding sync.WaitGroup
	for worker := range got {
		adding.Go(func() {
			for key := range limit {
				got[worker][key], _ = m.Add(key, limit, func() *int { return new(int) })
			}
		})
	}
	adding.Wait()
	for worker := range got {
		if got[worker] != got[0] {
			t.Errorf("goroutine %d got other values than the first", worker)
		}
	}
}

func TestReadingDoesNotAllocate(t *testing.T) { // not parallel: it counts allocations
	var m bounded.Map[string, int]
	m.Add("a", 1, func() int { return 1 })
	if got := testing.AllocsPerRun(100, func() { m.Get("a"); m.Get("b"); m.Add("b", 1, nil); m.GetOrMake("a", 1, nil) }); got != 0 {
		t.Errorf("got %v allocations", got)
	}
}
