package harness

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// Prometheus is a client for the HTTP API of a stack's Prometheus.
type Prometheus struct {
	url string
}

// A Sample is one element of an instant vector.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// An Exemplar is one that Prometheus stored, with the labels of its series.
type Exemplar struct {
	Series  map[string]string
	TraceID string
	Value   float64
}

// Query evaluates an expression now.
func (p *Prometheus) Query(expr string) ([]Sample, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var samples []Sample
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", expr, err)
		}
		samples = append(samples, Sample{Labels: r.Metric, Value: v})
	}
	return samples, nil
}

// Scalar evaluates an expression that yields one number.
func (p *Prometheus) Scalar(expr string) (float64, error) {
	samples, err := p.Query(expr)
	if err != nil {
		return 0, err
	}
	if len(samples) != 1 {
		return 0, fmt.Errorf("%s: got %d series, want 1", expr, len(samples))
	}
	return samples[0].Value, nil
}

// Exemplars returns the exemplars of the last hour for a selector.
func (p *Prometheus) Exemplars(selector string) ([]Exemplar, error) {
	now := time.Now()
	args := url.Values{
		"query": {selector},
		"start": {strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)},
		"end":   {strconv.FormatInt(now.Add(time.Minute).Unix(), 10)},
	}
	var data []struct {
		SeriesLabels map[string]string
		Exemplars    []struct {
			Labels map[string]string
			Value  string
		}
	}
	if err := p.get("/api/v1/query_exemplars", args, &data); err != nil {
		return nil, err
	}
	var exemplars []Exemplar
	for _, series := range data {
		for _, e := range series.Exemplars {
			v, err := strconv.ParseFloat(e.Value, 64)
			if err != nil {
				return nil, fmt.Errorf("exemplar of %s: %w", selector, err)
			}
			exemplars = append(exemplars, Exemplar{Series: series.SeriesLabels, TraceID: e.Labels["trace_id"], Value: v})
		}
	}
	return exemplars, nil
}

// WaitIncrease waits until an expression has grown by at least delta from its
// value at the call, which tells that time has passed for Prometheus.
func (p *Prometheus) WaitIncrease(t testing.TB, expr string, delta float64) {
	t.Helper()
	var start float64
	Eventually(t, 30*time.Second, expr, func() (err error) {
		start, err = p.Scalar(expr)
		return err
	})
	Eventually(t, 30*time.Second, expr, func() error {
		now, err := p.Scalar(expr)
		if err == nil && now < start+delta {
			err = fmt.Errorf("grew from %v to %v, want %v more", start, now, delta)
		}
		return err
	})
}

func (p *Prometheus) get(path string, args url.Values, data any) error {
	body, err := Get(p.url + path + "?" + args.Encode())
	if err != nil {
		return err
	}
	return json.Unmarshal(body, &struct{ Data any }{Data: data})
}
