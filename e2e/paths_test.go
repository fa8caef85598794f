package e2e_test

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/otelmon/toolkit/internal/grafana"
)

// ownLabels are different in each world.
var ownLabels = []string{
	"deployment_environment_name", "service_instance_id", "instance", "job", "otelmon_metrics_path",
	"server_address", "server_port", "process_pid", "process_creation_time", "__name__",
}

// answerOf is the answer to a query in one world: values by labels. Of services
// only those are asked for that do not end soon after they are first scraped: a
// page does not say when a counter began, so that its first value is no increase.
func (l live) answerOf(d grafana.Dashboard, q grafana.Query, environment string) (map[string]float64, error) {
	q.Kind = grafana.Instant
	answer, err := l.ask(d, q, map[string][]string{
		"environment": {environment}, "service": {shopService, proxyService},
	})
	values := map[string]float64{}
	for _, line := range answer.Series {
		if q.Heatmap && line.Labels["le"] != "+Inf" {
			continue // that which bucket a request falls into is a matter of time
		}
		labels := maps.Clone(line.Labels)
		for _, own := range ownLabels {
			delete(labels, own)
		}
		for _, value := range line.Values {
			values[fmt.Sprint(labels)] += value
		}
	}
	return values, err
}

// testPaths wants the same series in answers by each path, and values that are as
// close as their kind can be.
func (l live) testPaths(t *testing.T) {
	queries, values := map[*likeness]int{}, map[*likeness]int{}
	for _, file := range sorted(l.dashboards) {
		d := l.dashboards[file]
		for _, q := range d.Queries() {
			if q.Kind == grafana.LabelValues || incomparable.MatchString(q.Expr) || !slices.Contains(grafana.Variables(q.Expr), "environment") {
				continue
			}
			like := likenessOf(q)
			queries[like]++
			values[like] += l.comparePaths(t, d, q, like)
		}
	}
	for _, like := range likenesses {
		t.Logf("%s: %d queries, %d values", like.title, queries[like], values[like])
		if values[like] == 0 {
			t.Errorf("no values are %s", like.title)
		}
	}
}

// comparePaths asks one query of each path, and returns how many values it compared.
func (l live) comparePaths(t *testing.T, d grafana.Dashboard, q grafana.Query, like *likeness) (compared int) {
	t.Helper()
	want, err := l.answerOf(d, q, both)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths[1:] {
		got, err := l.answerOf(d, q, path)
		if err != nil {
			t.Fatal(err)
		}
		compared += len(got)
		if err := same(want, got, like); err != nil {
			t.Errorf("%s: %s: by both paths and by %s: %v: %s", d.UID, q.Where, path, err, q.Expr)
		}
	}
	return compared
}

// A likeness is how close the values of a query are by different paths: by a share
// of the larger one, or else by an amount.
type likeness struct {
	title         string
	of            *regexp.Regexp // expressions; the first that matches counts
	share, amount float64
}

// likenesses are from what depends on the machine most to what is determined by
// traffic alone. Quantiles are times that the same requests took in different
// programs on a busy machine.
var likenesses = []*likeness{
	{title: "not compared, but for labels", share: math.Inf(1), of: regexp.MustCompile(
		`go_|process_|time\(\)|otel_sdk|otelmon_export|telemetry|active_requests|avg1h|predict|ALERTS|changes`)},
	{title: "equal within 0.25 as shares of requests that were fast", amount: 0.25, of: regexp.MustCompile(`apdex`)},
	{title: "equal within a factor of 4, or 0.25 s", share: 0.75, amount: 0.25, of: regexp.MustCompile(`:p\d\d_rate|histogram_quantile`)},
	{title: "equal within 5 %", share: 0.05, of: regexp.MustCompile(``)},
}

func likenessOf(q grafana.Query) *likeness {
	return likenesses[slices.IndexFunc(likenesses, func(l *likeness) bool { return l.of.MatchString(q.Expr) })]
}

// incomparable is in expressions that choose from equals, or ask how pushing
// goes.
var incomparable = regexp.MustCompile(`topk|otelmon_export_|otel_sdk_exporter_metric_data_point`)

// same returns how labels differ, or values by more than they may.
func same(want, got map[string]float64, like *likeness) error {
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		return fmt.Errorf("series (-both):\n%s", diff)
	}
	for _, labels := range sorted(want) {
		a, b := want[labels], got[labels]
		if math.Abs(a-b) > max(like.amount, like.share*max(math.Abs(a), math.Abs(b))) {
			return fmt.Errorf("%v and %v for %s, want them %s", a, b, labels, like.title)
		}
	}
	return nil
}
