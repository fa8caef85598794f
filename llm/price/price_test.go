package price_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests of zones do not depend on the system

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/llm/price"
)

func parse(t *testing.T, file string) *price.Book {
	t.Helper()
	book, err := price.Parse([]byte(file))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return book
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestDeepSeekPeak(t *testing.T) {
	t.Parallel()
	const offPeak, peak = 0.15, 0.3
	for name, test := range map[string]struct {
		at    string
		input float64
	}{
		"off-peak until the second before the morning window":   {"2026-11-20T00:59:59Z", offPeak},
		"peak from the first second of the morning window":      {"2026-11-20T01:00:00Z", peak},
		"peak until the last second of the morning window":      {"2026-11-20T03:59:59Z", peak},
		"off-peak from the second the morning window ends":      {"2026-11-20T04:00:00Z", offPeak},
		"off-peak until the second before the afternoon window": {"2026-11-20T05:59:59Z", offPeak},
		"peak from the first second of the afternoon window":    {"2026-11-20T06:00:00Z", peak},
		"peak until the last nanosecond of the afternoon window": {
			"2026-11-20T09:59:59.999999999Z", peak,
		},
		"off-peak from the second the afternoon window ends": {"2026-11-20T10:00:00Z", offPeak},
		"off-peak on Saturdays":                              {"2026-11-21T02:00:00Z", offPeak},
		"off-peak on Sundays":                                {"2026-11-22T07:00:00Z", offPeak},
		"peak on Mondays":                                    {"2026-11-23T02:00:00Z", peak},
		"the same instant costs the same in another zone":    {"2026-11-19T20:00:00-05:00", peak},
		"off-peak on the Friday of the Mid-Autumn Festival":  {"2026-09-25T02:00:00Z", offPeak},
		"peak on the day before the Mid-Autumn Festival":     {"2026-09-24T02:00:00Z", peak},
		"off-peak on the first day of the National Day":      {"2026-10-01T02:00:00Z", offPeak},
		"off-peak on the last day of the National Day":       {"2026-10-07T09:59:59Z", offPeak},
		"peak on the day after the National Day":             {"2026-10-08T01:00:00Z", peak},
		"off-peak on a Saturday worked for a holiday":        {"2026-10-10T02:00:00Z", offPeak},
		"peak on holidays that are not known yet":            {"2027-02-08T02:00:00Z", peak},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rates, ok := price.Default().Rates("deepseek", "deepseek-flash", instant(t, test.at))
			want := price.Rates{
				Currency: "USD", Source: "default",
				Input: test.input, CachedInput: test.input / 50, CacheWrite: test.input, CacheWrite1h: test.input,
				Output: test.input * 4, Reasoning: test.input * 4,
			}
			if diff := cmp.Diff(want, rates); !ok || diff != "" {
				t.Errorf("known = %t, rates (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestDeepSeekHistory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		model, at     string
		input, output float64 // 0: unknown
	}{
		"v4-flash is unknown before its first price":       {"deepseek-v4-flash", "2026-08-12T23:59:59Z", 0, 0},
		"v4-flash costs the same at all hours in August":   {"deepseek-v4-flash", "2026-08-14T02:00:00Z", 0.14, 0.28},
		"v4-flash keeps its price until the last second":   {"deepseek-v4-flash", "2026-08-16T15:59:59Z", 0.14, 0.28},
		"v4-flash is off-peak when the new prices begin":   {"deepseek-v4-flash", "2026-08-16T16:00:00Z", 0.22, 0.66},
		"v4-flash costs double at peak":                    {"deepseek-v4-flash", "2026-08-17T01:00:00Z", 0.44, 1.32},
		"the first Saturday is peak":                       {"deepseek-v4-flash", "2026-08-22T02:00:00Z", 0.44, 1.32},
		"the Sunday after it is not":                       {"deepseek-v4-flash", "2026-08-23T02:00:00Z", 0.22, 0.66},
		"v4-flash has its own price until V4.1":            {"deepseek-v4-flash", "2026-09-10T03:59:59Z", 0.44, 1.32},
		"v4-flash is billed as flash since V4.1":           {"deepseek-v4-flash", "2026-09-10T04:00:00Z", 0.15, 0.6},
		"v4-flash has the peak hours of flash":             {"deepseek-v4-flash", "2026-09-10T06:00:00Z", 0.3, 1.2},
		"flash is unknown before V4.1":                     {"deepseek-flash", "2026-09-10T03:59:59Z", 0, 0},
		"vision-exp is unknown before it was released":     {"deepseek-v4-flash-vision-exp", "2026-08-20T23:59:59Z", 0, 0},
		"vision-exp costs what v4-flash costs":             {"deepseek-v4-flash-vision-exp", "2026-08-21T02:00:00Z", 0.44, 1.32},
		"vision-exp is billed as flash through v4-flash":   {"deepseek-v4-flash-vision-exp", "2026-09-11T00:00:00Z", 0.15, 0.6},
		"v4-pro costs the same at all hours in August":     {"deepseek-v4-pro", "2026-08-14T02:00:00Z", 0.435, 0.87},
		"v4-pro is not billed as flash after September 14": {"deepseek-v4-pro", "2026-09-15T02:00:00Z", 1.32, 3.96},
		"a name that ended has no price":                   {"deepseek-chat", "2026-09-15T02:00:00Z", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rates, ok := price.Default().Rates("deepseek", test.model, instant(t, test.at))
			if known := test.input > 0; ok != known || rates.Input != test.input || rates.Output != test.output {
				t.Errorf("Rates = input %v, output %v, known %t; want %v, %v, %t",
					rates.Input, rates.Output, ok, test.input, test.output, known)
			}
		})
	}
}

const models = `
models:
  - provider: openai
    name: GPT-base
    aliases: [gpt-alias, gpt-other-2026-02-02]
    currency: EUR
    prices:
      - {from: 2026-01-01, input: 1, output: 2}
  - provider: openai
    name: gpt-base-2026-01-31
    currency: EUR
    prices:
      - {from: 2026-01-01, input: 3, output: 4}
  - provider: "*"
    name: local
    currency: EUR
    prices:
      - {from: 2026-01-01, input: 0, output: 0}
`

func TestNames(t *testing.T) {
	t.Parallel()
	book := parse(t, models)
	for name, test := range map[string]struct {
		provider, model string
		output          float64
		known           bool
	}{
		"a listed name":          {"openai", "gpt-base", 2, true},
		"a name in another case": {"openai", "Gpt-BASE", 2, true},
		"an alias":               {"openai", "GPT-alias", 2, true},
		"an alias with a date":   {"openai", "gpt-other-2026-02-02", 2, true},
		"a date that is not listed costs the base":     {"openai", "gpt-base-2026-05-31", 2, true},
		"a date without hyphens costs the base":        {"openai", "gpt-base-20260531", 2, true},
		"an alias with a date that is not listed":      {"openai", "gpt-alias-20260531", 2, true},
		"a date that is listed has its own price":      {"openai", "gpt-base-2026-01-31", 4, true},
		"the other form of a listed date is the base":  {"openai", "gpt-base-20260131", 2, true},
		"a base that is not listed":                    {"openai", "gpt-other", 0, false},
		"seven digits are no date":                     {"openai", "gpt-base-2026053", 0, false},
		"two dates are not cut off":                    {"openai", "gpt-base-20260531-20260531", 0, false},
		"a date alone":                                 {"openai", "-2026-05-31", 0, false},
		"no name":                                      {"openai", "", 0, false},
		"a longer name":                                {"openai", "gpt-base-mini", 0, false},
		"a name longer than any listed":                {"openai", strings.Repeat("gpt-base", 1000), 0, false},
		"another provider":                             {"azure.ai.openai", "gpt-base", 0, false},
		"no provider":                                  {"", "gpt-base", 0, false},
		"any provider":                                 {"vllm", "local", 0, true},
		"any provider, of one that has models as well": {"openai", "local-2026-01-31", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rates, ok := book.Rates(test.provider, test.model, instant(t, "2026-06-01T00:00:00Z"))
			if ok != test.known || rates.Output != test.output {
				t.Errorf("Rates = %+v, %t, want output %v, %t", rates, ok, test.output, test.known)
			}
		})
	}
}

func TestSourcesNeedNoPage(t *testing.T) {
	t.Parallel()
	parse(t, `models: [{provider: p, name: m, currency: EUR, prices: [{from: 2026-01-01, source: "contract 4711", input: 1, output: 2}]}]`)
}

func TestModelsAreNamesAndAliases(t *testing.T) {
	t.Parallel()
	want := []string{"gpt-alias", "gpt-base", "gpt-base-2026-01-31", "gpt-other-2026-02-02", "local"}
	if diff := cmp.Diff(want, parse(t, models).Models("openai")); diff != "" {
		t.Errorf("Models (-want +got):\n%s", diff)
	}
}

func TestClassesLeftOutCostWhatTheirFamilyCosts(t *testing.T) {
	t.Parallel()
	const head = "models: [{provider: p, name: m, currency: USD, prices: [{from: 2026-01-01, "
	for name, test := range map[string]struct {
		classes string
		want    price.Rates
	}{
		"all but two left out": {"input: 1, output: 2", price.Rates{
			Input: 1, CachedInput: 1, CacheWrite: 1, CacheWrite1h: 1, Output: 2, Reasoning: 2,
		}},
		"a cache write of an hour costs what one of five minutes costs": {"input: 1, cache_write: 3, output: 2", price.Rates{
			Input: 1, CachedInput: 1, CacheWrite: 3, CacheWrite1h: 3, Output: 2, Reasoning: 2,
		}},
		"none left out": {"input: 1, cached_input: 0, cache_write: 3, cache_write_1h: 4, output: 5, reasoning: 6e-1", price.Rates{
			Input: 1, CachedInput: 0, CacheWrite: 3, CacheWrite1h: 4, Output: 5, Reasoning: 0.6,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want.Currency, test.want.Source = "USD", "file"
			rates, _ := parse(t, head+test.classes+"}]}]").Rates("p", "m", instant(t, "2026-06-01T00:00:00Z"))
			if diff := cmp.Diff(test.want, rates); diff != "" {
				t.Errorf("rates (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongPrompts(t *testing.T) {
	t.Parallel()
	book := parse(t, `
windows: [{name: Night, time_zone: UTC, hours: ["22:00-06:00"]}]
models:
  - provider: p
    name: m
    currency: USD
    prices:
      - from: 2026-01-01
        input: 4
        output: 8
        except:
          - {window: night, above_input_tokens: 1000, input: 2, output: 4}
          - {window: night, input: 1, output: 2}
          - {above_input_tokens: 1000, input: 8, output: 16}
`)
	for name, test := range map[string]struct {
		at     string
		tokens int64
		input  float64
	}{
		"a prompt as long as the threshold is short": {"2026-06-01T12:00:00Z", 1000, 4},
		"a prompt above the threshold":               {"2026-06-01T12:00:00Z", 1001, 8},
		"a window without a threshold":               {"2026-06-01T23:00:00Z", 1000, 1},
		"a window with a threshold":                  {"2026-06-01T23:00:00Z", 1001, 2},
		"a length that is not known is short":        {"2026-06-01T12:00:00Z", -1, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if rates, _ := book.RatesFor("p", "m", instant(t, test.at), test.tokens); rates.Input != test.input {
				t.Errorf("input = %v, want %v", rates.Input, test.input)
			}
		})
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	const (
		night    = `{name: w, time_zone: "-03:00", hours: ["22:00-06:00"], weekdays: [fri], holidays: [2026-05-08], extra_days: [2026-05-11]}`
		newYork  = `{name: w, time_zone: America/New_York, hours: ["09:00-12:00"]}`
		berlin   = `{name: w, time_zone: Europe/Berlin, hours: ["02:30-03:30"]}`
		allDay   = `{name: w, time_zone: "+05:30", hours: ["00:00-24:00"], weekdays: [sun], holidays: [2026-05-03..2026-05-04], extra_days: [2026-05-04]}`
		exchange = `{name: w, time_zone: UTC, hours: ["00:00-24:00"], weekdays: [mon, tue, wed, thu, fri], extra_days: [2026-05-09]}`
	)
	for name, test := range map[string]struct {
		window, at string
		inside     bool
	}{
		"hours over midnight begin on their day":             {night, "2026-05-02T01:00:00Z", true},
		"the second before they begin":                       {night, "2026-05-02T00:59:59Z", false},
		"they last until the next morning":                   {night, "2026-05-02T08:59:59Z", true},
		"the second they end":                                {night, "2026-05-02T09:00:00Z", false},
		"the morning of their day belongs to the day before": {night, "2026-05-01T05:00:00Z", false},
		"the night of the next day":                          {night, "2026-05-03T02:00:00Z", false},
		"a holiday's night":                                  {night, "2026-05-09T02:00:00Z", false},
		"the morning after a holiday":                        {night, "2026-05-09T08:00:00Z", false},
		"an extra day's night":                               {night, "2026-05-12T02:00:00Z", true},
		"the morning after an extra day":                     {night, "2026-05-12T08:00:00Z", true},
		"standard time before the clocks go forward":         {newYork, "2026-03-06T14:00:00Z", true},
		"the hour before, in standard time":                  {newYork, "2026-03-06T13:59:59Z", false},
		"daylight time after the clocks went forward":        {newYork, "2026-03-09T13:00:00Z", true},
		"the end in daylight time":                           {newYork, "2026-03-09T16:00:00Z", false},
		"standard time again":                                {newYork, "2026-11-02T14:00:00Z", true},
		"half of the window does not exist in spring":        {berlin, "2026-03-29T01:00:00Z", true},
		"the minute before the gap":                          {berlin, "2026-03-29T00:59:00Z", false},
		"its hour comes twice in autumn, the first time":     {berlin, "2026-10-25T00:30:00Z", true},
		"its hour comes twice in autumn, the second time":    {berlin, "2026-10-25T01:30:00Z", true},
		"between both":                                       {berlin, "2026-10-25T01:10:00Z", false},
		"a whole day begins at its midnight":                 {allDay, "2026-05-09T18:30:00Z", true},
		"a whole day ends at its midnight":                   {allDay, "2026-05-10T18:30:00Z", false},
		"a holiday is closed":                                {allDay, "2026-05-03T12:00:00Z", false},
		"a day that is a holiday and extra is open":          {allDay, "2026-05-04T12:00:00Z", true},
		"a working Saturday":                                 {exchange, "2026-05-09T12:00:00Z", true},
		"another Saturday":                                   {exchange, "2026-05-16T12:00:00Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := parse(t, "windows: ["+test.window+"]\n"+
				"models: [{provider: p, name: m, currency: USD, prices: [{from: 2026-01-01, input: 1, output: 1, "+
				"except: [{window: w, input: 2, output: 2}]}]}]")
			rates, ok := book.Rates("p", "m", instant(t, test.at))
			if inside := rates.Input == 2; !ok || inside != test.inside {
				t.Errorf("inside = %t, want %t", inside, test.inside)
			}
		})
	}
}
