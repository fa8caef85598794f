package slo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/internal/yamlfile"
)

const (
	letters        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	nameCharacters = letters + "abcdefghijklmnopqrstuvwxyz0123456789._-"

	maxIdentity    = 80 // bytes; three of them and what is around fit a file name
	maxName        = 64
	maxRoute       = 256
	maxDescription = 1000
	maxPerDay      = 1e12
)

// problems returns all that is wrong with the file.
func (f File) problems() yamlfile.Problems {
	var found yamlfile.Problems
	if f.Service == "" {
		found.Add("service", "missing; accepted: the service.name of the service")
	}
	for _, part := range []struct{ field, value string }{{"service", f.Service}, {"environment", f.Environment}, {"namespace", f.Namespace}} {
		if !printable(part.value, maxIdentity) {
			found.Add(part.field, "%q; accepted: at most %d bytes of printable text", short(part.value), maxIdentity)
		}
	}
	if len(f.SLOs)+len(f.LLMBudgets) == 0 {
		found.Add("slos", "there is none; accepted: a list of at least one, each with a name and an objective")
	}
	f.checkBoundaries(&found)
	f.checkSLOs(&found)
	f.checkBudgets(&found)
	return found
}

// checkBoundaries leaves to package meter what there can be.
func (f File) checkBoundaries(found *yamlfile.Problems) {
	if f.Boundaries != nil && f.LatencyObjectives != nil {
		found.Add("boundaries", "there are latency_objectives too; accepted: one of the two")
	}
	add := func(field, name string, rules meter.Rules) {
		if err := rules.Validate(); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				found.Add(field, "%s", strings.TrimPrefix(line, name+": "))
			}
		}
	}
	add("latency_objectives", "LatencyObjectives", meter.Rules{LatencyObjectives: f.LatencyObjectives})
	if f.Boundaries != nil {
		add("boundaries", `Boundaries["http"]`, meter.Rules{Boundaries: map[string][]float64{"http": f.Boundaries}})
	}
}

func (f File) checkSLOs(found *yamlfile.Problems) {
	names := map[string]int{}
	for i, s := range f.SLOs {
		field := fmt.Sprintf("slos[%d]", i)
		if s.Name == "" || len(s.Name) > maxName || strings.Trim(s.Name, nameCharacters) != "" {
			found.Add(field+".name", "%q; accepted: 1 to %d letters, digits, dots, underscores and hyphens", short(s.Name), maxName)
		}
		if first, taken := names[s.Name]; taken {
			found.Add(field+".name", "%q is that of slos[%d]; accepted: a name of its own", short(s.Name), first)
		} else {
			names[s.Name] = i
		}
		if accepted := s.Objective >= 50 && s.Objective <= 99.999; !accepted { // NaN is not
			found.Add(field+".objective", "%v; accepted: percent from 50 to 99.999, such as 99.9", s.Objective)
		}
		if !printable(strings.Join(strings.Fields(s.Description), " "), maxDescription) {
			found.Add(field+".description", "accepted: at most %d bytes of printable text", maxDescription)
		}
		f.checkLatency(field+".latency", s.Latency, found)
		for j, route := range s.Routes {
			if route == "" || !printable(route, maxRoute) {
				found.Add(fmt.Sprintf("%s.routes[%d]", field, j), "%q; accepted: a value of http.route such as /products/{id}", short(route))
			}
		}
	}
}

func (f File) checkLatency(field string, latency time.Duration, found *yamlfile.Problems) {
	if latency < 0 {
		found.Add(field, "%v; accepted: a duration above 0, such as 250ms", latency)
	}
	if latency <= 0 {
		return
	}
	if _, ok := f.boundary(latency); !ok {
		found.Add(field, "%v is no boundary of the service's latency histogram; accepted: %s, or another once it is in latency_objectives, here and in the service's otelmon.Config",
			latency, f.nearest(latency))
	}
}

func (f File) checkBudgets(found *yamlfile.Problems) {
	currencies := map[string]bool{}
	for i, b := range f.LLMBudgets {
		field := fmt.Sprintf("llm_budgets[%d]", i)
		if len(b.Currency) != 3 || strings.Trim(b.Currency, letters) != "" {
			found.Add(field+".currency", "%q; accepted: an ISO 4217 code such as USD", short(b.Currency))
		} else if currencies[b.Currency] {
			found.Add(field+".currency", "%q has a budget already; accepted: one for each currency", b.Currency)
		}
		currencies[b.Currency] = true
		if accepted := b.PerDay > 0 && b.PerDay <= maxPerDay; !accepted { // NaN is not
			found.Add(field+".per_day", "%v; accepted: an amount above 0, such as 50", b.PerDay)
		}
	}
}

// boundaries returns those of the service's latency histogram, in seconds.
func (f File) boundaries() []float64 {
	if f.Boundaries != nil {
		return f.Boundaries
	}
	return meter.Boundaries(telemetry.ServerDuration, "s", nil, meter.Rules{LatencyObjectives: f.LatencyObjectives})
}

// boundary returns the one that a latency is, if it is one.
func (f File) boundary(latency time.Duration) (seconds float64, ok bool) {
	for _, b := range f.boundaries() {
		if math.Abs(b-latency.Seconds()) <= 1e-9*b { // 2.3 s is not the same number by each way of reckoning it
			return b, true
		}
	}
	return 0, false
}

// nearest names the boundaries on both sides of a latency.
func (f File) nearest(latency time.Duration) string {
	boundaries := f.boundaries()
	at, _ := slices.BinarySearch(boundaries, latency.Seconds())
	var names []string
	for _, b := range boundaries[max(0, at-1):min(at+1, len(boundaries))] {
		names = append(names, strconv.FormatFloat(b, 'f', -1, 64)+"s")
	}
	return strings.Join(names, " or ")
}

func printable(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// short keeps errors readable.
func short(text string) string {
	if len(text) > maxIdentity {
		return text[:maxIdentity] + "..."
	}
	return text
}
