package harness

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A Page is what a page of metrics tells: its samples, those of histograms
// included, with their names under "__name__".
type Page []Sample

// ReadPage reads the page at a URL.
func ReadPage(url string) (Page, error) {
	text, err := Get(url)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", url, err)
	}
	var page Page
	for _, family := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", url, err)
		}
		for _, s := range samples {
			labels := make(map[string]string, len(s.Metric))
			for name, value := range s.Metric {
				labels[string(name)] = string(value)
			}
			page = append(page, Sample{Labels: labels, Value: float64(s.Value)})
		}
	}
	return page, nil
}

// Sums adds up the samples of a name, by the values of some labels joined with
// commas.
func (p Page) Sums(name string, by ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, s := range p {
		if s.Labels["__name__"] != name {
			continue
		}
		var values []string
		for _, label := range by {
			values = append(values, s.Labels[label])
		}
		sums[strings.Join(values, ",")] += s.Value
	}
	return sums
}
