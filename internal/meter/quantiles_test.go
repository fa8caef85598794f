package meter_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/internal/meter"
)

const (
	sampleSize = 10_000
	p50        = 0.50
	p95        = 0.95
	p99        = 0.99
)

// family is a kind of distribution that the tests move along the time axis.
type family struct {
	name   string
	scales []float64 // of each member, in seconds
	draw   func(scale float64, rng *rand.Rand) []float64
}

// latencyFamilies have medians from 5 ms to 5 s, ten to the decade, so that P95 and P99 fall everywhere in the buckets.
func latencyFamilies() []family {
	var medians []float64
	for i := range 31 {
		medians = append(medians, 0.005*math.Pow(10, float64(i)/10))
	}
	lognormal := func(sigma float64) func(float64, *rand.Rand) []float64 {
		return func(median float64, rng *rand.Rand) []float64 {
			return draw(sampleSize, rng, lognormalQuantile(median, sigma))
		}
	}
	bimodal := func(distance, share, sigma float64) func(float64, *rand.Rand) []float64 {
		return func(median float64, rng *rand.Rand) []float64 {
			slow := int(share * sampleSize)
			return append(draw(sampleSize-slow, rng, lognormalQuantile(median, sigma)),
				draw(slow, rng, lognormalQuantile(median*distance, sigma))...)
		}
	}
	pareto := func(alpha float64) func(float64, *rand.Rand) []float64 {
		return func(median float64, rng *rand.Rand) []float64 {
			low := median / math.Pow(2, 1/alpha)
			return draw(sampleSize, rng, func(u float64) float64 { return low / math.Pow(1-u, 1/alpha) })
		}
	}
	exponential := func(median float64, rng *rand.Rand) []float64 {
		return draw(sampleSize, rng, func(u float64) float64 { return -median / math.Ln2 * math.Log(1-u) })
	}
	return []family{
		{"lognormal, sigma 0.6", medians, lognormal(0.6)},
		{"lognormal, sigma 1", medians, lognormal(1)},
		{"exponential", medians, exponential},
		{"Pareto, alpha 2", medians, pareto(2)},
		{"Pareto, alpha 3", medians, pareto(3)},
		{"bimodal, 20 % slower 5 times", medians, bimodal(5, 0.2, 0.45)},
		{"bimodal, 10 % slower 3 times", medians, bimodal(3, 0.1, 0.5)},
	}
}

// narrowFamilies are steeper than the boundaries are made for. They are shown, not required to be within a limit.
func narrowFamilies() []family {
	narrow := latencyFamilies()[:1]
	for _, sigma := range []float64{0.5, 0.4} {
		narrow = append(narrow, family{
			fmt.Sprintf("lognormal, sigma %v", sigma), narrow[0].scales,
			func(median float64, rng *rand.Rand) []float64 {
				return draw(sampleSize, rng, lognormalQuantile(median, sigma))
			},
		})
	}
	return narrow[1:]
}

// llmFamilies are mixes of short answers, chats and long reasoning, cut to what a client sees: 0.3 s to 120 s. The scale
// makes the whole mix slower or faster.
func llmFamilies() []family {
	var scales []float64
	for i := range 13 {
		scales = append(scales, 0.5*math.Pow(2, float64(i)/6))
	}
	mix := func(chats, reasoning float64) func(float64, *rand.Rand) []float64 {
		return func(scale float64, rng *rand.Rand) []float64 {
			c, r := int(chats*sampleSize), int(reasoning*sampleSize)
			values := draw(sampleSize-c-r, rng, cut(1*scale, 0.5, 0.3, 120))
			values = append(values, draw(c, rng, cut(8*scale, 0.6, 0.3, 120))...)
			return append(values, draw(r, rng, cut(40*scale, 0.5, 0.3, 120))...)
		}
	}
	return []family{
		{"LLM mix, 30 % chats, 2 % reasoning", scales, mix(0.30, 0.02)},
		{"LLM mix, 40 % chats, 15 % reasoning", scales, mix(0.40, 0.15)},
	}
}

// draw returns n values spread evenly over the distribution, each at a random place in its 1/n.
func draw(n int, rng *rand.Rand, quantile func(u float64) float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = quantile((float64(i) + rng.Float64()) / float64(n))
	}
	return values
}

func lognormalQuantile(median, sigma float64) func(float64) float64 {
	return func(u float64) float64 { return median * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*u-1)) }
}

// cut is the lognormal distribution without what lies outside low and high.
func cut(median, sigma, low, high float64) func(float64) float64 {
	cdf := func(x float64) float64 { return (1 + math.Erf(math.Log(x/median)/(sigma*math.Sqrt2))) / 2 }
	whole := lognormalQuantile(median, sigma)
	return func(u float64) float64 { return whole(cdf(low) + u*(cdf(high)-cdf(low))) }
}

// histogram is what was collected for one sample, in a form that both kinds share.
type histogram struct {
	quantile func(q float64) float64
	share    func(boundary float64) float64 // of values up to the boundary; NaN if it is none
}

// record puts every sample through an instrument, each with its own attributes, and returns the histograms the reader
// then has, by index of the sample.
func record(t *testing.T, provider metric.MeterProvider, name string, bounds []float64, samples [][]float64) {
	t.Helper()
	opts := []metric.Float64HistogramOption{metric.WithUnit("s")}
	if bounds != nil {
		opts = append(opts, metric.WithExplicitBucketBoundaries(bounds...))
	}
	h, err := provider.Meter("quantiles").Float64Histogram(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for i, sample := range samples {
		attrs := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attribute.Int("sample", i)))}
		for _, value := range sample {
			h.Record(t.Context(), value, attrs...)
		}
	}
}

// collectHistograms returns the histograms of an instrument by the index of the sample.
func collectHistograms(t *testing.T, reader sdkmetric.Reader, name string) map[int]histogram {
	t.Helper()
	found := map[int]histogram{}
	index := func(set attribute.Set) int {
		value, _ := set.Value("sample")
		return int(value.AsInt64())
	}
	switch data := collect(t, reader)[name].Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			found[index(p.Attributes)] = explicit(p)
		}
	case metricdata.ExponentialHistogram[float64]:
		for _, p := range data.DataPoints {
			found[index(p.Attributes)] = exponential(p)
		}
	default:
		t.Fatalf("%s: got %T, want a histogram", name, data)
	}
	return found
}

// explicit computes quantiles as Prometheus' histogram_quantile does for classic histograms.
func explicit(p metricdata.HistogramDataPoint[float64]) histogram {
	quantile := func(q float64) float64 {
		rank, seen := q*float64(p.Count), 0.0
		for i, count := range p.BucketCounts {
			if seen+float64(count) < rank {
				seen += float64(count)
				continue
			}
			if i == len(p.Bounds) {
				break
			}
			low := 0.0
			if i > 0 {
				low = p.Bounds[i-1]
			}
			return low + (p.Bounds[i]-low)*(rank-seen)/float64(count)
		}
		return p.Bounds[len(p.Bounds)-1]
	}
	share := func(boundary float64) float64 {
		i := slices.Index(p.Bounds, boundary)
		if i < 0 {
			return math.NaN()
		}
		sum := uint64(0)
		for _, count := range p.BucketCounts[:i+1] {
			sum += count
		}
		return float64(sum) / float64(p.Count)
	}
	return histogram{quantile, share}
}

// exponential computes quantiles as Prometheus' histogram_quantile does for native histograms.
func exponential(p metricdata.ExponentialHistogramDataPoint[float64]) histogram {
	return histogram{quantile: func(q float64) float64 {
		rank, seen := q*float64(p.Count), float64(p.ZeroCount)
		for i, count := range p.PositiveBucket.Counts {
			if seen+float64(count) >= rank {
				octaves := math.Ldexp(float64(p.PositiveBucket.Offset)+float64(i)+(rank-seen)/float64(count), -int(p.Scale))
				return math.Exp2(octaves)
			}
			seen += float64(count)
		}
		return math.NaN()
	}}
}

// deviation is how far percentiles are off, at worst, over the samples of a family.
type deviation struct {
	p50, p95, p99 float64 // relative
	near          float64 // of P95 and P99 within a factor of two of an objective
	inexact       int     // shares under an objective that are not those of the sample
}

func deviate(samples [][]float64, histograms map[int]histogram, objectives []float64) deviation {
	d := deviateWithin(samples, histograms, 0, math.Inf(1))
	for _, objective := range objectives {
		around := deviateWithin(samples, histograms, objective/2, objective*2)
		d.near = max(d.near, around.p95, around.p99)
		for i, values := range samples {
			under, _ := slices.BinarySearch(values, math.Nextafter(objective, math.Inf(1)))
			if h := histograms[i]; h.share != nil && h.share(objective) != float64(under)/float64(len(values)) {
				d.inexact++
			}
		}
	}
	return d
}

// deviateWithin looks at percentiles that truly lie between low and high.
func deviateWithin(samples [][]float64, histograms map[int]histogram, low, high float64) deviation {
	var d deviation
	for i, values := range samples {
		off := func(q float64) float64 {
			truth := values[int(math.Ceil(q*float64(len(values))))-1]
			if truth < low || truth > high {
				return 0
			}
			return math.Abs(histograms[i].quantile(q)/truth - 1)
		}
		d.p50, d.p95, d.p99 = max(d.p50, off(p50)), max(d.p95, off(p95)), max(d.p99, off(p99))
	}
	return d
}

func otelhttpBoundaries() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

func sdkBoundaries() []float64 {
	return []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
}

// row is one line of docs/quantiles.md.
type row struct {
	family, instrument                 string
	ours, exponential, otelhttp, stock deviation
}

func sample(f family) [][]float64 {
	rng := rand.New(rand.NewPCG(1, 2)) // the same samples each time
	var samples [][]float64
	for _, scale := range f.scales {
		values := f.draw(scale, rng)
		slices.Sort(values)
		samples = append(samples, values)
	}
	return samples
}

func measure(t *testing.T, f family, instrument string) row {
	t.Helper()
	samples, objectives := sample(f), []float64{0.25, 1}
	classic, native := sdkmetric.NewManualReader(), exponentialReader()
	ours := meter.NewProvider()
	ours.Set(newSDK(t, meter.Rules{}, classic, native), meter.Rules{})
	record(t, ours, instrument, otelhttpBoundaries(), samples) // ours go before what the instrument advises
	stock := sdkmetric.NewManualReader()
	bare := sdkmetric.NewMeterProvider(sdkmetric.WithReader(stock))
	record(t, bare, "otelhttp", otelhttpBoundaries(), samples)
	record(t, bare, "default", sdkBoundaries(), samples)
	return row{
		family: f.name, instrument: instrument,
		ours:        deviate(samples, collectHistograms(t, classic, instrument), objectives),
		exponential: deviate(samples, collectHistograms(t, native, instrument), objectives),
		otelhttp:    deviate(samples, collectHistograms(t, stock, "otelhttp"), objectives),
		stock:       deviate(samples, collectHistograms(t, stock, "default"), objectives),
	}
}

func exponentialReader() sdkmetric.Reader {
	return sdkmetric.NewManualReader(sdkmetric.WithAggregationSelector(func(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
		if kind == sdkmetric.InstrumentKindHistogram {
			return sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
		}
		return sdkmetric.DefaultAggregationSelector(kind)
	}))
}

func TestPercentilesAreAsGoodAsDocumented(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("measured without the race detector")
	}
	var rows []row
	for _, f := range latencyFamilies() {
		r := measure(t, f, "http.server.request.duration")
		r.requireWithin(t, 0.10)
		if r.ours.near > 0.05 {
			t.Errorf("%s: %.1f %% off near an objective, want at most 5 %%", f.name, 100*r.ours.near)
		}
		if r.ours.inexact > 0 {
			t.Errorf("%s: %d shares under an objective are not exact", f.name, r.ours.inexact)
		}
		rows = append(rows, r)
	}
	for _, f := range narrowFamilies() {
		rows = append(rows, measure(t, f, "http.server.request.duration"))
	}
	for _, f := range llmFamilies() {
		r := measure(t, f, "gen_ai.client.operation.duration")
		r.requireWithin(t, 0.10)
		rows = append(rows, r, measure(t, f, "http.client.request.duration"))
	}
	golden.Check(t, "../../docs/quantiles.md", document(t, rows))
}

func (r row) requireWithin(t *testing.T, limit float64) {
	t.Helper()
	if worst := max(r.ours.p95, r.ours.p99); worst > limit {
		t.Errorf("%s: %.1f %% off, want at most %.0f %%", r.family, 100*worst, 100*limit)
	}
	if worst := max(r.exponential.p50, r.exponential.p95, r.exponential.p99); worst > 0.02 {
		t.Errorf("%s: %.1f %% off with exponential buckets, want at most 2 %%", r.family, 100*worst)
	}
}
