package bucket_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/internal/bucket"
)

// take takes as many tokens as there are, up to a limit.
func take(b *bucket.Bucket, limit int) (n int) {
	for n < limit && b.Take() {
		n++
	}
	return n
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		perSecond    float64
		burst        int
		atOnce       int           // of 1000
		wait         time.Duration // then
		afterwards   int           // of 1000
		inTenSeconds int           // trying each millisecond from then on
	}{
		"a rate and a burst":               {10, 5, 5, time.Second, 5, 100},
		"a burst comes back bit by bit":    {10, 5, 5, 250 * time.Millisecond, 2, 100},
		"less than a token's time":         {10, 5, 5, 99 * time.Millisecond, 0, 100},
		"one a second":                     {1, 1, 1, time.Second, 1, 10},
		"a burst of none counts as one":    {1, 0, 1, time.Hour, 1, 10},
		"a burst below zero counts as one": {1, math.MinInt, 1, time.Hour, 1, 10},
		"less than one a second":           {0.25, 1, 1, 4 * time.Second, 1, 2},
		"a rate of zero":                   {0, 10, 0, time.Hour, 0, 0},
		"a rate below zero":                {-5, 10, 0, time.Hour, 0, 0},
		"not a number":                     {math.NaN(), 10, 0, time.Hour, 0, 0},
		"the least rate":                   {math.SmallestNonzeroFloat64, 1, 1, time.Hour, 0, 0},
		"a rate above every clock":         {2e9, 1, 1000, time.Nanosecond, 1000, 10_000},
		"no limit":                         {math.Inf(1), 1, 1000, time.Nanosecond, 1000, 10_000},
		"a burst without end":              {1, math.MaxInt, 1000, time.Second, 1000, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := bucket.New(row.perSecond, row.burst)
				if got := take(b, 1000); got != row.atOnce {
					t.Errorf("at once: got %d, want %d", got, row.atOnce)
				}
				<-time.After(row.wait)
				if got := take(b, 1000); got != row.afterwards {
					t.Errorf("after %v: got %d, want %d", row.wait, got, row.afterwards)
				}
				got := 0
				for range 10_000 {
					<-time.After(time.Millisecond)
					got += take(b, 1)
				}
				if want := row.inTenSeconds; got < want-1 || got > want+1 {
					t.Errorf("in ten seconds: got %d, want %d", got, want)
				}
			})
		})
	}
}

// Whatever the arrivals, no period has more than its rate and one burst.
func TestNeverMoreThanRateAndBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, ahead := bucket.New(100, 20), 0.0
		for i := range 2000 {
			pause := time.Duration(i*i%37) * time.Millisecond
			ahead = max(0, ahead-100*pause.Seconds())
			<-time.After(pause)
			ahead += float64(take(b, i%50))
			if ahead > 20+1e-6 {
				t.Fatalf("arrival %d: %v ahead of the rate, want at most 20", i, ahead)
			}
		}
	})
}

func TestConcurrentTakersShareTheTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bucket.New(1000, 100)
		for second := range 3 {
			var taken atomic.Int64
			var takers sync.WaitGroup
			for range 8 {
				takers.Go(func() { taken.Add(int64(take(b, 1000))) })
			}
			takers.Wait()
			if got := taken.Load(); got != 100 {
				t.Errorf("second %d: got %d tokens at one instant, want the burst of 100", second, got)
			}
			<-time.After(time.Second)
		}
	})
}
