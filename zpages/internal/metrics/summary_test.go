package metrics_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

func TestSampling(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.collect(time.Second)
	none := metrics.Sampling{Spans: map[string]metrics.Number{"DROP": 0, "RECORD_ONLY": 0, "RECORD_AND_SAMPLE": 0}, Share: metrics.Number(math.NaN())}
	if diff := cmp.Diff(none, s.view(0).Sampling, equateNumbers()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, origin := range []string{"none", "remote"} {
		s.add(telemetry.SpanStarted, 30, telemetry.SamplingResult.String("DROP"), telemetry.ParentOrigin.String(origin))
		s.add(telemetry.SpanStarted, 10, telemetry.SamplingResult.String("RECORD_AND_SAMPLE"), telemetry.ParentOrigin.String(origin))
	}
	s.traced = map[metrics.Route]metrics.Traced{{"GET", "/a"}: {Rescued: 2}, {"GET", "/b"}: {Rescued: 3}}
	s.collect(time.Second)
	want := metrics.Sampling{
		Spans: map[string]metrics.Number{"DROP": 60, "RECORD_ONLY": 0, "RECORD_AND_SAMPLE": 20}, Share: 0.25, Rescued: 5,
	}
	if diff := cmp.Diff(want, s.view(0).Sampling, equateNumbers()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTelemetryTellsItsOwnFailures(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.collect(time.Second)
	if got := s.view(0).Telemetry; got != (metrics.Telemetry{}) {
		t.Errorf("got %+v, want no failures where no counter has begun", got)
	}
	s.add("a", math.NaN())
	s.add("a", -1)
	s.add(telemetry.ScrapeFailures, 4, telemetry.ErrorType.String(telemetry.ScrapeInvalidMetric))
	s.add(telemetry.CallbackFailures, 5)
	s.collect(time.Second)
	if got, want := s.view(0).Telemetry, (metrics.Telemetry{RefusedValues: 2, CallbackFailures: 5, ScrapeFailures: 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRuntimeHasTheNumbersOfGoAndOfTheProcess(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.set(telemetry.Goroutines, 12)
	s.add(telemetry.ProcessCPUTime, 1.5, telemetry.CPUMode.String("user"))
	s.add(telemetry.ProcessCPUTime, 0.5, telemetry.CPUMode.String("system"))
	s.set("orders.open", 3)
	s.set("process.text", 1, attribute.String("text", strings.Repeat("é", 1000)), attribute.Int("n", 7))
	s.collect(time.Second)
	got := s.view(0).Runtime
	want := []metrics.Reading{
		{Name: "go.goroutine.count", Value: 12},
		{Name: "process.cpu.time", Value: 0.5, Attributes: "cpu.mode=system"},
		{Name: "process.cpu.time", Value: 1.5, Attributes: "cpu.mode=user"},
		{Name: "process.text", Value: 1, Attributes: "n=7, text=" + strings.Repeat("é", 121) + "…"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCardinalityHasTheLargestInstruments(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for i := range 30 {
		for j := range i + 1 {
			s.add(fmt.Sprintf("counter.%02d", i), 1, attribute.Int("n", j))
		}
	}
	s.collect(time.Second)
	got := s.view(0).Cardinality.Instruments
	if len(got) != 20 || got[0] != (metrics.Instrument{Name: "counter.29", Kind: "counter", Series: 30}) || got[19].Series != 11 {
		t.Errorf("got %+v, want the 20 largest", got)
	}
	few := newService(t)
	few.get("/a", 1, 0.01)
	few.get("/b", 1, 0.01)
	few.set("gauge", 1)
	few.add("counter", 1)
	up, err := few.meter.Int64UpDownCounter("up")
	if err != nil {
		t.Fatal(err)
	}
	up.Add(t.Context(), 1)
	few.collect(time.Second)
	want := []metrics.Instrument{
		{Name: telemetry.ServerDuration, Unit: "s", Kind: "histogram", Series: 2},
		{Name: "counter", Kind: "counter", Series: 1},
		{Name: "gauge", Kind: "gauge", Series: 1},
		{Name: "up", Kind: "up_down_counter", Series: 1},
	}
	if diff := cmp.Diff(want, few.view(0).Cardinality.Instruments); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
