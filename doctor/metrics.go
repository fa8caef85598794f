package doctor

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// Sizes of a page from which scrapes are slow or too dear.
const (
	slowScrape = time.Second
	largePage  = 10 << 20
)

// metrics looks at the metrics page of a service as Prometheus does.
func metrics(ctx context.Context, cfg Config) []Finding {
	p, a, found := cfg.page.read(ctx, cfg)
	if p == nil {
		return found
	}
	now := a.now()
	return slices.Concat(found, []Finding{scrapeCost(p, a)}, age(p, now), delivery(p, now), p.findings(ctx))
}

// pageOnce is the page of Config.MetricsURL, which several parts look at.
type pageOnce struct {
	once   sync.Once
	page   *page
	answer answer
	found  []Finding
}

// read is readMetrics, the first time.
func (o *pageOnce) read(ctx context.Context, cfg Config) (*page, answer, []Finding) {
	o.once.Do(func() {
		o.page, o.answer, o.found = readMetrics(ctx, cfg.Client, "metrics", pageURL(cfg.MetricsURL))
	})
	return o.page, o.answer, o.found
}

// findings are those of what the page says, at whatever time.
func (p *page) findings(ctx context.Context) []Finding {
	found := []Finding{openMetrics(p), exemplars(p)}
	for _, check := range []func(*page) []Finding{
		identity, duplicates, boundaries, observations, nativeHistograms, labelSets, overflow, suspicious, routes, counterNames, requests, refused,
	} {
		if ctx.Err() != nil {
			return append(found, unfinished("metrics", "looking at the page", because(ctx, ctx.Err())))
		}
		found = append(found, check(p)...)
	}
	return found
}

// pageURL adds the path that metrics have by default.
func pageURL(raw string) string {
	if u, err := url.Parse(raw); err == nil && (u.Path == "" || u.Path == "/") && u.Host != "" {
		u.Path = "/metrics"
		return u.String()
	}
	return raw
}

// pageExample is where a page is by default.
func pageExample(part string) string {
	if part == "collector" {
		return "http://localhost:8888/metrics"
	}
	return "http://localhost:9464/metrics"
}

// readMetrics fetches a metrics page. Without a page the findings say why.
func readMetrics(ctx context.Context, client *http.Client, part, url string) (*page, answer, []Finding) {
	const accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	fail := func(check, advice, format string, values ...any) []Finding {
		return []Finding{{Part: part, Check: check, Level: Failure, Message: shown(url) + " " + fmt.Sprintf(format, values...), Advice: advice}}
	}
	a, err := fetch(ctx, client, url, http.Header{"Accept": {accept}}, maxPageBytes)
	switch {
	case errors.Is(err, errInterrupted):
		return nil, a, []Finding{unfinished(part, "asking "+shown(url), errInterrupted)}
	case err != nil && !errors.Is(err, errTooLarge):
		return nil, a, fail("reachable", unreachableAdvice(ctx, part, err), "gives no page: %s", printable(err.Error()))
	case a.status != http.StatusOK:
		return nil, a, fail("reachable", statusAdvice(a, url), "answers with status %d", a.status)
	}
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if problem := notMetrics(kind, a.body); problem != "" {
		return nil, a, fail("format", "Give the URL of the metrics page, such as "+pageExample(part)+".", "answers with %s, not with metrics", problem)
	}
	p, err := parsePage(ctx, string(a.body), kind == "application/openmetrics-text", errors.Is(err, errTooLarge))
	a.body = nil // which may be large
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, a, []Finding{unfinished(part, "reading the page", because(ctx, ctx.Err()))}
	case err != nil:
		return nil, a, fail("format", "Prometheus refuses the whole page for it: correct or leave out what writes this line.", "cannot be read: %s", err)
	}
	found := []Finding{{
		Part: part, Check: "reachable",
		Message: fmt.Sprintf("%s has %d series in %d metrics", shown(url), p.samples, len(p.families)),
	}}
	if p.partial {
		found[0].Check, found[0].Level = "page-size", Warning
		found[0].Message = fmt.Sprintf("%s is large: its first %d series are looked at, no more", shown(url), p.samples)
		found[0].Advice = "Have fewer label sets; see the check label-sets."
	}
	if !p.openMetrics && kind != "text/plain" {
		found = append(found, Finding{
			Part: part, Check: "content-type", Level: Warning,
			Message: fmt.Sprintf("the page has the content type %q", printable(kind)),
			Advice:  "Prometheus 3 refuses it: answer with text/plain; version=0.0.4, or set fallback_scrape_protocol for this job.",
		})
	}
	return p, a, found
}

// unreachableAdvice says what to do about an error of fetch.
func unreachableAdvice(ctx context.Context, part string, err error) string {
	switch failure.Of(ctx, err).ErrorType() {
	case telemetry.ErrorTimeout:
		return "Nothing answered in time: check host, port and firewall, and whether the page ends."
	case telemetry.ErrorNameResolution:
		return "Check the name of the host. Inside a container use that of the service."
	case telemetry.ErrorConnectionRefused:
		return "Nothing listens there: check the port and that the process runs. Its default is " + pageExample(part) + ", which other machines and containers do not reach."
	case telemetry.ErrorTLS:
		return "Use http:// if the server has no TLS; otherwise give the system its certificate authority, and the URL the name in its certificate."
	case telemetry.ErrorUnexpectedEOF, telemetry.ErrorConnectionReset:
		return "The server broke off: look at its log, and use https:// if it has TLS."
	}
	return "Give a URL such as " + pageExample(part) + ", of a server that answers with text or with valid gzip."
}

// statusAdvice says what to do about an answer that is no success.
func statusAdvice(a answer, from string) string {
	location, err := url.Parse(a.header.Get("Location"))
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return credentialsAdvice(from)
	case a.status >= 300 && a.status < 400 && err == nil && location.Host != "":
		return "It leads to another host, " + printable(location.Host) + ", which gets no credentials: give that URL if it is the right one."
	case a.status == http.StatusBadRequest && strings.Contains(string(a.body), "HTTPS server"):
		return "The server has TLS: use https://."
	case a.status >= 500:
		return "The service cannot make its page: look at its log. Of client_golang's handler, one bad series is enough; otelmon leaves it out."
	}
	return "Check the path of the URL, which is mostly /metrics."
}

// notMetrics says what a body is instead, "" if it may be metrics.
func notMetrics(kind string, body []byte) string {
	start := strings.TrimSpace(string(body[:min(len(body), 512)]))
	switch {
	case len(body) == 0:
		return "nothing"
	case strings.HasSuffix(kind, "json") || strings.HasPrefix(start, "{\n") || strings.HasPrefix(start, `{"status"`):
		return "JSON"
	case kind == "text/html" || strings.HasPrefix(start, "<"):
		return "a web page"
	case strings.Contains(kind, "protobuf"):
		return "protobuf, which was not asked for"
	}
	return ""
}

// now is the server's clock, else our own.
func (a answer) now() time.Time {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		return date
	}
	return time.Now()
}

func scrapeCost(p *page, a answer) Finding {
	f := Finding{Part: "metrics", Check: "scrape-cost", Message: fmt.Sprintf("the page has %.1f MiB and took %s", float64(p.bytes)/(1<<20), a.took.Round(time.Millisecond))}
	if a.took > slowScrape || p.bytes > largePage {
		f.Level = Warning
		f.Advice = "Have fewer label sets; see the check label-sets. Prometheus gives up after its scrape_timeout, 10s by default."
	}
	return f
}

func openMetrics(p *page) Finding {
	if p.openMetrics {
		return Finding{Part: "metrics", Check: "openmetrics", Message: "the page is there as OpenMetrics, which carries exemplars"}
	}
	return Finding{
		Part: "metrics", Check: "openmetrics", Level: Warning,
		Message: "the page is there in the classic format alone, which carries no exemplars",
		Advice:  "Set promhttp.HandlerOpts.EnableOpenMetrics; otelmon's page has it.",
	}
}

// counterNames matters for the classic format: in OpenMetrics all end in
// _total.
func counterNames(p *page) []Finding {
	var bad []string
	for _, f := range p.families {
		if f.kind == "counter" && len(f.samples) > 0 && !slices.ContainsFunc(f.samples, func(s sample) bool { return strings.HasSuffix(s.name, "_total") }) {
			bad = append(bad, f.name)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return []Finding{{
		Part: "metrics", Check: "counter-names", Level: Warning,
		Message: "counters without _total: " + listedNames(bad),
		Advice:  "Names end in _total in OpenMetrics and by OTLP, so queries find only one of both: use the default translation of the exporter.",
	}}
}

// exposed is the name of a metric or attribute on the page.
func exposed(name string) string { return strings.ReplaceAll(name, ".", "_") }

func requests(p *page) []Finding {
	count := p.sum(exposed(telemetry.ServerDuration)+"_seconds_count") + p.sum(exposed(telemetry.ServerStreamDuration)+"_seconds_count")
	message := fmt.Sprintf("%.0f HTTP requests were counted", count)
	if count == 0 {
		message = "no HTTP request was counted yet; those are that pass through middleware.Handler"
	}
	return []Finding{{Part: "metrics", Check: "requests", Message: message}}
}

func age(p *page, now time.Time) []Finding {
	start := p.sum("process_start_time_seconds")
	if start == 0 {
		return nil
	}
	f := Finding{Part: "metrics", Check: "age"}
	running := now.Sub(time.Unix(int64(start), 0))
	f.Message = fmt.Sprintf("the process runs for %s", rounded(running))
	if running < -5*time.Second {
		f.Level = Warning
		f.Message = fmt.Sprintf("the process started %s in the future", -running.Round(time.Second))
		f.Advice = "Synchronise the clock of its machine, for example by NTP."
	}
	return []Finding{f}
}
