package dashboards_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/otelmon/toolkit/internal/golden"

	"github.com/otelmon/toolkit/dashboards"
)

// folder is where Grafana finds the dashboards.
const folder = "../deploy/grafana/dashboards"

func TestFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	made := map[string]bool{}
	for _, board := range all(t) {
		path := filepath.Join(folder, dashboards.FileName(board))
		made[path] = true
		golden.Check(t, path, encode(t, board))
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if !made[path] {
			t.Errorf("%s is no dashboard of this package: remove it", path)
		}
	}
}

func TestAllIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	again := all(t)
	for i, board := range all(t) {
		if diff := cmp.Diff(string(encode(t, board)), string(encode(t, again[i]))); diff != "" {
			t.Errorf("%s (- first, + second):\n%s", *board.Uid, diff)
		}
	}
}

// Not parallel: the schemas of panels and queries are registered for the whole program.
func TestFilesFollowGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, board := range all(t) {
		if err := parseStrictly(encode(t, board)); len(err) > 0 {
			t.Errorf("%s: %v", *board.Uid, err)
		}
	}
}

func TestSchemaRefusesWhatItDoesNotKnow(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for name, change := range map[string][2]string{
		"a field of a panel":  {`"gridPos":`, `"gridPosition":`},
		"a field of a query":  {`"legendFormat":`, `"legend":`},
		"an option of a stat": {`"colorMode":`, `"colourMode":`},
	} {
		t.Run(name, func(t *testing.T) {
			text := bytes.ReplaceAll(encode(t, all(t)[0]), []byte(change[0]), []byte(change[1]))
			if err := parseStrictly(text); len(err) == 0 {
				t.Errorf("%s in place of %s was accepted", change[1], change[0])
			}
		})
	}
}

// A link to Explore holds a query as JSON within a URL; Grafana fills in its variables first.
func TestLinksToExploreHoldQueries(t *testing.T) {
	t.Parallel()
	found := 0
	for _, board := range all(t) {
		for _, match := range regexp.MustCompile(`"/explore\?[^"]*"`).FindAllString(string(encode(t, board)), -1) {
			found++
			filled := regexp.MustCompile(`\$\{[^}]+\}`).ReplaceAllString(strings.Trim(match, `"`), "42")
			link, err := url.Parse(filled)
			if err != nil {
				t.Fatal(err)
			}
			var panes map[string]struct {
				Datasource string
				Queries    []struct{ QueryType, Query, Expr string }
				Range      struct{ From, To string }
			}
			if err := json.Unmarshal([]byte(link.Query().Get("panes")), &panes); err != nil {
				t.Fatalf("%s: %v", match, err)
			}
			pane := panes["otelmon"]
			if len(pane.Queries) != 1 || pane.Range.From != "42" {
				t.Fatalf("%s holds no query of the time shown: %+v", match, pane)
			}
			query := pane.Queries[0]
			if query.QueryType != "serviceMap" && !strings.Contains(query.Query+query.Expr, `"42"`) {
				t.Errorf("%s asks for nothing that is selected: %+v", match, query)
			}
		}
	}
	if found == 0 {
		t.Error("no dashboard leads to traces")
	}
}

// parseStrictly returns what Grafana's schema does not allow in the text. The SDK returns an error that holds no errors
// where there are none.
func parseStrictly(text []byte) cog.BuildErrors {
	var parsed dashboards.Board
	var refused, invalid cog.BuildErrors
	errors.As(parsed.UnmarshalJSONStrict(text), &refused)
	errors.As(parsed.Validate(), &invalid)
	return append(refused, invalid...)
}

func all(t *testing.T) []dashboards.Board {
	t.Helper()
	boards, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	return boards
}

func encode(t *testing.T, board dashboards.Board) []byte {
	t.Helper()
	text, err := dashboards.JSON(board)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
