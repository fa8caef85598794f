package price

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxFile     = 1 << 20 // bytes
	maxName     = 128     // bytes
	maxPrice    = 1e9     // per 1,000,000 tokens, in any currency
	anyProvider = "*"
)

// ReadFile returns the price book in a file of at most 1 MiB; see [Parse]. Errors name the path.
func ReadFile(path string) (*Book, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the price book: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the price book: %w", err)
	}
	book, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("price book %s: %w", path, err)
	}
	return book, nil
}

// Parse returns the price book in a YAML document of at most 1 MiB; docs/prices.md describes it. It is
// strict: a field it does not know, or a price that is negative or absurd, is an error, which names
// the line, the model and the field, and says what is accepted.
func Parse(data []byte) (*Book, error) {
	return parse(data, "file")
}

func parse(data []byte, source string) (*Book, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("not a YAML document: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document, want one")
	}
	r := &reader{source: source, windows: map[string]*window{}, layer: layer{}}
	top := r.entry(document.Content[0], "price book", "windows", "models")
	for _, n := range top.list("windows") {
		r.readWindow(n)
	}
	for _, n := range top.list("models") {
		r.readModel(n)
	}
	if r.err != nil {
		return nil, r.err
	}
	return &Book{layers: []layer{r.layer}}, nil
}

func (r *reader) readModel(n *yaml.Node) {
	e := r.entry(n, "model", "provider", "name", "aliases", "currency", "prices")
	name := e.name("name")
	e.where = fmt.Sprintf("model %q", name)
	models := r.models(e.provider())
	p := &prices{}
	for _, n := range e.list("prices") {
		p.periods = append(p.periods, e.period(n, p.periods, models, e.currency()))
	}
	if len(p.periods) == 0 {
		e.invalid("prices", "a list of at least one price")
	}
	e.add(models, name, n, p)
	for _, n := range e.list("aliases") {
		if n.Kind != yaml.ScalarNode || !validName(n.Value) {
			e.invalidItem(n, "aliases", "names of "+wantName)
		}
		e.add(models, strings.ToLower(n.Value), n, p)
	}
}

func (e entry) provider() string {
	provider := e.text("provider")
	if !validName(provider) || provider != strings.ToLower(provider) {
		e.invalid("provider", `a value of gen_ai.provider.name such as deepseek, in lower case, or "*" for any`)
	}
	return provider
}

func (e entry) currency() string {
	currency := e.text("currency")
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		e.invalid("currency", "an ISO 4217 code such as USD")
	}
	return currency
}

// models returns those of a provider read so far.
func (r *reader) models(provider string) map[string]*prices {
	if r.layer[provider] == nil {
		r.layer[provider] = map[string]*prices{}
	}
	return r.layer[provider]
}

func (e entry) add(models map[string]*prices, name string, n *yaml.Node, p *prices) {
	if models[name] != nil {
		e.fail(n, e.where, fmt.Sprintf("%q is already listed for this provider", name))
	}
	models[name] = p
}

// classes are the fields of a price, by class of token.
var classes = []string{"input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning"}

// period reads one element of a model's prices. The model may be billed as one of those above it in
// the file, so that none is billed as itself.
func (e entry) period(n *yaml.Node, before []period, models map[string]*prices, currency string) period {
	e = e.entry(n, e.where, slices.Concat([]string{"from", "source", "read", "billed_as", "except"}, classes)...)
	p := period{from: e.time("from")}
	if len(before) > 0 && !p.from.After(before[len(before)-1].from) {
		e.invalid("from", "a time after that of the price above it")
	}
	e.provenance()
	if e.has("billed_as") {
		p.billedAs = e.billedAs(models)
		return p
	}
	p.rates = e.rates(currency)
	for _, n := range e.list("except") {
		p.exceptions = append(p.exceptions, e.exception(n, currency))
	}
	return p
}

// provenance checks where a price was found and when; both are for readers of the file, and may be
// left out.
func (e entry) provenance() {
	if e.has("source") && strings.TrimSpace(e.text("source")) == "" {
		e.invalid("source", "where the price is from, such as the URL of a page or the number of a contract")
	}
	if _, ok := parseDate(e.text("read")); e.has("read") && !ok {
		e.invalid("read", "the date the price was read, such as 2026-11-22")
	}
}

func (e entry) billedAs(models map[string]*prices) *prices {
	for _, field := range append([]string{"except"}, classes...) {
		if e.has(field) {
			e.invalid(field, "nothing beside billed_as")
		}
	}
	model := models[strings.ToLower(e.text("billed_as"))]
	if model == nil {
		e.invalid("billed_as", "a model or alias of this provider that is listed above")
	}
	return model
}

func (e entry) exception(n *yaml.Node, currency string) exception {
	e = e.entry(n, e.where, slices.Concat([]string{"window", "above_input_tokens"}, classes)...)
	x := exception{window: e.windows[strings.ToLower(e.text("window"))], rates: e.rates(currency)}
	if e.has("window") && x.window == nil {
		e.invalid("window", "the name of one of the windows of this file")
	}
	if !e.has("above_input_tokens") {
		if !e.has("window") {
			e.invalid("window", "that or above_input_tokens")
		}
		return x
	}
	tokens, err := strconv.ParseInt(e.text("above_input_tokens"), 10, 64)
	if err != nil || tokens < 1 {
		e.invalid("above_input_tokens", "a number of tokens from 1")
	}
	x.aboveInput = tokens
	return x
}

// rates reads the classes. Those left out cost what their family costs.
func (e entry) rates(currency string) Rates {
	for _, class := range []string{"input", "output"} {
		if !e.has(class) {
			e.invalid(class, "a price per 1,000,000 tokens")
		}
	}
	rates := Rates{Currency: currency, Source: e.source}
	rates.Input = e.price("input", 0)
	rates.CachedInput = e.price("cached_input", rates.Input)
	rates.CacheWrite = e.price("cache_write", rates.Input)
	rates.CacheWrite1h = e.price("cache_write_1h", rates.CacheWrite)
	rates.Output = e.price("output", 0)
	rates.Reasoning = e.price("reasoning", rates.Output)
	return rates
}
