package price_test

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/llm/price"
)

func TestParseErrors(t *testing.T) {
	t.Parallel()
	const (
		model  = "models:\n  - provider: p\n    name: m\n    currency: USD\n    prices:\n"
		from   = "      - from: 2026-01-01\n"
		valid  = from + "        input: 1\n        output: 2\n"
		window = "windows:\n  - name: w\n    time_zone: \"+08:00\"\n"
	)
	for name, test := range map[string]struct {
		file string
		want []string // parts of the error, which begins with the first
	}{
		"an empty file":           {"", []string{"not a YAML document"}},
		"no YAML":                 {"models: [", []string{"not a YAML document", "line 1"}},
		"two documents":           {"models: []\n---\nmodels: []\n", []string{"more than one YAML document"}},
		"a list at the top":       {"- 1\n", []string{"line 1: price book: want a mapping of windows, models"}},
		"an unknown field":        {"models: []\nprices: []\n", []string{"line 2: price book", `unknown field "prices"`, "want windows, models"}},
		"a field given twice":     {"models: []\nmodels: []\n", []string{"line 2: price book: models is given twice"}},
		"models that are no list": {"models: 7\n", []string{`line 1: price book: models is "7", want a list`}},
		"a model that is no mapping": {
			"models:\n  - m\n", []string{"line 2: model: want a mapping of provider, name"},
		},
		"no name":           {"models:\n  - provider: p\n", []string{"line 2: model: name is missing, want 1 to 128 printable"}},
		"a name with space": {"models:\n  - name: a b\n", []string{`line 2: model: name is "a b"`}},
		"a long name":       {"models:\n  - name: " + strings.Repeat("a", 129) + "\n", []string{"line 2: model: name is"}},
		"no provider":       {"models:\n  - name: m\n", []string{`line 2: model "m": provider is missing`, "gen_ai.provider.name"}},
		"a provider in upper case": {
			"models:\n  - name: m\n    provider: DeepSeek\n", []string{`line 3: model "m": provider is "DeepSeek"`, "in lower case"},
		},
		"no currency": {
			"models:\n  - name: m\n    provider: p\n    prices:\n" + valid, []string{`line 2: model "m": currency is missing`, "ISO 4217"},
		},
		"a currency that is a sign": {
			strings.Replace(model, "USD", "$", 1) + valid, []string{`line 4: model "m": currency is "$"`, "USD"},
		},
		"no prices":            {model + "      []\n", []string{`line 6: model "m": prices: want a list of at least one price`}},
		"no time":              {model + "      - input: 1\n", []string{`line 6: model "m": from is missing`, "2026-08-16T16:00:00Z"}},
		"a time of no day":     {model + "      - from: 2026-02-30\n", []string{`line 6: model "m": from is "2026-02-30"`}},
		"no input price":       {model + from, []string{`line 6: model "m": input is missing, want a price`}},
		"no output price":      {model + from + "        input: 1\n", []string{`line 6: model "m": output is missing`}},
		"a negative price":     {model + from + "        input: -1\n        output: 1\n", []string{`line 7: model "m": input is "-1"`, "from 0 to 1000000000"}},
		"a price that is NaN":  {model + valid + "        reasoning: NaN\n", []string{`line 9: model "m": reasoning is "NaN"`}},
		"a price that is .nan": {model + valid + "        reasoning: .nan\n", []string{`line 9: model "m": reasoning is ".nan"`}},
		"an infinite price":    {model + valid + "        cached_input: Inf\n", []string{`line 9: model "m": cached_input is "Inf"`}},
		"a huge price":         {model + valid + "        cache_write: 1e10\n", []string{`line 9: model "m": cache_write is "1e10"`}},
		"an empty price":       {model + valid + "        cache_write_1h:\n", []string{`line 9: model "m": cache_write_1h is ""`}},
		"a list of prices":     {model + valid + "        cache_write: [1]\n", []string{`line 9: model "m": cache_write: want a price`}},
		"a misspelt class":     {model + valid + "        cached: 1\n", []string{`line 9: model "m": unknown field "cached"`, "cached_input"}},
		"times in no order":    {model + valid + valid, []string{`line 9: model "m": from is "2026-01-01", want a time after`}},
		"a source that is empty": {
			model + valid + "        source: ''\n", []string{`line 9: model "m": source is ""`, "the number of a contract"},
		},
		"a day of reading that is none": {
			model + valid + "        read: today\n", []string{`line 9: model "m": read is "today"`},
		},
		"the same name twice": {
			model + valid + strings.TrimPrefix(model, "models:\n") + valid, []string{`line 9: model "m": "m" is already listed`},
		},
		"an alias that is a name": {
			model + valid + "    aliases: [n, M]\n", []string{`line 9: model "m": "m" is already listed`},
		},
		"an alias that is no name":   {model + valid + "    aliases: [[]]\n", []string{`line 9: model "m": aliases: want names of 1 to 128`}},
		"billed as an unknown model": {model + from + "        billed_as: n\n", []string{`line 7: model "m": billed_as is "n"`, "listed above"}},
		"billed as itself":           {model + from + "        billed_as: m\n", []string{`line 7: model "m": billed_as is "m"`, "listed above"}},
		"billed as another and priced": {
			model + valid + "        billed_as: m\n", []string{`line 7: model "m": input is "1", want nothing beside billed_as`},
		},
		"an exception without a condition": {
			model + valid + "        except:\n          - {input: 1, output: 1}\n", []string{`line 10: model "m": window is missing, want that or above_input_tokens`},
		},
		"an exception in no window": {
			model + valid + "        except:\n          - {window: w, input: 1, output: 1}\n", []string{`line 10: model "m": window is "w", want the name of one of the windows`},
		},
		"an exception above no tokens": {
			model + valid + "        except:\n          - {above_input_tokens: 0, input: 1, output: 1}\n", []string{`line 10: model "m": above_input_tokens is "0"`},
		},
		"an exception without output": {
			model + valid + "        except:\n          - {above_input_tokens: 9, input: 1}\n", []string{`line 10: model "m": output is missing`},
		},
		"a window without hours":         {window, []string{`line 2: window "w": hours is missing, want a list of hours`}},
		"hours that are none":            {window + "    hours: [morning]\n", []string{`line 4: window "w": hours is "morning"`, "09:00-12:00"}},
		"hours that end as they begin":   {window + "    hours: [09:00-09:00]\n", []string{`line 4: window "w": hours is "09:00-09:00"`}},
		"hours that begin at 24:00":      {window + "    hours: [24:00-09:00]\n", []string{`line 4: window "w": hours is "24:00-09:00"`}},
		"hours past the day":             {window + "    hours:\n      - 09:00-12:00\n      - 09:00-25:00\n", []string{`line 6: window "w": hours is "09:00-25:00"`}},
		"a window without a zone":        {"windows: [{name: w}]\n", []string{`line 1: window "w": time_zone is missing`}},
		"a zone nobody knows":            {"windows: [{name: w, time_zone: Asia/Peking}]\n", []string{`line 1: window "w": time_zone is "Asia/Peking"`, "+08:00"}},
		"the zone of the machine":        {"windows: [{name: w, time_zone: Local}]\n", []string{`line 1: window "w": time_zone is "Local"`}},
		"a day of the week that is none": {window + "    hours: [09:00-12:00]\n    weekdays: [monday]\n", []string{`line 5: window "w": weekdays is "monday"`, "mon, tue"}},
		"a holiday that is no day":       {window + "    hours: [09:00-12:00]\n    holidays: [2026-13-01]\n", []string{`line 5: window "w": holidays is "2026-13-01"`}},
		"holidays that end before they begin": {
			window + "    hours: [09:00-12:00]\n    extra_days: [2026-10-07..2026-10-01]\n", []string{`line 5: window "w": extra_days is "2026-10-07..2026-10-01"`},
		},
		"holidays until no day": {window + "    holidays_until: ever\n", []string{`line 4: window "w": holidays_until is "ever"`}},
		"two windows of a name": {
			window + "    hours: [09:00-12:00]\n" + strings.TrimPrefix(window, "windows:\n"), []string{`line 5: window "w": name is "w", want a name no other`},
		},
		"a reference instead of a list": {"windows: &a []\nmodels: *a\n", []string{"line 2: price book: models: want a list"}},
		"more than a mebibyte":          {strings.Repeat("#", 1<<20+1), []string{"larger than 1048576 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book, err := price.Parse([]byte(test.file))
			if err == nil || book != nil || !strings.HasPrefix(err.Error(), test.want[0]) {
				t.Fatalf("Parse = %v, %v, want an error that begins with %q", book, err, test.want[0])
			}
			for _, part := range test.want[1:] {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestTheDocumentedFileParses(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	file, _, _ := strings.Cut(rest, "```")
	book := parse(t, file)
	rates, ok := book.RatesFor("openai", "my-old-model", instant(t, "2026-08-03T21:00:00Z"), 300_000)
	if !ok || rates.Input != 1 || rates.Output != 5 {
		t.Errorf("Rates on a Monday night = %+v, %t", rates, ok)
	}
}

// A book that parses answers every lookup, with prices that can be calculated with.
func FuzzParse(f *testing.F) {
	f.Add([]byte(models), "openai", int64(1_800_000_000))
	f.Add([]byte("windows: [{name: w, time_zone: UTC, hours: [22:00-06:00]}]\n"+
		"models: [{provider: p, name: m, currency: USD, prices: [{from: 2026-01-01, input: 0, output: 1, "+
		"except: [{window: w, above_input_tokens: 7, input: 2, output: 2}]}]}]"), "p", int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, provider string, second int64) {
		book, err := price.Parse(data)
		if err != nil {
			return
		}
		for _, name := range book.Models(provider) {
			rates, ok := book.RatesFor(provider, name, time.Unix(second, 0), second)
			if ok == (rates == price.Rates{}) {
				t.Errorf("%q: known = %t, rates = %+v", name, ok, rates)
			}
			for _, p := range []float64{
				rates.Input, rates.CachedInput, rates.CacheWrite, rates.CacheWrite1h, rates.Output, rates.Reasoning,
			} {
				if !(p >= 0) || math.IsInf(p, 0) {
					t.Errorf("%q: rates = %+v", name, rates)
				}
			}
		}
	})
}
