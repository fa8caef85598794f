package doctor

import (
	"context"
	"net/http"
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

var (
	serviceOnPage  = regexp.MustCompile(`(?m)^[^#\n]*\bservice_name="([^"\\\n]+)"`)
	exemplarOnPage = regexp.MustCompile(`(?m) # \{[^}\n]*\btrace_id="([0-9a-f]{32})"[^}\n]*\} \S+ (\S+)$`)
)

// readPage reads the page that cfg names; nothing of one that cannot be read,
// which the findings of metrics tell.
func readPage(ctx context.Context, cfg Config) pageFacts {
	if cfg.MetricsURL == "" {
		return pageFacts{}
	}
	a, err := fetch(ctx, cfg.Client, cfg.MetricsURL, http.Header{"Accept": {"application/openmetrics-text; version=1.0.0"}})
	if err != nil || a.status != http.StatusOK {
		return pageFacts{}
	}
	var page pageFacts
	if m := serviceOnPage.FindSubmatch(a.body); m != nil {
		page.service = string(m[1])
	}
	for _, m := range exemplarOnPage.FindAllSubmatch(a.body, maxExemplars) {
		if seconds, err := strconv.ParseFloat(string(m[2]), 64); err == nil {
			page.exemplars = append(page.exemplars, exemplar{string(m[1]), time.UnixMilli(int64(seconds * 1000))})
		}
	}
	return page
}

// maxExemplars bounds how many are considered.
const maxExemplars = 10_000
