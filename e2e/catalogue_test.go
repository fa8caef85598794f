package e2e_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/golden"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A catalogue has the labels of every metric of a job. That of services with
// otelmon is called otelmon, by whichever path they come.
type catalogue map[string]map[string][]string

const (
	catalogueFile = "../dashboards/testdata/catalogue.json"
	libraryJob    = "otelmon"
)

// stackJobs are those of the programs of other projects.
var stackJobs = []string{"alertmanager", "collector", "prometheus"}

func readCatalogue(t *testing.T) catalogue {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(catalogueFile))
	if err != nil {
		t.Fatalf("%v; run the test with -update to write it", err)
	}
	var c catalogue
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatalf("%s: %v", catalogueFile, err)
	}
	return c
}

// byMachine are labels of target_info that depend on where the test runs.
var byMachine = []string{"container_id", "host_id", "host_name"}

// capture returns the names that a matcher finds, without recorded series.
func capture(t *testing.T, p *harness.Prometheus, matcher string) map[string][]string {
	t.Helper()
	series, err := p.Series(matcher)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, labels := range series {
		name := labels["__name__"]
		if strings.Contains(name, ":") || strings.HasPrefix(name, "ALERTS") {
			continue
		}
		for label := range labels {
			if label != "__name__" && !slices.Contains(byMachine, label) && !slices.Contains(found[name], label) {
				found[name] = append(found[name], label)
			}
		}
		slices.Sort(found[name])
	}
	return found
}

// captureLibrary returns what services tell in one environment.
func captureLibrary(t *testing.T, p *harness.Prometheus, environment string) map[string][]string {
	t.Helper()
	return capture(t, p, fmt.Sprintf(`{deployment_environment_name=%q}`, environment))
}

// pushedOnly are names of services that push their metrics, of how that goes.
const pushedOnly = "otel_sdk_exporter_metric_data_point_"

// testCatalogue wants the catalogue that the linter of dashboards and rules goes
// by to be what programs emit.
func testCatalogue(t *testing.T, p *harness.Prometheus) {
	library := captureLibrary(t, p, both)
	for _, path := range []string{scraped, pushed} {
		other := captureLibrary(t, p, path)
		for _, name := range slices.Concat(absentNames(library, other), absentNames(other, library)) {
			if path == pushed || !strings.HasPrefix(name, pushedOnly) {
				t.Errorf("%s is there by both paths or by %s alone, and not by the other", name, path)
			}
		}
	}
	got := catalogue{libraryJob: captureLibrary(t, p, native)}
	maps.Copy(got[libraryJob], library)
	for _, job := range stackJobs {
		got[job] = capture(t, p, fmt.Sprintf(`{job=%q}`, job))
	}
	addRare(t, got["collector"])
	keepUnused(t, got)
	text, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, filepath.FromSlash(catalogueFile), append(text, '\n'))
}

// absentNames returns the metrics and the labels in want that are not in got.
func absentNames(want, got map[string][]string) (names []string) {
	for _, name := range sorted(want) {
		if _, ok := got[name]; !ok {
			names = append(names, name)
			continue
		}
		for _, label := range want[name] {
			if !slices.Contains(got[name], label) {
				names = append(names, name+"{"+label+"}")
			}
		}
	}
	return names
}

// rare are metrics of the Collector that exist only when it is out of memory or
// of disk, or sends logs to Loki, by others that have the same labels. That the
// Collector still knows them is seen from its program.
var rare = map[string]string{
	"otelcol_exporter_enqueue_failed_%s_total":          "otelcol_exporter_sent_%s_total",
	"otelcol_exporter_send_failed_%s_total":             "otelcol_exporter_send_failed_spans_total",
	"otelcol_processor_memory_limiter_refused_%s_total": "otelcol_processor_memory_limiter_accepted_%s_total",
}

// addRare adds what is not there already.
func addRare(t *testing.T, collector map[string][]string) {
	t.Helper()
	program, err := os.ReadFile(harness.Tool(t, "collector"))
	if err != nil {
		t.Fatal(err)
	}
	for name, like := range rare {
		for _, items := range []string{"spans", "metric_points", "log_records"} {
			one, other := strings.ReplaceAll(name, "%s", items), strings.ReplaceAll(like, "%s", items)
			if _, ok := collector[one]; ok {
				continue
			}
			if collector[other] == nil || !bytes.Contains(program, []byte(strings.TrimSuffix(one, "_total"))) {
				t.Errorf("%s is no metric of the Collector, or %s is not", one, other)
			}
			collector[one] = collector[other]
		}
	}
}

var word = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*`)

// keepUnused leaves names of other projects' programs as they are in the
// catalogue when neither rules nor dashboards use them: some exist only at times.
func keepUnused(t *testing.T, got catalogue) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		return
	}
	used, kept := wordsInUse(t), readCatalogue(t)
	for _, job := range stackJobs {
		unused := func(name string, _ []string) bool { return !used[name] }
		maps.DeleteFunc(got[job], unused)
		maps.DeleteFunc(kept[job], func(name string, labels []string) bool { return !unused(name, labels) })
		maps.Copy(got[job], kept[job])
	}
}

// wordsInUse are all that rules and dashboards consist of.
func wordsInUse(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, pattern := range []string{"deploy/prometheus/rules/*.yml", "deploy/grafana/dashboards/*.json"} {
		files, err := filepath.Glob(filepath.Join(harness.Root(t), filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range word.FindAllString(string(text), -1) {
				used[name] = true
			}
		}
	}
	return used
}
