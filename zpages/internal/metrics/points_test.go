package metrics_test

import (
	"math"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

func TestPointsAreThoseBetweenTwoCollections(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.add(telemetry.ProcessCPUTime, 5, telemetry.CPUMode.String("user"))
	s.collect(0)
	s.get("/a", 30, 0.01)
	s.fail("/a", 10, 500, "500")
	s.request(s.stream, 10, 9, "GET", "/a", 200, "")
	s.add(telemetry.ProcessCPUTime, 0.6, telemetry.CPUMode.String("user"))
	s.add(telemetry.ProcessCPUTime, 0.4, telemetry.CPUMode.String("system"))
	s.add(telemetry.LLMAttempts, 4, telemetry.LLMAttempt.String(telemetry.AttemptFirst))
	s.add(telemetry.LLMAttempts, 3, telemetry.LLMAttempt.String(telemetry.AttemptRetry))
	s.set(telemetry.ServerActiveRequests, 3)
	s.set(telemetry.ProcessMemoryUsage, 1<<20)
	s.set(telemetry.Goroutines, 12)
	s.set(telemetry.SpanQueued, 5)
	s.set(telemetry.LogQueued, 6)
	s.collect(2 * time.Second)
	v := s.store.View(s.now.Add(500*time.Millisecond), metrics.Query{})
	p := v.Points
	for name, test := range map[string]struct {
		column []metrics.Number
		want   float64
	}{
		"age":        {p.Age, 0.5},
		"rate":       {p.Rate, 25},
		"errors":     {p.Errors, 0.2},
		"in flight":  {p.InFlight, 3},
		"operations": {p.LLMRate, 2},
		"CPU":        {p.CPU, 0.5},
		"memory":     {p.Memory, 1 << 20},
		"goroutines": {p.Goroutines, 12},
		"queued":     {p.Queued, 11},
		"P99":        {p.P99, float64(v.Total.P99)},
	} {
		if got := lastOf(t, test.column); math.Abs(got-test.want) > 1e-9 || len(test.column) != 2 {
			t.Errorf("%s: got %v, want %v as the second value", name, test.column, test.want)
		}
	}
	for name, column := range map[string][]metrics.Number{"CPU": p.CPU, "errors": p.Errors, "P50": p.P50, "queued": p.Queued} {
		if !math.IsNaN(float64(column[0])) {
			t.Errorf("%s: got %v at first, want none", name, column[0])
		}
	}
}

func TestPercentilesOfPointsAreThoseOfTheLastMinute(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.collect(0)
	s.get("/a", 10, 5)
	s.collect(2 * time.Second)
	for i := range 40 {
		s.collect(2 * time.Second)
		p99 := lastOf(t, s.view(0).Points.P99)
		age := time.Duration(i+1) * 2 * time.Second
		if age <= 50*time.Second && !(p99 > 4) || age >= 70*time.Second && !math.IsNaN(p99) {
			t.Errorf("got P99 %v when the requests were %v ago", p99, age)
		}
	}
}

func TestPointsAfterTheLastThatThePageHas(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for range 5 {
		s.collect(2 * time.Second)
	}
	last := s.view(0).Seq
	for name, test := range map[string]struct {
		since int64
		want  int
	}{
		"none at first":            {0, 5},
		"it has all":               {last, 0},
		"it lacks two":             {last - 2, 2},
		"it has the first":         {last - 4, 4},
		"it has one before that":   {last - 5, 5},
		"it has one from long ago": {last - 1000, 5},
		"it has one to come":       {last + 1, 5},
		"a negative number":        {-7, 5},
		"the smallest number":      {math.MinInt64, 5},
		"the largest number":       {math.MaxInt64, 5},
	} {
		if got := s.store.View(s.now, metrics.Query{Since: test.since}).Points; len(got.Age) != test.want || len(got.Queued) != test.want {
			t.Errorf("%s: got %d points, want %d", name, len(got.Age), test.want)
		}
	}
	again := metrics.New()
	again.Add(s.now.Add(time.Minute), &s.rm, nil)
	if got := again.View(s.now, metrics.Query{Since: last}).Points.Age; len(got) != 1 {
		t.Errorf("got %d points after one of an earlier process, want all", len(got))
	}
}

func TestPointsAreAtMost450AndFrom15Minutes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		every time.Duration
		want  int
	}{
		"every 2 s":    {2 * time.Second, 450},
		"every 10 s":   {10 * time.Second, 91},
		"every 100 ms": {100 * time.Millisecond, 450},
		"every hour":   {time.Hour, 1},
	} {
		s := newService(t)
		for range 1000 {
			s.collect(test.every)
		}
		p := s.view(0).Points
		if len(p.Age) != test.want || p.Age[0] > 900 {
			t.Errorf("%s: got %d points, the first %v s ago, want %d", name, len(p.Age), p.Age[0], test.want)
		}
	}
}

func TestATimeThatStandsStillOrGoesBack(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.collect(0)
	s.get("/a", 5, 0.01)
	s.collect(0)
	s.get("/a", 5, 0.01)
	s.collect(-time.Hour)
	v := s.view(0)
	if v.Total.Requests != 10 || len(v.Points.Age) != 1 || v.Points.Age[0] != 0 {
		t.Errorf("got %d requests and points %v s ago, want 10 and one just now", v.Total.Requests, v.Points.Age)
	}
	s.get("/a", 10, 0.01)
	s.collect(time.Hour + 2*time.Second)
	v = s.view(0)
	if got := lastOf(t, v.Points.Rate); got != 10 || v.Total.Requests != 20 {
		t.Errorf("got %v requests a second of %d, want 10 of 20", got, v.Total.Requests)
	}
	s.get("/a", 1, 0.01)
	s.collect(200 * 365 * 24 * time.Hour)
	s.collect(200 * 365 * 24 * time.Hour)
	s.collect(200 * 365 * 24 * time.Hour)
	if got := s.view(0).Total.Requests; got > 1 {
		t.Errorf("got %d requests in the last minute, want none from centuries ago", got)
	}
}
