package dashboards

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// Macros of queries, written out when a dashboard is made; any other $name is Grafana's.
const (
	// selected matches what is chosen at the head of the page. ".*" also matches a label that is absent.
	selected = `deployment_environment_name=~"$environment",service_namespace=~"$namespace",service_name=~"$service"`
	// affected matches alerts of what is selected, and those of the stack, which have no service: whatever is selected, a
	// Collector that is down concerns it.
	affected = `deployment_environment_name=~"$environment|",service_namespace=~"$namespace|",service_name=~"$service|"`
	// identity tells one service from another.
	identity = `deployment_environment_name, service_namespace, service_name`
)

// write fills in the macros $selected, $affected and $identity.
func write(expr string) string {
	return strings.NewReplacer("$selected", selected, "$affected", affected, "$identity", identity).Replace(expr)
}

// query asks for the course of expr over the time shown.
func query(expr, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().
		Datasource(prometheusSource()).
		Expr(write(expr)).
		LegendFormat(legend).
		Format(prometheus.PromQueryFormatTimeSeries).
		Range()
}

// instant asks for expr at the end of the time shown. A figure that says how things are must not be the last sample of a
// series that has since ended, as a range would give it.
func instant(expr, legend string) *prometheus.DataqueryBuilder { return query(expr, legend).Instant() }

// buckets asks for the rates of a histogram's buckets; expr leaves only the label le.
func buckets(expr string) *prometheus.DataqueryBuilder {
	return query(expr, "{{le}}").Format(prometheus.PromQueryFormatHeatmap)
}

// cells asks for expr as rows of a table.
func cells(expr string) *prometheus.DataqueryBuilder {
	return instant(expr, "").Format(prometheus.PromQueryFormatTable)
}

// highest are the n series of expr that reach the highest value within the time shown, over all of it: a plain topk
// chooses anew at each step, and draws pieces of many lines. It looks at the points that the panel draws: for more of
// them a month would take as long as 43,200 queries.
func highest(n int, expr string) string {
	return fmt.Sprintf("(%[2]s)\nand topk(%[1]d, max_over_time((%[2]s)[$__range:$__interval] @ end()))", n, expr)
}

// prometheusSource is the data source chosen at the head of the page.
func prometheusSource() common.DataSourceRef {
	kind, uid := "prometheus", "${datasource}"
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}
