package harness

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/grafana"
	"google.golang.org/grpc"
)

// StartWholeStack starts a stack with everything that dashboards ask about: an
// Alertmanager that notifies, and rules that look back as far as they are
// shipped, evaluated once a [ScrapeInterval]. Alerts wait a second.
func StartWholeStack(t testing.TB) *Stack {
	t.Helper()
	return startStack(t, copyRules(t, oftener, impatient), StartAlertmanager(t, StartWebhookSink(t)).address)
}

// Refuse makes the receiver say that it takes no traces, which is an error that
// does not pass, until it is stopped and started again.
func (s *TraceSink) Refuse(t testing.TB) {
	t.Helper()
	s.Stop()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.server = grpc.NewServer()
	go func() { _ = s.server.Serve(l) }() // returns when it is stopped
}

// A View is what is shown when a query is asked: the time at its end, how long
// it is, and what is selected.
type View struct {
	End       time.Time
	Times     grafana.Times
	Variables map[string]string
}

// An Answer is what Prometheus answers to a query of a dashboard.
type Answer struct {
	Series   []Line
	Warnings []string // and notices
}

// A Line is a series and its values. Of the values of a label there are none.
type Line struct {
	Labels map[string]string
	Values []float64
}

// Ask asks a query as Grafana does.
func (p *Prometheus) Ask(q grafana.Query, v View) (Answer, error) {
	expr := grafana.Expand(q.Expr, v.Variables, v.Times)
	end := timestamp(v.End)
	shown := url.Values{"start": {timestamp(v.End.Add(-v.Times.Range))}, "end": {end}}
	switch q.Kind {
	case grafana.LabelValues:
		return p.askLabel(q.Label, expr, shown)
	case grafana.Instant:
		return p.ask("/api/v1/query", url.Values{"query": {expr}, "time": {end}})
	case grafana.Range:
		shown.Set("query", expr)
		shown.Set("step", strconv.FormatFloat(v.Times.Interval.Seconds(), 'f', -1, 64))
		return p.ask("/api/v1/query_range", shown)
	}
	return Answer{}, fmt.Errorf("no kind of query is %d", q.Kind)
}

func timestamp(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

func (p *Prometheus) askLabel(label, selector string, args url.Values) (Answer, error) {
	if selector != "" {
		args.Set("match[]", selector)
	}
	var values []string
	warnings, err := p.read("/api/v1/label/"+label+"/values", args, &values)
	a := Answer{Warnings: warnings}
	for _, value := range values {
		a.Series = append(a.Series, Line{Labels: map[string]string{label: value}})
	}
	return a, err
}

func (p *Prometheus) ask(path string, args url.Values) (a Answer, err error) {
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if a.Warnings, err = p.read(path, args, &data); err != nil {
		return a, err
	}
	var series []struct {
		Metric     map[string]string
		Value      [2]any
		Values     [][2]any
		Histogram  any
		Histograms []any
	}
	if err := json.Unmarshal(data.Result, &series); err != nil {
		return a, fmt.Errorf("result of type %s: %w", data.ResultType, err)
	}
	for _, s := range series {
		line := Line{Labels: s.Metric}
		if s.Value[1] != nil {
			s.Values = append(s.Values, s.Value)
		}
		for _, sample := range s.Values {
			text, _ := sample[1].(string)
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return a, fmt.Errorf("value of %v: %w", s.Metric, err)
			}
			line.Values = append(line.Values, number)
		}
		if len(line.Values) > 0 || len(s.Histograms) > 0 || s.Histogram != nil {
			a.Series = append(a.Series, line)
		}
	}
	return a, nil
}

// read returns what Prometheus has to say beside the data.
func (p *Prometheus) read(path string, args url.Values, data any) (warnings []string, err error) {
	body, err := Get(p.url + path + "?" + args.Encode())
	if err != nil {
		return nil, err
	}
	answer := struct {
		Data            any
		Warnings, Infos []string
	}{Data: data}
	err = json.Unmarshal(body, &answer)
	return append(answer.Warnings, answer.Infos...), err
}

// Series returns the labels of the series that a matcher finds.
func (p *Prometheus) Series(matcher string) (series []map[string]string, err error) {
	_, err = p.read("/api/v1/series", url.Values{"match[]": {matcher}}, &series)
	return series, err
}
