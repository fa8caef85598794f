package metrics_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// sumOf adds up the rows.
func sumOf(v metrics.View) (sum metrics.Row) {
	for _, row := range v.Routes {
		sum.Requests += row.Requests
		sum.Errors += row.Errors
		sum.Streams += row.Streams
	}
	return sum
}

// checkSums fails the test when the rows are not what the total is.
func checkSums(t *testing.T, s *service) {
	t.Helper()
	for _, window := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute} {
		v := s.view(window)
		want := metrics.Row{Requests: v.Total.Requests, Errors: v.Total.Errors, Streams: v.Total.Streams}
		if diff := cmp.Diff(want, sumOf(v)); diff != "" {
			t.Fatalf("%v: the rows are not the total (-total +rows)\n%s", window, diff)
		}
	}
}

func TestOf2000RoutesTheBusiestHaveAPlace(t *testing.T) {
	t.Parallel()
	s := newService(t, sdkmetric.WithCardinalityLimit(3000))
	for i := range 2000 {
		s.get(fmt.Sprintf("/%04d", i), 1+i/100, 0.01)
	}
	s.collect(10 * time.Second)
	checkSums(t, s)
	v := s.view(time.Minute)
	if len(v.Routes) != 257 || v.Others != 2000-256 {
		t.Fatalf("got %d rows and %d others, want 257 and 1744", len(v.Routes), v.Others)
	}
	if first, last := v.Routes[0], v.Routes[255]; first.Requests != 20 || last.Requests != 18 {
		t.Errorf("got %d to %d requests, want 20 to 18", first.Requests, last.Requests)
	}
	others := v.Routes[256]
	if !others.Others || others.Key != "" || others.P50 == 0 || others.Requests != v.Total.Requests-100*20-100*19-56*18 {
		t.Errorf("got %+v, want the others", others)
	}
}

func TestABusyRouteTakesThePlaceOfOneThatIsNot(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for i := range 256 {
		s.get(fmt.Sprintf("/%03d", i), 10+i, 0.01)
	}
	s.collect(10 * time.Second)
	s.get("/as busy", 10, 0.01)
	s.collect(10 * time.Second)
	if v := s.view(time.Minute); v.Others != 1 || v.Routes[256].Requests != 10 {
		t.Errorf("got %d others with %d requests, want one with 10: it is no busier than any other", v.Others, v.Routes[256].Requests)
	}
	s.get("/as busy", 10, 0.01)
	s.get("/busier", 11, 0.01)
	s.collect(10 * time.Second)
	checkSums(t, s)
	v := s.view(time.Minute)
	if got := rowOf(t, v, "GET /busier"); got.Requests != 11 {
		t.Errorf("got %+v, want a row with its 11 requests", got)
	}
	if v.Others != 2 || v.Routes[256].Requests != 30 {
		t.Errorf("got %d others with %d requests, want 2 with 30", v.Others, v.Routes[256].Requests)
	}
	for _, row := range v.Routes {
		if row.Key == "GET /000" {
			t.Errorf("got %+v, want that it has given up its place", row)
		}
	}
}

func TestARouteWithoutRequestsGivesItsPlaceUp(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.get("/once", 10, 0.01)
	for range 89 {
		s.get("/often", 1, 0.01)
		s.collect(10 * time.Second)
	}
	if got := rowOf(t, s.view(time.Minute), "GET /once"); got.Requests != 0 {
		t.Errorf("got %d requests in the last minute, want none", got.Requests)
	}
	for range 5 {
		s.get("/often", 1, 0.01)
		s.collect(10 * time.Second)
	}
	v := s.view(15 * time.Minute)
	if len(v.Routes) != 1 || v.Others != 0 || v.Routes[0].Key != "GET /often" {
		t.Errorf("got %+v and %d others, want the busy route alone", v.Routes, v.Others)
	}
	s.get("/once", 3, 0.01)
	s.collect(10 * time.Second)
	if got := rowOf(t, s.view(15*time.Minute), "GET /once"); got.Requests != 3 {
		t.Errorf("got %d requests, want the 3 since it is back", got.Requests)
	}
}

func TestWhatIsBeyondTheLimitOfTheInstrumentGoesToTheOthers(t *testing.T) {
	t.Parallel()
	s := newService(t, sdkmetric.WithCardinalityLimit(50))
	for range 3 {
		for i := range 120 {
			s.get(fmt.Sprintf("/%03d", i), 2, 0.01)
		}
		s.collect(10 * time.Second)
	}
	checkSums(t, s)
	v := s.view(time.Minute)
	others := v.Routes[len(v.Routes)-1]
	if len(v.Routes) != 50 || !others.Others || others.Requests != 3*2*(120-49) || v.Total.Requests != 720 {
		t.Errorf("got %d rows, the last with %d of %d requests, want 50, 426 and 720", len(v.Routes), others.Requests, v.Total.Requests)
	}
	if got := v.Cardinality.Instruments[0]; !got.Overflow || got.Series != 50 {
		t.Errorf("got %+v, want 50 series and the overflow", got)
	}
}

func TestMoreRoutesThanCanBeKnown(t *testing.T) {
	t.Parallel()
	s := newService(t, sdkmetric.WithCardinalityLimit(0))
	want := uint64(0)
	for range 5 {
		for i := range 3000 {
			s.get(fmt.Sprintf("/%04d", i), 1, 0.01)
		}
		want += 3000
		s.collect(10 * time.Second)
		checkSums(t, s)
		if got := s.view(15 * time.Minute).Total.Requests; got > want {
			t.Fatalf("got %d requests of %d", got, want)
		}
	}
	if got := s.view(15 * time.Minute).Total.Requests; got < want*2/3 {
		t.Errorf("got %d requests of %d, want most", got, want)
	}
}

// For an hour, routes come and go, fast and slow, and collections are irregular.
func TestAnHourOfRoutesThatComeAndGo(t *testing.T) {
	t.Parallel()
	s := newService(t)
	rng := rand.New(rand.NewPCG(1, 2))
	const slot = 10 * time.Second
	type sent struct {
		at       time.Time
		requests uint64
	}
	var all []sent
	for start := s.now; s.now.Sub(start) < time.Hour; {
		minute := int(s.now.Sub(start).Minutes())
		n := 0
		for range rng.IntN(30) {
			route := fmt.Sprintf("/%d/%d", minute/10, rng.IntN(50))
			switch rng.IntN(10) {
			case 0:
				s.fail(route, 1, 500, "500")
			case 1:
				s.request(s.stream, 1, 20, "GET", route, 200, "")
			default:
				s.get(route, 1, rng.ExpFloat64())
			}
			n++
		}
		s.collect(time.Duration(rng.IntN(20_000)+1) * time.Millisecond)
		all = append(all, sent{s.now, uint64(n)})
		if rng.IntN(20) == 0 {
			checkSums(t, s)
		}
	}
	for _, window := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute} {
		least, most := uint64(0), uint64(0)
		for _, sent := range all {
			if age := s.now.Sub(sent.at); age < window {
				least += sent.requests
			}
			if age := s.now.Sub(sent.at); age < window+slot {
				most += sent.requests
			}
		}
		if got := s.view(window).Total.Requests; got < least || got > most {
			t.Errorf("%v: got %d requests, want %d to %d", window, got, least, most)
		}
	}
	if v := s.view(15 * time.Minute); len(v.Routes) > 257 || len(v.Routes) < 50 {
		t.Errorf("got %d rows", len(v.Routes))
	}
}

func TestARestartEveryFewMinutes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	sent := uint64(0)
	for i := range 60 {
		if i%7 == 0 {
			s.restart()
		}
		s.get("/a", 5, 0.01)
		s.get(fmt.Sprintf("/%d", i), 1, 0.01)
		sent += 6
		s.collect(10 * time.Second)
		checkSums(t, s)
		if got := s.view(15 * time.Minute).Total.Requests; got > sent {
			t.Fatalf("got %d requests of %d", got, sent)
		}
	}
}

func TestRequestsWithoutMetricsAreNoRow(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.get("/measured", 3, 0.01)
	hanging, unmeasured := metrics.Route{Method: "GET", Route: "/hanging"}, metrics.Route{Method: "GET", Route: "/unmeasured"}
	s.traced = map[metrics.Route]metrics.Traced{hanging: {InFlight: 1}, unmeasured: {Sampled: 7, InFlight: 1}}
	s.collect(2 * time.Second)
	var got []string
	for _, row := range s.view(time.Minute).Routes {
		got = append(got, row.Key)
	}
	if diff := cmp.Diff([]string{"GET /measured", "GET /hanging"}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
