package doctor_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/doctor"
)

// documented checks that users find a finding in the documentation, in the table
// of its part.
func documented(t *testing.T, f doctor.Finding) {
	t.Helper()
	page, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	part := f.Part
	if f.Check == "unfinished" {
		part = "all parts"
	}
	_, table, _ := strings.Cut(string(page), "\n### "+part+"\n")
	table, _, _ = strings.Cut(table, "\n### ")
	row := regexp.MustCompile("(?m)^\\| [^|]*`" + regexp.QuoteMeta(f.Check) + "`")
	if !row.MatchString(table) {
		t.Errorf("docs/doctor.md has no row for %s of %s", f.Check, f.Part)
	}
}
