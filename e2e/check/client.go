package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/grafana"
)

// responseLimit bounds what is read of a response, in bytes.
const responseLimit = 64 << 20

// A Client asks the HTTP API of a running Grafana. It is safe for concurrent use.
type Client struct {
	URL            string // such as http://localhost:3000
	User, Password string
	HTTP           *http.Client
}

// A DataSource is one that Grafana has.
type DataSource struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
	Type string `json:"type"`
	JSON struct {
		TimeInterval string `json:"timeInterval"`
	} `json:"jsonData"`
}

// interval is at which samples come, as the data source says, or else Grafana's
// default.
func (s DataSource) interval() time.Duration {
	if interval, err := time.ParseDuration(s.JSON.TimeInterval); err == nil {
		return interval
	}
	return 15 * time.Second
}

// Health returns Grafana's version, or an error when Grafana or its database is
// not well. It needs no account.
func (c *Client) Health(ctx context.Context) (version string, err error) {
	var health struct{ Database, Version string }
	if err := c.get(ctx, "/api/health", &health); err != nil {
		return "", err
	}
	if health.Database != "ok" {
		return "", fmt.Errorf("the database of Grafana is %q", health.Database)
	}
	return health.Version, nil
}

// DataSources lists the data sources.
func (c *Client) DataSources(ctx context.Context) ([]DataSource, error) {
	var sources []DataSource
	err := c.get(ctx, "/api/datasources", &sources)
	return sources, err
}

// probes holds, by type of data source, a path that answers when it is well.
// Grafana's own health check is not there for every type.
var probes = map[string]string{
	"prometheus":   "api/v1/status/buildinfo",
	"tempo":        "api/echo",
	"loki":         "loki/api/v1/labels",
	"alertmanager": "api/v2/status",
}

// Probe asks a data source through Grafana whether it answers. A type that it does
// not know is an error.
func (c *Client) Probe(ctx context.Context, source DataSource) error {
	path, ok := probes[source.Type]
	if !ok {
		return fmt.Errorf("no probe for data sources of the type %s", source.Type)
	}
	return c.get(ctx, "/api/datasources/proxy/uid/"+url.PathEscape(source.UID)+"/"+path, nil)
}

// Dashboard loads a dashboard.
func (c *Client) Dashboard(ctx context.Context, uid string) (grafana.Dashboard, error) {
	var answer struct{ Dashboard grafana.Dashboard }
	err := c.get(ctx, "/api/dashboards/uid/"+url.PathEscape(uid), &answer)
	return answer.Dashboard, err
}

// Query asks Prometheus, by the uid of its data source, for an expression over the
// range of times up to now or at its end, as a panel does, and returns how many values
// came back.
func (c *Client) Query(ctx context.Context, uid, expr string, instant bool, times grafana.Times) (values int, err error) {
	body, err := json.Marshal(map[string]any{
		"from": fmt.Sprintf("now-%ds", int(times.Range.Seconds())),
		"to":   "now",
		"queries": []any{map[string]any{
			"refId": "A", "datasource": map[string]string{"type": "prometheus", "uid": uid}, "expr": expr,
			"range": !instant, "instant": instant, "intervalMs": times.Interval.Milliseconds(), "maxDataPoints": 1000,
		}},
	})
	if err != nil {
		return 0, fmt.Errorf("write query: %w", err)
	}
	var answer struct{ Results map[string]result }
	if err := c.call(ctx, http.MethodPost, "/api/ds/query", body, &answer); err != nil {
		return 0, err
	}
	r, ok := answer.Results["A"]
	if !ok {
		return 0, errors.New("an answer without the query's result")
	}
	return r.values()
}

// result is the part of a query's answer that tells whether there is data.
type result struct {
	Error  string
	Frames []struct {
		Data struct{ Values [][]any }
	}
}

// values counts what stands beside the times, without gaps.
func (r result) values() (int, error) {
	if r.Error != "" {
		return 0, errors.New(r.Error)
	}
	count := 0
	for _, frame := range r.Frames {
		for _, column := range frame.Data.Values[min(1, len(frame.Data.Values)):] {
			for _, v := range column {
				if v != nil {
					count++
				}
			}
		}
	}
	return count, nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// call sends a request and reads the JSON of the response, if into is not nil.
func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if c.Password != "" {
		request.SetBasicAuth(c.User, c.Password)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, responseLimit))
	if err != nil {
		return fmt.Errorf("%s %s: read response: %w", method, path, err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, excerpt(text))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: read response: %w", method, path, err)
	}
	return nil
}

// excerpt is the beginning of a response, on one line.
func excerpt(text []byte) string {
	line := strings.Join(strings.Fields(string(text)), " ")
	return line[:min(len(line), 300)]
}
