package check_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/e2e/check"
)

// shop has a query of each kind.
const shop = `{
	"uid": "otelmon-shop", "title": "Shop",
	"templating": {"list": [
		{"name": "datasource", "type": "datasource", "query": "prometheus"},
		{"name": "service", "type": "query", "datasource": {"type": "prometheus", "uid": "${datasource}"},
			"query": "label_values(target_info, service_name)", "multi": true, "includeAll": true, "allValue": ".*"}
	]},
	"annotations": {"list": [
		{"name": "Deployments", "datasource": {"type": "prometheus", "uid": "${datasource}"}, "expr": "process_start_time_seconds"}
	]},
	"panels": [
		{"id": 1, "title": "Rate", "type": "timeseries", "targets": [
			{"refId": "A", "expr": "sum(rate(requests{service=~\"$service\"}[$__rate_interval]))", "range": true},
			{"refId": "B", "expr": "up", "instant": true}]},
		{"id": 2, "title": "Graph", "type": "nodeGraph", "targets": [
			{"refId": "A", "queryType": "serviceMap", "datasource": {"type": "tempo", "uid": "tempo"}}]}
	]
}`

// A server answers as Grafana does: paths hold what it answers with, by method and
// path, and data holds the values of each query.
type server struct {
	paths  map[string]string
	data   map[string]string
	silent bool // no query has data
}

// healthy is a Grafana with the dashboard shop, in which every query has data.
func healthy() server {
	return server{
		paths: map[string]string{
			"GET /api/health":      `{"database": "ok", "version": "12.4.5"}`,
			"GET /api/datasources": `[{"uid": "prometheus", "type": "prometheus", "jsonData": {"timeInterval": "60s"}}, {"uid": "tempo", "type": "tempo"}, {"uid": "loki", "type": "loki"}, {"uid": "alertmanager", "type": "alertmanager"}]`,
			"GET /api/datasources/proxy/uid/prometheus/api/v1/status/buildinfo": `{"status": "success"}`,
			"GET /api/datasources/proxy/uid/tempo/api/echo":                     `echo`,
			"GET /api/datasources/proxy/uid/loki/loki/api/v1/labels":            `{"status": "success"}`,
			"GET /api/datasources/proxy/uid/alertmanager/api/v2/status":         `{}`,
			"GET /api/dashboards/uid/otelmon-shop":                              `{"meta": {}, "dashboard": ` + shop + `}`,
		},
		data: map[string]string{
			"range sum(rate(requests{service=~\".*\"}[240s]))": `[[1, 2], [0, 3]]`,
			"instant up":                                    `[[1], [1]]`,
			"range process_start_time_seconds":              `[[1], [1]]`,
			"instant group by (service_name) (target_info)": `[[1], [1]]`,
		},
	}
}

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	key := r.Method + " " + r.URL.Path
	switch {
	case r.URL.Path != "/api/health" && (user != "admin" || password != "secret"):
		http.Error(w, `{"message": "Unauthorized"}`, http.StatusUnauthorized)
	case key == "POST /api/ds/query":
		s.query(w, r)
	case s.paths[key] != "":
		fmt.Fprint(w, s.paths[key])
	default:
		http.NotFound(w, r)
	}
}

func (s server) query(w http.ResponseWriter, r *http.Request) {
	var request struct {
		From, To string
		Queries  []struct {
			RefID, Expr    string
			Range, Instant bool
			IntervalMs     int
			DataSource     struct{ Type, UID string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Queries) != 1 || request.From != "now-900s" || request.To != "now" ||
		request.Queries[0].IntervalMs != 60_000 { // the timeInterval of the data source
		http.Error(w, `{"message": "Query data error"}`, http.StatusBadRequest)
		return
	}
	q := request.Queries[0]
	kind := "instant "
	if q.Range && !q.Instant {
		kind = "range "
	}
	values, ok := s.data[kind+q.Expr]
	switch {
	case q.DataSource.UID != "prometheus" || q.DataSource.Type != "prometheus":
		http.Error(w, `{"message": "Data source not found"}`, http.StatusNotFound)
	case !ok && !s.silent:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"results": {%q: {"status": 400, "error": "bad_data: parse error"}}}`, q.RefID)
	case values == "" || s.silent:
		fmt.Fprintf(w, `{"results": {%q: {"status": 200, "frames": []}}}`, q.RefID)
	default:
		fmt.Fprintf(w, `{"results": {%q: {"status": 200, "frames": [{"schema": {}, "data": {"values": %s}}]}}}`, q.RefID, values)
	}
}

// with returns a copy with some answers changed.
func (s server) with(paths, data map[string]string) server {
	maps.Copy(s.paths, paths)
	maps.Copy(s.data, data)
	return s
}

// check runs the check against a server.
func run(t *testing.T, s server, password string, logs bool, dashboards ...string) (faults int, out string, err error) {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	var text strings.Builder
	c := check.Check{
		Client:     &check.Client{URL: web.URL + "/", User: "admin", Password: password, HTTP: web.Client()},
		Dashboards: dashboards,
		Span:       15 * time.Minute,
		Logs:       logs,
		Out:        &text,
	}
	faults, err = c.Run(t.Context())
	return faults, text.String(), err
}

func TestCheckOfAHealthyStack(t *testing.T) {
	t.Parallel()
	faults, out, err := run(t, healthy(), "secret", true, "otelmon-shop")
	if faults != 0 || err != nil {
		t.Fatalf("got %d faults and %v, want none:\n%s", faults, err, out)
	}
	for _, want := range []string{
		"grafana 12.4.5 is up", "data source alertmanager answers",
		"dashboard otelmon-shop: 4 queries\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	empty := func(expr string) map[string]string { return map[string]string{expr: ""} }
	tests := map[string]struct {
		paths, data map[string]string
		want        string
	}{
		"a data source that does not answer": {
			paths: map[string]string{"GET /api/datasources/proxy/uid/tempo/api/echo": ""},
			want:  "FAULT data source tempo: GET /api/datasources/proxy/uid/tempo/api/echo: 404 Not Found",
		},
		"a data source of an unknown type": {
			paths: map[string]string{"GET /api/datasources": `[{"uid": "m", "type": "mysql"}]`},
			want:  "FAULT data source m: no probe for data sources of the type mysql",
		},
		"a data source that is missing": {
			paths: map[string]string{"GET /api/datasources": `[{"uid": "prometheus", "type": "prometheus"}]`},
			want:  "FAULT there is no data source of the type tempo",
		},
		"a dashboard that cannot be loaded": {
			paths: map[string]string{"GET /api/dashboards/uid/otelmon-shop": ""},
			want:  "FAULT dashboard otelmon-shop: GET /api/dashboards/uid/otelmon-shop: 404",
		},
		"a dashboard without queries": {
			paths: map[string]string{"GET /api/dashboards/uid/otelmon-shop": `{"dashboard": {"uid": "otelmon-shop", "title": "Shop"}}`},
			want:  "FAULT dashboard otelmon-shop has no queries",
		},
		"a query without data": {
			data: empty("instant up"),
			want: "FAULT dashboard otelmon-shop, panel Rate, B: no data\n\tup",
		},
		"a query with nothing but gaps": {
			data: map[string]string{"instant up": `[[1, 2], [null, null]]`},
			want: `FAULT dashboard otelmon-shop, panel Rate, B: no data`,
		},
		"an annotation without data": {
			data: empty("range process_start_time_seconds"),
			want: `FAULT dashboard otelmon-shop, annotation Deployments: no data`,
		},
		"a query that is refused": {
			paths: map[string]string{"GET /api/dashboards/uid/otelmon-shop": `{"dashboard": ` + strings.Replace(shop, `"expr": "up"`, `"expr": "up{"`, 1) + `}`},
			want:  `panel Rate, B: POST /api/ds/query: 400 Bad Request: {"results": {"A": {"status": 400, "error": "bad_data: parse error"}}}`,
		},
		"a data source with another uid": {
			paths: map[string]string{"GET /api/datasources": `[{"uid": "p", "type": "prometheus", "jsonData": {"timeInterval": "60s"}}]`},
			want:  "panel Rate, A: POST /api/ds/query: 404 Not Found",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults, out, err := run(t, healthy().with(test.paths, test.data), "secret", true, "otelmon-shop")
			if faults == 0 || err != nil || !strings.Contains(out, test.want) {
				t.Errorf("got %d faults and %v, want one with %q:\n%s", faults, err, test.want, out)
			}
		})
	}
}

func TestCheckAllowsForWhatCannotBeThereYet(t *testing.T) {
	t.Parallel()
	quiet := strings.Replace(shop, `"expr": "up"`, `"expr": "ALERTS"`, 1)
	s := healthy().with(map[string]string{
		"GET /api/dashboards/uid/otelmon-shop":                   `{"dashboard": ` + quiet + `}`,
		"GET /api/datasources/proxy/uid/loki/loki/api/v1/labels": "",
	}, map[string]string{"instant ALERTS": ""})
	faults, out, err := run(t, s, "secret", false, "otelmon-shop")
	if faults != 0 || err != nil {
		t.Errorf("got %d faults and %v, want none:\n%s", faults, err, out)
	}
	if want := "dashboard otelmon-shop: 4 queries; 1 empty: no alert fires\n"; !strings.Contains(out, want) {
		t.Errorf("the output lacks %q:\n%s", want, out)
	}
}

// Without LLM the calls of models may be missing, with it they may not.
func TestCheckRequiresCallsOfModels(t *testing.T) {
	t.Parallel()
	calls := strings.Replace(shop, `"expr": "up"`, `"expr": "llm_calls"`, 1)
	s := healthy().with(
		map[string]string{"GET /api/dashboards/uid/otelmon-shop": `{"dashboard": ` + calls + `}`},
		map[string]string{"instant llm_calls": ""})
	for _, required := range []bool{false, true} {
		web := httptest.NewServer(s)
		t.Cleanup(web.Close)
		var out strings.Builder
		c := check.Check{
			Client:     &check.Client{URL: web.URL, User: "admin", Password: "secret", HTTP: web.Client()},
			Dashboards: []string{"otelmon-shop"}, Span: 15 * time.Minute, LLM: required, Out: &out,
		}
		faults, err := c.Run(t.Context())
		if err != nil || (faults > 0) != required {
			t.Errorf("calls required: %v; got %d faults, %v:\n%s", required, faults, err, out.String())
		}
	}
}

func TestCheckEndsWhereThereIsNoUseInGoingOn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		paths    map[string]string
		password string
		want     string
	}{
		"Grafana's database is broken": {map[string]string{"GET /api/health": `{"database": "failing"}`}, "secret", `grafana: the database of Grafana is "failing"`},
		"something else answers":       {map[string]string{"GET /api/health": `<html>`}, "secret", "grafana: GET /api/health: read response"},
		"the password is wrong":        {nil, "guess", "list data sources: GET /api/datasources: 401 Unauthorized"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, out, err := run(t, healthy().with(test.paths, nil), test.password, true, "otelmon-shop")
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %q:\n%s", err, test.want, out)
			}
		})
	}
}

// Over the shipped dashboards: each reason to be empty is one that is needed, and
// none covers what every service with traffic has.
func TestCheckExpectsWhatEveryServiceHas(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	s := healthy()
	s.silent = true
	var uids []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		uid := "otelmon-" + strings.TrimSuffix(filepath.Base(file), ".json")
		uids = append(uids, uid)
		s.paths["GET /api/dashboards/uid/"+uid] = `{"dashboard": ` + string(text) + `}`
	}
	_, out, err := run(t, s, "secret", true, uids...)
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{
		"no alert fires", "nobody calls a model", "the stack is young", "nothing failed",
		"nobody opens a stream", "all services are selected", "nothing is missing",
	} {
		if !strings.Contains(out, "empty: "+reason) {
			t.Errorf("no query is empty because %s", reason)
		}
	}
	for _, query := range []string{
		"dashboard otelmon-service, panel Requests, A", "dashboard otelmon-service, panel Errors, A",
		"dashboard otelmon-service, panel P99, A", "dashboard otelmon-service, variable service",
		"dashboard otelmon-service, annotation Deployments", "dashboard otelmon-overview, panel Regions on the map, A",
		"dashboard otelmon-runtime, panel Goroutines, A", "dashboard otelmon-pipeline, panel Accepted, A",
	} {
		if !strings.Contains(out, "FAULT "+query+": no data") {
			t.Errorf("%s may be empty", query)
		}
	}
}
