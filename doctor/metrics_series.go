package doctor

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Label sets of one metric from which it is dear, and too dear. The SDK stops
// at 2,000 by default.
const (
	manySets    = 1_000
	tooManySets = 10_000
)

// identity looks for the labels by which all else finds a service.
func identity(p *page) []Finding {
	var found []Finding
	for _, key := range telemetry.Identity() {
		name := exposed(string(key))
		values, without := p.valuesOf(name)
		f := Finding{Part: "metrics", Check: "identity", Level: Warning}
		switch {
		case len(values) == 0 && key == telemetry.ServiceName:
			f.Message = "no series has the label service_name"
			f.Advice = "Dashboards and rules find services by it: use otelmon.Setup, or the exporter's WithResourceAsConstantLabels."
		case len(values) == 0:
			continue
		case len(without) > 0:
			f.Message = fmt.Sprintf("some metrics have no %s, but others have: %s", name, listedNames(without))
			f.Advice = "Serve one page for one SDK, and metrics of client_golang beside it with the same labels."
		case len(values) > 1:
			f.Message = fmt.Sprintf("the label %s has %d values on one page", name, len(values))
			f.Advice = "One page is of one process: two SDKs in it, or a page that collects those of others, need pages of their own."
		case key == telemetry.ServiceName && strings.HasPrefix(values[0], "unknown_service"):
			f.Message = "the service has no name: " + printable(values[0])
			f.Advice = "Set OTEL_SERVICE_NAME, or ServiceName of otelmon.Config."
		default:
			f.Level, f.Message = OK, fmt.Sprintf("every series has %s=%q", name, printable(values[0]))
		}
		found = append(found, f)
	}
	return found
}

// valuesOf returns the values of a label, and the metrics without it. It leaves
// out target_info, which has those of the resource in any case.
func (p *page) valuesOf(name string) (values, without []string) {
	seen := make(map[string]struct{})
	for f, s := range p.all() {
		if f.name == "target_info" {
			continue
		}
		if value := s.get(name); value != "" {
			seen[value] = struct{}{}
		} else if n := len(without); n == 0 || without[n-1] != f.name {
			without = append(without, f.name)
		}
	}
	return slices.Sorted(maps.Keys(seen)), without
}

// duplicates finds series that Prometheus takes for the same: it keeps one
// of them, whichever comes first.
func duplicates(p *page) []Finding {
	seed := maphash.MakeSeed()
	seen := make(map[uint64]struct{}, p.samples)
	bad := make(map[string]int)
	for _, s := range p.all() {
		text := exposed(s.name) + " " + s.timestamp + " " + sameNumbers(s).key()
		hash := maphash.String(seed, text)
		if _, again := seen[hash]; again {
			bad[s.name]++
		}
		seen[hash] = struct{}{}
	}
	if len(bad) == 0 {
		return []Finding{{Part: "metrics", Check: "duplicate-series", Message: "no series is there twice"}}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		names = append(names, fmt.Sprintf("%s %d", printable(name), bad[name]))
	}
	return []Finding{{
		Part: "metrics", Check: "duplicate-series", Level: Failure,
		Message: "series are there twice, with one name and the same labels: " + listed(names),
		Advice:  "Prometheus keeps one value of each and drops the others. Register each instrument once, and no two names that differ in dots, underscores or suffixes alone.",
	}}
}

// sameNumbers makes le="1" of le="1.0".
func sameNumbers(s sample) sample {
	s.labels = slices.Clone(s.labels)
	for i, l := range s.labels {
		if l.name != "le" && l.name != "quantile" {
			continue
		}
		if v, err := number(l.value); err == nil {
			s.labels[i].value = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return s
}

// sets returns how many label sets a metric has. A histogram has one for all
// of its buckets.
func (f *family) sets() int {
	seen := make(map[string]struct{})
	for _, s := range f.samples {
		seen[s.key("le", "quantile")] = struct{}{}
	}
	return len(seen)
}

func labelSets(p *page) []Finding {
	type size struct {
		name string
		sets int
	}
	var sizes []size
	for _, f := range p.families {
		sizes = append(sizes, size{f.name, f.sets()})
	}
	if len(sizes) == 0 {
		return nil
	}
	slices.SortStableFunc(sizes, func(a, b size) int { return cmp.Compare(b.sets, a.sets) })
	var largest []string
	for _, s := range sizes[:min(len(sizes), 3)] {
		largest = append(largest, fmt.Sprintf("%s %d", printable(s.name), s.sets))
	}
	f := Finding{Part: "metrics", Check: "label-sets", Message: "most label sets: " + strings.Join(largest, ", ")}
	if sizes[0].sets >= manySets {
		f.Level = Warning
		f.Advice = "Leave out the attribute that has most values, or allow a few of them: each set costs memory here and in Prometheus."
	}
	if sizes[0].sets >= tooManySets {
		f.Level = Failure
	}
	return []Finding{f}
}

// overflow finds instruments that have reached the limit of the SDK.
func overflow(p *page) []Finding {
	var full []string
	for _, f := range p.families {
		if slices.ContainsFunc(f.samples, func(s sample) bool { return s.get("otel_metric_overflow") == "true" }) {
			full = append(full, fmt.Sprintf("%s (limit %d)", printable(f.name), f.sets()))
		}
	}
	if len(full) == 0 {
		return nil
	}
	return []Finding{{
		Part: "metrics", Check: "overflow", Level: Warning,
		Message: "the limit of label sets is reached, further ones are added up without their attributes: " + listed(full),
		Advice:  "Leave out the attribute that has most values, and start anew; or raise otelmon.Config.CardinalityLimit.",
	}}
}
