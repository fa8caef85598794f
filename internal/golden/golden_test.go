package golden_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/golden"
)

// recorder is a testing.TB that remembers its failures.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// Fatalf does not end the goroutine: Check returns by itself after it, having nothing to compare.
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...) }

// Not parallel: it sets the flag.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "file")
	setUpdate := func(value string) {
		if err := flag.Set("update", value); err != nil {
			t.Fatal(err)
		}
	}
	was := flag.Lookup("update").Value.String()
	t.Cleanup(func() { setUpdate(was) })

	setUpdate("false")
	missing := &recorder{TB: t}
	golden.Check(missing, path, []byte("one\n"))
	if len(missing.failures) == 0 || !strings.Contains(missing.failures[0], "-update") {
		t.Errorf("without a file: got failures %q, want one that names -update", missing.failures)
	}

	setUpdate("true")
	golden.Check(t, path, []byte("one\ntwo\n"))
	if got, err := os.ReadFile(path); err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("got file %q, %v", got, err)
	}

	setUpdate("false")
	golden.Check(t, path, []byte("one\ntwo\n"))
	different := &recorder{TB: t}
	golden.Check(different, path, []byte("one\nthree\n"))
	if len(different.failures) != 1 || !strings.Contains(different.failures[0], "three") {
		t.Errorf("with another content: got failures %q, want one that shows it", different.failures)
	}
}

// Not parallel: the other test sets the flag.
func TestCheckErrors(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"errors.txt":    "### short\na\n### good\nfine\n### long\na\nb\n",
		"errors.golden": "### short\nfile.txt: got \"a\"\n### long\nfile.txt: got \"a\\nb\\n\"\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &recorder{TB: t}
	golden.CheckErrors(r, filepath.Join(folder, "errors.txt"), func(path string) error {
		document, err := os.ReadFile(path)
		if err != nil || string(document) == "fine" {
			return err
		}
		return fmt.Errorf("%s: got %q", path, document)
	})
	if diff := cmp.Diff([]string{"good: no error"}, r.failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}
