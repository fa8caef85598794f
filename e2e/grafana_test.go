package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

// dataSource is one that Grafana is provisioned with. Grafana ignores fields that
// it does not know, so these tests know exactly the ones that are used.
type dataSource struct {
	Name, UID, Type, Access, URL string
	IsDefault                    bool `yaml:"isDefault"`
	Editable                     bool
	JSON                         struct {
		HTTPMethod     string `yaml:"httpMethod"`
		PrometheusType string `yaml:"prometheusType"`
		TimeInterval   string `yaml:"timeInterval"`
		ManageAlerts   bool   `yaml:"manageAlerts"`
		RecordingRules bool   `yaml:"allowAsRecordingRulesTarget"`
		Exemplars      []struct {
			Name  string
			UID   string `yaml:"datasourceUid"`
			Label string `yaml:"urlDisplayLabel"`
		} `yaml:"exemplarTraceIdDestinations"`
		ToMetrics  *traceLink `yaml:"tracesToMetrics"`
		ToLogs     *traceLink `yaml:"tracesToLogsV2"`
		ServiceMap struct {
			UID string `yaml:"datasourceUid"`
		} `yaml:"serviceMap"`
		NodeGraph     struct{ Enabled bool } `yaml:"nodeGraph"`
		MaxLines      int                    `yaml:"maxLines"`
		DerivedFields []struct {
			Name, URL    string
			MatcherType  string `yaml:"matcherType"`
			MatcherRegex string `yaml:"matcherRegex"`
			UID          string `yaml:"datasourceUid"`
			Label        string `yaml:"urlDisplayLabel"`
		} `yaml:"derivedFields"`
		Implementation string
		GrafanaManaged bool `yaml:"handleGrafanaManagedAlerts"`
	} `yaml:"jsonData"`
}

// traceLink leads from a span to another data source.
type traceLink struct {
	UID         string `yaml:"datasourceUid"`
	Start       string `yaml:"spanStartTimeShift"`
	End         string `yaml:"spanEndTimeShift"`
	Tags        []struct{ Key, Value string }
	Queries     []struct{ Name, Query string }
	CustomQuery bool `yaml:"customQuery"`
	Query       string
}

// dataSources reads the provisioned data sources strictly.
func dataSources(t *testing.T) map[string]dataSource {
	t.Helper()
	var file struct {
		Version int `yaml:"apiVersion"`
		Prune   bool
		Sources []dataSource `yaml:"datasources"`
	}
	readStrict(t, "deploy/grafana/provisioning/datasources/datasources.yaml", &file)
	sources := map[string]dataSource{}
	for _, s := range file.Sources {
		sources[s.UID] = s
	}
	if file.Version != 1 || len(sources) != len(file.Sources) {
		t.Errorf("version %d, and %d uids of %d data sources", file.Version, len(sources), len(file.Sources))
	}
	return sources
}

// readStrict reads a YAML file in which an unknown field is an error.
func readStrict(t *testing.T, file string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(readFile(t, file)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestGrafanaDataSources(t *testing.T) {
	t.Parallel()
	sources := dataSources(t)
	for _, kind := range []string{"prometheus", "tempo", "loki", "alertmanager"} {
		s, ok := sources[kind]
		if !ok || s.Type != kind || s.Access != "proxy" || s.Editable {
			t.Errorf("data source %s: got %+v, want one of this type, by proxy and not editable", kind, s)
		}
		if s.IsDefault != (kind == "prometheus") {
			t.Errorf("data source %s: default %v", kind, s.IsDefault)
		}
	}
	if len(sources) != 4 {
		t.Errorf("got %d data sources, want 4", len(sources))
	}
	if am := sources["alertmanager"].JSON; am.Implementation != "prometheus" || am.GrafanaManaged {
		t.Error("Grafana's own alerts go to Alertmanager, or it is taken for another implementation")
	}
}

// Links between data sources name each other, labels that exist, and escape
// Grafana's variables, which its provisioning would replace with nothing.
func TestGrafanaLinksBetweenDataSources(t *testing.T) {
	t.Parallel()
	sources := dataSources(t)
	exemplars := sources["prometheus"].JSON.Exemplars
	if len(exemplars) != 1 || exemplars[0].Name != "trace_id" || exemplars[0].UID != "tempo" {
		t.Errorf("exemplars lead to %+v", exemplars)
	}
	tempo := sources["tempo"].JSON
	if tempo.ServiceMap.UID != "prometheus" || !tempo.NodeGraph.Enabled {
		t.Error("there is no service map or no node graph")
	}
	if tempo.ToMetrics.UID != "prometheus" || len(tempo.ToMetrics.Queries) == 0 {
		t.Errorf("spans lead to the metrics of %q", tempo.ToMetrics.UID)
	}
	for _, q := range tempo.ToMetrics.Queries {
		if !strings.Contains(q.Query, "{$$__tags}") {
			t.Errorf("%s: the query does not hold {$$__tags}: %s", q.Name, q.Query)
		}
	}
	for _, tag := range append(tempo.ToMetrics.Tags, tempo.ToLogs.Tags...) {
		if strings.ReplaceAll(tag.Key, ".", "_") != tag.Value {
			t.Errorf("the attribute %s is the label %s", tag.Key, tag.Value)
		}
	}
	logs := tempo.ToLogs
	if logs.UID != "loki" || !logs.CustomQuery || logs.Query != `{$${__tags}} | trace_id="$${__trace.traceId}"` {
		t.Errorf("spans lead to the logs %+v", logs)
	}
	fields := sources["loki"].JSON.DerivedFields
	if len(fields) != 1 || fields[0].UID != "tempo" || fields[0].MatcherType != "label" || fields[0].MatcherRegex != "trace_id" || fields[0].URL != "$${__value.raw}" {
		t.Errorf("log records lead to %+v", fields)
	}
}

// What a span leads to is recorded by a rule.
func TestGrafanaTraceQueriesAreRecorded(t *testing.T) {
	t.Parallel()
	var rules strings.Builder
	files, err := filepath.Glob(filepath.Join(harness.Root(t), "deploy/prometheus/rules/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, file := range files {
		rules.WriteString(readFile(t, "deploy/prometheus/rules/"+filepath.Base(file)))
	}
	for _, q := range dataSources(t)["tempo"].JSON.ToMetrics.Queries {
		_, rest, _ := strings.Cut(q.Query, ") (")
		name, _, _ := strings.Cut(rest, "{")
		if !strings.Contains(rules.String(), "record: "+name+"\n") {
			t.Errorf("%s: no rule records %s", q.Name, name)
		}
	}
}

// Loki makes labels of the attributes that spans are looked up by, and of nothing
// that would make streams without end.
func TestLokiIndexesWhatLinksNeed(t *testing.T) {
	t.Parallel()
	var config struct {
		Limits struct {
			Structured bool `yaml:"allow_structured_metadata"`
			OTLP       struct {
				Resource struct {
					IgnoreDefaults bool `yaml:"ignore_defaults"`
					Attributes     []struct {
						Action     string
						Attributes []string
					} `yaml:"attributes_config"`
				} `yaml:"resource_attributes"`
			} `yaml:"otlp_config"`
		} `yaml:"limits_config"`
	}
	readYAML(t, "deploy/loki/loki.yaml", &config)
	resource := config.Limits.OTLP.Resource
	if !config.Limits.Structured || !resource.IgnoreDefaults || len(resource.Attributes) != 1 || resource.Attributes[0].Action != "index_label" {
		t.Fatalf("got %+v, want the labels chosen here and the rest as structured metadata", config.Limits)
	}
	labels := resource.Attributes[0].Attributes
	for _, tag := range dataSources(t)["tempo"].JSON.ToLogs.Tags {
		if !slices.Contains(labels, tag.Key) {
			t.Errorf("%s is no label of Loki, which has %v", tag.Key, labels)
		}
	}
	for _, unbounded := range []string{"service.instance.id", "k8s.pod.name", "service.version"} {
		if slices.Contains(labels, unbounded) {
			t.Errorf("%s is a label, of which there are more with every start", unbounded)
		}
	}
}

func TestGrafanaDashboardsAreProvisioned(t *testing.T) {
	t.Parallel()
	var file struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name, Type, Folder string
			FolderUID          string `yaml:"folderUid"`
			DisableDeletion    bool   `yaml:"disableDeletion"`
			AllowUIUpdates     bool   `yaml:"allowUiUpdates"`
			Seconds            int    `yaml:"updateIntervalSeconds"`
			Options            struct{ Path string }
		}
	}
	readStrict(t, "deploy/grafana/provisioning/dashboards/dashboards.yaml", &file)
	p := file.Providers[0]
	if len(file.Providers) != 1 || p.Type != "file" || p.FolderUID != "otelmon" || p.AllowUIUpdates {
		t.Errorf("got %+v, want files in the folder otelmon that cannot be saved over", file.Providers)
	}
	service := compose(t).Services["grafana"]
	if got := mounted(t, service, p.Options.Path); got != "deploy/grafana/dashboards" {
		t.Errorf("dashboards are read from %s", got)
	}
	home := *service.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	readFile(t, mounted(t, service, home))
}
