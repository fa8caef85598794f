package tracestate_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/tracestate"
)

const (
	low  = "00000000000001"
	high = "fffffffffffff0"
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

func parse(t testing.TB, text string) trace.TraceState {
	t.Helper()
	state, err := trace.ParseTraceState(text)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func members(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("m%d=%d", i, i)
	}
	return strings.Join(list, ",")
}

// The probabilities and thresholds are those of the specification's table for
// a precision of four digits.
func TestThresholdsAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	for oneIn, want := range map[int]string{
		1: "0", 2: "8", 3: "aaab", 4: "c", 5: "cccd", 8: "e", 10: "e666", 16: "f",
		100: "fd70a", 1000: "ffbe77", 10_000: "fff9724", 100_000: "ffff583a", 1_000_000: "ffffef39",
	} {
		if got := tracestate.ThresholdOf(1 / float64(oneIn)).String(); got != want {
			t.Errorf("one in %d: got %q, want %q", oneIn, got, want)
		}
	}
}

func TestThresholdsAtTheirEdges(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		probability float64
		want        tracestate.Threshold
	}{
		"one rejects nothing":              {1, 0},
		"above one neither":                {7, 0},
		"close to one is rounded to it":    {0.9999999, 0},
		"the least probability":            {0x1p-56, tracestate.Never - 1},
		"below the least, all is rejected": {0x1p-57, tracestate.Never},
		"zero":                             {0, tracestate.Never},
		"below zero":                       {-1, tracestate.Never},
		"not a number":                     {math.NaN(), tracestate.Never},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tracestate.ThresholdOf(row.probability); got != row.want {
				t.Errorf("got %x, want %x", uint64(got), uint64(row.want))
			}
		})
	}
}

func TestRandomness(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		state string
		want  tracestate.Threshold
	}{
		"that of the ID":                      {"", 1},
		"explicit":                            {"ot=th:8;rv:c0000000000000", 0xc0000000000000},
		"too short, that of the ID":           {"ot=rv:1", 1},
		"too long, that of the ID":            {"ot=rv:c00000000000000", 1},
		"in upper case, that of the ID":       {"ot=rv:C0000000000000", 1},
		"not hexadecimal, that of the ID":     {"ot=rv:c000000000000g", 1},
		"given twice, that of the ID":         {"ot=rv:c0000000000000;rv:c0000000000000", 1},
		"in another's member, that of the ID": {"vendor=rv:c0000000000000", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tracestate.Randomness(parse(t, row.state), idWith(t, low)); got != row.want {
				t.Errorf("got %x, want %x", uint64(got), uint64(row.want))
			}
		})
	}
}

func TestContradicts(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		randomness, state string
		want              bool
	}{
		"no tracestate":                        {high, "", false},
		"no threshold":                         {high, "congo=1,ot=other:1", false},
		"a threshold that holds":               {high, "ot=th:c", false},
		"a threshold equal to the randomness":  {"c0000000000000", "ot=th:c", false},
		"a threshold that would have rejected": {"bfffffffffffff", "ot=th:c", true},
		"explicit randomness that holds":       {low, "ot=th:c;rv:c0000000000000", false},
		"explicit randomness that does not":    {high, "ot=rv:bfffffffffffff;th:c", true},
		"a threshold that is none":             {high, "ot=th:maybe", true},
		"a threshold in upper case":            {high, "ot=th:C", true},
		"a threshold too long":                 {high, "ot=th:000000000000000", true},
		"a threshold given twice":              {high, "ot=th:0;th:c", true},
		"a threshold that is empty":            {high, "ot=th:", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tracestate.Contradicts(parse(t, row.state), idWith(t, row.randomness)); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestWithThreshold(t *testing.T) {
	t.Parallel()
	long := "k:" + strings.Repeat("v", 254) // all that a member holds
	for name, row := range map[string]struct{ in, want string }{
		"nothing else":                                {"", "ot=th:8"},
		"other members stay, ot comes first":          {"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "ot=th:8,congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
		"ot moves to the front":                       {"congo=1,ot=th:0,rojo=2", "ot=th:8,congo=1,rojo=2"},
		"other sub-keys stay":                         {"ot=p:8;th:1;r:62", "ot=th:8;p:8;r:62"},
		"randomness stays":                            {"ot=rv:c0000000000000", "ot=th:8;rv:c0000000000000"},
		"randomness too short is left out":            {"ot=rv:1", "ot=th:8"},
		"randomness too long is left out":             {"ot=rv:000000000000000", "ot=th:8"},
		"randomness in upper case is left out":        {"ot=rv:FFFFFFFFFFFFFF", "ot=th:8"},
		"randomness that is none is left out":         {"ot=rv:0000000000000g;a:b", "ot=th:8;a:b"},
		"randomness given twice is left out":          {"ot=rv:00000000000000;rv:00000000000001", "ot=th:8"},
		"a member that is no list is left out":        {"ot=whatever it is;;:;A:1;1a:1;a:/;ok:1", "ot=th:8;ok:1"},
		"a bad threshold is replaced":                 {"ot=th:XYZ;th:", "ot=th:8"},
		"without room there is no threshold":          {"ot=" + long, "ot=" + long},
		"no threshold rather than an old one":         {"ot=th:;" + long[:252], "ot=" + long[:252]},
		"with just enough room there is one":          {"ot=" + long[:251], "ot=th:8;" + long[:251]},
		"of 32 members the last makes room":           {members(32), "ot=th:8," + members(31)},
		"of 32 members with ot all stay":              {members(31) + ",ot=th:0", "ot=th:8," + members(31)},
		"multi-tenant keys of others are not touched": {"ot@vendor=th:0", "ot=th:8,ot@vendor=th:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tracestate.WithThreshold(parse(t, row.in), "8").String()
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("tracestate (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutThreshold(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ in, want string }{
		"nothing":                             {"", ""},
		"another's member":                    {"vendor=th:8", "vendor=th:8"},
		"the threshold alone":                 {"ot=th:8", ""},
		"an ot member left empty is removed":  {"congo=1,ot=th:0", "congo=1"},
		"a threshold and others":              {"congo=1,ot=p:1;th:8;rv:00000000000001", "ot=p:1;rv:00000000000001,congo=1"},
		"nothing to remove leaves the order":  {"congo=1,ot=a:b", "congo=1,ot=a:b"},
		"two thresholds":                      {"ot=th:8;th:c", ""},
		"a bad threshold":                     {"ot=th:maybe;a:b", "ot=a:b"},
		"a threshold that is empty":           {"ot=th:", ""},
		"what only begins like one":           {"ot=thx:8", "ot=thx:8"},
		"randomness in upper case is removed": {"ot=rv:FFFFFFFFFFFFFF", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tracestate.WithoutThreshold(parse(t, row.in)).String()
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("tracestate (-want +got):\n%s", diff)
			}
		})
	}
}

// Not parallel: counts allocations.
func TestATraceWithoutATracestateAllocatesNothing(t *testing.T) {
	state, id := trace.TraceState{}, idWith(t, high)
	got := testing.AllocsPerRun(100, func() {
		if tracestate.Contradicts(state, id) || tracestate.WithoutThreshold(state).Len() > 0 || tracestate.Randomness(state, id) == 0 {
			t.Error("something was read from an empty state")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

func FuzzTracestate(f *testing.F) {
	for _, seed := range []string{
		"", "ot=th:0", "ot=th:c;rv:6e6d1a75832a2f", "congo=t61rcWkgMzE,ot=p:8;r:62", "ot=th:XYZ;;:;rv:1", "ot= ;th:8", members(32),
		"ot=" + strings.Repeat("a", 256), "ot=th:1;k:" + strings.Repeat("b", 240) + ",x=1", "ot=\tth:0", "ot=,ot=th:0",
	} {
		f.Add(seed, uint64(0x7fffffffffffff), 0.3)
	}
	f.Fuzz(func(t *testing.T, text string, randomness uint64, probability float64) {
		in, err := trace.ParseTraceState(text)
		if err != nil {
			t.Skip()
		}
		id := idWith(t, fmt.Sprintf("%014x", randomness&(1<<56-1)))
		threshold := tracestate.ThresholdOf(probability)
		if threshold > tracestate.Never {
			t.Fatalf("%v: threshold %x", probability, uint64(threshold))
		}
		without := tracestate.WithoutThreshold(in)
		checkState(t, in, without)
		if strings.Contains(";"+without.Get("ot"), ";th:") || tracestate.Contradicts(without, id) {
			t.Errorf("%q has a threshold", without)
		}
		if threshold == tracestate.Never {
			return
		}
		with := tracestate.WithThreshold(in, threshold.String())
		checkState(t, in, with)
		r := tracestate.Randomness(in, id)
		if written := strings.HasPrefix(with.Get("ot"), "th:"); tracestate.Randomness(with, id) != r || tracestate.Contradicts(with, id) != (written && r < threshold) {
			t.Errorf("%q with threshold %s: randomness %x, contradicted %v", with, threshold, uint64(r), tracestate.Contradicts(with, id))
		}
	})
}

// checkState checks that what was made of a state can be read, and has the
// members of others.
func checkState(t *testing.T, in, out trace.TraceState) {
	t.Helper()
	again, err := trace.ParseTraceState(out.String())
	if err != nil || again.String() != out.String() {
		t.Errorf("%q cannot be read: %v", out, err)
	}
	position := 0
	in.Walk(func(key, value string) bool {
		position++
		if key != "ot" && again.Get(key) != value && position < 32 {
			t.Errorf("member %s is lost from %q", key, out)
		}
		return true
	})
}
