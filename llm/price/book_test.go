package price_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/llm/price"
)

func TestOver(t *testing.T) {
	t.Parallel()
	file := parse(t, `
models:
  - provider: deepseek
    name: deepseek-flash
    currency: CNY
    prices: [{from: 2026-10-01, input: 1, output: 4}]
  - provider: "*"
    name: claude-opus-5
    currency: EUR
    prices: [{from: 2026-01-01, input: 7, output: 7}]
`)
	book := file.Over(price.Default())
	for name, test := range map[string]struct {
		provider, model, at, currency, source string
	}{
		"the file's price goes first":           {"deepseek", "deepseek-flash", "2026-11-20T00:00:00Z", "CNY", "file"},
		"with a date in the name too":           {"deepseek", "deepseek-flash-20261017", "2026-11-20T00:00:00Z", "CNY", "file"},
		"the default's price before the file's": {"deepseek", "deepseek-flash", "2026-09-20T00:00:00Z", "USD", "default"},
		"the default's models are still there":  {"deepseek", "deepseek-v4-pro", "2026-11-20T00:00:00Z", "USD", "default"},
		"an alias stays within its file":        {"deepseek", "deepseek-v4-flash", "2026-11-20T00:00:00Z", "USD", "default"},
		"any provider of the file goes first":   {"anthropic", "claude-opus-5", "2026-11-20T00:00:00Z", "EUR", "file"},
		"a model neither of them has":           {"deepseek", "deepseek-v9", "2026-11-20T00:00:00Z", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rates, ok := book.Rates(test.provider, test.model, instant(t, test.at))
			if known := test.source != ""; ok != known || rates.Currency != test.currency || rates.Source != test.source {
				t.Errorf("Rates = %+v, %t, want currency %q, source %q", rates, ok, test.currency, test.source)
			}
		})
	}
	if rates, _ := price.Default().Rates("deepseek", "deepseek-flash", instant(t, "2026-11-20T00:00:00Z")); rates.Source != "default" {
		t.Errorf("Over changed the book below: %+v", rates)
	}
}

func TestNilBookKnowsNoPrice(t *testing.T) {
	t.Parallel()
	var none *price.Book
	at := instant(t, "2026-11-20T00:00:00Z")
	if rates, ok := none.Rates("deepseek", "deepseek-flash", at); ok {
		t.Errorf("Rates = %+v", rates)
	}
	if names := none.Models("deepseek"); len(names) > 0 {
		t.Errorf("Models = %v", names)
	}
	if _, ok := none.Over(none).Rates("deepseek", "deepseek-flash", at); ok {
		t.Error("nothing over nothing knows a price")
	}
	if _, ok := none.Over(price.Default()).Rates("deepseek", "deepseek-flash", at); !ok {
		t.Error("nothing over the default hides it")
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	book, err := price.ReadFile(write("good.yaml", models))
	if err != nil {
		t.Fatal(err)
	}
	if names := book.Models("openai"); len(names) == 0 {
		t.Error("the book is empty")
	}
	for name, path := range map[string]string{
		"a file that is not there":      filepath.Join(dir, "absent.yaml"),
		"a directory":                   dir,
		"a file that is no book":        write("bad.yaml", "models: 1"),
		"a file larger than a mebibyte": write("large.yaml", models+strings.Repeat("#", 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := price.ReadFile(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("ReadFile: %v, want an error that names %s", err, path)
			}
		})
	}
}

// Not parallel: AllocsPerRun counts the allocations of the whole process.
func TestLookupsAllocateNothing(t *testing.T) {
	book := parse(t, models).Over(price.Default())
	at := instant(t, "2026-11-20T02:00:00Z")
	for name, model := range map[string]string{
		"a known model":                    "deepseek-flash",
		"a known model in upper case":      "DEEPSEEK-FLASH",
		"a known model with a date":        "deepseek-flash-2026-10-17",
		"a model billed as another":        "deepseek-v4-flash",
		"an unknown model":                 "deepseek-unknown",
		"an unknown model of a great name": strings.Repeat("m", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, func() { book.Rates("deepseek", model, at) }); n > 0 {
				t.Errorf("%v allocations a lookup", n)
			}
		})
	}
}

func BenchmarkRates(b *testing.B) {
	book := price.Default().Over(price.Default())
	for name, test := range map[string]struct {
		model string
		at    time.Time
	}{
		"peak":     {"deepseek-flash", time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)},
		"off-peak": {"deepseek-flash", time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)},
		"alias":    {"DeepSeek-V4-Flash-20260731", time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)},
		"unknown":  {"gpt-unknown", time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				book.Rates("deepseek", test.model, test.at)
			}
		})
	}
}
