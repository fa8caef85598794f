package lint_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/otelmon/toolkit/internal/grafana"

	"github.com/otelmon/toolkit/dashboards/internal/lint"
)

var identity = []string{"service_name", "service_instance_id"}

// known is a small catalogue of each kind of metric.
func known() lint.Catalogue {
	labels := func(more ...string) []string { return append(more, identity...) }
	return lint.Catalogue{"otelmon": {
		"http_server_request_duration_seconds":        labels("http_route"),
		"http_server_request_duration_seconds_bucket": labels("http_route", "le"),
		"http_server_request_duration_seconds_count":  labels("http_route"),
		"http_server_request_duration_seconds_sum":    labels("http_route"),
		"orders_total":       labels("outcome"),
		"go_goroutine_count": labels(),
		"target_info":        labels("cloud_region"),
	}}
}

const ratesOfRoutes = `groups: [{name: g, rules: [
	{record: "route:requests:rate5m", expr: "sum by (service_name, http_route) (rate(http_server_request_duration_seconds_count[5m]))"},
	{record: "route_le:buckets:rate5m", expr: "sum by (service_name, le) (rate(http_server_request_duration_seconds_bucket[5m]))"},
	{record: "route:native:rate5m", expr: "sum by (service_name) (rate(http_server_request_duration_seconds[5m]))"},
	{alert: Failing, expr: "route:requests:rate5m > 1", labels: {severity: warning}},
]}]`

func linter(t *testing.T) *lint.Linter {
	t.Helper()
	l := lint.New(known())
	rules, err := lint.ParseRules("known.yml", []byte(strings.ReplaceAll(ratesOfRoutes, "\t", "  ")))
	if err != nil {
		t.Fatal(err)
	}
	l.AddRules(rules)
	return l
}

func TestRulesFindMistakesInExpressions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		expr string
		want string // "" for none
	}{
		"a rate by labels that are there": {`sum by (http_route) (rate(http_server_request_duration_seconds_count[5m]))`, ""},
		"text that is no PromQL":          {`sum(`, "parse error"},
		"a metric that there is not":      {`rate(http_server_duration_count[5m])`, "there is no metric http_server_duration_count"},
		"a recorded series":               {`route:requests:rate5m{http_route="/"}`, ""},
		"a recorded series without the label": {
			`route:requests:rate5m{service_instance_id="a"}`, "route:requests:rate5m has no label service_instance_id",
		},
		"a selector of a label that there is not":  {`rate(orders_total{route="/"}[5m] offset 5m)`, "orders_total has no label route"},
		"the client's server on server's metrics":  {`sum by (server_address) (rate(http_server_request_duration_seconds_count[5m]))`, "sum (server_address) groups by a label that is not there"},
		"a label that was summed away":             {`sum by (outcome) (sum by (service_name) (rate(orders_total[5m])))`, "sum (outcome) groups by a label that is not there"},
		"without a label that is not there":        {`sum without (http_route) (rate(orders_total[5m]))`, "sum (http_route) groups by a label that is not there"},
		"on a label of one side":                   {`rate(orders_total[5m]) * on (outcome) go_goroutine_count`, "on (outcome) at * matches a label that is not on both sides"},
		"ignoring a label of no side":              {`go_goroutine_count * ignoring (le) target_info`, "ignoring (le) at * ignores a label that is on neither side"},
		"a label taken from the other side":        {`rate(orders_total[5m]) * on (service_instance_id) group_left (cloud_region) target_info`, ""},
		"a label that the other side has not":      {`rate(orders_total[5m]) * on (service_instance_id) group_left (host) target_info`, "group (host) at * takes a label that is not there"},
		"a label made of one that is not there":    {`label_replace(go_goroutine_count, "a", "$1", "b", "(.*)")`, "label_replace reads label b, which is not there"},
		"a label made of nothing":                  {`sum by (part) (label_replace(go_goroutine_count, "part", "x", "", ""))`, ""},
		"labels joined of some that are not there": {`label_join(go_goroutine_count, "a", "/", "service_name", "b")`, "label_join reads label b, which is not there"},
		"a counter as it is":                       {`sum(orders_total)`, "orders_total is a counter, of which only rate or increase means something"},
		"a count of a histogram as it is":          {`http_server_request_duration_seconds_count > 5`, "is a counter"},
		"a counter that was born just now":         {`sum(orders_total unless orders_total offset 5m) / 300`, ""},
		"a counter without its own past":           {`orders_total unless go_goroutine_count offset 5m`, "orders_total is a counter"},
		"zeros with the labels of a counter":       {`rate(orders_total[5m]) or 0 * orders_total`, ""},
		"how many counters there are":              {`count(orders_total)`, ""},
		"a gauge whose name ends in count":         {`max(go_goroutine_count)`, ""},
		"a rate of a gauge":                        {`rate(go_goroutine_count[5m])`, "rate of go_goroutine_count, which is no counter"},
		"a rate of a rate":                         {`rate(route:requests:rate5m[5m])`, "rate of route:requests:rate5m, which is no counter"},
		"a quantile of buckets":                    {`histogram_quantile(0.9, sum by (le) (rate(http_server_request_duration_seconds_bucket[5m])))`, ""},
		"a quantile without its buckets":           {`histogram_quantile(0.9, sum by (http_route) (rate(http_server_request_duration_seconds_bucket[5m])))`, "histogram_quantile of buckets that have lost their label le"},
		"a quantile of a native histogram":         {`histogram_quantile(0.9, sum(rate(http_server_request_duration_seconds[5m])))`, ""},
		"a quantile of a recorded one":             {`histogram_quantile(0.9, route:native:rate5m)`, ""},
		"a quantile of what is no histogram":       {`histogram_quantile(0.9, route:requests:rate5m)`, "histogram_quantile of buckets"},
		"a quantile's result by le":                {`sum by (le) (histogram_quantile(0.9, route_le:buckets:rate5m))`, "sum (le) groups by a label that is not there"},
		"alerts with labels of expression and own": {`ALERTS{alertname="Failing", alertstate="firing", severity="warning", http_route="/"}`, ""},
		"alerts by a label of none":                {`ALERTS{zone="a"}`, "ALERTS has no label zone"},
		"names by nothing but a label":             {`label_replace({cloud_region="a"}, "metric", "$1", "__name__", "(.+)")`, ""},
		"names by an expression":                   {`count({__name__=~"orders_.+", outcome="a"})`, ""},
		"names by an expression of none":           {`count({__name__=~"sales_.+"})`, "there is no metric"},
		"absent keeps what its selector pins":      {`sum by (service_name) (absent(target_info{service_name="a"}))`, ""},
		"a union has the labels of both":           {`sum by (cloud_region, outcome) (target_info or rate(orders_total[5m]))`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := linter(t).CheckRules([]lint.Rule{{File: "tested.yml", Record: "a:b:c", Expr: test.expr}})
			wantProblem(t, got, test.want)
		})
	}
}

// wantProblem wants one problem that says so, or none.
func wantProblem(t *testing.T, got []string, want string) {
	t.Helper()
	if want == "" {
		if len(got) > 0 {
			t.Errorf("got %q, want no problem", got)
		}
		return
	}
	if len(got) != 1 || !strings.Contains(got[0], want) {
		t.Errorf("got %q, want one problem: %s", got, want)
	}
}

func TestRulesFindMistakesInAnnotations(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"a label of the expression":        {`{{ $labels.http_route }}`, ""},
		"a label of the rule":              {`{{ $labels.severity }}`, ""},
		"a label that is not there":        {`{{ $labels.host }}`, "summary shows label host, which is not there"},
		"a dashboard and its variable":     {`http://localhost:3000/d/otelmon-example?var-service=x`, ""},
		"a dashboard that there is not":    {`http://localhost:3000/d/otelmon-none`, "leads to dashboard otelmon-none, which there is not"},
		"a variable that it does not have": {`http://localhost:3000/d/otelmon-example?var-zone=x`, "sets variable zone, which dashboard otelmon-example has not"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := linter(t)
			l.AddDashboards(map[string]grafana.Dashboard{"example.json": example(t, "", "")})
			got := l.CheckRules([]lint.Rule{{
				File: "tested.yml", Alert: "A", Expr: "route:requests:rate5m > 1",
				Labels: map[string]string{"severity": "warning"}, Annotations: map[string]string{"summary": test.text},
			}})
			wantProblem(t, got, test.want)
		})
	}
}

const exampleBoard = `{
	"uid": "otelmon-example", "title": "Example",
	"templating": {"list": [
		{"name": "datasource", "type": "datasource", "query": "prometheus"},
		{"name": "environment", "type": "custom", "query": "a"},
		{"name": "namespace", "type": "custom", "query": "a"},
		{"name": "service", "type": "query", "query": "label_values(target_info, service_name)", "multi": true, "includeAll": true,
			"allValue": ".*", "datasource": {"type": "prometheus", "uid": "${datasource}"}}
	]},
	"annotations": {"list": []},
	"panels": [
		{"id": 1, "type": "row", "title": "Row $namespace", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
		{"id": 2, "type": "timeseries", "title": "Requests", "description": "How many.", "gridPos": {"x": 0, "y": 1, "w": 12, "h": 8},
			"datasource": {"type": "prometheus", "uid": "${datasource}"},
			"targets": [{"refId": "A", "expr": "sum by (http_route) (rate(http_server_request_duration_seconds_count{service_name=~\"$service\"}[$__rate_interval]))",
				"legendFormat": "{{http_route}}", "datasource": {"type": "prometheus", "uid": "${datasource}"}}],
			"fieldConfig": {"defaults": {"unit": "reqps", "noValue": "No requests",
				"links": [{"title": "More", "url": "/d/otelmon-example?${datasource:queryparam}&${environment:queryparam}&${namespace:queryparam}&var-service=a&${__url_time_range}"}]}}},
		{"id": 3, "type": "text", "title": "Words", "description": "Words.", "gridPos": {"x": 12, "y": 1, "w": 12, "h": 8}}
	]
}`

// example is a dashboard without a mistake, in which a text is replaced.
func example(t *testing.T, from, to string) (d grafana.Dashboard) {
	t.Helper()
	if !strings.Contains(exampleBoard, from) {
		t.Fatalf("the example has no %s", from)
	}
	text := exampleBoard
	if from != "" {
		text = strings.Replace(text, from, to, 1)
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardsFindMistakes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ from, to, want string }{
		"no mistake":                       {"", "", ""},
		"a uid that is empty":              {`"uid": "otelmon-example"`, `"uid": ""`, `its uid "" is empty`},
		"text that is no PromQL":           {`sum by (http_route) (`, `sum by (http_route) ((`, "panel Requests, A: 1:"},
		"a metric that there is not":       {`duration_seconds_count{`, `duration_count{`, "panel Requests, A: there is no metric http_server_request_duration_count"},
		"a label that there is not":        {`{service_name=~`, `{service=~`, "has no label service"},
		"a legend of a label that is gone": {`{{http_route}}`, `{{service_name}}`, "shows label service_name, which is not there"},
		"a variable of a label that is not there": {
			`label_values(target_info, service_name)`, `label_values(target_info, service)`, "variable service: shows label service, which is not there",
		},
		"a rate over a fixed time":        {`[$__rate_interval]`, `[5m]`, "rate over a range other than $__rate_interval"},
		"a rate over the time shown":      {`[$__rate_interval]`, `[$__range]`, "rate over a range other than $__rate_interval"},
		"an increase over the time shown": {`(rate(http_server_request_duration_seconds_count{service_name=~\"$service\"}[$__rate_interval]))`, `(increase(http_server_request_duration_seconds_count{service_name=~\"$service\"}[$__range]))`, ""},
		"a variable that is not defined":  {`How many.`, `How many in $zone.`, "uses variable zone, which it does not define"},
		"a variable that is not used":     {`=~\"$service\"`, `=~\".+\"`, "defines variable service, which it does not use"},
		"a number of two panels":          {`"id": 3`, `"id": 2`, "panel Words has number 2, which is 0 or that of panel Requests"},
		"a panel without a number":        {`"id": 3`, `"id": 0`, "panel Words has number 0"},
		"a query without a name":          {`"refId": "A"`, `"refId": ""`, "has two queries called"},
		"two queries of one name":         {`"targets": [`, `"targets": [{"refId": "A", "expr": "go_goroutine_count"}, `, `panel Requests has two queries called "A"`},
		"a panel on another":              {`"x": 12, "y": 1`, `"x": 11, "y": 1`, "panel Words lies on panel Requests"},
		"a panel beyond the grid":         {`"x": 12, "y": 1`, `"x": 13, "y": 1`, "panel Words is not within 24 columns"},
		"a panel without a size":          {`"x": 12, "y": 1, "w": 12, "h": 8`, `"x": 12, "y": 1, "w": 12`, "panel Words is not within 24 columns"},
		"no description":                  {`"description": "How many."`, `"description": " "`, "panel Requests: has no description"},
		"no unit":                         {`"unit": "reqps", `, ``, "panel Requests: has no unit"},
		"no text for no value":            {`"noValue": "No requests",`, ``, "panel Requests: has no text for when there is no value"},
		"a fixed source of a panel": {`"uid": "${datasource}"},
			"targets"`, `"uid": "prometheus"},
			"targets"`, `panel Requests: asks data source "prometheus" instead of ${datasource}`},
		"a source that is not provisioned":   {`"id": 3, `, `"id": 3, "datasource": {"type": "tempo", "uid": "elsewhere"}, `, `asks data source "elsewhere", which is not provisioned`},
		"a source that is provisioned":       {`"id": 3, `, `"id": 3, "datasource": {"type": "tempo", "uid": "tempo"}, `, ""},
		"a link to nowhere":                  {`/d/otelmon-example?`, `/d/otelmon-none?`, "leads to dashboard otelmon-none, which there is not"},
		"a link that forgets a variable":     {`${namespace:queryparam}&`, ``, `link "More" does not keep variable namespace`},
		"a link that forgets the time":       {`&${__url_time_range}`, ``, `link "More" does not keep the time`},
		"a link with a variable too many":    {`&var-service=a`, `&var-service=a&var-zone=b`, "sets variable zone, which dashboard otelmon-example has not"},
		"a link with a label that is gone":   {`&var-service=a`, `&var-service=${__data.fields.server_address}`, `link "More" uses label server_address, which is not there`},
		"a row needs no description or unit": {`"title": "Row $namespace"`, `"title": "Another row"`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			boards := map[string]grafana.Dashboard{"example.json": example(t, test.from, test.to)}
			l := linter(t)
			l.AddDashboards(map[string]grafana.Dashboard{"example.json": example(t, "", "")})
			wantProblem(t, l.CheckDashboards(boards, []string{"prometheus", "tempo"}), test.want)
		})
	}
}

// Services of the same name may run in several environments.
func TestDashboardsFindALinkThatTakesHalfOfAService(t *testing.T) {
	t.Parallel()
	d := example(t, `&var-service=a`, `&var-service=${__field.labels.service_name:percentencode}`)
	d.Panels[1].Targets[0].Expr = "target_info"
	l := linter(t)
	boards := map[string]grafana.Dashboard{"example.json": d}
	l.AddDashboards(boards)
	got := strings.Join(l.CheckDashboards(boards, []string{"prometheus", "tempo"}), "\n")
	for _, label := range []string{"deployment_environment_name", "service_namespace"} {
		if want := `link "More" takes the service that was clicked, but not its ` + label; !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDashboardsFindAUIDThatIsTaken(t *testing.T) {
	t.Parallel()
	l, boards := linter(t), map[string]grafana.Dashboard{"a.json": example(t, "", ""), "b.json": example(t, "", "")}
	l.AddDashboards(boards)
	want := []string{`b.json: its uid "otelmon-example" is empty or that of a.json`}
	if diff := cmp.Diff(want, l.CheckDashboards(boards, nil)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestParseRulesNamesTheFileThatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := lint.ParseRules("wrong.yml", []byte("groups: 1")); err == nil || !strings.Contains(err.Error(), "wrong.yml") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}
