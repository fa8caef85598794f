// Package quantile estimates quantiles of histograms the way Prometheus does, so
// that a page and a query of the same buckets agree.
package quantile

import "math"

// Of estimates the quantile q, from 0 to 1, as histogram_quantile of PromQL does
// for buckets with explicit boundaries: it takes values to be spread evenly within
// a bucket, those up to the first boundary to begin at 0, and those above the last
// to be at it. Where the first boundary is not above 0, it takes all up to it to
// be at it.
//
// The bounds ascend; counts has one more element than bounds, each with the values
// of its bucket alone. Of returns NaN when there are no values or no bounds, when
// q is NaN, when q is 0 and the first bucket is empty and ends above 0, and when the
// lengths do not fit; -Inf for q < 0 and +Inf for q > 1.
func Of(q float64, bounds []float64, counts []uint64) float64 {
	var total uint64
	for _, n := range counts {
		total += n
	}
	switch {
	case math.IsNaN(q), total == 0, len(bounds) == 0, len(counts) != len(bounds)+1:
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	rank := q * float64(total)
	var below uint64
	for i, to := range bounds {
		in := counts[i]
		if float64(below+in) < rank {
			below += in
			continue
		}
		if i == 0 && to <= 0 {
			return to
		}
		from := 0.0
		if i > 0 {
			from = bounds[i-1]
		}
		return from + (to-from)*((rank-float64(below))/float64(in))
	}
	return bounds[len(bounds)-1]
}
