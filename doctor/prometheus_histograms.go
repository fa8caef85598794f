package doctor

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// native returns the services that have native histograms of latency.
func (p promAPI) native(ctx context.Context, is string) (map[string]bool, error) {
	var counts []string
	for _, name := range []string{"http_server_request_duration_seconds", "http_client_request_duration_seconds", "gen_ai_client_operation_duration_seconds"} {
		counts = append(counts, fmt.Sprintf("histogram_count(%s{%s})", name, is))
	}
	return p.servicesWith(ctx, strings.Join(counts, " or "))
}

// bare returns the services whose latency has neither buckets nor a native
// histogram, which is what is left of a native one that Prometheus does not take.
func (p promAPI) bare(ctx context.Context, is string) (map[string]bool, error) {
	const latency = "http_server_request_duration_seconds"
	return p.servicesWith(ctx, fmt.Sprintf(`%[1]s_count{%[2]s} unless on (service_name) (%[1]s_bucket{%[2]s,le!="+Inf"} or histogram_count(%[1]s{%[2]s}))`, latency, is))
}

// servicesWith returns the services that an expression has a result for.
func (p promAPI) servicesWith(ctx context.Context, expr string) (map[string]bool, error) {
	samples, err := p.query(ctx, "count by (service_name) ("+expr+")", time.Time{})
	services := map[string]bool{}
	for _, s := range samples {
		services[s.labels["service_name"]] = true
	}
	return services, err
}

func (s promStored) nativeOf(service string) Finding {
	switch {
	case s.bare[service]:
		return promFinding("native-histograms", Failure, "the latency of "+printable(service)+" has no buckets, so that it has no quantiles: its native histograms are not taken",
			"Set scrape_native_histograms: true, and PrometheusProto first in scrape_protocols; or leave Prometheus.NativeHistograms of the service off.")
	case s.native[service]:
		return promFinding("native-histograms", OK, printable(service)+" has native histograms", "")
	}
	return promFinding("native-histograms", OK, printable(service)+" has classic histograms only, which is the default", "")
}

// exemplars counts the exemplars of the last minutes.
func (p promAPI) exemplars(ctx context.Context, is string) (map[string]int, error) {
	series, err := p.exemplarSeries(ctx, is)
	counts := map[string]int{}
	for _, s := range series {
		counts[s.SeriesLabels["service_name"]] += len(s.Exemplars)
	}
	return counts, err
}

// promExemplars are those of one series.
type promExemplars struct {
	SeriesLabels map[string]string
	Exemplars    []struct {
		Labels    map[string]string
		Timestamp float64
	}
}

// exemplarMinutes is how far back exemplars are asked for.
const exemplarMinutes = 15

func (p promAPI) exemplarSeries(ctx context.Context, is string) ([]promExemplars, error) {
	now := time.Now()
	var series []promExemplars
	_, err := p.get(ctx, "query_exemplars", url.Values{
		"query": {"{" + is + "}"},
		"start": {unixSeconds(now.Add(-exemplarMinutes * time.Minute))},
		"end":   {unixSeconds(now.Add(time.Minute))},
	}, &series)
	return series, err
}

func (s promStored) exemplarsOf(service string, settings promSettings) Finding {
	none := fmt.Sprintf("%s has no exemplars of the last %d minutes", printable(service), exemplarMinutes)
	switch {
	case s.noExemplars != nil:
		return promFailed("exemplars", s.noExemplars)
	case s.exemplars[service] > 0:
		return promFinding("exemplars", OK, fmt.Sprintf("%s has %d exemplars of the last %d minutes", printable(service), s.exemplars[service], exemplarMinutes), "")
	case !settings.has("exemplar-storage"):
		return promFinding("exemplars", Warning, none+", since Prometheus stores none", "Start Prometheus with --enable-feature=exemplar-storage.")
	case !settings.takesExemplars():
		return promFinding("exemplars", Warning, none+", since it is scraped in a format without them",
			"Put PrometheusProto or OpenMetricsText1.0.0 first in scrape_protocols.")
	}
	return promFinding("exemplars", Warning, none, "Send it some requests; if there are any, they are not sampled: see OTEL_TRACES_SAMPLER.")
}
