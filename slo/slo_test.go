package slo_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/slo"
)

// complete is testdata/complete.yaml.
func complete() slo.File {
	return slo.File{
		Service: `check "out"`, Environment: "prod", Namespace: "shop",
		LatencyObjectives: []time.Duration{2 * time.Second, 20 * time.Microsecond},
		SLOs: []slo.SLO{
			{Name: "availability", Description: "Customers get an answer,\nalso at night.\n", Objective: 99.95, Routes: []string{"/cart"}},
			{Name: "fast.lookups", Objective: 50, Latency: 20 * time.Microsecond, Routes: []string{"/a|b", "/{id}", "/{id}"}},
			{Name: "p99", Objective: 99, Latency: 2 * time.Second},
		},
		LLMBudgets: []slo.LLMBudget{{Currency: "USD", PerDay: 12.5}, {Currency: "CNY", PerDay: 90}},
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	got, err := slo.ReadFile("testdata/complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(complete(), got); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

func TestErrorsTellFileLineAndField(t *testing.T) {
	t.Parallel()
	golden.CheckErrors(t, "testdata/errors.yaml", func(path string) error {
		f, err := slo.ReadFile(path)
		if diff := cmp.Diff(slo.File{}, f); diff != "" {
			t.Errorf("%v: a file beside the error: %s", err, diff)
		}
		return err
	})
}

func TestLatencyHasToBeABoundary(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file    slo.File
		latency time.Duration
		want    string // in the error
	}{
		"the first default":                {slo.File{}, 250 * time.Millisecond, ""},
		"the second default":               {slo.File{}, time.Second, ""},
		"an end of the range":              {slo.File{}, time.Minute, ""},
		"a default that is replaced":       {slo.File{LatencyObjectives: []time.Duration{400 * time.Millisecond}}, 250 * time.Millisecond, "250ms is no boundary"},
		"an objective of the service":      {slo.File{LatencyObjectives: []time.Duration{2300 * time.Millisecond}}, 2300 * time.Millisecond, ""},
		"a boundary of the service":        {slo.File{Boundaries: []float64{0.1, 2.3}}, 2300 * time.Millisecond, ""},
		"between two":                      {slo.File{Boundaries: []float64{0.1, 0.25, 2}}, 300 * time.Millisecond, "accepted: 0.25s or 2s, or another once"},
		"below the first":                  {slo.File{Boundaries: []float64{0.1, 0.25, 2}}, 50 * time.Millisecond, "accepted: 0.1s, or another once"},
		"above the last":                   {slo.File{Boundaries: []float64{0.1, 0.25, 2}}, 3 * time.Second, "accepted: 2s, or another once"},
		"a nanosecond beside an objective": {slo.File{}, 250*time.Millisecond + 1, "250.000001ms is no boundary"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := test.file
			f.Service, f.SLOs = "a", []slo.SLO{{Name: "a", Objective: 99, Latency: test.latency}}
			_, err := slo.Rules(f)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]slo.File{
		"quickstart":         {Service: "quickstart"},
		"prod-shop-cart":     {Service: "cart", Namespace: "shop", Environment: "prod"},
		".._etc_passwd_a_b_": {Service: "../etc/passwd a\"bä"},
	} {
		if got := f.Name(); got != want {
			t.Errorf("%+v: got %q, want %q", f, got, want)
		}
	}
}

// What is accepted makes rules, and their text is YAML whatever the names are.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/complete.yaml", "testdata/errors.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n### ") {
			f.Add([]byte(part))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := slo.Parse(data)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.TrimLeft(strings.TrimPrefix(line, "line "), "0123456789") == line {
					t.Errorf("no line in %q", err)
				}
			}
			return
		}
		rules, err := slo.Rules(file)
		if err != nil {
			t.Fatal(err)
		}
		readBack(t, rules)
	})
}
