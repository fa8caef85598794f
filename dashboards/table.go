package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
)

// label is a column that holds the values of a label, and what clicking on one opens.
type label struct {
	name, title string
	links       []link
}

// serviceLabels are the columns of $identity, which open the Service page. The environment and the namespace have to be
// there for the link.
func serviceLabels() []label {
	return []label{
		{name: "service_name", title: "Service", links: []link{toService(rowService)}},
		{name: "service_namespace", title: "Namespace"},
		{name: "deployment_environment_name", title: "Environment"},
	}
}

// column is a column of numbers: one query, whose result has just the labels of the table. An expression that ends with an
// aggregation by them also loses the name of its metric, without which no two columns would share a line.
type column struct {
	title, expr, unit string
	// thresholds colour the text, if set.
	thresholds *levels
	links      []link
}

// grid is a table with a line for each set of labels, ordered by the first column of numbers, the highest first. The unit
// of about is that of columns without one.
func grid(about about, labels []label, columns []column) *table.PanelBuilder {
	panel := describe(table.NewPanelBuilder(), about, gridWidth, 9).
		CellHeight(common.TableCellHeightSm).
		ShowHeader(true).
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{})).
		Filterable(true).
		SortBy([]cog.Builder[common.TableSortByFieldState]{
			common.NewTableSortByFieldStateBuilder().DisplayName(columns[0].title).Desc(true),
		})
	order, titles := map[string]any{}, map[string]any{}
	for i, label := range labels {
		order[label.name], titles[label.name] = i, label.title
		panel = panel.OverrideByName(label.title, append(overrides(column{links: label.links}), empty("")))
	}
	for i, column := range columns {
		field := valueField(i, len(columns))
		order[field], titles[field] = len(labels)+i, column.title
		panel = panel.WithTarget(cells(column.expr)).OverrideByName(column.title, append(overrides(column), empty("–")))
	}
	return panel.WithTransformation(joined()).WithTransformation(arranged(order, titles))
}

// joined makes one line of the results of several queries that have the same labels.
func joined() dashboard.DataTransformerConfig {
	return dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}}
}

// arranged orders and renames columns, and leaves the time out.
func arranged(order, titles map[string]any) dashboard.DataTransformerConfig {
	return dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
		"excludeByName": map[string]any{"Time": true},
		"indexByName":   order,
		"renameByName":  titles,
	}}
}

// valueField is the name that Grafana gives the value of the i-th of several queries in format table.
func valueField(i, queries int) string {
	if queries == 1 {
		return "Value"
	}
	return "Value #" + refID(i)
}

// empty is what a cell without a value shows: the text of the panel speaks of the whole table.
func empty(text string) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "noValue", Value: text}
}

// overrides are the properties in which a column differs from others.
func overrides(column column) []dashboard.DynamicConfigValue {
	properties := []dashboard.DynamicConfigValue{}
	if column.unit != "" {
		properties = append(properties, dashboard.DynamicConfigValue{Id: "unit", Value: column.unit})
	}
	if column.thresholds != nil {
		properties = append(properties,
			dashboard.DynamicConfigValue{Id: "thresholds", Value: column.thresholds},
			dashboard.DynamicConfigValue{Id: "color", Value: map[string]any{"mode": "thresholds"}},
			dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
	}
	if len(column.links) > 0 {
		properties = append(properties, dashboard.DynamicConfigValue{Id: "links", Value: column.links})
	}
	return properties
}
