package spans_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func TestSlowestOfTheLastQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(sdktrace.AlwaysSample(), nil)
		lasting := func(name string, d time.Duration) {
			s.run(t.Context(), name, func(context.Context, trace.Span) { <-time.After(d) })
		}
		lasting("quiet", 30*time.Millisecond)
		<-time.After(5 * time.Minute)
		for i := range 60 {
			lasting(fmt.Sprintf("burst %02d", i), time.Duration(100+i)*time.Millisecond)
		}
		for i := range 10 {
			lasting("one route", time.Duration(100+i)*time.Millisecond)
		}
		lasting("one route", time.Second)
		want := []string{
			"one route", "burst 59", "burst 58", "burst 57", "burst 56",
			"burst 55", "burst 54", "burst 53", "burst 52", "burst 51", "quiet",
		}
		if diff := cmp.Diff(want, s.lists()["slow"]); diff != "" {
			t.Errorf("after a burst (- want, + got):\n%s", diff)
		}
		<-time.After(11 * time.Minute)
		if got := s.lists()["slow"]; len(got) != 10 {
			t.Errorf("got %q, want no quiet one after 15 minutes", got)
		}
		<-time.After(5 * time.Minute)
		if got := s.lists()["slow"]; len(got) != 0 {
			t.Errorf("got %q, want none after 15 minutes", got)
		}
	})
}

// slowest says what the Store has to list, without any short cut.
type slowest []slowTrace

type slowTrace struct {
	name     string
	duration time.Duration
	ended    time.Duration // since the start
}

func (all *slowest) add(t slowTrace) {
	window, alike := slowest{}, slowest{}
	for _, other := range *all {
		if other.ended/(3*time.Minute) != t.ended/(3*time.Minute) {
			continue
		}
		window = append(window, other)
		if other.name == t.name {
			alike = append(alike, other)
		}
	}
	rivals := window
	if len(alike) == 3 {
		rivals = alike
	}
	if len(alike) == 3 || len(window) == 10 {
		fastest := slices.MinFunc(rivals, func(a, b slowTrace) int { return int(a.duration - b.duration) })
		if t.duration <= fastest.duration {
			return
		}
		*all = slices.DeleteFunc(*all, func(other slowTrace) bool { return other == fastest })
	}
	*all = append(*all, t)
}

// listed returns what is listed after so much time.
func (all *slowest) listed(now time.Duration) (durations []float64) {
	for _, t := range *all {
		if now-t.ended <= 15*time.Minute {
			durations = append(durations, t.duration.Seconds())
		}
	}
	slices.SortFunc(durations, func(a, b float64) int { return int(b*1e9 - a*1e9) })
	return durations[:min(len(durations), 50)]
}

// Whatever short cuts there are, no trace is hidden that is among the slowest.
func TestSlowestAreThoseOfAPlainModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			s, begun, model := newService(sdktrace.AlwaysSample(), nil), time.Now(), slowest{}
			names := 1 + random.IntN(12)
			for i := range 2000 {
				if random.IntN(50) == 0 {
					<-time.After(time.Duration(random.Int64N(int64(time.Minute))))
				}
				now := time.Now()
				if random.IntN(20) == 0 { // is no slow one, and pushes none out
					s.run(t.Context(), "fails", fail("no"))
					continue
				}
				// No two last as long, so that there is one answer.
				duration := time.Duration(random.IntN(1000))*time.Millisecond + time.Duration(i)
				name := fmt.Sprint(random.IntN(names)) + strings.Repeat(" long", 60*random.IntN(2))
				ctx, root := s.tracer().Start(t.Context(), name)
				if random.IntN(2) == 0 {
					s.run(ctx, "child", nil)
				}
				root.End(trace.WithTimestamp(now.Add(duration)))
				model.add(slowTrace{name, duration, now.Sub(begun)})
			}
			var got []float64
			for _, row := range s.View(time.Now()).Slow {
				got = append(got, row.Duration)
			}
			if diff := cmp.Diff(model.listed(time.Since(begun)), got); diff != "" {
				t.Errorf("seed %d (- want, + got):\n%s", seed, diff)
			}
		})
	}
}
