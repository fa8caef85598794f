package dashboards

import (
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// gridWidth is the number of columns of Grafana's grid.
const gridWidth = 24

// page is a dashboard whose panels have neither places nor numbers yet.
type page struct {
	uid, title, description string
	// variables follow the data source, environment, namespace and service, which every page has.
	variables []cog.Builder[dashboard.VariableModel]
	rows      []row
}

// row is a heading and its panels in reading order. A panel states its Span and Height; place finds where it goes.
type row struct {
	title  string
	panels []cog.Builder[dashboard.Panel]
}

// build gives the page what all dashboards share: links to each other, annotations, refresh, crosshair.
func (p page) build() (Board, error) {
	builder := dashboard.NewDashboardBuilder(p.title) //nolint:staticcheck // see Board
	board, err := builder.
		Uid(p.uid).
		Description(p.description).
		Tags([]string{tag}).
		Editable().
		Timezone("browser").
		Time("now-1h", "now").
		Refresh("30s").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Variables(append(selection(), p.variables...)).
		Annotations(annotations()).
		Link(otherDashboards()).
		Build()
	if err != nil {
		return board, fmt.Errorf("building dashboard %s: %w", p.uid, err)
	}
	for i := range board.Annotations.List {
		board.Annotations.List[i].Placement = nil // the SDK would hide the switch in a menu
	}
	board.Panels, err = place(p.rows)
	if err != nil {
		return board, fmt.Errorf("building dashboard %s: %w", p.uid, err)
	}
	return board, nil
}

// place lays panels out from left to right, in lines as high as their highest panel, and numbers them.
func place(rows []row) ([]dashboard.PanelOrRowPanel, error) {
	var placed []dashboard.PanelOrRowPanel
	taken := map[uint32]string{}
	y := uint32(0)
	for _, row := range rows {
		heading, err := dashboard.NewRowBuilder(row.title).
			Id(number("row "+row.title, taken)).
			GridPos(dashboard.GridPos{Y: y, W: gridWidth, H: 1}).
			Build()
		if err != nil {
			return nil, fmt.Errorf("row %q: %w", row.title, err)
		}
		placed = append(placed, dashboard.PanelOrRowPanel{RowPanel: &heading})
		y++
		x, lineHeight := uint32(0), uint32(0)
		for _, builder := range row.panels {
			panel, err := finish(builder, taken)
			if err != nil {
				return nil, fmt.Errorf("row %q: %w", row.title, err)
			}
			if x+panel.GridPos.W > gridWidth {
				x, y, lineHeight = 0, y+lineHeight, 0
			}
			panel.GridPos.X, panel.GridPos.Y = x, y
			x += panel.GridPos.W
			lineHeight = max(lineHeight, panel.GridPos.H)
			placed = append(placed, dashboard.PanelOrRowPanel{Panel: &panel})
		}
		y += lineHeight
	}
	return placed, nil
}

// finish builds a panel and gives it a number, and its queries their letters.
func finish(builder cog.Builder[dashboard.Panel], taken map[uint32]string) (dashboard.Panel, error) {
	panel, err := builder.Build()
	if err != nil {
		return panel, fmt.Errorf("panel: %w", err)
	}
	if panel.Title == nil || panel.GridPos == nil || panel.GridPos.W == 0 || panel.GridPos.H == 0 {
		return panel, errors.New("a panel lacks its title, span or height")
	}
	id := number(*panel.Title, taken)
	panel.Id = &id
	for i, target := range panel.Targets {
		query, ok := target.(prometheus.Dataquery)
		if !ok {
			return panel, fmt.Errorf("panel %q: query %d is none of Prometheus", *panel.Title, i)
		}
		letter := refID(i)
		query.RefId = &letter
		panel.Targets[i] = query
	}
	return panel, nil
}

// refID is the name of the i-th query of a panel, as transformations and overrides call it.
func refID(i int) string { return string(rune('A' + i)) }

// number derives a panel's number from its title, so that links to a panel survive a new neighbour. Of two panels with
// the same number the second one moves up.
func number(title string, taken map[uint32]string) uint32 {
	hash := fnv.New32a()
	hash.Write([]byte(title))
	id := hash.Sum32()>>12 + 1
	for taken[id] != "" {
		id++
	}
	taken[id] = title
	return id
}
