package meter_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/meter"
)

func TestBoundariesByNameAndUnit(t *testing.T) {
	t.Parallel()
	rules := meter.Rules{Boundaries: map[string][]float64{
		"exact.name": {1}, "exact.*": {2}, "exact.n*": {3}, "ms.*": {4},
	}}
	tests := map[string]struct {
		name, unit string
		first      float64 // 0 when the first boundary is not the point
		last       float64
		count      int
	}{
		"latency in seconds":                       {"x", "s", 0.001, 60, 30},
		"latency in milliseconds":                  {"x", "ms", 1, 60_000, 30},
		"latency in microseconds":                  {"x", "us", 1000, 60_000_000, 30},
		"latency in nanoseconds":                   {"x", "ns", 1_000_000, 60_000_000_000, 30},
		"GenAI operations":                         {"gen_ai.client.operation.duration", "s", 0.01, 655.36, 30},
		"LLM times of our own":                     {"otelmon.llm.time_to_first_token", "s", 0.01, 655.36, 30},
		"GenAI in another unit is a latency":       {"gen_ai.x", "ms", 1, 60_000, 30},
		"sizes":                                    {"x", "By", 0, 268435456, 13},
		"tokens":                                   {"gen_ai.client.token.usage", "{token}", 1, 67108864, 14},
		"other units keep their advice":            {"x", "{request}", 0, 0, 0},
		"no unit keeps its advice":                 {"x", "", 0, 0, 0},
		"a rule for the name goes before patterns": {"Exact.Name", "s", 1, 1, 1},
		"of patterns the first in order is taken":  {"exact.nothing", "s", 2, 2, 1},
		"a rule goes before the unit":              {"ms.x", "ms", 4, 4, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := meter.Boundaries(tt.name, tt.unit, nil, rules)
			if len(got) != tt.count {
				t.Fatalf("got %d boundaries %v, want %d", len(got), got, tt.count)
			}
			if tt.count > 0 && (got[0] != tt.first || got[tt.count-1] != tt.last) {
				t.Errorf("got %v to %v, want %v to %v", got[0], got[tt.count-1], tt.first, tt.last)
			}
		})
	}
}

func TestAdviceAboveTheLastBoundaryIsKept(t *testing.T) {
	t.Parallel()
	rules := meter.Rules{Boundaries: map[string][]float64{"ruled": {1, 2}}}
	hours := func(n int) (s []float64) {
		for i := range n {
			s = append(s, 3600*float64(i+1))
		}
		return s
	}
	tests := map[string]struct {
		name, unit string
		advice     []float64
		want       []float64 // after those without advice
	}{
		"none":                              {"x", "s", nil, nil},
		"nothing that reaches further":      {"x", "s", []float64{0.1, 1, 60}, nil},
		"a batch job in seconds":            {"x", "s", []float64{10, 60, 300, 3600}, []float64{300, 3600}},
		"a batch job in milliseconds":       {"x", "ms", []float64{60_000, 300_000}, []float64{300_000}},
		"streams of up to four hours":       {"otelmon.http.server.stream.duration", "s", []float64{1, 60, 300, 3600, 14400}, []float64{300, 3600, 14400}},
		"sizes":                             {"x", "By", []float64{1 << 20, 1 << 30}, []float64{1 << 30}},
		"GenAI":                             {"gen_ai.x", "s", []float64{600, 900}, []float64{900}},
		"8 of 16, with the last":            {"x", "s", hours(16), []float64{7200, 14400, 21600, 28800, 36000, 43200, 50400, 57600}},
		"8 of 9, with the last":             {"x", "s", hours(9), []float64{3600, 7200, 10800, 14400, 18000, 21600, 25200, 32400}},
		"what is no boundary is left out":   {"x", "s", []float64{math.NaN(), 300, 300, 90, math.Inf(1)}, []float64{90, 300}},
		"a rule stands alone":               {"ruled", "s", []float64{300}, nil},
		"other units keep all their advice": {"x", "{apple}", []float64{300}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(tt.advice)
			want := append(meter.Boundaries(tt.name, tt.unit, nil, rules), tt.want...)
			if diff := cmp.Diff(want, meter.Boundaries(tt.name, tt.unit, tt.advice, rules)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.advice, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("the advice was changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGenAIBoundariesContainTheConventions(t *testing.T) {
	t.Parallel()
	got := meter.Boundaries("gen_ai.client.operation.duration", "s", nil, meter.Rules{})
	for _, want := range []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92} {
		if !slices.Contains(got, want) {
			t.Errorf("got no %v in %v", want, got)
		}
	}
	if !slices.IsSorted(got) {
		t.Errorf("got %v, want them in order", got)
	}
}

func TestLatencyBoundariesForAnyObjectives(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	objectives := [][]time.Duration{
		nil,
		{1},
		{24 * time.Hour},
		{1, 2, 3, 24 * time.Hour},
		{time.Millisecond},
		{time.Minute},
		{time.Second, time.Second},
		{time.Second, time.Second + 1},
		{333333333, 1234567 * time.Microsecond},
	}
	for range 200 {
		var some []time.Duration
		for range 1 + rng.IntN(8) {
			some = append(some, time.Duration(math.Exp(rng.Float64()*math.Log(float64(24*time.Hour)))))
		}
		objectives = append(objectives, some)
	}
	for _, o := range objectives {
		rules := meter.Rules{LatencyObjectives: o}
		if err := rules.Validate(); err != nil {
			t.Fatal(err)
		}
		requireLatencyBoundaries(t, rules)
	}
}

func requireLatencyBoundaries(t *testing.T, rules meter.Rules) {
	t.Helper()
	for unit, size := range map[string]time.Duration{
		"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond,
	} {
		got := meter.Boundaries("x", unit, nil, rules)
		if len(got) > 30 || len(got) < 20 {
			t.Errorf("objectives %v in %s: got %d boundaries, want 20 to 30", rules.LatencyObjectives, unit, len(got))
		}
		for _, o := range rules.LatencyObjectives {
			if !slices.Contains(got, float64(o)/float64(size)) {
				t.Errorf("objective %v in %s: got no boundary in %v", o, unit, got)
			}
		}
		for i := range got[1:] {
			if got[i] <= 0 || got[i+1] <= got[i] {
				t.Errorf("objectives %v in %s: got %v, want them positive and increasing", rules.LatencyObjectives, unit, got)
			}
		}
		if got[0] > float64(time.Millisecond)/float64(size) || got[len(got)-1] < float64(time.Minute)/float64(size) {
			t.Errorf("objectives %v in %s: got %v to %v, want at least 1 ms to 60 s", rules.LatencyObjectives, unit, got[0], got[len(got)-1])
		}
	}
}

func TestDefaultLatencyBoundariesAreReadable(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"s", "ms", "us", "ns"} {
		for _, b := range meter.Boundaries("x", unit, nil, meter.Rules{}) {
			digits := strings.Trim(strings.Replace(strconv.FormatFloat(b, 'f', -1, 64), ".", "", 1), "0")
			if len(digits) > 3 {
				t.Errorf("%s: got %v, want at most three significant digits", unit, b)
			}
		}
	}
}

func TestDefaultObjectives(t *testing.T) {
	t.Parallel()
	want := meter.Boundaries("x", "s", nil, meter.Rules{LatencyObjectives: []time.Duration{time.Second, 250 * time.Millisecond}})
	for name, o := range map[string][]time.Duration{"none": nil, "empty": {}, "only impossible ones": {0, -1}} {
		if diff := cmp.Diff(want, meter.Boundaries("x", "s", nil, meter.Rules{LatencyObjectives: o})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rules meter.Rules
		want  []string // parts of the error; none when the rules are good
	}{
		"zero rules are good": {},
		"all fields may be given": {rules: meter.Rules{
			LatencyObjectives: []time.Duration{time.Second}, Boundaries: map[string][]float64{"http.*.duratio?": {-1, 0, 1}},
			Disabled: []string{"*", "a/b_c-d.e"},
		}},
		"an objective of zero":   {meter.Rules{LatencyObjectives: []time.Duration{0}}, []string{"LatencyObjectives: 0s", "above zero"}},
		"a negative objective":   {meter.Rules{LatencyObjectives: []time.Duration{-1}}, []string{"-1ns"}},
		"an objective of a week": {meter.Rules{LatencyObjectives: []time.Duration{7 * 24 * time.Hour}}, []string{"168h", "24h"}},
		"nine objectives":        {meter.Rules{LatencyObjectives: make([]time.Duration, 9)}, []string{"9 of them; accepted: at most 8"}},
		"equal boundaries":       {meter.Rules{Boundaries: map[string][]float64{"a": {1, 1}}}, []string{`Boundaries["a"]: 1 after 1`}},
		"falling boundaries":     {meter.Rules{Boundaries: map[string][]float64{"a": {2, 1}}}, []string{"strictly increasing"}},
		"no boundaries":          {meter.Rules{Boundaries: map[string][]float64{"a": nil}}, []string{"at least one"}},
		"NaN":                    {meter.Rules{Boundaries: map[string][]float64{"a": {math.NaN()}}}, []string{"NaN", "finite"}},
		"infinity":               {meter.Rules{Boundaries: map[string][]float64{"a": {1, math.Inf(1)}}}, []string{"+Inf"}},
		"an empty pattern":       {meter.Rules{Disabled: []string{""}}, []string{`DISABLED: ""`}},
		"a pattern with a space": {meter.Rules{Boundaries: map[string][]float64{"a b": {1}}}, []string{`"a b"`, "wildcards"}},
		"everything at once is named": {
			meter.Rules{LatencyObjectives: []time.Duration{-1}, Disabled: []string{"["}, Boundaries: map[string][]float64{"a": {2, 1}}},
			[]string{"LatencyObjectives", "Disabled", "Boundaries"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.rules.Validate()
			if (err != nil) != (len(tt.want) > 0) {
				t.Fatalf("got error %v, want one with %q", err, tt.want)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error %q, want %q in it", err, part)
				}
			}
		})
	}
}
