// Package price knows what the tokens of LLM APIs cost: a dated price book, embedded in the program
// and overridable by a file of the same format (docs/prices.md).
package price

import (
	_ "embed"
	"maps"
	"slices"
	"sync"
	"time"
)

// Rates are the prices of one model at one moment, per 1,000,000 tokens. The classes are disjoint:
// a token is billed as exactly one of them.
type Rates struct {
	// Currency is the ISO 4217 code of the prices, such as USD.
	Currency string
	// Source is "default" for a price of the embedded book and "file" for one read by [Parse] or
	// [ReadFile]: few values, fit for a metric label.
	Source string
	// Input is the price of input tokens that came from no cache and were written to none.
	Input float64
	// CachedInput is the price of input tokens read from the provider's cache. Default: Input.
	CachedInput float64
	// CacheWrite is the price of input tokens written to the provider's cache. Default: Input.
	CacheWrite float64
	// CacheWrite1h is CacheWrite for entries that live an hour, which Anthropic bills apart from
	// those of five minutes. Default: CacheWrite.
	CacheWrite1h float64
	// Output is the price of output tokens other than reasoning.
	Output float64
	// Reasoning is the price of output tokens spent on reasoning. Default: Output.
	Reasoning float64
}

// Book is a price book. It is immutable and safe for concurrent use; a nil *Book knows no price.
type Book struct {
	layers []layer // asked in order
}

// layer is what one file says: models by provider and by name in lower case.
type layer map[string]map[string]*prices

// prices are those of one model, shared by its aliases.
type prices struct {
	periods []period // strictly increasing by from
}

// period is what a model costs from one moment until the next period begins.
type period struct {
	from       time.Time
	rates      Rates
	exceptions []exception // the first that holds replaces rates
	billedAs   *prices     // set: another model's prices hold
}

// exception is a price that holds inside a window of time, for long prompts, or both.
type exception struct {
	window     *window // nil: at any time
	aboveInput int64   // tokens; 0: for a prompt of any length
	rates      Rates
}

//go:embed prices.yaml
var file []byte

var embedded = sync.OnceValue(func() *Book {
	book, err := parse(file, "default")
	if err != nil {
		return nil // The tests parse the same bytes.
	}
	return book
})

// Default returns the embedded book: prices read from the providers' own pages, each with its source
// and date in prices.yaml. It is parsed at the first call. Prices change after a release; put a
// file of your own before it with [Book.Over].
func Default() *Book {
	return embedded()
}

// Over returns a book that asks b first and other for what b does not know: a user's file over the
// default. Where b knows the model but has no price for it yet, other answers. Both may be nil.
func (b *Book) Over(other *Book) *Book {
	return &Book{layers: slices.Concat(b.all(), other.all())}
}

// Rates returns the prices of a model for a request that started at the given time and whose prompt
// is short; see [Book.RatesFor].
func (b *Book) Rates(provider, model string, at time.Time) (Rates, bool) {
	return b.RatesFor(provider, model, at, 0)
}

// RatesFor returns the prices of a model for a request that started at the given time with a prompt
// of inputTokens tokens, those read from and written to the cache included: some providers charge more
// for long prompts. It reports false, never zero prices, for a model, a provider or a time it has no
// price for.
//
// The provider is a value of the attribute gen_ai.provider.name. Model names compare without regard
// to case, and one that ends in a date (-2026-01-31 or -20260131) and is not listed itself costs
// what the name without the date costs. It allocates nothing and keeps nothing of what it is asked.
func (b *Book) RatesFor(provider, model string, at time.Time, inputTokens int64) (Rates, bool) {
	var buffer [maxName]byte
	name := lower(buffer[:0], model)
	for _, l := range b.all() {
		for _, models := range [...]map[string]*prices{l[provider], l[anyProvider]} {
			if rates, ok := find(models, name).at(at, inputTokens); ok {
				return rates, true
			}
		}
	}
	return Rates{}, false
}

// Models returns the names the book prices for the provider, aliases included, in lower case and in
// order: a bounded list of models that may become label values. Names with a date that cost what the
// name without it costs are not among them.
func (b *Book) Models(provider string) []string {
	names := map[string]bool{}
	for _, l := range b.all() {
		for _, models := range [...]map[string]*prices{l[provider], l[anyProvider]} {
			for name := range models {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (b *Book) all() []layer {
	if b == nil {
		return nil
	}
	return b.layers
}

// find returns the prices listed under name, or else under name without the date it ends in.
// The conversions in the index expressions do not allocate.
func find(models map[string]*prices, name []byte) *prices {
	if listed := models[string(name)]; listed != nil {
		return listed
	}
	return models[string(withoutDate(name))]
}

// at returns the rates of the last period that has begun.
func (p *prices) at(at time.Time, inputTokens int64) (Rates, bool) {
	if p == nil {
		return Rates{}, false
	}
	for i := range slices.Backward(p.periods) {
		if !at.Before(p.periods[i].from) {
			return p.periods[i].at(at, inputTokens)
		}
	}
	return Rates{}, false
}

func (p *period) at(at time.Time, inputTokens int64) (Rates, bool) {
	if p.billedAs != nil {
		return p.billedAs.at(at, inputTokens)
	}
	for i := range p.exceptions {
		e := &p.exceptions[i]
		if (e.aboveInput == 0 || inputTokens > e.aboveInput) && e.window.contains(at) {
			return e.rates, true
		}
	}
	return p.rates, true
}

// lower appends name in lower case to buf, or nothing if it is longer than any listed name.
func lower(buf []byte, name string) []byte {
	if len(name) > maxName {
		return buf
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	return buf
}

// withoutDate cuts -2026-01-31 or -20260131 off the end of name.
func withoutDate(name []byte) []byte {
	for _, form := range [...]string{"-dddd-dd-dd", "-dddddddd"} {
		if base := len(name) - len(form); base > 0 && fits(name[base:], form) {
			return name[:base]
		}
	}
	return name
}

// fits reports whether name has a digit wherever form has a d, and else what form has.
func fits(name []byte, form string) bool {
	for i, c := range name {
		if digit := '0' <= c && c <= '9'; digit != (form[i] == 'd') || !digit && c != form[i] {
			return false
		}
	}
	return true
}
