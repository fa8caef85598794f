// Package dashboards makes the Grafana dashboards of otelmon. They are kept as JSON in deploy/grafana/dashboards, which
// "go test . -update" writes. Panels read recorded series of deploy/prometheus/rules, and the raw metrics of one service
// where exemplars are needed.
package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Board is a dashboard in the classic schema, which file provisioning and every supported Grafana read.
type Board = dashboard.Dashboard //nolint:staticcheck // the SDK prefers a newer schema, which is not read from files everywhere

// All returns every dashboard, in the order in which an operator gets to them. The result is the same each time; its
// queries hold Grafana's variables.
func All() ([]Board, error) {
	pages := []page{
		overviewPage(), servicePage(), dependenciesPage(), llmPage(),
		sloPage(), runtimePage(), pipelinePage(), capacityPage(),
	}
	boards := make([]Board, 0, len(pages))
	for _, page := range pages {
		board, err := page.build()
		if err != nil {
			return nil, err
		}
		boards = append(boards, board)
	}
	return boards, nil
}

// FileName is the name of a dashboard's file: its uid without "otelmon-".
func FileName(board Board) string {
	return strings.TrimPrefix(*board.Uid, tag+"-") + ".json"
}

// JSON returns a dashboard as Grafana's file provisioning reads it, with the keys of objects in alphabetical order.
func JSON(board Board) ([]byte, error) {
	text, err := legible(board)
	if err != nil {
		return nil, fmt.Errorf("encoding dashboard %s: %w", *board.Uid, err)
	}
	return text, nil
}

// legible encodes in two steps, because the types of the SDK write < and > as Unicode escapes, which nobody can read in
// a query.
func legible(board Board) ([]byte, error) {
	escaped, err := json.Marshal(board)
	if err != nil {
		return nil, err
	}
	var content any
	decoder := json.NewDecoder(bytes.NewReader(escaped))
	decoder.UseNumber()
	if err := decoder.Decode(&content); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(content)
	return text.Bytes(), err
}
