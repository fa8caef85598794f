// Package grafana reads the JSON of dashboards, and finds in it all that Grafana
// would ask Prometheus, in the words that it would ask.
package grafana

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A Dashboard is what Grafana loads from a file. Only the fields that tests look
// at are here.
type Dashboard struct {
	UID         string
	Title       string
	Panels      []Panel
	Templating  struct{ List []Variable }
	Annotations struct{ List []Annotation }
	Links       []Link
}

// A Panel is a picture, or a row as a heading; a row that is folded up holds the
// panels below it.
type Panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  *Datasource
	GridPos     Grid
	Targets     []Target
	Panels      []Panel
	Links       []Link
	FieldConfig struct {
		Defaults struct {
			Unit    string
			NoValue string
			Links   []Link
		}
		Overrides []struct {
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
}

// A Grid is a place in rows and 24 columns.
type Grid struct{ X, Y, W, H int }

// A Target is a query of a panel. Expr is of Prometheus; other data sources have
// fields of their own.
type Target struct {
	RefID        string
	Datasource   *Datasource
	Expr         string
	LegendFormat string
	Format       string
	Instant      bool
	Range        bool
	Exemplar     bool
}

// A Datasource names one by its UID, which may be a variable.
type Datasource struct{ Type, UID string }

// A Variable is one at the head of a dashboard. Query is a string, or an object
// with the string in its member query.
type Variable struct {
	Name       string
	Type       string
	Query      json.RawMessage
	Datasource *Datasource
	Multi      bool
	IncludeAll bool
	AllValue   string
}

// An Annotation marks times in all panels.
type Annotation struct {
	Name        string
	Datasource  *Datasource
	Expr        string
	TitleFormat string
	TagKeys     string
	BuiltIn     json.RawMessage
}

// A Link leads from a dashboard, a panel or a value to somewhere else.
type Link struct {
	Title       string
	Type        string
	URL         string
	IncludeVars bool
	KeepTime    bool
}

// ReadDir reads all dashboards of a folder, by the names of their files.
func ReadDir(dir string) (map[string]Dashboard, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	dashboards := map[string]Dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var d Dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		dashboards[filepath.Base(file)] = d
	}
	return dashboards, nil
}

// AllPanels returns the panels, those within rows included, and the rows too.
func (d Dashboard) AllPanels() []Panel { return flatten(d.Panels) }

func flatten(panels []Panel) (all []Panel) {
	for _, p := range panels {
		all = append(append(all, p), flatten(p.Panels)...)
	}
	return all
}

// Text returns the query of a variable.
func (v Variable) Text() string {
	var text string
	if json.Unmarshal(v.Query, &text) == nil {
		return text
	}
	var object struct{ Query string }
	_ = json.Unmarshal(v.Query, &object) // neither of them is no query
	return object.Query
}

// AllLinks returns the links of a panel and of its values.
func (p Panel) AllLinks() []Link {
	all := append(append([]Link{}, p.Links...), p.FieldConfig.Defaults.Links...)
	for _, override := range p.FieldConfig.Overrides {
		for _, property := range override.Properties {
			var links []Link
			if property.ID == "links" && json.Unmarshal(property.Value, &links) == nil {
				all = append(all, links...)
			}
		}
	}
	return all
}
