package llm

import "github.com/otelmon/toolkit/llm/price"

// cost is what a call costs.
type cost struct {
	known            bool
	currency, source string
	classes          [6]float64 // as those of tokens
	total            float64
}

// price returns the cost at the prices of the time when the call began, of the
// model that answered, or else of the one that was asked for.
func (c *call) price(end *conclusion) cost {
	book, provider, input := c.transport.cfg.Prices, c.target.provider, end.tokens.input()
	rates, ok := book.RatesFor(provider, c.answer.model, c.start, input)
	if !ok {
		rates, ok = book.RatesFor(provider, end.facts.model, c.start, input)
	}
	if !ok || end.tokens.unsplit > 0 && rates.Reasoning != rates.Output {
		return cost{}
	}
	return newCost(end.tokens, rates)
}

func newCost(t tokens, rates price.Rates) cost {
	const perTokens = 1e6
	c := cost{known: true, currency: rates.Currency, source: rates.Source}
	each := [...]float64{rates.Input, rates.CachedInput, rates.CacheWrite, rates.Output, rates.Reasoning, rates.Output}
	for i, class := range t.classes() {
		c.classes[i] = float64(class.n) * each[i] / perTokens
		if i == 2 {
			c.classes[i] += float64(t.hourly) * (rates.CacheWrite1h - rates.CacheWrite) / perTokens
		}
		c.total += c.classes[i]
	}
	return c
}
