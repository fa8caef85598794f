package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Times after which undelivered telemetry is not only young.
const (
	youngProcess = 10 * time.Second
	stalledAfter = 5 * time.Minute // as in the alert OtelmonSDKExportStalled
)

// refused tells of what is missing in the page itself.
func refused(p *page) []Finding {
	var found []Finding
	for _, c := range []struct{ check, metric, text, by, advice string }{
		{
			"refused-values", telemetry.RefusedValues, "%.0f values were refused as no measurements%s", exposed(string(telemetry.MetricName)),
			"Correct what records NaN, infinite or, with counters, negative values.",
		},
		{
			"callbacks", telemetry.CallbackFailures, "%.0f runs of callbacks failed, so that their metrics are missing%s", exposed(string(telemetry.MetricScope)),
			"Look at the service's log: a callback panics, returns an error or takes too long.",
		},
		{
			"scrape-failures", telemetry.ScrapeFailures, "%.0f series or scrapes could not be served%s", exposed(string(telemetry.ErrorType)),
			"Look at the service's log, which names the series that were left out.",
		},
	} {
		total, parts := p.nonzero(exposed(c.metric)+"_total", c.by)
		if total > 0 {
			found = append(found, Finding{Part: "metrics", Check: c.check, Level: Warning, Message: fmt.Sprintf(c.text, total, inBrackets(parts)), Advice: c.advice})
		}
	}
	return found
}

// nonzero adds up the series of a counter that have a label, with the parts by
// its values.
func (p *page) nonzero(name, by string) (total float64, parts []string) {
	sums := make(map[string]float64)
	for s := range p.named(name) {
		if value := s.get(by); value != "" && s.value > 0 {
			total += s.value
			sums[value] += s.value
		}
	}
	for _, value := range slices.Sorted(maps.Keys(sums)) {
		parts = append(parts, fmt.Sprintf("%s %.0f", printable(value), sums[value]))
	}
	return total, parts
}

func inBrackets(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return " (" + listed(parts) + ")"
}

// signal is what a page tells of the OTLP export of one signal.
type signal struct {
	name, items string

	accepted, delivered, lost, waiting float64

	lostBy      string
	lastSuccess time.Time // zero when the page does not tell
}

// delivery tells whether telemetry leaves the process.
func delivery(p *page, now time.Time) []Finding {
	var found []Finding
	for _, s := range signals(p) {
		f := Finding{Part: "metrics", Check: "delivery-" + s.name, Advice: "See the findings of the part otlp for the reason."}
		silent := now.Sub(s.lastSuccess).Round(time.Second)
		switch {
		case s.accepted > 0 && s.delivered == 0 && !s.lastSuccess.IsZero() && silent > youngProcess:
			f.Level = Failure
			f.Message = fmt.Sprintf("of %.0f %s none was delivered, %.0f are lost%s", s.accepted, s.items, s.lost, s.lostBy)
		case s.waiting > 0 && !s.lastSuccess.IsZero() && silent > stalledAfter:
			f.Level = Failure
			f.Message = fmt.Sprintf("no %s were delivered for %s, though %.0f wait", s.items, silent, s.waiting)
		case s.lost > 0:
			f.Level = Warning
			f.Message = fmt.Sprintf("%.0f %s are lost%s since the start, %.0f were delivered", s.lost, s.items, s.lostBy, s.delivered)
			f.Advice = lossAdvice(s.lostBy)
		case s.accepted == 0 && s.delivered == 0:
			continue
		default:
			f.Message = fmt.Sprintf("%.0f %s were delivered, %.0f wait, none is lost", s.delivered, s.items, s.waiting)
			f.Advice = ""
		}
		found = append(found, f)
	}
	return found
}

func signals(p *page) []signal {
	var all []signal
	for _, n := range []struct{ name, items, processed, queued, inflight, exported string }{
		{"traces", "spans", telemetry.SpanProcessed, telemetry.SpanQueued, telemetry.SpanInflight, telemetry.SpanExported},
		{"metrics", "data points", "", "", telemetry.MetricInflight, telemetry.MetricExported},
		{"logs", "log records", telemetry.LogProcessed, telemetry.LogQueued, telemetry.LogInflight, telemetry.LogExported},
	} {
		s := signal{name: n.name, items: n.items, waiting: p.sum(exposed(n.queued)) + p.sum(exposed(n.inflight))}
		reason := exposed(string(telemetry.ErrorType))
		dropped, byQueue := p.nonzero(exposed(n.processed)+"_total", reason)
		failed, byExporter := p.nonzero(exposed(n.exported)+"_total", reason)
		s.lost = dropped + failed
		s.lostBy = inBrackets(append(byQueue, byExporter...))
		for e := range p.named(exposed(n.exported) + "_total") {
			if e.get(reason) == "" {
				s.delivered += e.value
			}
		}
		for e := range p.named(exposed(telemetry.ExportAccepted) + "_total") {
			if e.get(exposed(string(telemetry.Signal))) == n.name {
				s.accepted += e.value
			}
		}
		for e := range p.named(exposed(telemetry.ExportLastSuccess) + "_seconds") {
			if e.get(exposed(string(telemetry.Signal))) == n.name {
				s.lastSuccess = time.Unix(int64(e.value), 0)
			}
		}
		all = append(all, s)
	}
	return all
}

func lossAdvice(reasons string) string {
	switch {
	case strings.Contains(reasons, telemetry.LostQueueFull):
		return "More was made than the Collector took: sample less, give the Collector more, or enlarge the queue."
	case strings.Contains(reasons, telemetry.LostExpired):
		return "The Collector was away for longer than the exporter tries: see its log and that of the network."
	case strings.Contains(reasons, telemetry.LostRejected):
		return "The Collector refuses some for good: its log says which."
	}
	return "See the findings of the part otlp, and the service's log."
}
