package metrics

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	maxModels = 100
	maxValues = 32 // of an attribute, for one model
)

// modelKey is what calls of LLM APIs are told apart by. Calls that ended before
// the model was known have telemetry.OtherModel.
type modelKey struct{ model, provider string }

func modelOf(attributes *attribute.Set) modelKey {
	return modelKey{
		cmp.Or(textOf(attributes, telemetry.GenAIRequestModel), telemetry.OtherModel),
		textOf(attributes, telemetry.GenAIProvider),
	}
}

// modelReadings are those of one model, besides what can go into Model at once.
type modelReadings struct {
	Model

	durations, firstTokens buckets
	cost, wastedCost       map[string]Number // by currency
}

// models returns what a collection says of each model, the rates left out: those
// with most operations, at most maxModels.
func models(r readings) []Model {
	found := modelMap{}
	found.readCalls(r)
	found.readTokens(r)
	found.readTimes(r)
	models := make([]Model, 0, len(found))
	for _, m := range found {
		m.Errors = max(m.Operations-m.Outcomes[telemetry.OutcomeOK], 0)
		m.P50, m.P99 = m.durations.quantile(0.50), m.durations.quantile(0.99)
		m.FirstP50, m.FirstP99 = m.firstTokens.quantile(0.50), m.firstTokens.quantile(0.99)
		m.Cost, m.WastedCost = amounts(m.cost), amounts(m.wastedCost)
		models = append(models, m.Model)
	}
	slices.SortFunc(models, func(a, b Model) int {
		return cmp.Or(cmp.Compare(b.Operations, a.Operations), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Provider, b.Provider))
	})
	return slices.Clip(models[:min(len(models), maxModels)])
}

// modelMap has what a collection says of each model.
type modelMap map[modelKey]*modelReadings

func (all modelMap) of(attributes *attribute.Set) *modelReadings {
	key := modelOf(attributes)
	m, ok := all[key]
	if !ok {
		m = &modelReadings{
			Model: Model{Model: key.model, Provider: key.provider, Tokens: map[string]Number{}, Outcomes: map[string]Number{}},
			cost:  map[string]Number{}, wastedCost: map[string]Number{},
		}
		all[key] = m
	}
	return m
}

func (all modelMap) readCalls(r readings) {
	for attributes, n := range r.values(telemetry.LLMAttempts) {
		m := all.of(attributes)
		if isFirst(attributes) {
			m.Operations += Number(n)
		}
		increaseBy(m.Outcomes, textOf(attributes, telemetry.LLMOutcome), n)
	}
	for attributes, n := range r.values(telemetry.LLMUsageMissing) {
		all.of(attributes).UsageMissing += Number(n)
	}
	for attributes, n := range r.values(telemetry.LLMPriceUnknown) {
		all.of(attributes).PriceUnknown += Number(n)
	}
}

// isFirst tells the attempts that are the operations.
func isFirst(attributes *attribute.Set) bool {
	return textOf(attributes, telemetry.LLMAttempt) == telemetry.AttemptFirst
}

func (all modelMap) readTokens(r readings) {
	for attributes, n := range r.values(telemetry.LLMTokens) {
		increaseBy(all.of(attributes).Tokens, textOf(attributes, telemetry.LLMTokenClass), n)
	}
	for attributes, n := range r.values(telemetry.LLMWastedTokens) {
		all.of(attributes).WastedTokens += Number(n)
	}
	for attributes, n := range r.values(telemetry.LLMCost) {
		increaseBy(all.of(attributes).cost, textOf(attributes, telemetry.LLMCurrency), n)
	}
	for attributes, n := range r.values(telemetry.LLMWastedCost) {
		increaseBy(all.of(attributes).wastedCost, textOf(attributes, telemetry.LLMCurrency), n)
	}
}

func (all modelMap) readTimes(r readings) {
	for attributes, h := range r.histograms(telemetry.GenAIOperationDuration) {
		all.of(attributes).durations.add(telemetry.GenAIOperationDuration, h)
	}
	for attributes, h := range r.histograms(telemetry.LLMFirstToken) {
		all.of(attributes).firstTokens.add(telemetry.LLMFirstToken, h)
	}
}

// increaseBy leaves out values of an attribute that are too many.
func increaseBy(sums map[string]Number, value string, n float64) {
	if _, ok := sums[value]; ok || len(sums) < maxValues {
		sums[value] += Number(n)
	}
}

func amounts(sums map[string]Number) []Amount {
	amounts := make([]Amount, 0, len(sums))
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		amounts = append(amounts, Amount{currency, sums[currency]})
	}
	return amounts
}

// buckets are the sum of histograms.
type buckets struct {
	layout layout
	counts [maxBounds + 1]uint64
}

func (b *buckets) add(metric string, h histogram) {
	if b.layout == nil {
		b.layout = layoutOf(metric, h)
	}
	b.layout.add(b.counts[:], h)
}

func (b *buckets) quantile(q float64) Number { return b.layout.quantile(q, b.counts[:]) }

// readOperations takes the operations of a collection by model.
func readOperations(r readings, operations *counts[modelKey]) {
	for attributes, n := range r.values(telemetry.LLMAttempts) {
		if isFirst(attributes) && n > 0 {
			operations.add(modelOf(attributes), uint64(min(n, math.MaxInt64)))
		}
	}
}
