package metrics

import (
	"cmp"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/text"
)

const (
	maxInstruments = 20
	maxReadings    = 100
)

// summary returns the parts of a View that one collection tells without those
// before.
func summary(r readings, traced map[Route]Traced) View {
	refused, _ := r.sum(telemetry.RefusedValues)
	callbacks, _ := r.sum(telemetry.CallbackFailures)
	scrapes, _ := r.sum(telemetry.ScrapeFailures)
	return View{
		Total:       Row{InFlight: numberOf(r.sum(telemetry.ServerActiveRequests))},
		LLM:         models(r),
		Sampling:    sampling(r, traced),
		Cardinality: Cardinality{Instruments: instruments(r)},
		Telemetry:   Telemetry{Number(refused), Number(callbacks), Number(scrapes)},
		Runtime:     runtime(r),
	}
}

func sampling(r readings, traced map[Route]Traced) Sampling {
	const sampled = "RECORD_AND_SAMPLE"
	s := Sampling{Spans: map[string]Number{"DROP": 0, "RECORD_ONLY": 0, sampled: 0}}
	var all Number
	for attributes, n := range r.values(telemetry.SpanStarted) {
		result := textOf(attributes, telemetry.SamplingResult)
		if _, ok := s.Spans[result]; ok {
			s.Spans[result] += Number(n)
			all += Number(n)
		}
	}
	s.Share = s.Spans[sampled] / all
	for _, t := range traced {
		s.Rescued += t.Rescued
	}
	return s
}

// instruments returns those with most series.
func instruments(r readings) []Instrument {
	all := make([]Instrument, 0, len(r))
	for _, metrics := range r {
		for _, m := range metrics {
			all = append(all, instrument(m))
		}
	}
	slices.SortFunc(all, func(a, b Instrument) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Clip(all[:min(len(all), maxInstruments)])
}

func instrument(m metricdata.Metrics) Instrument {
	i := Instrument{Name: text.Cut(m.Name, maxText), Unit: text.Cut(m.Unit, maxText), Kind: kind(m.Data)}
	count := func(attributes *attribute.Set) {
		i.Series++
		i.Overflow = i.Overflow || isOverflow(attributes)
	}
	for attributes := range values(m.Data) {
		count(attributes)
	}
	for attributes := range histograms(m.Data) {
		count(attributes)
	}
	return i
}

func kind(data metricdata.Aggregation) string {
	sum := func(monotonic bool) string {
		if monotonic {
			return "counter"
		}
		return "up_down_counter"
	}
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		return sum(data.IsMonotonic)
	case metricdata.Sum[float64]:
		return sum(data.IsMonotonic)
	case metricdata.Gauge[int64], metricdata.Gauge[float64]:
		return "gauge"
	case metricdata.Histogram[int64], metricdata.Histogram[float64]:
		return "histogram"
	case metricdata.ExponentialHistogram[int64], metricdata.ExponentialHistogram[float64]:
		return "exponential_histogram"
	default:
		return "summary"
	}
}

// runtime returns the numbers of Go and of the process.
func runtime(r readings) []Reading {
	all := []Reading{}
	for name, metrics := range r {
		if !strings.HasPrefix(name, "go.") && !strings.HasPrefix(name, "process.") {
			continue
		}
		for _, m := range metrics {
			for attributes, value := range values(m.Data) {
				all = append(all, Reading{text.Cut(name, maxText), Number(value), text.Cut(m.Unit, maxText), attributesText(attributes)})
			}
		}
	}
	slices.SortFunc(all, func(a, b Reading) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Attributes, b.Attributes))
	})
	return slices.Clip(all[:min(len(all), maxReadings)])
}

// attributesText returns attributes such as "cpu.mode=user".
func attributesText(attributes *attribute.Set) string {
	var all []string
	for iter := attributes.Iter(); iter.Next(); {
		kv := iter.Attribute()
		all = append(all, string(kv.Key)+"="+kv.Value.String())
	}
	return text.Cut(strings.Join(all, ", "), maxText)
}
