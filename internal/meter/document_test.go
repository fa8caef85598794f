package meter_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/meter"
)

const introduction = `# How far percentiles can be believed

Prometheus does not see single requests. It computes a percentile from bucket counts, as if the requests of a bucket were
spread evenly over it, so that the error depends on where the boundaries are. This page says how large it is. It is
written by a test, and the test fails when the page is out of date: ` + "`go test ./internal/meter -update`" + `.

## How it is measured

Samples of 10,000 durations, the same on every run, go through the toolkit's MeterProvider into the OpenTelemetry SDK. P50,
P95 and P99 are computed from what the SDK collects, by the rules of Prometheus' ` + "`histogram_quantile`" + ` for classic and
for native histograms, and compared with those of the sample. The samples of a line have medians from 5 ms to 5 s, ten to
the decade, so that the percentiles fall everywhere in the buckets. **Each number is the worst of its line.**

- *near an objective*: P95 and P99 that lie within a factor of two of a latency objective, by default 250 ms and 1 s.
- *exponential*: the worst percentile from the same instrument in a reader with exponential buckets (size 160, scale 20).
- *otelhttp's boundaries*, *SDK's default*: P95 and P99 with the 14 boundaries that otelhttp advises, which end at 10 s, and
  with those that the SDK takes when an instrument in seconds advises none.

The target, which the test enforces, is P95 and P99 within 10 %, within 5 % near an objective, and exponential within 2 %.
The lines for sigma 0.5 and 0.4 are outside it: the narrower a distribution, the fewer buckets it meets. No error can be larger
than the bucket is wide, about a third near an objective and half elsewhere, for percentiles between 10 ms and 60 s.

The share of requests that meet an objective is exact, always, since each objective is a boundary.

`

const advice = `
## What follows

- Give the service's real objectives. Boundaries are dense around them, and the share under them is exact.
- Below 10 ms each boundary is twice the one before, to pay for the rest, unless an objective is that fast. The next
  table shows what objectives change.
- LLM calls take longer than 60 s. Instruments called ` + "`gen_ai.*`" + ` and ` + "`otelmon.llm.*`" + ` have boundaries up to 655 s; under any other name their
  slowest calls fall into the last bucket and the percentile stays at 60 s, as two lines above show. An instrument that
  advises boundaries above 60 s, such as 300 and 3600 for a batch job, keeps up to 8 of those.
- More than 30 boundaries would be better still, but each is one more series per combination of attributes. Exponential
  histograms need no such choice, where the backend takes them.

## Other objectives

The worst of P95 and P99 for lognormal samples with sigma 0.6, by the range in which the percentile lies.

`

func document(t *testing.T, rows []row) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(introduction)
	b.WriteString("| Distribution | Instrument | P50 | P95 | P99 | near an objective | exponential | otelhttp's boundaries | SDK's default |\n")
	b.WriteString("| --- | --- | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | %s | %s | %s |\n", r.family, r.instrument,
			percent(r.ours.p50), percent(r.ours.p95), percent(r.ours.p99), percent(r.ours.near),
			percent(max(r.exponential.p50, r.exponential.p95, r.exponential.p99)),
			percent(max(r.otelhttp.p95, r.otelhttp.p99)), percent(max(r.stock.p95, r.stock.p99)))
	}
	b.WriteString(advice)
	writeObjectives(t, &b)
	fmt.Fprintf(&b, "\n## Boundaries\n\nUnit `s`, default objectives:\n\n```\n%s\n```\n\nUnit `s`, names `gen_ai.*` and `otelmon.llm.*`:\n\n```\n%s\n```\n",
		list(meter.Boundaries("", "s", nil, meter.Rules{})), list(meter.Boundaries("gen_ai.", "s", nil, meter.Rules{})))
	return b.Bytes()
}

func writeObjectives(t *testing.T, b *bytes.Buffer) {
	t.Helper()
	b.WriteString("| Objectives | near an objective | 1 ms to 10 ms | 10 ms to 100 ms | 100 ms to 1 s | 1 s to 10 s |\n")
	b.WriteString("| --- | --: | --: | --: | --: | --: |\n")
	const ms = time.Millisecond
	for _, objectives := range [][]time.Duration{
		{250 * ms, time.Second},
		{5 * ms, 25 * ms},
		{50 * ms},
		{100 * ms, 300 * ms, 3 * time.Second},
		{5 * ms, 10 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms, time.Second, 10 * time.Second},
	} {
		fmt.Fprintf(b, "| %s |", strings.ReplaceAll(list(objectives), " ", ", "))
		for _, d := range byDecade(t, objectives) {
			fmt.Fprintf(b, " %s |", percent(max(d.p95, d.p99)))
		}
		b.WriteString("\n")
	}
}

// byDecade returns the deviation near the objectives, and for the decades from 1 ms to 10 s.
func byDecade(t *testing.T, objectives []time.Duration) []deviation {
	t.Helper()
	f := latencyFamilies()[0]
	f.scales = nil
	for i := range 51 {
		f.scales = append(f.scales, 0.0002*math.Pow(10, float64(i)/10))
	}
	rules := meter.Rules{LatencyObjectives: objectives}
	reader := sdkmetric.NewManualReader()
	provider := meter.NewProvider()
	provider.Set(newSDK(t, rules, reader), rules)
	samples := sample(f)
	record(t, provider, "d", nil, samples)
	histograms := collectHistograms(t, reader, "d")

	var near []float64
	for _, o := range objectives {
		near = append(near, o.Seconds())
	}
	all := deviate(samples, histograms, near)
	if all.inexact > 0 {
		t.Errorf("objectives %v: %d shares under an objective are not exact", objectives, all.inexact)
	}
	found := []deviation{{p95: all.near}}
	for low := 0.001; low < 5; low *= 10 {
		found = append(found, deviateWithin(samples, histograms, low, low*10))
	}
	return found
}

func percent(v float64) string {
	switch {
	case v == 0:
		return "-" // there was none
	case v >= 1:
		return fmt.Sprintf("%.0f %%", 100*v)
	default:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
}

func list[T any](values []T) string { return strings.Trim(fmt.Sprint(values), "[]") }
