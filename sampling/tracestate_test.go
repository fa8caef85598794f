package sampling_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/sampling"
)

// idWith returns a trace ID with the randomness, 14 hexadecimal digits.
func idWith(t testing.TB, randomness string) (id trace.TraceID) {
	t.Helper()
	b, err := hex.DecodeString("4bf92f3577b34da601" + randomness)
	if err != nil || len(b) != len(id) {
		t.Fatalf("%q is not 14 hexadecimal digits", randomness)
	}
	return trace.TraceID(b)
}

// arriving is a root whose caller set a tracestate, which SDKs must respect.
func arriving(t testing.TB, tracestate string, id trace.TraceID) sdktrace.SamplingParameters {
	t.Helper()
	return sdktrace.SamplingParameters{TraceID: id, ParentContext: trace.ContextWithRemoteSpanContext(
		context.Background(),
		trace.NewSpanContext(trace.SpanContextConfig{TraceState: parse(t, tracestate)}),
	)}
}

// child is a span of a remote parent.
func child(t testing.TB, tracestate string, id trace.TraceID, flags trace.TraceFlags) sdktrace.SamplingParameters {
	t.Helper()
	return sdktrace.SamplingParameters{TraceID: id, ParentContext: trace.ContextWithRemoteSpanContext(
		context.Background(),
		trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: flags, TraceState: parse(t, tracestate), Remote: true}),
	)}
}

func parse(t testing.TB, tracestate string) trace.TraceState {
	t.Helper()
	state, err := trace.ParseTraceState(tracestate)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func kept(result sdktrace.SamplingResult) bool {
	return result.Decision == sdktrace.RecordAndSample
}

func TestRatioAtItsEdges(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		ratio      float64
		randomness string
		want       string // the tracestate when kept, or "dropped"
	}{
		"the threshold itself is kept":                {0.5, "80000000000000", "ot=th:8"},
		"just below the threshold is dropped":         {0.5, "7fffffffffffff", "dropped"},
		"a quarter keeps from c on":                   {0.25, "c0000000000000", "ot=th:c"},
		"a quarter drops below c":                     {0.25, "bfffffffffffff", "dropped"},
		"one keeps the least randomness":              {1, "00000000000000", "ot=th:0"},
		"above one counts as one":                     {7, "00000000000000", "ot=th:0"},
		"zero drops the most randomness":              {0, "ffffffffffffff", "dropped"},
		"below zero counts as zero":                   {-1, "ffffffffffffff", "dropped"},
		"not a number counts as zero":                 {nan, "ffffffffffffff", "dropped"},
		"the least probability keeps one":             {0x1p-56, "ffffffffffffff", "ot=th:ffffffffffffff"},
		"the least probability drops the next":        {0x1p-56, "fffffffffffffe", "dropped"},
		"below the least probability nothing is kept": {0x1p-57, "ffffffffffffff", "dropped"},
		"close to one is rounded to it":               {0.9999999, "00000000000000", "ot=th:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := sampling.Ratio(row.ratio).ShouldSample(sdktrace.SamplingParameters{TraceID: idWith(t, row.randomness)})
			got := result.Tracestate.String()
			if !kept(result) {
				got += "dropped"
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

const (
	low  = "00000000000001" // randomness that only a ratio of 1 keeps
	high = "fffffffffffff0"
)

func TestTracestateOfARoot(t *testing.T) {
	t.Parallel()
	long := "k:" + strings.Repeat("v", 254) // all that a member holds
	for name, row := range map[string]struct {
		sampler sdktrace.Sampler
		id      string
		in      string
		kept    bool
		want    string
	}{
		"other members stay, ot comes first":         {sampling.Ratio(0.5), high, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", true, "ot=th:8,congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
		"ot moves to the front":                      {sampling.Ratio(0.5), high, "congo=1,ot=th:0,rojo=2", true, "ot=th:8,congo=1,rojo=2"},
		"an earlier threshold is replaced":           {sampling.Ratio(0.25), high, "ot=th:8", true, "ot=th:c"},
		"other sub-keys stay":                        {sampling.Ratio(0.5), high, "ot=p:8;th:1;r:62", true, "ot=th:8;p:8;r:62"},
		"explicit randomness decides, and stays":     {sampling.Ratio(0.25), low, "ot=rv:c0000000000000", true, "ot=th:c;rv:c0000000000000"},
		"explicit randomness can be too little":      {sampling.Ratio(0.25), high, "ot=rv:bfffffffffffff", false, "ot=rv:bfffffffffffff"},
		"the specification's randomness at a half":   {sampling.Ratio(0.5), high, "ot=rv:7479cfb506891d", false, "ot=rv:7479cfb506891d"},
		"the specification's randomness at 60 %":     {sampling.Ratio(0.6), low, "ot=rv:7479cfb506891d", true, "ot=th:6666;rv:7479cfb506891d"},
		"randomness in upper case is left out":       {sampling.Ratio(0.5), low, "ot=rv:FFFFFFFFFFFFFF", false, ""},
		"what is dropped has no threshold":           {sampling.Ratio(0.5), low, "ot=th:0;a:b,congo=1", false, "ot=a:b,congo=1"},
		"an ot member left empty is removed":         {sampling.Ratio(0.5), low, "congo=1,ot=th:0", false, "congo=1"},
		"nothing to remove leaves the order":         {sampling.Ratio(0.5), low, "congo=1,ot=a:b", false, "congo=1,ot=a:b"},
		"without room there is no threshold":         {sampling.Ratio(0.5), high, "ot=" + long, true, "ot=" + long},
		"no threshold rather than an old one":        {sampling.Ratio(0.0001), high, "ot=th:0;" + long[:250], true, "ot=" + long[:250]},
		"Keep stands for itself":                     {sampling.Keep(), low, "ot=th:c", true, "ot=th:0"},
		"Drop has no threshold":                      {sampling.Drop(), high, "ot=th:c;a:b", false, "ot=a:b"},
		"what a limit kept has no threshold":         {sampling.RateLimit(1), low, "ot=th:0,congo=1", true, "congo=1"},
		"a limit of nothing has no threshold either": {sampling.RateLimit(0), low, "ot=th:0,congo=1", false, "congo=1"},
		"Adaptive keeps the first":                   {sampling.Adaptive(1), low, "congo=1", true, "ot=th:0,congo=1"},
		"Rules keep what their sampler wrote":        {sampling.Rules(sampling.Ratio(0.5)), high, "congo=1", true, "ot=th:8,congo=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := row.sampler.ShouldSample(arriving(t, row.in, idWith(t, row.id)))
			if kept(result) != row.kept {
				t.Errorf("kept: got %v, want %v", kept(result), row.kept)
			}
			if diff := cmp.Diff(row.want, result.Tracestate.String()); diff != "" {
				t.Errorf("tracestate (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTracestateOfAChild(t *testing.T) {
	t.Parallel()
	const sampled, random = trace.FlagsSampled, trace.FlagsRandom
	for name, row := range map[string]struct {
		id    string
		flags trace.TraceFlags
		in    string
		want  string
	}{
		"a threshold that holds is passed on":               {high, sampled | random, "congo=1,ot=a:b;th:c", "congo=1,ot=a:b;th:c"},
		"randomness is presumed without its flag":           {high, sampled, "ot=th:c", "ot=th:c"},
		"of the parent's randomness the explicit one holds": {low, sampled, "ot=th:c;rv:c0000000000000", "ot=th:c;rv:c0000000000000"},
		"a threshold that would have rejected is removed":   {low, sampled, "ot=th:c;a:b,congo=1", "ot=a:b,congo=1"},
		"so is one that explicit randomness contradicts":    {high, sampled, "ot=rv:bfffffffffffff;th:c", "ot=rv:bfffffffffffff"},
		"a threshold that is none is removed":               {high, sampled, "ot=th:maybe", ""},
		"no threshold, none is made":                        {high, sampled, "congo=1,ot=other:1", "congo=1,ot=other:1"},
		"no tracestate, none is made":                       {high, sampled, "", ""},
		"what is dropped has no threshold":                  {low, random, "ot=th:c,congo=1", "congo=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := sampling.ParentBased(sampling.Ratio(0)).ShouldSample(child(t, row.in, idWith(t, row.id), row.flags))
			if want := row.flags.IsSampled(); kept(result) != want {
				t.Errorf("kept: got %v, want the parent's decision %v", kept(result), want)
			}
			if diff := cmp.Diff(row.want, result.Tracestate.String()); diff != "" {
				t.Errorf("tracestate (-want +got):\n%s", diff)
			}
		})
	}
}
