package metrics

import (
	"math"
	"slices"
	"time"
)

const maxPoints = 450 // one every 2 s

// points are those of the charts, oldest first, numbered one by one.
type points struct {
	seq   int64 // of the last one
	all   []point
	total total         // as of the last one
	at    time.Duration // of the last one, by the clock; the start before there is one
}

// total is how much there was since the start.
type total struct {
	requests, errors, operations uint64
	cpu                          float64 // seconds, NaN when that is not known
}

// point is what the charts have at one moment.
type point struct {
	at                              time.Duration // by the clock
	rate, errors, p50, p95, p99     Number
	inFlight, llmRate               Number
	cpu, memory, goroutines, queued Number
}

// begin is for the first collection, of a service that has begun at start by the
// clock. Points get numbers that no earlier process can have given.
func (ps *points) begin(now time.Time, start time.Duration) {
	ps.seq, ps.at = max(now.UnixMilli(), 0), start
	ps.total.cpu = math.NaN()
}

// add adds the point until which the total grew, unless there is one at its time:
// then the growth is that of the next.
func (ps *points) add(p point, now total) {
	elapsed := p.at - ps.at
	if elapsed <= 0 && len(ps.all) > 0 {
		return
	}
	requests := now.requests - ps.total.requests
	p.rate = rate(requests, elapsed)
	p.errors = share(now.errors-ps.total.errors, requests)
	p.llmRate = rate(now.operations-ps.total.operations, elapsed)
	p.cpu = Number(math.NaN())
	if elapsed > 0 && now.cpu >= ps.total.cpu {
		p.cpu = Number((now.cpu - ps.total.cpu) / elapsed.Seconds())
	}
	ps.total, ps.at = now, p.at
	ps.seq++

	old := max(len(ps.all)-maxPoints+1, 0)
	for old < len(ps.all) && p.at-ps.all[old].at > kept {
		old++
	}
	ps.all = append(slices.Delete(ps.all, 0, old), p)
}

// after returns the points after number since, or all when there is none of that
// number.
func (ps *points) after(since int64) []point {
	if missing := ps.seq - since; missing >= 0 && missing < int64(len(ps.all)) {
		return ps.all[int64(len(ps.all))-missing:]
	}
	return ps.all
}

// columns returns the points as the page gets them.
func columns(points []point, age func(at time.Duration) Number) Points {
	column := func(of func(point) Number) []Number {
		numbers := make([]Number, len(points))
		for i, p := range points {
			numbers[i] = of(p)
		}
		return numbers
	}
	return Points{
		Age:        column(func(p point) Number { return age(p.at) }),
		Rate:       column(func(p point) Number { return p.rate }),
		Errors:     column(func(p point) Number { return p.errors }),
		P50:        column(func(p point) Number { return p.p50 }),
		P95:        column(func(p point) Number { return p.p95 }),
		P99:        column(func(p point) Number { return p.p99 }),
		InFlight:   column(func(p point) Number { return p.inFlight }),
		LLMRate:    column(func(p point) Number { return p.llmRate }),
		CPU:        column(func(p point) Number { return p.cpu }),
		Memory:     column(func(p point) Number { return p.memory }),
		Goroutines: column(func(p point) Number { return p.goroutines }),
		Queued:     column(func(p point) Number { return p.queued }),
	}
}
