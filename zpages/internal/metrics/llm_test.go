package metrics_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// attempt is one call of an LLM API.
func (s *service) attempt(model, outcome, attempt string, seconds float64) {
	s.t.Helper()
	of := []attribute.KeyValue{telemetry.GenAIRequestModel.String(model), telemetry.GenAIProvider.String("deepseek")}
	s.add(telemetry.LLMAttempts, 1, append(of, telemetry.LLMOutcome.String(outcome), telemetry.LLMAttempt.String(attempt))...)
	s.histogram(telemetry.GenAIOperationDuration).Record(context.Background(), seconds, metric.WithAttributes(of...))
}

func TestModels(t *testing.T) {
	t.Parallel()
	s := newService(t)
	of := func(attributes ...attribute.KeyValue) []attribute.KeyValue {
		return append(attributes, telemetry.GenAIRequestModel.String("chat"), telemetry.GenAIProvider.String("deepseek"))
	}
	for range 8 {
		s.attempt("chat", telemetry.OutcomeOK, telemetry.AttemptFirst, 1)
	}
	s.attempt("chat", telemetry.OutcomeTimeout, telemetry.AttemptFirst, 60)
	s.attempt("chat", telemetry.OutcomeOK, telemetry.AttemptRetry, 2)
	s.attempt("chat", telemetry.OutcomeRateLimited, telemetry.AttemptFirst, 0.1)
	s.attempt("coder", telemetry.OutcomeOK, telemetry.AttemptRetry, 1)
	s.histogram(telemetry.LLMFirstToken).Record(t.Context(), 0.3, metric.WithAttributes(of()...))
	s.add(telemetry.LLMTokens, 100, of(telemetry.LLMTokenClass.String(telemetry.TokenInputUncached))...)
	s.add(telemetry.LLMTokens, 50, of(telemetry.LLMTokenClass.String(telemetry.TokenOutputAnswer))...)
	s.add(telemetry.LLMCost, 0.25, of(telemetry.LLMCurrency.String("USD"))...)
	s.add(telemetry.LLMCost, 2, of(telemetry.LLMCurrency.String("CNY"))...)
	s.add(telemetry.LLMWastedTokens, 7, of(telemetry.LLMReason.String(telemetry.WasteRetried))...)
	s.add(telemetry.LLMWastedCost, 0.01, of(telemetry.LLMCurrency.String("USD"))...)
	s.add(telemetry.LLMUsageMissing, 2, of()...)
	s.add(telemetry.LLMPriceUnknown, 3, of()...)
	s.collect(10 * time.Second)
	none := metrics.Number(math.NaN())
	want := []metrics.Model{
		{
			Model: "chat", Provider: "deepseek", Operations: 10, Errors: 1,
			Tokens:       map[string]metrics.Number{"input_uncached": 100, "output_answer": 50},
			Cost:         []metrics.Amount{{"CNY", 2}, {"USD", 0.25}},
			WastedTokens: 7, WastedCost: []metrics.Amount{{"USD", 0.01}}, UsageMissing: 2, PriceUnknown: 3,
			Outcomes: map[string]metrics.Number{"ok": 9, "timeout": 1, "rate_limited": 1},
		},
		{
			Model: "coder", Provider: "deepseek", Tokens: map[string]metrics.Number{}, Cost: []metrics.Amount{}, WastedCost: []metrics.Amount{},
			Outcomes: map[string]metrics.Number{"ok": 1}, FirstP50: none, FirstP99: none,
		},
	}
	got := s.view(time.Minute).LLM
	ignored := cmpopts.IgnoreFields(metrics.Model{}, "Rate", "P50", "P99")
	if diff := cmp.Diff(want[1:], got[1:], equateNumbers(), ignored); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ignored = cmpopts.IgnoreFields(metrics.Model{}, "Rate", "P50", "P99", "FirstP50", "FirstP99")
	if diff := cmp.Diff(want[:1], got[:1], equateNumbers(), ignored); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if chat := got[0]; chat.P50 < 0.9 || chat.P50 > 1.3 || chat.P99 < 50 || chat.FirstP99 < 0.2 || chat.FirstP99 > 0.33 {
		t.Errorf("got P50 %v, P99 %v and first tokens after %v", chat.P50, chat.P99, chat.FirstP99)
	}
	for range 30 {
		s.attempt("chat", telemetry.OutcomeOK, telemetry.AttemptFirst, 1)
		s.collect(10 * time.Second)
	}
	if chat := s.view(time.Minute).LLM[0]; chat.Operations != 40 || math.Abs(float64(chat.Rate)-0.1) > 1e-6 {
		t.Errorf("got %v operations, %v a second, want 40 since the start and 0.1 in the last minute", chat.Operations, chat.Rate)
	}
}

func TestCallsWithoutAModelAreThoseOfOthers(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.add(telemetry.LLMAttempts, 3, telemetry.LLMAttempt.String(telemetry.AttemptFirst), telemetry.LLMOutcome.String(telemetry.OutcomeAborted))
	s.collect(time.Second)
	got := s.view(time.Minute).LLM
	if len(got) != 1 || got[0].Model != telemetry.OtherModel || got[0].Operations != 3 || got[0].Errors != 3 {
		t.Errorf("got %+v, want 3 failed operations of %q", got, telemetry.OtherModel)
	}
}

func TestModelsAreBounded(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for i := range 150 {
		for range 1 + i/100 {
			s.attempt(fmt.Sprintf("model %03d", i), telemetry.OutcomeOK, telemetry.AttemptFirst, 1)
		}
	}
	for i := range 100 {
		s.attempt("model 149", fmt.Sprint(i), telemetry.AttemptFirst, 1)
	}
	s.collect(time.Second)
	got := s.view(time.Minute).LLM
	if len(got) != 100 || got[0].Model != "model 149" || got[99].Model != "model 049" || len(got[0].Outcomes) != 32 {
		t.Errorf("got %d models from %s to %s, want the 100 with most", len(got), got[0].Model, got[len(got)-1].Model)
	}
}
