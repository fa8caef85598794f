package price_test

import (
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/llm/price"
)

// classes are the prices of a file by class.
type classes struct {
	Input        float64
	CachedInput  float64 `yaml:"cached_input"`
	CacheWrite   float64 `yaml:"cache_write"`
	CacheWrite1h float64 `yaml:"cache_write_1h"`
	Output       float64
}

// entry is one model of the embedded file.
type entry struct {
	Provider, Name, Currency string
	Prices                   []struct {
		From      string
		Source    string
		Read      string
		BilledAs  string    `yaml:"billed_as"`
		Exception []classes `yaml:"except"`
		classes   `yaml:",inline"`
	}
}

func embedded(t *testing.T) []entry {
	t.Helper()
	data, err := os.ReadFile("prices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Models []entry }
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Models) == 0 {
		t.Fatal("no models")
	}
	return file.Models
}

// A price somebody made up, or copied from a third party, must not get in.
func TestEveryEmbeddedPriceNamesItsOfficialSource(t *testing.T) {
	t.Parallel()
	official := map[string][]string{
		"deepseek":  {"api-docs.deepseek.com"},
		"openai":    {"developers.openai.com", "platform.openai.com"},
		"anthropic": {"platform.claude.com", "docs.claude.com"},
	}
	for _, model := range embedded(t) {
		for _, p := range model.Prices {
			source, err := url.Parse(p.Source)
			if err != nil || source.Scheme != "https" || !slices.Contains(official[model.Provider], source.Host) {
				t.Errorf("%s since %s: source %q is no page of %s", model.Name, p.From, p.Source, model.Provider)
			}
			if _, err := time.Parse(time.DateOnly, p.Read); err != nil {
				t.Errorf("%s since %s: read: %v", model.Name, p.From, err)
			}
		}
	}
}

func TestEmbeddedPricesArePlausible(t *testing.T) {
	t.Parallel()
	check := func(model entry, c classes) {
		switch {
		case c.Input <= 0 || c.Input > 100 || c.Output > 500:
			t.Errorf("%s: %+v is not per 1,000,000 tokens", model.Name, c)
		case c.Output > 0 && c.Output < c.Input:
			t.Errorf("%s: output is cheaper than input: %+v", model.Name, c)
		case c.CachedInput > c.Input/2:
			t.Errorf("%s: input from the cache is hardly cheaper: %+v", model.Name, c)
		case c.CacheWrite > 0 && c.CacheWrite != c.Input*1.25:
			t.Errorf("%s: a cache write costs %v times the input", model.Name, c.CacheWrite/c.Input)
		case c.CacheWrite1h > 0 && c.CacheWrite1h != c.Input*2:
			t.Errorf("%s: a cache write of an hour costs %v times the input", model.Name, c.CacheWrite1h/c.Input)
		}
	}
	for _, model := range embedded(t) {
		if model.Currency != "USD" {
			t.Errorf("%s: currency %q", model.Name, model.Currency)
		}
		for _, p := range model.Prices {
			if p.BilledAs != "" {
				continue
			}
			check(model, p.classes)
			for _, exception := range p.Exception {
				check(model, exception)
			}
		}
	}
}

// The page of DeepSeek says: "Off-peak rates are half of the peak rates".
func TestDeepSeekIsHalfOffPeak(t *testing.T) {
	t.Parallel()
	var peaks int
	for _, model := range embedded(t) {
		for _, p := range model.Prices {
			if model.Provider != "deepseek" || len(p.Exception) == 0 {
				continue
			}
			peaks++
			want := classes{Input: p.Input * 2, CachedInput: p.CachedInput * 2, Output: p.Output * 2}
			if len(p.Exception) != 1 || p.Exception[0] != want {
				t.Errorf("%s since %s: peak %+v, want %+v", model.Name, p.From, p.Exception, want)
			}
		}
	}
	if peaks == 0 {
		t.Error("no price with a peak")
	}
}

func TestDefaultKnowsTheEmbeddedFile(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, model := range embedded(t) {
		if !slices.Contains(price.Default().Models(model.Provider), model.Name) {
			t.Errorf("Models(%q) lacks %q", model.Provider, model.Name)
		}
		if _, ok := price.Default().Rates(model.Provider, model.Name, now); !ok {
			t.Errorf("%s has no price on %s", model.Name, now.Format(time.DateOnly))
		}
	}
}
