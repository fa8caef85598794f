package metrics_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

func TestNumbersAreNullWhereThereAreNone(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal([]metrics.Number{1.5, 0, metrics.Number(math.NaN()), metrics.Number(math.Inf(1)), metrics.Number(math.Inf(-1)), 7})
	if err != nil || string(got) != "[1.5,0,null,null,null,7]" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestAnEmptyStoreHasEmptyLists(t *testing.T) {
	t.Parallel()
	v := metrics.New().View(time.Now(), metrics.Query{Since: 7, Route: "GET /"})
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"seq":0`, `"age":[]`, `"routes":[]`, `"errors":[]`, `"llm":[]`, `"counts":[]`, `"bounds":[]`, `"instruments":[]`, `"runtime":[]`, `"route_points":null`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

func TestARowHasTheWindow(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.get("/a", 600, 0.01)
	s.collect(10 * time.Second)
	for range 30 { // of 10 s
		s.get("/a", 20, 0.3)
		s.fail("/a", 5, 500, "500")
		s.collect(10 * time.Second)
	}
	for window, want := range map[time.Duration]metrics.Row{
		time.Minute:      {Requests: 6 * 25, Errors: 6 * 5},
		5 * time.Minute:  {Requests: 30 * 25, Errors: 30 * 5},
		15 * time.Minute: {Requests: 600 + 30*25, Errors: 30 * 5},
	} {
		got := rowOf(t, s.view(window), "GET /a")
		if got.Requests != want.Requests || got.Errors != want.Errors {
			t.Errorf("%v: got %d requests and %d errors, want %d and %d", window, got.Requests, got.Errors, want.Requests, want.Errors)
		}
		if share := float64(want.Errors) / float64(want.Requests); math.Abs(float64(got.Share)-share) > 1e-9 {
			t.Errorf("%v: got the share %v, want %v", window, got.Share, share)
		}
	}
	if got := rowOf(t, s.view(time.Minute), "GET /a"); math.Abs(float64(got.Rate)-2.5) > 0.01 {
		t.Errorf("got %v requests a second in the last minute, want 2.5", got.Rate)
	}
	if got := rowOf(t, s.view(15*time.Minute), "GET /a"); math.Abs(float64(got.Rate)-1350.0/310) > 0.01 {
		t.Errorf("got %v requests a second since the start, want %v", got.Rate, 1350.0/310)
	}
	if got := s.view(time.Minute).Total; got.P50 < 0.25 || got.P50 > 0.35 || got.P99 < got.P50 {
		t.Errorf("got P50 %v and P99 %v in the last minute, want about 0.3", got.P50, got.P99)
	}
	if got := s.view(15 * time.Minute).Total; got.P99 > 0.35 || got.P50 > 0.3 {
		t.Errorf("got P50 %v and P99 %v since the start", got.P50, got.P99)
	}
}

func TestAWindowIsFromAMinuteTo15Minutes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for window, want := range map[time.Duration]float64{0: 60, time.Second: 60, -time.Hour: 60, 5 * time.Minute: 300, time.Hour: 900} {
		if got := s.view(window).Window; got != want {
			t.Errorf("got %v s for %v, want %v", got, window, want)
		}
	}
}

func TestStreamsAreRequestsWithoutPercentiles(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.get("/chat", 10, 0.01)
	s.request(s.stream, 8, 40, "GET", "/chat", 200, "")
	s.request(s.stream, 2, 40, "GET", "/chat", 200, "client_disconnected")
	s.request(s.stream, 1, 40, "GET", "/events", 200, "")
	s.collect(10 * time.Second)
	v := s.view(time.Minute)
	want := metrics.Row{Key: "GET /chat", Method: "GET", Route: "/chat", Requests: 20, Errors: 2, Streams: 10, Share: 0.1}
	got := rowOf(t, v, "GET /chat")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(metrics.Row{}, "Rate", "P50", "P95", "P99", "InFlight", "Sampled")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got.P99 > 0.02 || math.Abs(float64(got.Rate)-2) > 0.01 {
		t.Errorf("got P99 %v and %v a second, want those of requests that are no streams, and 2", got.P99, got.Rate)
	}
	if only := rowOf(t, v, "GET /events"); only.Requests != 1 || only.Streams != 1 || !math.IsNaN(float64(only.P99)) {
		t.Errorf("got %+v, want one stream without percentiles", only)
	}
	if v.Total.Requests != 21 || v.Total.Streams != 11 {
		t.Errorf("got %+v, want 21 requests of which 11 are streams", v.Total)
	}
}

func TestCountersThatBeginAnewNeverGiveNegativeNumbers(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.get("/a", 100, 0.01)
	s.fail("/a", 10, 500, "500")
	s.add(telemetry.ProcessCPUTime, 50)
	s.collect(10 * time.Second)
	s.restart()
	s.get("/a", 30, 0.01)
	s.fail("/a", 1, 500, "500")
	s.add(telemetry.ProcessCPUTime, 1)
	s.collect(10 * time.Second)
	v := s.view(time.Minute)
	if v.Total.Requests != 141 || v.Total.Errors != 11 {
		t.Errorf("got %d requests and %d errors, want 141 and 11", v.Total.Requests, v.Total.Errors)
	}
	if got := lastOf(t, v.Points.Rate); got != 3.1 {
		t.Errorf("got %v requests a second, want 3.1", got)
	}
	if got := lastOf(t, v.Points.CPU); !math.IsNaN(got) {
		t.Errorf("got %v of a core, want none while nobody knows", got)
	}
	if want := []metrics.ErrorCount{{Type: "500", Route: "GET /a", Count: 11, Status: 500}}; !slices.Equal(v.Errors, want) {
		t.Errorf("got %v, want %v", v.Errors, want)
	}
}

func TestErrorsAreThoseOfTheWindow(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.fail("/old", 50, 500, "500")
	s.collect(10 * time.Second)
	for range 12 {
		s.collect(10 * time.Second)
	}
	s.fail("/a", 3, 503, "503")
	s.fail("/b", 4, 0, "client_disconnected")
	s.fail("/a", 1, 500, "*errors.errorString")
	s.request(s.stream, 2, 1, "POST", "/a", 200, "client_disconnected")
	s.collect(10 * time.Second)
	want := []metrics.ErrorCount{
		{"client_disconnected", "GET /b", 4, metrics.Number(math.NaN())},
		{"503", "GET /a", 3, 503},
		{"client_disconnected", "POST /a", 2, 200},
		{"*errors.errorString", "GET /a", 1, 500},
	}
	if diff := cmp.Diff(want, s.view(time.Minute).Errors, equateNumbers()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want = append([]metrics.ErrorCount{{"500", "GET /old", 50, 500}}, want...)
	if diff := cmp.Diff(want, s.view(5*time.Minute).Errors, equateNumbers()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOfManyErrorsThoseThatAreMostAreShown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for i := range 200 {
		s.fail(fmt.Sprintf("/%03d", i), i+1, 500, "500")
	}
	s.collect(10 * time.Second)
	errors := s.view(time.Minute).Errors
	if len(errors) != 50 || errors[0].Route != "GET /199" || errors[49].Route != "GET /150" {
		t.Errorf("got %d errors from %v on, want the 50 that are most", len(errors), errors[0])
	}
}

func TestTracedSpansTellSamplingAndInFlight(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.traced = map[metrics.Route]metrics.Traced{
		{"GET", "/a"}:    {Sampled: 5, Rescued: 1, InFlight: 2},
		{"GET", "/hang"}: {InFlight: 1},
		{"GET", ""}:      {Sampled: 100, InFlight: 3},
	}
	s.get("/a", 20, 0.01)
	s.get("_OTHER", 10, 0.01)
	s.set(telemetry.ServerActiveRequests, 6)
	s.collect(10 * time.Second)
	type row struct {
		InFlight, Sampled metrics.Number
		Rescued           uint64
	}
	v := s.view(time.Minute)
	got := map[string]row{"total": {v.Total.InFlight, v.Total.Sampled, v.Total.Rescued}}
	for _, r := range v.Routes {
		got[r.Key] = row{r.InFlight, r.Sampled, r.Rescued}
	}
	want := map[string]row{
		"total":      {6, 1, 1},
		"GET /a":     {metrics.Number(math.NaN()), 0.25, 1}, // of 2 that are seen
		"GET /hang":  {1, metrics.Number(math.NaN()), 0},
		"GET _OTHER": {3, 1, 0}, // more spans than requests that have ended
	}
	if diff := cmp.Diff(want, got, equateNumbers()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if v.Sampling.Rescued != 1 {
		t.Errorf("got %d spans rescued, want 1", v.Sampling.Rescued)
	}

	s.traced = nil
	s.collect(10 * time.Second)
	if row := rowOf(t, s.view(time.Minute), "GET /a"); !math.IsNaN(float64(row.InFlight)) || row.Sampled != 0.25 {
		t.Errorf("got %v in flight and the share %v, want none without spans and 0.25 as before", row.InFlight, row.Sampled)
	}
}

func TestHeatmapAndRoutePoints(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for i := range 200 {
		s.get("/a", i, 0.02)
		s.get("/b", 1, 3)
		s.collect(10 * time.Second)
	}
	v := s.store.View(s.now.Add(time.Second), metrics.Query{Route: "GET /a"})
	h := v.Heatmap
	if len(h.Age) != 90 || len(h.Counts) != 90 || h.Every != 10 || len(h.Bounds) != 30 {
		t.Fatalf("got %d ages and %d columns of %v s with %d bounds, want 90, 90, 10 and 30", len(h.Age), len(h.Counts), h.Every, len(h.Bounds))
	}
	if h.Age[89] != 6 || h.Age[0] != 896 {
		t.Errorf("got columns from %v s to %v s ago, want 896 and 6", h.Age[0], h.Age[89])
	}
	for i, column := range h.Counts {
		if len(column) != len(h.Bounds)+1 {
			t.Fatalf("got %d counts for %d bounds", len(column), len(h.Bounds))
		}
		sum := uint64(0)
		for _, n := range column {
			sum += n
		}
		if want := uint64(110 + i + 1); sum != want {
			t.Errorf("column %d: got %d requests, want %d", i, sum, want)
		}
	}
	p := v.RoutePoints
	if p == nil || p.Key != "GET /a" || len(p.Age) < 90 {
		t.Fatalf("got %+v, want 15 minutes of the route", p)
	}
	if got := lastOf(t, p.Age); got != 1 {
		t.Errorf("got the last point %v s ago, want 1", got)
	}
	if got := lastOf(t, p.Rate); got != 19.9 {
		t.Errorf("got %v a second, want 19.9", got)
	}
	if got := lastOf(t, p.P99); got < 0.01 || got > 0.03 {
		t.Errorf("got P99 %v, want about 0.02", got)
	}
	if got := s.store.View(s.now, metrics.Query{Route: "GET /none"}).RoutePoints; got != nil {
		t.Errorf("got %+v for a route that there is not", got)
	}
}
