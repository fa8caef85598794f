package grafana_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/grafana"
)

const board = `{
	"uid": "otelmon-example",
	"templating": {"list": [
		{"name": "datasource", "type": "datasource", "query": "prometheus"},
		{"name": "service", "type": "query", "query": "label_values(target_info{a=~\"$b\"}, service_name)", "multi": true, "includeAll": true, "allValue": ".*"},
		{"name": "label", "type": "query", "query": {"query": "label_values(http_route)"}},
		{"name": "one", "type": "custom", "query": "a,b"}
	]},
	"annotations": {"list": [{"name": "Alerts", "expr": "ALERTS", "titleFormat": "{{alertname}}"}, {"name": "built in"}]},
	"panels": [{"type": "row", "title": "Row", "panels": [{"title": "Inner", "targets": [
		{"refId": "A", "expr": "up", "instant": true},
		{"refId": "B", "expr": "h", "format": "heatmap", "legendFormat": "{{le}}", "exemplar": true},
		{"refId": "C", "expr": "{}", "datasource": {"type": "loki"}}
	]}]}]
}`

func parse(t *testing.T) (d grafana.Dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(board), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestQueriesAreAllThatIsAsked(t *testing.T) {
	t.Parallel()
	want := []grafana.Query{
		{Where: "variable service", Expr: `target_info{a=~"$b"}`, Label: "service_name", Kind: grafana.LabelValues},
		{Where: "variable label", Label: "http_route", Kind: grafana.LabelValues},
		{Where: "annotation Alerts", Expr: "ALERTS", Legend: "{{alertname}}"},
		{Where: "panel Inner, A", Expr: "up", Kind: grafana.Instant},
		{Where: "panel Inner, B", Expr: "h", Legend: "{{le}}", Heatmap: true, Exemplars: true},
	}
	if diff := cmp.Diff(want, parse(t).Queries()); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

func TestExpandIsWhatGrafanaDoes(t *testing.T) {
	t.Parallel()
	times := grafana.Times{Range: time.Hour, Interval: 15 * time.Second, RateInterval: time.Minute}
	tests := map[string]struct {
		selected   map[string][]string
		text, want string
	}{
		"All is the value for all":        {nil, `x{a=~"$service"}`, `x{a=~".*"}`},
		"one value stands for itself":     {map[string][]string{"service": {"shop"}}, `x{a=~"$service"}`, `x{a=~"shop"}`},
		"several are alternatives":        {map[string][]string{"service": {"a", "b"}}, `x{a=~"${service}"}`, `x{a=~"(a|b)"}`},
		"values are no expressions":       {map[string][]string{"service": {"/p/{id}"}}, `x{a=~"$service"}`, `x{a=~"/p/\\{id\\}"}`},
		"a format does not matter":        {map[string][]string{"service": {"a"}}, `${service:pipe}`, `a`},
		"a single choice is not escaped":  {map[string][]string{"one": {"a.b"}}, `$one`, `a.b`},
		"times are filled in":             {nil, `[$__rate_interval] [$__interval] [${__range}] $__interval_ms $__range_s $__range_ms`, `[60s] [15s] [3600s] 15000 3600 3600000`},
		"a longer name is another one":    {nil, `$service_name`, `$service_name`},
		"what is not known stays":         {nil, `${__field.labels.x} $nothing $1`, `${__field.labels.x} $nothing $1`},
		"a variable may end in the quote": {nil, `"$service"`, `".*"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := grafana.Expand(test.text, parse(t).Values(test.selected), times); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestVariablesAreFoundInText(t *testing.T) {
	t.Parallel()
	got := grafana.Variables(`/d/x?${datasource:queryparam}&var-a=$a&${__url_time_range} ${__field.labels.b}`)
	if diff := cmp.Diff([]string{"datasource", "a", "__url_time_range"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestReadDirNamesTheFileThatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := grafana.ReadDir("testdata"); err == nil || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("got %v, want an error about broken.json, which is no JSON", err)
	}
}

func TestTimesAreThoseOfGrafana(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ shown, interval, rate time.Duration }{
		"an hour has fewer points than fit": {time.Hour, time.Minute, 4 * time.Minute},
		"a month has as many as fit":        {30 * 24 * time.Hour, 2592 * time.Second, 2652 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := grafana.Times{Range: test.shown, Interval: test.interval, RateInterval: test.rate}
			if diff := cmp.Diff(want, grafana.NewTimes(test.shown, time.Minute)); diff != "" {
				t.Errorf("times (-want +got):\n%s", diff)
			}
		})
	}
}
