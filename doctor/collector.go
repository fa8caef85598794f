package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// betweenReadings is the time in which counters show what goes on now.
const betweenReadings = 2 * time.Second

// Shares of a queue from which a Collector delivers less than it gets.
const (
	fillingQueue = 0.5
	fullQueue    = 0.9
)

// collector looks at the Collector's own metrics, or at its extension
// health_check. The metrics are read twice: what has failed since its start is
// a warning, what fails now is a failure.
func collector(ctx context.Context, cfg Config) []Finding {
	if found := health(ctx, cfg); found != nil {
		return found
	}
	url := pageURL(cfg.CollectorURL)
	first, _, found := readMetrics(ctx, cfg.Client, "collector", url)
	if first == nil {
		return found
	}
	before := readingOf(first)
	if len(before) == 0 {
		return []Finding{{
			Part: "collector", Check: "format", Level: Failure,
			Message: shown(url) + " has metrics, but none of a Collector, whose names begin with otelcol_",
			Advice:  "Give the URL of the Collector's own metrics, such as " + pageExample("collector") + ", which service::telemetry::metrics::readers in its configuration sets.",
		}}
	}
	after, again := readAgain(ctx, cfg, url)
	found = append(found, again...)
	if after == nil {
		return slices.Concat(found, losses(nil, before), queues(nil, before), filtered(before), arrivals(before, before))
	}
	return slices.Concat(found, losses(before, after), queues(before, after), filtered(after), arrivals(before, after))
}

// readAgain returns what is there a little later, nil when that is not to be
// had.
func readAgain(ctx context.Context, cfg Config, url string) (reading, []Finding) {
	select {
	case <-ctx.Done():
		return nil, nil
	case <-time.After(betweenReadings):
	}
	p, _, found := readMetrics(ctx, cfg.Client, "collector", url)
	if p == nil {
		return nil, found
	}
	return readingOf(p), nil
}

// health is nil when the URL is not that of a health check.
func health(ctx context.Context, cfg Config) []Finding {
	a, err := fetch(ctx, cfg.Client, cfg.CollectorURL, nil, maxAPIBytes)
	if err != nil {
		return nil // the metrics have the same, and say it
	}
	var state struct {
		Status  string `json:"status"`
		Healthy *bool  `json:"healthy"` // of healthcheckv2 alone
	}
	if json.Unmarshal(a.body, &state) != nil || !strings.HasPrefix(state.Status, "Server ") && state.Healthy == nil {
		return nil
	}
	f := Finding{Part: "collector", Check: "health", Message: fmt.Sprintf("the extension health_check says %q", printable(state.Status))}
	if a.status != http.StatusOK || state.Healthy != nil && !*state.Healthy {
		f.Level = Failure
		f.Message = fmt.Sprintf("the extension health_check says %q with status %d", printable(state.Status), a.status)
		f.Advice = "The Collector starts or ends, or a component of it has failed: look at its log."
	}
	return []Finding{f, {
		Part: "collector", Check: "losses", Level: Warning,
		Message: "a health check does not tell of queues and losses",
		Advice:  "Give the URL of the Collector's own metrics, such as " + pageExample("collector") + ".",
	}}
}

// reading is the values of a Collector's metrics.
type reading map[series]float64

// series is a metric of one component. Its name is without prefix and suffix,
// such as receiver_refused_spans; data is traces, metrics or logs of a queue.
type series struct{ name, component, data string }

func (s series) compare(t series) int {
	return cmp.Or(strings.Compare(s.name, t.name), strings.Compare(s.component, t.component), strings.Compare(s.data, t.data))
}

// maxOwnName is longer than any name of a Collector's.
const maxOwnName = 200

// ownName takes the names of all versions and settings apart:
// otelcol_receiver_accepted_spans, with _total, with __spans__total.
var ownName = regexp.MustCompile(`^otelcol_(.+?)(?:__[a-z]+_)?(?:_total)?$`)

func readingOf(p *page) reading {
	r := make(reading)
	for f, s := range p.all() {
		if len(s.name) > maxOwnName {
			continue
		}
		name := ownName.FindStringSubmatch(s.name)
		if name == nil || f.kind == "histogram" || f.kind == "summary" {
			continue
		}
		component := cmp.Or(s.get("exporter"), s.get("processor"), s.get("filter"), s.get("receiver"))
		r[series{name[1], component, s.get("data_type")}] += s.value
	}
	return r
}

// total adds up what begins with a prefix, of all components.
func (r reading) total(prefix string) float64 {
	total := 0.0
	for s, value := range r {
		if strings.HasPrefix(s.name, prefix) {
			total += value
		}
	}
	return total
}

// loss is a family of counters that should all be 0.
type loss struct{ check, prefix, what, advice string }

func possibleLosses() []loss {
	return []loss{
		{"refused", "receiver_refused_", "refused", "Its memory limiter refuses, or a queue behind it is full: see the other findings. Senders with retries keep what was refused."},
		{"receiver-failed", "receiver_failed_", "failed in the receiver", "Look at the Collector's log for the receiver."},
		{"memory-limiter", "processor_memory_limiter_refused_", "refused for lack of memory", "Give the Collector more memory and GOMEMLIMIT 80 % of it, or add Collectors."},
		{"processor-refused", "processor_refused_", "refused by a processor", "Mostly it is the memory limiter: give the Collector more memory, or add Collectors."},
		{"dropped", "processor_dropped_", "dropped by a processor", "Look at the Collector's log for the processor."},
		{"enqueue-failed", "exporter_enqueue_failed_", "refused as the queue was full", "The backend takes less than comes, or the disk of the queue is full: look at the backend, then enlarge sending_queue."},
		{"send-failed", "exporter_send_failed_", "given up", "The backend refuses them, or was away for longer than retry_on_failure::max_elapsed_time: look at the Collector's log and the backend."},
	}
}

// losses compares the readings; before is nil when there was but one. A counter
// that went back began anew.
func losses(before, after reading) []Finding {
	var found []Finding
	for _, l := range possibleLosses() {
		var now, past []string
		for _, s := range after.sorted(l.prefix) {
			if after[s] <= 0 {
				continue
			}
			items := strings.ReplaceAll(strings.TrimPrefix(s.name, l.prefix), "_", " ")
			text := strings.TrimSpace(fmt.Sprintf("%.0f %s %s", after[s], items, s.component))
			if before != nil && after[s] != before[s] {
				now = append(now, text)
			} else {
				past = append(past, text)
			}
		}
		if len(now) > 0 {
			found = append(found, Finding{Part: "collector", Check: l.check, Level: Failure, Message: l.what + ", and more at this moment: " + listed(now), Advice: l.advice})
		}
		if len(past) > 0 {
			found = append(found, Finding{Part: "collector", Check: l.check, Level: Warning, Message: l.what + " since its start: " + listed(past), Advice: l.advice})
		}
	}
	if len(found) == 0 {
		return []Finding{{Part: "collector", Check: "losses", Message: "nothing was refused, dropped or given up since its start"}}
	}
	return found
}

// sorted returns the series whose name begins with a prefix.
func (r reading) sorted(prefix string) []series {
	var all []series
	for s := range r {
		if strings.HasPrefix(s.name, prefix) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, series.compare)
	return all
}

// queues looks at how full each is, and whether it empties.
func queues(before, after reading) []Finding {
	var found []Finding
	for _, s := range after.sorted("exporter_queue_size") {
		capacity := after[series{"exporter_queue_capacity", s.component, s.data}]
		if capacity <= 0 {
			continue
		}
		share := after[s] / capacity
		f := Finding{Part: "collector", Check: "queue", Message: fmt.Sprintf("the queue of %s for %s is %.0f %% full", printable(s.component), printable(cmp.Or(s.data, "all data")), 100*share)}
		switch {
		case share >= fullQueue:
			f.Level = Failure
		case share >= fillingQueue:
			f.Level = Warning
		}
		if level, problem := undelivered(s, before, after); problem != "" {
			f.Level = max(f.Level, level)
			f.Message += ", and " + problem
		}
		if f.Level != OK {
			f.Advice = "The backend cannot be reached, refuses, or takes less than comes: check the exporter's endpoint and tls, the Collector's log, and the backend's own limits."
		}
		found = append(found, f)
	}
	return found
}

// undelivered tells of a queue that is not empty, and does not become so.
func undelivered(queue series, before, after reading) (level Level, problem string) {
	sent := after.sent(queue)
	switch {
	case after[queue] > 0 && sent == 0 && after.total("process_uptime") > youngProcess.Seconds():
		return Failure, "nothing was delivered since its start"
	case after[queue] > 0 && before[queue] > 0 && sent == before.sent(queue):
		return Warning, "nothing is delivered at this moment"
	}
	return OK, ""
}

// sent returns how much of a queue has reached the backend.
func (r reading) sent(queue series) float64 {
	items := map[string]string{"traces": "spans", "metrics": "metric_points", "logs": "log_records"}[queue.data]
	total := 0.0
	for _, s := range r.sorted("exporter_sent_" + items) {
		if s.component == queue.component {
			total += r[s]
		}
	}
	return total
}

// filtered tells of what filters have left out, as they are there for.
func filtered(r reading) []Finding {
	var found []Finding
	const prefix, suffix = "processor_filter_", "_filtered"
	for _, s := range r.sorted(prefix) {
		if items, is := strings.CutSuffix(strings.TrimPrefix(s.name, prefix), suffix); is && r[s] > 0 {
			found = append(found, Finding{
				Part: "collector", Check: "filtered",
				Message: fmt.Sprintf("%s has left out %.0f %s, as it is configured to", printable(s.component), r[s], items),
			})
		}
	}
	return found
}

// arrivals tells whether anybody sends to it.
func arrivals(before, after reading) []Finding {
	const prefix = "receiver_accepted_"
	accepted := after.total(prefix)
	f := Finding{
		Part: "collector", Check: "arrivals",
		Message: fmt.Sprintf("%.0f spans, data points and log records have arrived, %.0f of them just now", accepted, max(0, accepted-before.total(prefix))),
	}
	if accepted == 0 {
		f.Level = Warning
		f.Message = fmt.Sprintf("nothing has arrived in the %s since its start", time.Duration(after.total("process_uptime"))*time.Second)
		f.Advice = "Check that services send here, by OTEL_EXPORTER_OTLP_ENDPOINT, and that its receivers do not listen on loopback alone."
	}
	return []Finding{f}
}
