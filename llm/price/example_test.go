package price_test

import (
	"fmt"
	"time"

	"github.com/otelmon/toolkit/llm/price"
)

// The start of a request decides what it costs: DeepSeek charges double at peak.
func ExampleBook_Rates() {
	morning := time.Date(2026, 11, 20, 9, 0, 0, 0, time.FixedZone("Beijing", 8*60*60))
	for _, at := range []time.Time{morning, morning.Add(3 * time.Hour)} {
		rates, _ := price.Default().Rates("deepseek", "deepseek-flash", at)
		cost := (800_000*rates.CachedInput + 200_000*rates.Input + 50_000*rates.Output) / 1_000_000
		fmt.Printf("%s %.4f %s\n", at.Format(time.TimeOnly), cost, rates.Currency)
	}
	_, known := price.Default().Rates("deepseek", "deepseek-v9", morning)
	fmt.Println("deepseek-v9 known:", known)
	// Output:
	// 09:00:00 0.1248 USD
	// 12:00:00 0.0624 USD
	// deepseek-v9 known: false
}

// Prices of one's own go before the embedded ones.
func ExampleBook_Over() {
	own, err := price.Parse([]byte(`
models:
  - provider: "*"
    name: qwen-on-our-own-machines
    currency: EUR
    prices:
      - {from: 2026-01-01, input: 0.05, output: 0.2}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	book := own.Over(price.Default())
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, model := range []string{"qwen-on-our-own-machines", "gpt-5-nano"} {
		rates, _ := book.Rates("openai", model, at)
		fmt.Println(model, rates.Output, rates.Currency, rates.Source)
	}
	// Output:
	// qwen-on-our-own-machines 0.2 EUR file
	// gpt-5-nano 0.4 USD default
}

// An error says where the file is wrong and what is accepted.
func ExampleParse() {
	_, err := price.Parse([]byte(`
models:
  - provider: deepseek
    name: deepseek-flash
    currency: USD
    prices:
      - from: 2026-09-10
        input: -0.15
        output: 0.6
`))
	fmt.Println(err)
	// Output:
	// line 8: model "deepseek-flash": input is "-0.15", want a price per 1,000,000 tokens from 0 to 1000000000
}
