package quantile_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/quantile"
)

// The wanted values are those of Prometheus.
func TestOf(t *testing.T) {
	t.Parallel()
	bounds := []float64{1, 2, 4}
	tests := map[string]struct {
		q      float64
		bounds []float64
		counts []uint64
		want   float64
	}{
		"the median of evenly filled buckets is a boundary": {0.5, bounds, []uint64{10, 10, 0, 0}, 1},
		"within a bucket it is a straight line":             {0.75, bounds, []uint64{10, 10, 0, 0}, 1.5},
		"a wide bucket has its whole width":                 {0.5, bounds, []uint64{0, 0, 10, 0}, 3},
		"the lowest bucket begins at 0":                     {0.5, bounds, []uint64{10, 0, 0, 0}, 0.5},
		"empty buckets are skipped":                         {0.75, bounds, []uint64{10, 0, 10, 0}, 3},
		"above the last boundary it is that boundary":       {0.99, bounds, []uint64{1, 1, 1, 100}, 4},
		"one value": {0.99, bounds, []uint64{0, 1, 0, 0}, 1.99},
		"q 1 is the end of the last bucket that has any":     {1, bounds, []uint64{1, 1, 0, 0}, 2},
		"q 0 is the start of the first bucket":               {0, bounds, []uint64{1, 1, 0, 0}, 0},
		"q 0 of an empty first bucket is not known":          {0, bounds, []uint64{0, 1, 0, 0}, math.NaN()},
		"a first boundary of 0 is the value":                 {0.5, []float64{0, 5}, []uint64{3, 1, 0}, 0},
		"a first boundary below 0 is the value":              {0.5, []float64{-2, 5}, []uint64{3, 1, 0}, -2},
		"behind a first boundary of 0 it is a straight line": {0.5, []float64{0, 5}, []uint64{0, 10, 0}, 2.5},
		"no values":                    {0.5, bounds, []uint64{0, 0, 0, 0}, math.NaN()},
		"no bounds":                    {0.5, nil, []uint64{7}, math.NaN()},
		"nothing":                      {0.5, nil, nil, math.NaN()},
		"fewer counts than bounds":     {0.5, bounds, []uint64{1, 2}, math.NaN()},
		"more counts than bounds need": {0.5, bounds, []uint64{1, 2, 3, 4, 5}, math.NaN()},
		"q is not a number":            {math.NaN(), bounds, []uint64{1, 1, 1, 1}, math.NaN()},
		"q below 0":                    {-0.1, bounds, []uint64{1, 1, 1, 1}, math.Inf(-1)},
		"q above 1":                    {1.1, bounds, []uint64{1, 1, 1, 1}, math.Inf(1)},
		"counts beyond the precision of a float64 stay in line": {0.5, bounds, []uint64{0, 1 << 60, 0, 0}, 1.5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := quantile.Of(tt.q, tt.bounds, tt.counts)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func FuzzOf(f *testing.F) {
	f.Add(0.5, uint32(1), uint32(2), uint32(3), uint32(4))
	f.Add(0.0, uint32(0), uint32(0), uint32(0), uint32(1))
	f.Fuzz(func(t *testing.T, q float64, a, b, c, d uint32) {
		counts := []uint64{uint64(a), uint64(b), uint64(c), uint64(d)}
		got := quantile.Of(q, []float64{0.5, 1, 10}, counts)
		if q > 0 && q <= 1 && a|b|c|d != 0 && !(got >= 0 && got <= 10) {
			t.Errorf("got %v for q %v of %v, want 0 to 10", got, q, counts)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	bounds, counts := make([]float64, 30), make([]uint64, 31)
	for i := range bounds {
		bounds[i], counts[i] = float64(i+1), 10
	}
	b.ReportAllocs()
	for b.Loop() {
		quantile.Of(0.99, bounds, counts)
	}
}

func ExampleOf() {
	bounds := []float64{0.1, 0.25, 1}
	fmt.Println(quantile.Of(0.95, bounds, []uint64{90, 10, 0, 0}))
	// Output: 0.175
}
