package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// selection is what every page can be narrowed to.
func selection() []cog.Builder[dashboard.VariableModel] {
	return []cog.Builder[dashboard.VariableModel]{
		dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"),
		labelValues("environment", "Environment", `label_values(target_info, deployment_environment_name)`),
		labelValues("namespace", "Namespace",
			`label_values(target_info{deployment_environment_name=~"$environment"}, service_namespace)`),
		labelValues("service", "Service",
			`label_values(target_info{deployment_environment_name=~"$environment",service_namespace=~"$namespace"}, service_name)`),
	}
}

// labelValues is a variable with several values, All at first. All is ".*", because a service without a namespace has no
// label service_namespace, and ".+" would leave it out.
func labelValues(name, label, expr string) *dashboard.QueryVariableBuilder {
	values := write(expr)
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(prometheusSource()).
		Query(dashboard.StringOrMap{String: &values}).
		Definition(values).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).
		IncludeAll(true).
		AllValue(".*")
}

// endpoint narrows a page to routes.
func endpoint() cog.Builder[dashboard.VariableModel] {
	return labelValues("endpoint", "Endpoint", `label_values(service_route:http_server_requests:rate5m{$selected}, http_route)`)
}

// model narrows a page to models.
func model() cog.Builder[dashboard.VariableModel] {
	return labelValues("model", "Model", `label_values(service_model:llm_operations:rate5m{$selected}, gen_ai_request_model)`)
}

// annotations mark what may explain a change.
func annotations() []cog.Builder[dashboard.AnnotationQuery] {
	return []cog.Builder[dashboard.AnnotationQuery]{
		// The oldest running instance of a version stands for all that were rolled out with it. Exporters of other
		// programs know this metric too, but have no service.
		annotation("Deployments", "#0072B2",
			`min by ($identity, service_version) (process_start_time_seconds{$selected,service_name!=""}) * 1000`,
			"{{service_name}} {{service_version}} started", "service_namespace,deployment_environment_name").
			UseValueForTime(true),
		annotation("Alerts", bad,
			`ALERTS{alertname=~"Otelmon.*",alertstate="firing",$affected}`,
			"{{alertname}} {{service_name}}", "severity,slo"),
	}
}

func annotation(name, color, expr, title, tags string) *dashboard.AnnotationQueryBuilder {
	return dashboard.NewAnnotationQueryBuilder().
		Name(name).
		Datasource(prometheusSource()).
		Enable(true).
		IconColor(color).
		Expr(write(expr)).
		Step("60s").
		TitleFormat(title).
		TagKeys(tags)
}
