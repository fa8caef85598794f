package yamlfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/yamlfile"
)

type garden struct {
	Name string `yaml:"name"`
	Beds []bed  `yaml:"beds"`
	Gate struct {
		Locked bool `yaml:"locked"`
	} `yaml:"gate"`
}

type bed struct {
	Plant string        `yaml:"plant"`
	Width float64       `yaml:"width"`
	Water time.Duration `yaml:"water"`
	Tags  []string      `yaml:"tags"`
}

const good = `name: south
beds:
  - {plant: leek, width: 1.5}
  - plant: kale
    water: 30s
gate: {locked: true}
`

func TestParse(t *testing.T) {
	t.Parallel()
	var got garden
	document, err := yamlfile.Parse([]byte(good), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := garden{Name: "south", Beds: []bed{{Plant: "leek", Width: 1.5}, {Plant: "kale", Water: 30 * time.Second}}}
	want.Gate.Locked = true
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for field, want := range map[string]int{"name": 1, "beds[0].width": 3, "beds[1].water": 5, "beds[1].width": 4, "beds[2]": 2, "gate.locked": 6, "hill": 1} {
		if got := document.Line(field); got != want {
			t.Errorf("line of %s: got %d, want %d", field, got, want)
		}
	}
	var none *yamlfile.Document
	if got := none.Line("name"); got != 0 {
		t.Errorf("line of no document: got %d, want 0", got)
	}
}

func TestProblemsAreToldByLine(t *testing.T) {
	t.Parallel()
	document, err := yamlfile.Parse([]byte(good), new(garden))
	if err != nil {
		t.Fatal(err)
	}
	var found yamlfile.Problems
	if err := document.Error(found); err != nil {
		t.Errorf("without problems: %v", err)
	}
	found.Add("beds[1].water", "%q; accepted: more", "30s")
	found.Add("name", "too plain")
	const want = "line 1: name: too plain\nline 5: beds[1].water: \"30s\"; accepted: more"
	if err := document.Error(found); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ document, want string }{
		"an unknown field":                 {"title: x", "line 1: title: no such field; accepted: name, beds, gate"},
		"an unknown field of an element":   {"beds:\n  - {plant: x}\n  - {plan: x}", "line 3: beds[1].plan: no such field; accepted: plant, width, water, tags"},
		"an unknown field of a struct":     {"gate: {open: true}", "line 1: gate.open: no such field; accepted: locked"},
		"several faults":                   {"x: 1\ny: 2", "line 1: x: no such field; accepted: name, beds, gate\nline 2: y: no such field; accepted: name, beds, gate"},
		"a text for a number":              {"beds: [{plant: wide, width: wide-or-not-so-wide}]", "line 1: beds[0].width: the value does not fit; accepted: a number"},
		"a number for a duration":          {"beds:\n  - plant: a\n    water: 5", "line 3: beds[0].water: the value does not fit; accepted: a duration such as 30s"},
		"a text for a switch":              {"gate: {locked: perhaps}", "line 1: gate.locked: the value does not fit; accepted: true or false"},
		"a text for a list":                {"beds: [{tags: a}]", "line 1: beds[0].tags: the value does not fit; accepted: a list"},
		"a list for a text":                {"name:\n  - a", "line 2: name[0]: the value does not fit; accepted: a text"},
		"a list for a struct":              {"gate: []", "line 1: gate: the value does not fit; accepted: fields with values"},
		"a list for everything":            {"- a", "line 1: the value does not fit; accepted: fields with values"},
		"a field twice":                    {"name: a\nname: b", "line 2: mapping key \"name\" already defined at line 1"},
		"a second document":                {"name: a\n---\nname: b", "line 2: a second document; accepted: one"},
		"a second document that is broken": {"name: a\n---\n[", "line 3: did not find expected node content"},
		"what is no YAML":                  {"\n\t", "line 2: found character that cannot start any token"},
		"what is too long":                 {strings.Repeat("#", 1<<20+1), "line 1: longer than 1048576 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document, err := yamlfile.Parse([]byte(test.document), new(garden))
			if err == nil || err.Error() != test.want || document != nil {
				t.Errorf("got\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestNothingLeavesTheStructAsItIs(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# a comment", "null", "---"} {
		got := garden{Name: "default"}
		document, err := yamlfile.Parse([]byte(text), &got)
		if err != nil || got.Name != "default" {
			t.Errorf("%q: got %+v, %v", text, got, err)
			continue
		}
		if line := document.Line("name"); line != 1 {
			t.Errorf("%q: got line %d, want 1", text, line)
		}
	}
}

func TestReadTellsTheFile(t *testing.T) {
	t.Parallel()
	path, long := filepath.Join(t.TempDir(), "garden.yaml"), filepath.Join(t.TempDir(), "long.yaml")
	for path, content := range map[string]string{path: "name: a\ntitle: b", long: strings.Repeat("#", 1<<20+1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		path:           path + ":2: title: no such field",
		long:           long + ":1: longer than 1048576 bytes",
		path + ".none": "reading the configuration: open " + path + ".none: ",
		t.TempDir():    "reading the configuration: read ",
	} {
		if _, err := yamlfile.Read(path, new(garden)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("beds: &a [*a]\nname: {a: b}\ngate: [1]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		document, err := yamlfile.Parse(data, new(garden))
		if (document == nil) == (err == nil) {
			t.Fatalf("got document %v and error %v, want one of them", document, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("no line in %q", err)
		}
		if document != nil && document.Line("beds[1].tags[0]") < 1 {
			t.Error("no line of a field")
		}
	})
}
