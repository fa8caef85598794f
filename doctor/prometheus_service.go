package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxServices is how many services are looked at when none is named.
const maxServices = 10

// services looks at what is stored of the services that cfg, the metrics page or
// the environment names, or else of those that are there.
func (p promAPI) services(ctx context.Context, cfg Config, settings promSettings) []Finding {
	names, err := p.serviceNames(ctx, cfg)
	if err != nil {
		return []Finding{promFailed("service", err)}
	}
	if len(names) == 0 {
		return []Finding{promFinding("service", Failure, "no series has a service_name, so that no service is there",
			"See the findings of otlp and metrics. A Prometheus that takes OTLP needs otlp.promote_resource_attributes, as in deploy/prometheus/prometheus.yml.")}
	}
	var (
		stored  promStored
		errs    [4]error
		running sync.WaitGroup
		is      = `service_name=~"` + anyOf(names) + `"`
	)
	running.Go(func() { stored.copies, errs[0] = p.copies(ctx, is, time.Time{}) })
	running.Go(func() { stored.ahead, errs[1] = p.copies(ctx, is, time.Now().Add(lookback-time.Second)) })
	running.Go(func() { stored.native, errs[2] = p.native(ctx, is) })
	running.Go(func() { stored.bare, errs[3] = p.bare(ctx, is) })
	running.Go(func() { stored.exemplars, stored.noExemplars = p.exemplars(ctx, is) })
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return []Finding{promFailed("service", err)}
		}
	}
	var found []Finding
	perhapsPushed := slices.ContainsFunc(stored.copies, promCopy.pushed)
	for _, name := range names {
		if copies := copiesOf(stored.copies, name); len(copies) > 0 {
			found = append(found, stored.findings(name, copies, settings)...)
			continue
		}
		found = append(found, p.absent(ctx, name))
		perhapsPushed = true
	}
	if perhapsPushed {
		found = append(found, settings.pushed()...)
	}
	return found
}

// serviceNames returns the names of the services to look at.
func (p promAPI) serviceNames(ctx context.Context, cfg Config) ([]string, error) {
	if name := serviceName(cfg, pageOf(ctx, cfg)); name != "" {
		return []string{name}, nil
	}
	return p.named(ctx)
}

// serviceName is the name of the one service that is looked at, if there is one.
func serviceName(cfg Config, page pageFacts) string {
	return cmp.Or(cfg.Service, page.service, os.Getenv("OTEL_SERVICE_NAME"))
}

// named returns the names of the first few services of the last hour.
func (p promAPI) named(ctx context.Context) ([]string, error) {
	var names []string
	args := url.Values{"start": {unixSeconds(time.Now().Add(-time.Hour))}, "limit": {strconv.Itoa(maxServices)}}
	_, err := p.get(ctx, "label/service_name/values", args, &names)
	return names[:min(len(names), maxServices)], err
}

// anyOf returns a pattern for some texts, as it is written between the quotes of
// PromQL.
func anyOf(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quote := strconv.Quote(regexp.QuoteMeta(text))
		quoted[i] = quote[1 : len(quote)-1]
	}
	return strings.Join(quoted, "|")
}

// lookback is for how long Prometheus takes the newest sample for the present one.
const lookback = 5 * time.Minute

// promStored is what is stored of some services.
type promStored struct {
	copies, ahead []promCopy      // now, and with times of the future
	native, bare  map[string]bool // by service
	exemplars     map[string]int  // by service
	noExemplars   error
}

// A promCopy is one way by which the metrics of an instance come.
type promCopy struct {
	labels map[string]string
	newest time.Time
}

// promLabels tell copies apart.
const promLabels = "service_name, service_namespace, deployment_environment_name, service_instance_id, job, instance, otelmon_metrics_path"

// copies returns the copies that a time sees of services.
func (p promAPI) copies(ctx context.Context, is string, at time.Time) ([]promCopy, error) {
	var newest []string
	for _, name := range []string{"target_info", "http_server_request_duration_seconds_count", "http_server_request_duration_seconds", "otelmon_export_accepted_total"} {
		newest = append(newest, fmt.Sprintf("timestamp(%s{%s})", name, is))
	}
	samples, err := p.query(ctx, fmt.Sprintf("max by (%s) (%s)", promLabels, strings.Join(newest, " or ")), at)
	var copies []promCopy
	for _, s := range samples {
		copies = append(copies, promCopy{s.labels, time.UnixMilli(int64(s.value * 1000))})
	}
	return copies, err
}

func copiesOf(copies []promCopy, service string) []promCopy {
	return slices.DeleteFunc(slices.Clone(copies), func(c promCopy) bool { return c.labels["service_name"] != service })
}

// pushed tells what comes by OTLP by how Prometheus names its instance then: the
// label of the path says only what is meant to be kept.
func (c promCopy) pushed() bool {
	id := c.labels["service_instance_id"]
	return c.labels["instance"] == id || id == "" && c.labels["otelmon_metrics_path"] == "otlp"
}

func (c promCopy) path() string {
	if c.pushed() {
		return "otlp"
	}
	return "scrape"
}

// String tells what a copy can be told by.
func (c promCopy) String() string {
	return fmt.Sprintf("%s (job %s, instance %s)", c.path(), printable(c.labels["job"]), printable(c.labels["instance"]))
}

func (s promStored) findings(service string, copies []promCopy, settings promSettings) []Finding {
	found := []Finding{present(service, copies)}
	found = append(found, future(service, copiesOf(s.ahead, service))...)
	return append(found, twice(service, copies), s.exemplarsOf(service, settings), s.nativeOf(service))
}

// present says by which ways a service is there, and since when nothing came.
func present(service string, copies []promCopy) Finding {
	paths, instances := map[string]bool{}, map[string]bool{}
	newest := time.Time{}
	for _, c := range copies {
		paths[c.path()], instances[c.labels["service_instance_id"]] = true, true
		if c.newest.After(newest) {
			newest = c.newest
		}
	}
	age := max(0, time.Since(newest).Round(time.Second))
	f := promFinding("service", OK, fmt.Sprintf("%s is there by %s, instances: %d, newest sample: %s old",
		printable(service), strings.Join(slices.Sorted(maps.Keys(paths)), " and "), len(instances), age), "")
	if age > staleAfter {
		f.Level = Warning
		f.Advice = "It comes late or has ended. Look at its log, at the findings of otlp and of the Collector, and at its clock."
	}
	return f
}

// staleAfter is two intervals of pushing and a half.
const staleAfter = 150 * time.Second

// future finds samples that are newer than now, as a clock that is ahead makes.
func future(service string, ahead []promCopy) []Finding {
	for _, c := range ahead {
		if by := time.Until(c.newest).Round(time.Second); by > maxClockDifference {
			return []Finding{promFinding("service-clock", Warning, fmt.Sprintf("samples of %s are from %s in the future", printable(service), by),
				"Let the host of the service keep time by NTP.")}
		}
	}
	return nil
}

// twice finds instances whose metrics come by several ways at present, so that
// every sum counts them as often.
func twice(service string, copies []promCopy) Finding {
	instances := map[string][]promCopy{}
	for _, c := range copies {
		id := c.labels["service_instance_id"]
		if id != "" && time.Since(c.newest) < staleAfter {
			key := strings.Join([]string{id, c.labels["service_namespace"], c.labels["deployment_environment_name"]}, "\x00")
			instances[key] = append(instances[key], c)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(instances)) {
		same := instances[id]
		if len(same) < 2 {
			continue
		}
		slices.SortFunc(same, func(a, b promCopy) int { return cmp.Compare(a.String(), b.String()) })
		return promFinding("duplicate-series", Failure, fmt.Sprintf("%s is counted %d times: %s", printable(service), len(same), copyNames(same)), onceAdvice(same))
	}
	return promFinding("duplicate-series", OK, printable(service)+" is counted once", "")
}

func copyNames(copies []promCopy) string {
	var names []string
	for _, c := range copies {
		names = append(names, c.String())
	}
	return listed(names)
}

func onceAdvice(copies []promCopy) string {
	if slices.ContainsFunc(copies, promCopy.pushed) {
		return "It is scraped and pushed, and one of the filters of docs/paths.md is missing: filter/scraped in the Collector, or metric_relabel_configs in Prometheus. Or close one way."
	}
	return "It is scraped as two targets: remove one. Two processes with one service.instance.id look the same: give each its own."
}

// absent says since when a service is not there any more, if it ever was, or under
// which other labels it is.
func (p promAPI) absent(ctx context.Context, service string) Finding {
	is := anyOf([]string{service})
	f := promFinding("service", Failure, printable(service)+" is not there",
		"See the findings of targets, otlp and of the Collector, and docs/paths.md: a Prometheus that scrapes drops what is marked otlp.")
	last, err := p.query(ctx, fmt.Sprintf(`max(max_over_time(timestamp(target_info{service_name=~"%s"})[1d:1m]))`, is), time.Time{})
	if err == nil && len(last) == 1 && !math.IsNaN(last[0].value) {
		f.Message = fmt.Sprintf("%s was last seen %s ago", printable(service), time.Since(time.UnixMilli(int64(last[0].value*1000))).Round(time.Minute))
		return f
	}
	if there, err := p.named(ctx); err == nil && len(there) > 0 {
		f.Message += "; others are: " + printable(listed(there))
	}
	bare, err := p.query(ctx, fmt.Sprintf(`count({job=~"(.+/)?(%s)"})`, is), time.Time{})
	if err == nil && len(bare) == 1 {
		f.Message = fmt.Sprintf("%s is there as a job with %g series, without the label service_name", printable(service), bare[0].value)
		f.Advice = "Set otlp.promote_resource_attributes as in deploy/prometheus/prometheus.yml, or let the page have identity labels."
	}
	return f
}
