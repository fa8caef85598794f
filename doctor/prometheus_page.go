package doctor

import (
	"context"
	"regexp"
	"strconv"
	"time"
)

// pageFacts are what the page of metrics of a service tells about itself.
type pageFacts struct {
	service   string
	exemplars []exemplar
}

// An exemplar is the trace of one measured request.
type exemplar struct {
	trace string
	at    time.Time
}

// exemplarOnPage is at the end of a line of OpenMetrics.
var exemplarOnPage = regexp.MustCompile(`(?m) # \{[^}\n]*\btrace_id="([0-9a-f]{32})"[^}\n]*\} \S+ (\S+)$`)

// pageOf reads the page that cfg names; nothing of one that cannot be read, which
// the findings of metrics tell.
func pageOf(ctx context.Context, cfg Config) (facts pageFacts) {
	if cfg.MetricsURL == "" {
		return facts
	}
	p, a, _ := readMetrics(ctx, cfg.Client, "metrics", pageURL(cfg.MetricsURL))
	if p == nil {
		return facts
	}
	for _, s := range p.all() {
		if facts.service = s.get("service_name"); facts.service != "" {
			break
		}
	}
	for _, m := range exemplarOnPage.FindAllSubmatch(a.body, maxExemplars) {
		if seconds, err := strconv.ParseFloat(string(m[2]), 64); err == nil {
			facts.exemplars = append(facts.exemplars, exemplar{string(m[1]), time.UnixMilli(int64(seconds * 1000))})
		}
	}
	return facts
}

// maxExemplars bounds how many are considered.
const maxExemplars = 10_000
