// Package golden compares what a test made with a file, or rewrites the file when the test runs with -update.
package golden

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//nolint:gochecknoglobals // a flag has to be defined before the tests start
var update = flag.Bool("update", false, "rewrite the golden files instead of comparing with them")

// Check fails the test when the file at path, relative to the package's folder, differs from got, and shows how. With
// -update it writes got to the file instead, and makes the folder if there is none.
func Check(t testing.TB, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update to write it", err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s is out of date; run the test with -update (- file, + now):\n%s", path, cmp.Diff(lines(want), lines(got)))
	}
}

// lines makes cmp show whole lines, and only those that differ.
func lines(text []byte) []string { return strings.SplitAfter(string(text), "\n") }

// CheckErrors checks the errors that read has for each document of a file, such as
// "testdata/errors.yaml", by "testdata/errors.golden". Documents begin after a line
// of "### " and a name. Each is read from a file of its own, which errors call
// "file" and the extension.
func CheckErrors(t testing.TB, path string, read func(path string) error) {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	folder, extension := t.TempDir()+string(filepath.Separator), filepath.Ext(path)
	file := folder + "file" + extension
	var told strings.Builder
	for part := range strings.SplitSeq(strings.TrimPrefix(string(all), "### "), "\n### ") {
		name, document, _ := strings.Cut(part, "\n")
		if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := read(file); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			told.WriteString("### " + name + "\n" + strings.ReplaceAll(err.Error(), folder, "") + "\n")
		}
	}
	Check(t, strings.TrimSuffix(path, extension)+".golden", []byte(told.String()))
}
