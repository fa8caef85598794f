package meter_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// kinds returns a function for each kind of instrument that records the values with it, by its name.
func kinds(t *testing.T, m metric.Meter, reader sdkmetric.Reader) map[string]func(values ...float64) {
	t.Helper()
	ctx := t.Context()
	fc, err := m.Float64Counter("float_counter")
	check(t, err)
	fu, err := m.Float64UpDownCounter("float_updown")
	check(t, err)
	fh, err := m.Float64Histogram("float_histogram")
	check(t, err)
	fg, err := m.Float64Gauge("float_gauge")
	check(t, err)
	ic, err := m.Int64Counter("int_counter")
	check(t, err)
	iu, err := m.Int64UpDownCounter("int_updown")
	check(t, err)
	ih, err := m.Int64Histogram("int_histogram")
	check(t, err)
	ig, err := m.Int64Gauge("int_gauge")
	check(t, err)
	foc, err := m.Float64ObservableCounter("float_observed_counter")
	check(t, err)
	fou, err := m.Float64ObservableUpDownCounter("float_observed_updown")
	check(t, err)
	fog, err := m.Float64ObservableGauge("float_observed_gauge")
	check(t, err)
	ioc, err := m.Int64ObservableCounter("int_observed_counter")
	check(t, err)
	iou, err := m.Int64ObservableUpDownCounter("int_observed_updown")
	check(t, err)
	iog, err := m.Int64ObservableGauge("int_observed_gauge")
	check(t, err)
	each := func(record func(float64)) func(...float64) {
		return func(values ...float64) {
			for _, v := range values {
				record(v)
			}
		}
	}
	observe := func(instrument metric.Observable) func(...float64) {
		return func(values ...float64) {
			r, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
				for _, v := range values {
					switch i := instrument.(type) {
					case metric.Int64Observable:
						o.ObserveInt64(i, int64(v))
					case metric.Float64Observable:
						o.ObserveFloat64(i, v)
					}
				}
				return nil
			}, instrument)
			check(t, err)
			check(t, reader.Collect(t.Context(), &metricdata.ResourceMetrics{}))
			check(t, r.Unregister())
		}
	}
	return map[string]func(...float64){
		"float_counter":          each(func(v float64) { fc.Add(ctx, v) }),
		"float_updown":           each(func(v float64) { fu.Add(ctx, v) }),
		"float_histogram":        each(func(v float64) { fh.Record(ctx, v) }),
		"float_gauge":            each(func(v float64) { fg.Record(ctx, v) }),
		"int_counter":            each(func(v float64) { ic.Add(ctx, int64(v)) }),
		"int_updown":             each(func(v float64) { iu.Add(ctx, int64(v)) }),
		"int_histogram":          each(func(v float64) { ih.Record(ctx, int64(v)) }),
		"int_gauge":              each(func(v float64) { ig.Record(ctx, int64(v)) }),
		"float_observed_counter": observe(foc),
		"float_observed_updown":  observe(fou),
		"float_observed_gauge":   observe(fog),
		"int_observed_counter":   observe(ioc),
		"int_observed_updown":    observe(iou),
		"int_observed_gauge":     observe(iog),
	}
}

func TestWhatEachKindRefuses(t *testing.T) {
	t.Parallel()
	var (
		nan      = []float64{math.NaN()}
		infinite = []float64{math.Inf(1), math.Inf(-1)}
		negative = []float64{-1, -math.SmallestNonzeroFloat64}
		fine     = []float64{0, math.Copysign(0, -1), 1, math.MaxFloat64}
	)
	refusals := map[string]map[string][]float64{"float": {"nan": nan, "infinite": infinite}, "int": {}}
	reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	want := map[string]int64{}
	for name, record := range kinds(t, p.Meter("m"), reader) {
		number, kind, _ := strings.Cut(name, "_")
		for reason, values := range refusals[number] {
			record(values...)
			want[reason+" "+name] = int64(len(values))
		}
		if kind == "counter" || kind == "observed_counter" {
			values := negative
			if number == "int" {
				values = []float64{-1, math.MinInt64}
			}
			record(values...)
			want["negative "+name] = int64(len(values))
		} else {
			record(-1)
		}
		if number == "float" {
			record(fine...)
		} else {
			record(0, 1)
		}
	}
	if diff := cmp.Diff(want, counts(t, reader, telemetry.RefusedValues)); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestTheLargestIntegerIsFine(t *testing.T) {
	t.Parallel()
	reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	c, err := p.Meter("m").Int64Counter("c")
	check(t, err)
	c.Add(t.Context(), math.MaxInt64)
	if diff := cmp.Diff(map[string]string{"c": fmt.Sprint(int64(math.MaxInt64))}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever is recorded, sums are those of the values that count.
func TestSumsStayFiniteWhateverIsRecorded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
			p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
			record := kinds(t, p.Meter("m"), reader)
			var all, positive float64
			var refusedAlways, refusedNegative int64
			for range 200 {
				v := []float64{random.NormFloat64(), math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e-300, 1e15}[random.IntN(7)]
				for _, name := range []string{"float_counter", "float_updown", "float_histogram"} {
					record[name](v)
				}
				switch {
				case math.IsNaN(v) || math.IsInf(v, 0):
					refusedAlways++
				case v < 0:
					refusedNegative++
					all += v
				default:
					all += v
					positive += v
				}
			}
			got := map[string]float64{}
			for name, m := range collect(t, reader) {
				switch data := m.Data.(type) {
				case metricdata.Sum[float64]:
					got[name] = data.DataPoints[0].Value
				case metricdata.Histogram[float64]:
					got[name] = data.DataPoints[0].Sum
				}
			}
			want := map[string]float64{"float_counter": positive, "float_updown": all, "float_histogram": all}
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-12, 0)); diff != "" {
				t.Errorf("sums (-want +got):\n%s", diff)
			}
			var refused int64
			for _, n := range counts(t, reader, telemetry.RefusedValues) {
				refused += n
			}
			if want := 3*refusedAlways + refusedNegative; refused != want {
				t.Errorf("got %d refused, want %d", refused, want)
			}
		})
	}
}

func TestARefusedValueIsLoggedOncePerInstrumentAndSet(t *testing.T) {
	t.Parallel()
	log, p := newLines(), meter.NewProvider()
	h, err := p.Meter("m").Float64Histogram("Latency")
	check(t, err)
	c, err := p.Meter("m").Int64Counter("c")
	check(t, err)
	h.Record(t.Context(), math.NaN()) // before the first Set nothing is recorded or told
	for set := 1; set <= 2; set++ {
		reader := sdkmetric.NewManualReader()
		p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: log.logger()})
		for range 3 {
			h.Record(t.Context(), math.NaN())
			h.Record(t.Context(), math.Inf(-1))
			c.Add(t.Context(), -5)
		}
		want := map[string]int64{"nan latency": 3, "infinite latency": 3, "negative c": 3}
		if diff := cmp.Diff(want, counts(t, reader, telemetry.RefusedValues)); diff != "" {
			t.Errorf("after Set %d (-want +got):\n%s", set, diff)
		}
		log.wait(t, set, "instrument=latency kind=Histogram value=NaN")
		log.wait(t, set, "instrument=c kind=Counter value=-5")
	}
	if got := strings.Count(log.String(), "\n"); got != 4 {
		t.Errorf("got %d lines, want 4:\n%s", got, log)
	}
}

func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	const names = 150
	for i := range names {
		c, err := p.Meter("m").Int64Counter(fmt.Sprint("c", i))
		check(t, err)
		c.Add(t.Context(), -1)
	}
	got := counts(t, reader, telemetry.RefusedValues)
	if others := got["negative "+telemetry.Other]; len(got) != 101 || others != names-100 {
		t.Errorf("got %d series and %d others, want 101 and %d", len(got), others, names-100)
	}
}

func TestRefusingIsCountedAtOnceFromManyGoroutines(t *testing.T) {
	t.Parallel()
	reader, p := sdkmetric.NewManualReader(), meter.NewProvider()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{})
	c, err := p.Meter("m").Float64Counter("c")
	check(t, err)
	done := make(chan struct{})
	for range 8 {
		go func() {
			for range 1000 {
				c.Add(context.WithoutCancel(t.Context()), -1)
			}
			done <- struct{}{}
		}()
	}
	for range 8 {
		<-done
	}
	if diff := cmp.Diff(map[string]int64{"negative c": 8000}, counts(t, reader, telemetry.RefusedValues)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
