package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statushistory"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// about is what a reader has to know of a panel.
type about struct {
	title string
	// unit is one of the SDK's package units.
	unit string
	// none is shown instead of no data; it says what the absence means.
	none string
	// description names the metric or rule, says what the figure means, and what to do when it is bad.
	description string
}

// Status colours that people with any kind of colour blindness tell apart (Okabe and Ito).
const (
	good    = "#56B4E9"
	warning = "#E69F00"
	bad     = "#D55E00"
	neutral = "#999999"
)

// preset is what the builders of all kinds of panels have in common.
type preset[B any] interface {
	Title(title string) B
	Description(description string) B
	Unit(unit string) B
	NoValue(noValue string) B
	Datasource(source common.DataSourceRef) B
	Span(columns uint32) B
	Height(lines uint32) B
}

func describe[B preset[B]](builder B, about about, span, height uint32) B {
	return builder.Title(about.title).Description(about.description).Unit(about.unit).NoValue(about.none).
		Datasource(prometheusSource()).Span(span).Height(height)
}

// graph shows lines over time: half a page wide, with a legend of the last and highest values. A name has the same
// colour in all graphs.
func graph(about about) *timeseries.PanelBuilder {
	return describe(timeseries.NewPanelBuilder(), about, 12, 8).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementBottom).
			Calcs([]string{"lastNotNull", "max"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassicByName)).
		DrawStyle(common.GraphDrawStyleLine).
		LineWidth(1).
		FillOpacity(10).
		ShowPoints(common.VisibilityModeAuto).
		AxisSoftMin(0)
}

// stacked makes the lines of a graph add up.
func stacked(panel *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return panel.FillOpacity(40).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

// limits draws thresholds into a graph as dashed lines.
func limits(panel *timeseries.PanelBuilder, levels *levels) *timeseries.PanelBuilder {
	return panel.Thresholds(levels).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
}

// figure shows one number as it is now: three columns of 24 wide, without a status colour until Thresholds gives it one.
func figure(about about) *stat.PanelBuilder {
	return describe(stat.NewPanelBuilder(), about, 3, 4).
		Thresholds(thresholds(neutral)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Orientation(common.VizOrientationAuto).
		GraphMode(common.BigValueGraphModeNone).
		ColorMode(common.BigValueColorModeValue).
		TextMode(common.BigValueTextModeAuto)
}

// distribution shows over time how many requests fell into which bucket of a histogram. The unit is that of the buckets.
func distribution(about about) *heatmap.PanelBuilder {
	return describe(heatmap.NewPanelBuilder(), about, 12, 8).
		Calculate(false).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(about.unit).AxisPlacement(common.AxisPlacementLeft)).
		CellValues(heatmap.NewCellValuesBuilder().Unit("reqps")).
		Color(heatmap.NewHeatmapColorOptionsBuilder().
			Mode(heatmap.HeatmapColorModeScheme).
			Scheme("Viridis").
			Fill(bad).
			Scale(heatmap.HeatmapColorScaleExponential).
			Exponent(0.5).
			Steps(64)).
		ExemplarsColor(bad).
		CellGap(1).
		ShowValue(common.VisibilityModeNever).
		Tooltip(heatmap.NewHeatmapTooltipBuilder().
			Mode(common.TooltipDisplayModeSingle).
			YHistogram(true).
			ShowColorScale(true)).
		ShowLegend()
}

// history shows the status of many things over time, a line each, in the colours of its thresholds.
func history(about about, levels *levels) *statushistory.PanelBuilder {
	return describe(statushistory.NewPanelBuilder(), about, 24, 9).
		Thresholds(levels).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		MaxDataPoints(80). // the panel refuses to draw cells narrower than a few pixels
		ShowValue(common.VisibilityModeNever).
		RowHeight(0.9).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeSingle).
			Sort(common.SortOrderNone))
}

// levels are the limits from which a value has another status, and colour.
type levels dashboard.ThresholdsConfig

// Build implements cog.Builder.
func (l *levels) Build() (dashboard.ThresholdsConfig, error) {
	return dashboard.ThresholdsConfig(*l), nil
}

// rising colours values that are bad when high.
func rising(warn, critical float64) *levels {
	return thresholds(good, step{warn, warning}, step{critical, bad})
}

// falling colours values that are bad when low.
func falling(critical, warn float64) *levels {
	return thresholds(bad, step{critical, warning}, step{warn, good})
}

// step is the colour of values from a limit on.
type step struct {
	from  float64
	color string
}

func thresholds(base string, steps ...step) *levels {
	list := []dashboard.Threshold{{Color: base}}
	for _, step := range steps {
		list = append(list, dashboard.Threshold{Value: &step.from, Color: step.color})
	}
	return &levels{Mode: dashboard.ThresholdsModeAbsolute, Steps: list}
}
